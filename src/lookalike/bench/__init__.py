"""Measurements against other libraries: what is claimed about speed can be run by anybody.

spec (sizes and targets) → run (measure) → results (JSON lines) → report (Markdown); each step can be used without the next.
"""
