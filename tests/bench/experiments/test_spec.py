"""Specs that can be read, and one clear line for each that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import FormatError, InputError
from lookalike_bench.adapters import ADAPTERS
from lookalike_bench.data import Prepared, stand_in
from lookalike_bench.experiments.plan import check_peers, plan, plan_cases
from lookalike_bench.experiments.spec import built_in, load_experiment, read_experiment
from lookalike_bench.machine import this_machine

from .conftest import run

FLAT = '[[peer]]\nname = "faiss-flat"\n'
Write = Callable[..., Path]


def test_lists_are_swept_and_keys_do_not_depend_on_order(spec: Write) -> None:
    path = spec(
        '[[peer]]\nname = "faiss-ivfpq"\nbuild = { nlist = [4, 8], m = [8, 16] }\nsearch = { nprobe = [1, 2, 4] }\n'
    )
    data = Prepared("made-up", "", Path(), 1500, 64, 30, "f" * 16)
    runs = plan(read_experiment(path), {"made-up": [data]})
    assert sorted((r.build["nlist"], r.build["m"]) for r in runs) == [(4, 8), (4, 16), (8, 8), (8, 16)]
    assert [s["nprobe"] for s in runs[0].searches] == [1, 2, 4]
    keys = [r.key(s) for r in runs for s in r.searches]
    assert len(set(keys)) == 12
    assert runs[0].key(dict(reversed(list(runs[0].searches[0].items())))) == keys[0]
    assert plan(read_experiment(path), {"made-up": [data, data]})[4:] == []  # the same twice is measured once


@pytest.mark.parametrize("name", built_in())
def test_built_in_specs_can_be_planned(name: str) -> None:
    experiment = load_experiment(name)
    check_peers(experiment)
    d = {"upstream-2048": 2048, "pictures": 1280, "features": 1280, "wide": 2048}
    data = {e.name: [Prepared(e.name, "", Path(), 7196, d.get(e.name, 128), 500, e.name)] for e in experiment.data}
    runs = plan(experiment, data)
    cases = plan_cases(experiment, data, this_machine())
    assert len(runs) + len(cases) > 5
    assert len({case.key(way) for case in cases for way in case.ways}) == sum(len(case.ways) for case in cases)
    if name in {"small", "full"}:
        assert {run.peer for run in runs} == set(ADAPTERS)
        assert len({ADAPTERS[run.peer].package for run in runs}) >= 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"repeat = 3\n{{data}}{FLAT}", "unknown key 'repeat'; did you mean 'repeats'"),
        (f'k = "ten"\n{{data}}{FLAT}', "k: expected a whole number of at least 0, got 'ten'"),
        (f"k = true\n{{data}}{FLAT}", "k: expected a whole number"),
        (f'name = "../../x"\n{{data}}{FLAT}', "name: expected a name without slashes"),
        (f'name = ".."\n{{data}}{FLAT}', "name: expected a name without slashes"),
        (f'name = "."\n{{data}}{FLAT}', "name: expected a name without slashes"),
        (f'name = ""\n{{data}}{FLAT}', "name: expected a text"),
        ('{data}[[peer]]\nname = "faiss-flat"\nn = [5]\n', "n: expected the smallest and the largest"),
        ('{data}[[peer]]\nname = "faiss-flat"\nn = [5, 9]\n', "no peer is meant for these data"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nbuild = { m = [] }\n', "0 settings: expected 1 to"),
        ('[[data]]\nname = "x"\nkind = "synthetic"\nd = 999999999\nrows = 9\n' + FLAT, "expected d of at most 4,096"),
        (f"k = 101\n{{data}}{FLAT}", "k: expected at most 100"),
        (f"threads = []\n{{data}}{FLAT}", "threads: expected whole numbers"),
        (f"threads = 0\n{{data}}{FLAT}", "threads: expected at least 1, got 0"),
        ('{data}[[peer]]\nname = "faiss-flat"\nthreads = [1, 0]\n', "peer 'faiss-flat': threads: expected at least 1, got 0"),
        ('{data}[[peer]]\nname = "faiss-flat"\nthreads = 4096\n', "expected at most .* threads, the cores"),
        (f"limit_s = nan\n{{data}}{FLAT}", "limit_s: expected a number"),
        ("{data}", r"expected at least one \[\[peer\]\] or \[\[case\]\]"),
        (FLAT, r"expected at least one \[\[data\]\]"),
        ("data = 3\n" + FLAT, r"expected data as \[\[data\]\]"),
        (f'[[data]]\nname = "x"\nkind = "sitf"\n{FLAT}', "kind='sitf': expected one of .*; did you mean 'sift'"),
        (f'[[data]]\nname = "x"\nkind = "hdf5"\n{FLAT}', "kind='hdf5' needs path"),
        (f'[[data]]\nname = "x"\nkind = "sift"\nd = 3\n{FLAT}', "'d' means nothing for kind='sift'"),
        (f'[[data]]\nkind = "sift"\n{FLAT}', "data 1: name is missing"),
        (f"{{data}}{{data}}{FLAT}", "two data are called 'made-up'"),
        ('{data}[[peer]]\nname = "faiss-flatt"\n', "no peer is called 'faiss-flatt'; did you mean 'faiss-flat'"),
        ('{data}[[peer]]\nname = "faiss-flat"\ndata = "made-down"\n', "wants data 'made-down', .*did you mean 'made-up'"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nbuild = { nlists = 3 }\n',
         "unknown build parameter 'nlists'; did you mean 'nlist'"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nsearch = { m = 3 }\n', "unknown search parameter 'm'; it takes nprobe"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nbuild = { m = "8" }\n', "build parameter m: expected a whole number, got '8'"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nsearch = { nprobe = 0 }\n', "nprobe: expected a whole number, got 0"),
        ('{data}[[peer]]\nname = "lookalike-ivfpq"\nbuild = { m = 24 }\n',
         "m=24 does not divide d=64; the nearest that does is m=16"),
        ('{data}[[peer]]\nname = "faiss-ivfpq"\nbuild = { m = 7 }\n', "m=7 does not divide d=64"),
        ('{data}[[peer]]\nname = "faiss-ivfflat"\nbuild = { nlist = 9000 }\n', "nlist=9000: expected 1 to n=1,500"),
        ('{data}[[peer]]\nname = "lookalike-ivfpq"\nbuild = { nbits = 12 }\n', "nbits=12: expected 4 to 16"),
        ('{data}[[peer]]\nname = "lookalike-ivfpq"\nbuild = { rotation = "pca:65" }\n', "pca: and a dimension of at most d=64"),
        ('{data}[[peer]]\nname = "lookalike-ivfpq"\nbuild = { kmeans = "cuml" }\n', "kmeans='cuml': expected one of native"),
    ],
)  # fmt: skip
def test_what_a_spec_cannot_say(text: str, message: str, spec: Write, tmp_path: Path) -> None:
    data = '[[data]]\nname = "made-up"\nkind = "synthetic"\nd = 64\nrows = 1500\nqueries = 5\n'
    path = spec(text.replace("{data}", data), head="")
    with pytest.raises(InputError, match=message) as raised:
        run(path, tmp_path / "out", tmp_path / "keep")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_files_that_are_no_specs(spec: Write, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"trial.toml: not TOML"):
        read_experiment(spec("[[peer", head=""))
    with pytest.raises(FormatError, match="not TOML"):
        path = tmp_path / "binary.toml"
        path.write_bytes(b"\xff\xfe\x00")
        read_experiment(path)
    with pytest.raises(InputError, match="'smal'; did you mean 'small'"):
        load_experiment("smal")
    with pytest.raises(
        InputError, match="expected a TOML file or one of engine, engine-quick, full, scale, small, upstream"
    ):
        load_experiment(str(tmp_path))


def test_peers_are_mixed_within_data_and_threads(tmp_path: Path) -> None:
    experiment = load_experiment("full")
    data = {
        spec.name: [Prepared(spec.name, "", tmp_path, n, d, 10, spec.name)]
        for spec, (n, d) in zip(experiment.data, ((500_000, 128), (7000, 1280)), strict=True)
    }
    runs = plan(experiment, data)
    assert runs == plan(experiment, data)
    sizes = [(run.threads, run.data.n * run.data.d) for run in runs]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3
    first = [run.peer.startswith("lookalike") for run in runs if run.data.name == "pictures"]
    assert 0 < sum(first[: len(first) // 2]) < sum(first)


def test_a_search_of_nothing_but_numbers_is_a_number(spec: Write) -> None:
    experiment = read_experiment(spec('[[peer]]\nname = "pynndescent"\nsearch = { epsilon = [0, 0.2] }\n'))
    check_peers(experiment)
    assert experiment.threads == (1,)
    assert np.isclose(experiment.round_s, 0.02)


def test_where_there_are_no_pictures_every_peer_still_fits() -> None:
    """The starter pictures and made-up vectors are enough for the parameters of every spec that comes with the package."""
    for name in built_in():
        experiment = load_experiment(name)
        if not experiment.peer:
            continue
        data = {}
        for spec in experiment.data:
            other = stand_in(spec)
            assert other.kind in {"synthetic", "features"}
            n, d = max(other.rows), other.d or 1280
            data[spec.name] = [Prepared(other.name, "", Path(), n, d, 50, other.name)]
        assert {run.data.name for run in plan(experiment, data)} == {sets[0].name for sets in data.values()}
