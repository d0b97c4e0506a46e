"""Kernels are tested twin by twin; with the JIT off the vector ones run as numpy, slowly, so there are fewer examples."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest

from lookalike.kernels.target import available

hypothesis.settings.register_profile("brief", deadline=None, derandomize=True, max_examples=8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def examples(count: int) -> hypothesis.settings:
    """At most `count` examples, fewer without the JIT."""
    return hypothesis.settings(max_examples=5 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else count, deadline=None)


# Where the vector kernels cannot run there is nothing to test: an instruction that the CPU lacks would end the process.
collect_ignore = [] if available() else ["test_simd.py"]
