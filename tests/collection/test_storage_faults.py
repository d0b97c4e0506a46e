"""What cannot be read now is not damaged: errors of the system at each step, and few descriptors."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.collection import Collection, segments
from lookalike.collection.catalog.file import transaction
from lookalike.collection.segments import Segment
from lookalike.collection.take_in.commit import Feature, append_features
from lookalike.collection.upkeep import merge as upkeep
from lookalike.errors import CollectionError, CollectionUnavailableError
from tests.collection import faulty
from tests.collection.fake import pictures
from tests.collection.killing import in_new_process
from tests.collection.sqlite_calls import READS, watch

ERRORS = [errno.EMFILE, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN]


def refuse(monkeypatch: pytest.MonkeyPatch, part: str, error: int) -> None:
    """Let no file whose path has this part be opened."""
    real = io.open

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        if part in os.fsdecode(file) if not isinstance(file, int) else False:
            raise OSError(error, os.strerror(error), file)
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(builtins, "open", opened)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("read_up_to", [0, 1 << 20])
def test_a_segment_that_cannot_be_opened_now(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch, error: int, read_up_to: int
) -> None:
    monkeypatch.setattr(segments, "READ_UP_TO", read_up_to)
    paths = pictures(folder, 5)
    collection.add(folder)
    ids = collection.ids().tolist()
    with Collection.open(collection.path) as reader:
        with monkeypatch.context() as patch:
            refuse(patch, ".safetensors", error)
            for use in (
                lambda: reader.search(1, k=5),
                lambda: collection.add(folder),
                collection.compact,
            ):
                with pytest.raises(CollectionError, match="cannot be read now"):
                    use()
            assert all("again to read" not in problem for problem in reader.verify())
        assert [hit.id for hit in reader.search(paths[0], k=1)] == ids[:1]
        assert reader.verify() == []
    report = collection.add(folder)
    assert (report.unchanged, report.new, report.changed) == (5, 0, 0)  # nothing was forgotten


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX calls")
@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE, errno.ESTALE])
def test_sqlite_that_is_refused_a_call_says_nothing_of_damage(collection: Collection, folder: Path, error: int) -> None:
    pictures(folder, 5)
    collection.add(folder)
    collection.close()

    def attempt(number: int) -> str:
        count = 0

        def before(_: str) -> int:
            nonlocal count
            count += 1
            return error if count > number else 0

        watch(READS, before)
        try:
            with Collection.open(collection.path) as opened:
                return str(len(opened))
        except CollectionError as problem:
            return f"{type(problem).__name__}: {problem}"

    said = [in_new_process(lambda number=number: attempt(number)) for number in range(0, 16, 2)]  # type: ignore[misc]
    assert {status for status, _ in said} == {0}
    assert all(text == "5" or ("damaged" not in text and "\n" not in text) for _, text in said), said
    assert any("CollectionUnavailableError" in text for _, text in said), said
    with Collection.open(collection.path) as again:
        assert again.verify() == []


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def commits(folder: Path, number: int) -> None:
    """Commit one row at a time, as a long first `add` of slow pictures does."""
    rng = np.random.default_rng(0)
    with Collection.open(folder) as collection, collection._catalog.write() as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for _ in range(number):
            row = rng.standard_normal(8).astype(np.float16)
            with transaction(connection):
                append_features(connection, folder, [Feature(row, 1.0, os.urandom(16))])
            upkeep.merge_recent(connection, folder)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_two_thousand_commits_with_few_descriptors(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c") as made:
        made.add_vectors(np.ones((1, 8)), ["/a.jpg"], model="mine")

    def work() -> str:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        os.fsync = lambda _: None  # 4,000 of them would be most of the time
        with Collection.open(tmp_path / "c") as reader:
            commits(tmp_path / "c", 2000)
            found = reader.search(np.ones(8), k=1)
            return f"{found[0].path} {descriptors()}"

    status, said = in_new_process(work)
    assert status == 0, said
    path, number = said.split()
    assert (path, int(number) < 30) == ("/a.jpg", True)
    with Collection.open(tmp_path / "c") as collection:
        assert collection.status()["segments"] < 64
        assert collection.verify() == []


@pytest.mark.parametrize("seed", range(20))
def test_segments_stay_few_and_rows_are_written_rarely(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept: list[Segment] = []
    written = added = 0
    for number in range(3000):
        rows = int(rng.choice([1, rng.integers(1, 600), 512]))
        kept.append(Segment(number, str(number), added, rows, ""))
        added += rows
        if (run := upkeep._recent_run(kept)) is not None:
            assert kept[-len(run) :] == run
            kept[-len(run) :] = [Segment(number, str(number), run[0].first, sum(part.rows for part in run), "")]
            written += kept[-1].rows
    assert len(kept) < 64 + added // upkeep.SIZES[-1]
    assert written < 16 * added


def test_large_segments_are_mapped_without_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "READ_UP_TO", 0)
    monkeypatch.setattr(upkeep, "MERGED", 10_000)
    with Collection.create(tmp_path / "c") as made:
        for number in range(20):
            made.add_vectors(np.eye(32)[number : number + 1], [f"/{number}.jpg"], model="mine")
        before = descriptors()
        assert len(made.search(np.eye(32)[3], k=20)) == 20
        assert descriptors() <= before + 3
        with pytest.raises(CollectionUnavailableError):
            raise segments._refused(tmp_path / "gone", Segment(1, "a", 0, 1, ""), FileNotFoundError(2, "gone"))


# --- each call of the system ------------------------------------------------------------------------------------------

MOST = int(os.environ.get("LOOKALIKE_FAULTS", "6"))  # tries of each change; 0 for all, which takes an hour


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets calls fail."""
    if not sys.platform.startswith("linux"):
        pytest.skip("its way of failing calls is that of Linux")
    assert shutil.which("cc"), "install a C compiler: without one nothing of this is tested"
    return faulty.build(tmp_path_factory.mktemp("faults") / "faults.so")


def tries(faults: Path, folder: Path, *arguments: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.collection.faulty", *map(str, arguments[:1]), folder, *map(str, arguments[1:])],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"LD_PRELOAD": str(faults)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("task", faulty.TASKS)
def test_each_call_of_a_change_fails(faults: Path, tmp_path: Path, task: str) -> None:
    """The error is typed, what was committed is there and found by a new process, and the change succeeds at the next try."""
    tried = tries(faults, tmp_path, task, MOST)
    assert len(tried) >= MOST
    for one in tried:
        assert one["status"] == 0, one
        assert not one["said"].startswith("foreign"), one
        assert not ("damaged" in one["said"] or "\n" in one["said"]), one
        assert (one["looked"], one["again"]) == ("ok", "ok"), one
    if task not in {"use", "delete"}:
        assert {"fsync", "rename"} <= {one["call"].split()[0] for one in tried}
        assert any(one["said"] for one in tried)


def test_killed_at_commits_and_in_merges_with_few_descriptors(faults: Path, tmp_path: Path) -> None:
    *tried, end = tries(faults, tmp_path, "kills")
    rows = 1
    for one in tried:
        assert (one["status"], one["opened"]) == (-9, 0), one
        found = int(one["found"].split()[0])
        # What was committed is there, and at the most the commit that the kill came into.
        assert max(rows, one["done"]) <= found, one
        assert one["phase"] == "open" or found <= one["done"] + (one["phase"] == "add"), one
        rows = found
    assert rows > 150  # commits
    for name in faulty.KILLED_AT:
        phases = {one["phase"] for one in tried if one["name"] == name}
        assert phases >= ({"merge"} if name == "unlink" else {"add", "merge"}), (name, phases)
    assert end["status"] == 0, end
    segments, left, problems, descriptors = end["said"].split()
    assert (left, problems) == ("[]", "[]"), end
    assert int(segments) < 64 and int(descriptors) < 30, end


def test_a_commit_that_failed_does_not_come_back(faults: Path, tmp_path: Path) -> None:
    (one,) = tries(faults, tmp_path, "commit")
    assert (one["status"], one["opened"], one["found"]) == (-9, 0, "['0', '1', '2', '3']"), one
