"""Compiled kernels are kept on disk, and never used after any file of `kernels/` has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lookalike
from lookalike.kernels import target

SCRIPT = """
import json
import numpy as np
from lookalike.kernels import target, topk
topk.quickselect(np.arange(5, dtype=np.float32), np.arange(5), np.arange(5), 5, 2)
stats = topk.quickselect.stats
print(json.dumps([target.SOURCE_STAMP, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), target.__file__]))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package that can be edited, with no cache."""
    source = Path(lookalike.__file__).parent
    target = tmp_path / "lookalike"
    shutil.copytree(source / "kernels", target / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("__init__.py", "_lazy.py"):
        shutil.copy(source / module, target)
    return target


def run(copied: Path, **environment: str) -> tuple[str, int, int]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "LOOKALIKE_"))}
    env |= {"PYTHONPATH": str(copied.parent), **environment}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stamp, hits, misses, file = json.loads(done.stdout)
    assert Path(file).is_relative_to(copied)
    return stamp, hits, misses


def test_the_second_process_compiles_nothing_and_an_edit_anywhere_compiles_anew(copied: Path) -> None:
    stamp, hits, misses = run(copied)
    assert (hits, misses) == (0, 1)
    assert run(copied) == (stamp, 1, 0)
    other = copied / "kernels" / "blocks.py"  # a module that topk does not even import
    other.write_text(other.read_text() + "# edited\n")
    edited, hits, misses = run(copied)
    assert edited != stamp
    assert (hits, misses) == (0, 1)


def test_what_was_compiled_for_other_instructions_is_not_used(copied: Path) -> None:
    run(copied)
    _, hits, misses = run(copied, NUMBA_CPU_NAME="generic")
    assert (hits, misses) == (0, 1)


def test_without_a_folder_to_write_to_kernels_work_all_the_same(copied: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = run(copied, NUMBA_CACHE_DIR=str(blocked / "below"))
    assert done[1] == 0


def test_the_version_of_numba_that_is_installed_has_the_cache_that_is_used() -> None:
    """The interface is private: where it has changed, this fails, and kernels are compiled in every process."""
    assert target.CACHE_FAULT == []


@pytest.mark.parametrize(
    "broken", ["del caching.IndexDataCacheFile", "caching.FunctionCache.__init__ = lambda self, f: None"]
)
def test_with_another_cache_in_numba_kernels_work_and_it_is_said_once(broken: str, copied: Path) -> None:
    script = f"""
import warnings
from numba.core import caching
{broken}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    exec({SCRIPT!r})
print([str(one.message) for one in caught if "lookalike" in str(one.message)])
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "LOOKALIKE_"))}
    env |= {"PYTHONPATH": str(copied.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result, said = done.stdout.splitlines()
    assert json.loads(result)[1] == 0  # found nowhere,
    assert not list(copied.rglob("*.nbi"))  # and kept nowhere
    assert said.count("lookalike kernels: they are compiled anew in every process") == 1
    assert "numba" in said
