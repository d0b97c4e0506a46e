"""Measurements against other libraries: what is claimed about speed can be run by anybody.

The engine beside FAISS, on the same codes: `spec`, `run` and `engine/`. Every index beside every other library: `experiments/`,
with the libraries in `adapters/`.

spec (sizes and targets) → run (measure) → results (JSON lines) → report (Markdown); each step can be used without the next.
"""
