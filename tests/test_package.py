"""The package as others get it: public names, what importing it costs, what is in the wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import lookalike

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lookalike"
BENCHMARKS = ROOT / "benchmarks" / "lookalike_bench"

HEAVY = {
    *("PIL", "numpy", "numba", "llvmlite", "onnx", "onnxruntime", "safetensors", "sqlite3", "typer", "rich"),
    *("gradio", "fastapi", "starlette", "pydantic", "uvicorn", "pandas", "plotly", "matplotlib"),
    *("faiss", "scipy", "sklearn", "ray", "timm", "torch", "torchvision"),
}


def _loaded(code: str, environ: dict[str, str] | None = None) -> set[str]:
    """Top-level modules that are loaded after `code` ran in a fresh interpreter."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | (environ or {}), capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_importing_loads_nothing_heavy() -> None:
    assert not _loaded("import lookalike") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    assert not _loaded("import lookalike.cli.commands") & HEAVY - {"typer"}


def test_searching_a_small_collection_loads_no_compiler(pictures: Path, tmp_path: Path) -> None:
    code = f"""
import lookalike as la
with la.Collection.create({str(tmp_path / "c.lookalike")!r}) as collection:
    collection.add({str(pictures)!r})
    assert collection.search({str(pictures / "photos/fish/fish-1.jpg")!r}, k=1)
"""
    loaded = _loaded(code)
    assert "onnxruntime" in loaded
    assert not loaded & {"numba", "gradio", "fastapi", "faiss", "sklearn", "scipy", "torch", "rich", "typer"}


def test_public_names() -> None:
    assert len(lookalike.__all__) == len(set(lookalike.__all__))
    for name in lookalike.__all__:
        assert getattr(lookalike, name) is not None
    assert set(lookalike.__all__) <= set(dir(lookalike))
    assert {"Collection", "FlatIndex", "PQIndex", "IVFPQIndex", "Reranked", "load_index", "SearchResult"} <= set(
        lookalike.__all__
    )


def test_every_error_is_public() -> None:
    from lookalike import errors

    assert set(errors.__all__) <= set(lookalike.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="IVFPQindex"):
        lookalike.IVFPQindex  # noqa: B018


# Itself, types, and the benchmark that copies one of our files into itself and imports that there.
KNOWN = {"lookalike", "lookalike_bench", "_typeshed", "ann_benchmarks"}
ABSENT = {"umap": ["umap-learn"]}  # whose distribution cannot be looked up, as the tests do without it


def test_onnx_runtime_has_one_door() -> None:
    """`features/runtime.py` switches its telemetry off; whoever imports it elsewhere may be the first to."""
    others = [path for path in [*PACKAGE.rglob("*.py"), *BENCHMARKS.rglob("*.py")] if path.name != "runtime.py"]
    pattern = re.compile(r"^\s*(import onnxruntime|from onnxruntime)", re.MULTILINE)
    assert [path.name for path in others if pattern.search(path.read_text("utf-8"))] == []


def test_every_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [
        *project["dependencies"],
        *(need for needs in project["optional-dependencies"].values() for need in needs),
    ]
    declared = {_canonical(re.split(r"[\[><=~! ]", need)[0]) for need in needed}
    provided = ABSENT | dict(importlib.metadata.packages_distributions())
    undeclared = set()
    for path in [*PACKAGE.rglob("*.py"), *BENCHMARKS.rglob("*.py")]:
        for name in _imports(path) - set(sys.stdlib_module_names) - KNOWN:
            if not {_canonical(distribution) for distribution in provided.get(name, [name])} & declared:
                undeclared.add(f"{path.relative_to(ROOT)}: {name}")
    assert not undeclared


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout as `make dist` does."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    [path] = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    tracked = subprocess.run(["git", "ls-files", "-z", "src"], cwd=ROOT, capture_output=True, check=True).stdout
    expected = {name.removeprefix("src/") for name in tracked.decode().split("\0") if name}
    assert expected <= names
    assert any(name.endswith(".onnx") for name in names)
    assert "lookalike/py.typed" in names
    assert "lookalike/data/starter/ATTRIBUTION.tsv" in names
    assert {name.partition("/")[0] for name in names} == {"lookalike", f"lookalike-{lookalike.__version__}.dist-info"}
    assert {"LICENSE", "NOTICE"} <= {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    assert wheel.stat().st_size <= 15_000_000  # weights 9.5 MB, starter pictures 4.3, the rest 1


def test_the_benchmarks_are_a_package_of_the_same_version() -> None:
    """They measure insides, so each version of them is for one of lookalike."""
    project = tomllib.loads((ROOT / "benchmarks" / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == lookalike.__version__
    assert project["dependencies"] == [f"lookalike[bench]=={lookalike.__version__}"]


def test_the_source_distribution_has_the_benchmarks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    [path] = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files", "-z", "benchmarks"], cwd=ROOT, capture_output=True, check=True).stdout
    assert {name for name in tracked.decode().split("\0") if name} <= names
    assert not any(name.startswith("benchmarks/results") for name in names)


def test_the_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    binaries = venv / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, capture_output=True)
    # The dependencies are those of this environment, by a .pth file, so that the test needs no network. Python does not
    # follow .pth files of such a folder, so this checkout, which may be installed in it, is not visible.
    [site] = venv.rglob("site-packages")
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))

    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COV"))}
    environ |= {"LOOKALIKE_HOME": str(tmp_path / "home"), "VIRTUAL_ENV": str(venv)}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return done.stdout

    assert Path(run(python, "-c", "import lookalike; print(lookalike.__file__)").strip()).is_relative_to(site)
    printed = run(binaries / "lookalike", "demo", "--no-serve")
    assert "same picture" in printed
    assert str(site) in printed
    assert str(ROOT) not in printed.replace(str(tmp_path), "")
    assert json.loads(run(binaries / "lookalike", "status", "--json"))["pictures"] == 349
    command = [binaries / "lookalike", "bench", "run", "engine", "--quick", "--only", "memory"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install ./benchmarks" in done.stderr
    (site / "benchmarks.pth").write_text(str(BENCHMARKS.parent))
    assert "bytes per vector" in run(*command)


def test_the_bound_of_numba_is_the_version_that_is_tested() -> None:
    """The tests run with the newest version that is allowed, so that a bound that is raised is one that was tried."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bound = next(re.search(r"<0\.(\d+)$", text) for text in project["dependencies"] if text.startswith("numba"))
    assert bound is not None, "numba has an upper bound, since kernels/target.py uses its private cache"
    installed = importlib.metadata.version("numba").split(".")
    assert installed[0] == "0"
    assert int(installed[1]) == int(bound[1]) - 1, "install the newest numba below the bound, or lower the bound"


def test_old_places_warn_and_give_what_they_gave() -> None:
    import importlib

    import lookalike
    import lookalike.collection
    from lookalike.collection.catalog import filters
    from lookalike.features import imported

    for module, name, thing, said in (
        ("lookalike.collection.filters", "Filter", lookalike.Filter, r"use lookalike\.Filter"),
        (
            "lookalike.collection.filters",
            "matching_ids",
            filters.matching_ids,
            r"use lookalike\.collection\.catalog\.filters",
        ),
        (
            "lookalike.features.bring",
            "read_features",
            imported.read_features,
            r"use lookalike\.features\.imported\.read",
        ),
    ):
        with pytest.warns(DeprecationWarning, match=said):
            assert getattr(importlib.import_module(module), name) is thing
    with pytest.warns(DeprecationWarning, match="has moved"):  # without an import of its own, as documented once
        assert lookalike.collection.filters.Filter is lookalike.Filter
    with pytest.raises(AttributeError, match="has no attribute 'no_such_thing'"):
        lookalike.collection.no_such_thing  # noqa: B018
