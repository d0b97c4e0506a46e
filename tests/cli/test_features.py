"""`features extract` and `features import` as processes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from lookalike.features.embedder import Embedder
from tests.cli.conftest import Command


def test_from_a_folder_to_a_file_to_a_search(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    (pictures / "broken.jpg").write_bytes(b"no")
    done = lookalike("features", "extract", "pictures", "--pooling", "max", cwd=tmp_path)
    assert (done.code, done.lines) == (0, ["pictures.npy"])
    assert "24 vectors of 1280 numbers, efficientnet-lite0+max, pooled by max" in done.err
    assert f"skipped {pictures / 'broken.jpg'}: " in done.err
    again = lookalike("features", "extract", "pictures", "--pooling", "max", "--json", cwd=tmp_path)
    assert "was_there" not in again.json
    assert (again.json["n"], again.json["d"], again.json["reused"]) == (24, 1280, 24)
    assert again.json["vectors"] == str(tmp_path / "pictures.npy")
    assert [Path(item["path"]).name for item in again.json["skipped"]] == ["broken.jpg"]
    lookalike("features", "extract", "pictures", cwd=tmp_path).failed_with("pictures.npy", "--replace")
    made = lookalike("features", "import", "pictures.npy", "--json", cwd=tmp_path)
    assert made.json["model"] == "efficientnet-lite0+max"
    assert (made.json["collection"], made.json["pictures"], made.json["new"]) == ("pictures", 24, 24)
    query = next(iter(sorted((pictures / "photos" / "fish").iterdir())))
    hits = lookalike("search", query, "--json").json
    assert hits[0]["path"] == str(query)
    assert hits[0]["similarity"] == 100.0
    assert lookalike("eval", "--json").code == 0


def test_vectors_of_one_s_own(lookalike: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(4, 6))
    (tmp_path / "list.txt").write_text("".join(f"{folder}/{i}.jpg\n" for i, folder in enumerate("aabb")))
    command = ("features", "import", "x.npy", "--paths", "list.txt")
    made = lookalike(*command, "--labels", "folders", "--in", "own", "--model", "mine", cwd=tmp_path)
    assert made.code == 0
    assert made.out.startswith("own: 4 pictures (4 new) in ")
    assert lookalike("status", "--json").json["model"] == "mine"
    lookalike(*command, "--in", "own", "--model", "theirs", cwd=tmp_path).failed_with(
        "'mine'", "'theirs'", "never mixes"
    )
    lookalike("search", tmp_path / "x.npy").failed_with("mine", "made elsewhere")
    lookalike(*command, "--in", "other", "--model", "fast", cwd=tmp_path).failed_with("d=1280", "6")
    assert [found["name"] for found in lookalike("collections", "list", "--json").json] == ["own"]


def test_what_is_not_there(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    lookalike("features", "extract", "nowhere").failed_with("nowhere", "there is nothing")
    lookalike("features", "extract", pictures, "--model", "vgg-16").failed_with("did you mean 'vgg16'")
    lookalike("features", "extract", pictures, "--model", "vgg16").failed_with("lookalike models export vgg16")
    lookalike("features", "extract", pictures, "--pooling", "sum").failed_with("expected avg, max, gem, cls or model")
    lookalike("features", "import", "x.npy", cwd=tmp_path).failed_with("there is no such file")
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_half_way(lookalike: Command, starter: Path, tmp_path: Path, how: signal.Signals) -> None:
    command = ("features", "extract", starter, "--model", "fast", "--out", tmp_path / "x.npy")
    log = tmp_path / "x.npy.part.log"
    with lookalike.start(*command) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_bytes().count(b"\n") > 1:
                break
            time.sleep(0.01)
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
    assert process.returncode != 0, "it was over before it could be stopped"
    assert b"Traceback" not in err
    if how is signal.SIGINT:
        assert (process.returncode, err.splitlines()[-1]) == (
            1, b"lookalike: stopped; what was done is kept, run the same command to go on",
        )  # fmt: skip
    assert not (tmp_path / "x.npy").exists()
    done = lookalike(*command, "--json").json
    assert 0 < done["reused"] < done["n"] == 349
    paths = (tmp_path / "x.paths.txt").read_text().splitlines()
    rows = [0, done["reused"] - 1, done["reused"], 348]
    assert np.array_equal(np.load(tmp_path / "x.npy")[rows], Embedder("fast").embed([paths[row] for row in rows]))
