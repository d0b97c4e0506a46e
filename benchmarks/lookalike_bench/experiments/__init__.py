"""Experiments: data × index × parameters, and cases side by side, from a small declarative file.

spec (TOML) → plan (runs with keys) → run (one_run: a peer in a process; case_runs: rivals in turns) → store (results.jsonl) → report.
"""
