"""On what a measurement was made, and how many threads it may use."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lookalike._threads import cores
from lookalike.errors import MissingExtraError

__all__ = ["Machine", "Threads", "this_machine"]

_PACKAGES = ("numpy", "numba", "faiss-cpu", "scikit-learn", "onnxruntime", "opencv-python-headless")
_FIRST_BYTES = 1 << 16  # of /proc/cpuinfo: enough for the first core


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader has to know to place the numbers.

    Attributes
    ----------
    cpu : str
    cores : int
        That this process may use.
    instructions : str
        What the kernels are compiled to (`kernels.simd.instructions`); ``"plain"`` for none.
    has_amx : bool
    system : str
    versions : dict of str to str
    faiss_build : str
        What FAISS says about its own instructions.
    blas : tuple of str
        The BLAS and OpenMP libraries in the process.
    load : float
        Mean number of busy processes over the last minute, before the run; −1 where it is not known.
    """

    cpu: str
    cores: int
    instructions: str
    has_amx: bool
    system: str
    versions: dict[str, str]
    faiss_build: str
    blas: tuple[str, ...]
    load: float

    @property
    def slug(self) -> str:
        """For file names: ``amd-epyc-avx2``."""
        cpu = re.sub(r"\(r\)|\(tm\)|cpu|processor|@.*", " ", self.cpu.lower())
        return "-".join(re.findall(r"[a-z0-9]+", f"{cpu} {self.instructions}"))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def this_machine() -> Machine:
    """The machine that runs this process, with the libraries of the benchmarks loaded."""
    from lookalike import __version__
    from lookalike.kernels.target import instructions
    from lookalike_bench.peers import load_faiss

    faiss = load_faiss()
    cpu, flags = _cpu()
    return Machine(
        cpu=cpu,
        cores=cores(),
        instructions=instructions() or "plain",
        has_amx="amx_tile" in flags,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions={"lookalike": __version__} | {name: _version(name) for name in _PACKAGES},
        faiss_build=str(faiss.get_compile_options()).strip(),
        blas=tuple(sorted({_library(info) for info in _controller().info()})),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
    )


def _cpu() -> tuple[str, str]:
    """Name and flags of the processor, as far as the system tells."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open("rb") as file:
        text = file.read(_FIRST_BYTES).decode("utf-8", "replace")
        name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
        if name:
            return name[1].strip(), flags[1] if flags else ""
    return platform.processor() or platform.machine() or "unknown", ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _library(info: dict[str, Any]) -> str:
    kind = info.get("internal_api") or info.get("user_api")
    return " ".join(str(part) for part in (kind, info.get("version"), info.get("architecture")) if part)


def _own_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _controller() -> Any:
    try:
        import threadpoolctl
    except ImportError:
        raise MissingExtraError('the benchmarks need threadpoolctl; pip install "lookalike[bench]"') from None
    return threadpoolctl.ThreadpoolController()


class Threads:
    """Holds everybody to the same number of threads: BLAS, OpenMP, FAISS and, where the system can, the cores themselves.

    Make it when all libraries are loaded. On Linux the calling thread is bound to as many cores as it may use threads; the threads
    that it starts inherit that, so that a library that asks for all cores still gets no more than its rival.
    """

    def __init__(self) -> None:
        self._pools = _controller()
        self._cores = _own_cores()

    @property
    def can_bind(self) -> bool:
        """Whether cores can be bound here."""
        return hasattr(os, "sched_setaffinity")

    @contextlib.contextmanager
    def limited(self, count: int) -> Iterator[None]:
        """At most `count` threads inside the ``with``."""
        from lookalike_bench.peers import load_faiss

        faiss = load_faiss()
        before = faiss.omp_get_max_threads()
        with self._pools.limit(limits=count):
            faiss.omp_set_num_threads(count)
            self._bind(self._cores[:count])
            try:
                yield
            finally:
                self._bind(self._cores)
                faiss.omp_set_num_threads(before)

    def _bind(self, cores: list[int]) -> None:
        if self.can_bind:
            os.sched_setaffinity(0, cores)
