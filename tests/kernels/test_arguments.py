"""Kernels that one can call without counting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lookalike.kernels import layout

FILES = sorted(Path(layout.__file__).parent.glob("*.py"))
MOST = 8


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_function_takes_more_than_eight_arguments(file: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    counts = {one.name: len([*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]) for one in functions}
    assert {name: count for name, count in counts.items() if count > MOST} == {}
