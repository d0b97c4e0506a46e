"""Experiments: data × index × parameters from a small declarative file, each run in a process of its own.

spec (TOML) → plan (runs with keys) → run (one_run: a process, an index) → store (results.jsonl) → plots and report.
"""
