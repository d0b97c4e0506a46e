"""Measurements against other libraries: what is claimed about speed can be run by anybody.

An experiment (`experiments`) is a TOML file. Its peers are every index beside every other library, each measured alone; its cases
(`cases`) are ours beside one peer, in turns. Both take their vectors from `data`, append to the same results and have one report.

spec → data → measurements → results (JSON lines) → report; each step can be used without the next.
"""
