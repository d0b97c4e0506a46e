"""Measurements against other libraries: what is claimed about speed can be run by anybody.

`engine` is the engine beside FAISS, on the same codes; `experiments` is every index beside every other library. Both take their vectors
from `data`, time with `measure`, compare by `metrics`, start processes with `children`, and write `lines` and `markdown`.

spec → data → measurements → results (JSON lines) → report; each step can be used without the next.
"""
