"""Changes of a collection in which one call of the system fails, run as ``python -m tests.collection.faulty TASK FOLDER``.

Every task is done once without a fault, to number the calls on the collection's files (`faults.c`), and then once for each call
that is chosen, on a copy. What is left is opened in a new process, and the same change is tried again. Each line that is printed is
a JSON object of one try.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.collection import Collection, home, models, segments
from lookalike.collection.catalog.file import bump, transaction
from lookalike.collection.index import build as indexing
from lookalike.collection.take_in import commit
from lookalike.collection.take_in.commit import Feature
from lookalike.collection.upkeep import merge as upkeep
from lookalike.collection.writer import Writer
from lookalike.errors import (
    CollectionError,
    CollectionNotFoundError,
    CollectionUnavailableError,
    InputError,
    LookalikeError,
    ReadOnlyError,
)
from lookalike.features.transforms import load_transform, save_transform
from lookalike.index import FlatIndex, load_index
from tests.collection.fake import CARD, FakeEmbedder, picture
from tests.collection.killing import _tell, in_new_process

SOURCE = Path(__file__).with_name("faults.c")
D = 16
MANY = 96  # vectors, enough for an index here
READS = {"open", "stat", "stat64", "lstat", "lstat64", "access", "opendir", "fstat", "fstat64"}
READS |= {"read", "pread", "pread64", "mmap", "mmap64"}
FIRST = ["fsync", "rename", "write", "fdatasync", "unlink", "create", "pwrite64", "read", "pread64", "mmap"]
TEMPORARY = re.compile(r"\.part|-journal")
NUMBERS = (errno.EMFILE, errno.ESTALE, errno.EACCES, errno.ENOTCONN)
Known = dict[str, np.ndarray]


def build(target: Path) -> Path:
    """Compile `faults.c`."""
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-w", "-o", target, SOURCE, "-ldl"], check=True)
    return target


@functools.cache
def library() -> Any:
    """The functions of `faults.c`, which was loaded before the C library."""
    loaded = ctypes.CDLL(None)
    loaded.faults_disarm.restype = ctypes.c_char_p
    return loaded


@contextlib.contextmanager
def failing(folder: Path, at: int, number: int, on: bool = False, only: str = "") -> Iterator[list[str]]:
    """Let the call `at` on files below `folder` fail, or be the last of the process if `number` is 0; what was called."""
    called: list[str] = []
    library().faults_arm(os.fsencode(folder), only.encode(), at, number, on)
    try:
        yield called
    finally:
        called += library().faults_disarm().decode().splitlines()


def vector(number: int) -> np.ndarray:
    """The vector of a path that ends with a number."""
    x = np.random.default_rng(number).standard_normal(D)
    return x / np.linalg.norm(x)


def vectors(*numbers: int) -> Known:
    return {f"/v/{number}": vector(number) for number in numbers}


def put(folder: Path, known: Known) -> None:
    with Collection.open(folder) as collection:
        collection.add_vectors(np.stack([*known.values()]), [*known], model="mine")


def filled(folder: Path, known: Known) -> None:
    Collection.create(folder).close()
    put(folder, known)


# --- what is looked at -----------------------------------------------------------------------------------------------


def vector_of(path: Path) -> Any:
    return vector(int(path.name))


def searched(folder: Path, query: Callable[[Path], Any]) -> set[str]:
    """The names of all pictures; each of them is found, by an index and without, and nothing is said of damage."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Collection.open(folder) as collection:
            entries = collection.entries(limit=1000)
            for entry in entries if len(entries) < MANY else entries[:: len(entries) // 7]:
                for exact in (False, True):
                    (hit,) = collection.search(query(entry.path), k=1, exact=exact)
                    assert (hit.id, hit.cosine > 0.999) == (entry.id, True), (entry.path, hit)
            assert (problems := collection.verify()) == [], problems
    return {entry.path.name for entry in entries}


def strays(folder: Path) -> list[str]:
    """Files of a collection that nobody names."""
    with Collection.open(folder) as collection, collection._catalog.read() as connection:
        named = {row[0] for row in connection.execute("SELECT file FROM segments UNION SELECT file FROM generations")}
        meta = connection.execute("SELECT value FROM meta WHERE key = 'transform'").fetchone()
    here = [file.name for name in ("features", "index") for file in (folder / name).iterdir()]
    found = [name for name in here if name not in named and not (meta and name in meta[0])]
    allowed = {"features", "index", "writer.lock", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"}
    return found + [file.name for file in folder.iterdir() if file.name not in allowed]


def no_parts(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if TEMPORARY.search(file.name)]


# --- tasks -----------------------------------------------------------------------------------------------------------


@dataclass
class Task:
    """A change, what has to be there before and after it, and how to see that it is."""

    prepare: Callable[[Path], None]
    change: Callable[[Path], object]
    before: set[str]
    after: set[str]
    look: Callable[[Path], set[str]] = lambda folder: searched(folder, vector_of)
    is_clean: Callable[[Path], list[str]] = strays


def _pictures(folder: Path, *numbers: int) -> None:
    for number in numbers:
        picture(folder.parent / "pictures" / f"{number}", number)


def _prepare_add(folder: Path) -> None:
    _pictures(folder, *range(4))
    with Collection.create(folder) as collection:
        collection.add(folder.parent / "pictures")


def _add(folder: Path) -> None:
    pictures = folder.parent / "pictures"
    for number in range(4, 12):
        if not (pictures / f"{number}").exists():
            picture(pictures / f"{number}", number)
    with Collection.open(folder) as collection:
        report = collection.add(pictures)
    assert (report.skipped, report.removed, report.missing, report.interrupted) == ((), 0, 0, False), report


def _prepare_merge(folder: Path) -> None:
    filled(folder, vectors(0))
    for number in range(1, 7):
        put(folder, vectors(number))


def _compacted(folder: Path) -> None:
    with Collection.open(folder) as collection:
        collection.compact()


def _prepare_compact(folder: Path) -> None:
    filled(folder, vectors(*range(MANY + 20)))
    put(folder, vectors(200))
    with Collection.open(folder) as collection:
        assert collection.remove([f"/v/{number}" for number in range(20)]) == 20


def _transformed(folder: Path) -> None:
    """Put a transform on, and take it off."""
    with Collection.open(folder) as collection:
        collection.set_transform(collection.fit_transform(D))
        collection.search(vector(3), k=3)
        collection.set_transform(None)


def _removed(folder: Path) -> None:
    with Collection.open(folder) as collection:
        collection.remove([f"/v/{number}" for number in range(60)])


def _prepare_repair(folder: Path) -> None:
    _prepare_add(folder)
    file = min((folder / "features").iterdir())
    data = bytearray(file.read_bytes())
    data[-700] ^= 1
    file.write_bytes(data)


def _repaired(folder: Path) -> None:
    with Collection.open(folder) as collection:
        left = collection.repair()
    if left and all("cannot be read now" in line for line in left):
        raise CollectionUnavailableError(left[0])
    assert left == [], left


def _look_after_repair(folder: Path) -> set[str]:
    """Before it is mended there is damage to be told of; the entries are there all the same."""
    with Collection.open(folder) as collection:
        names = {entry.path.name for entry in collection.entries()}
        if collection.verify():
            return names
    return searched(folder, _picture_of(folder))


def _picture_of(folder: Path) -> Callable[[Path], Any]:
    return lambda path: folder.parent / "pictures" / path.name


def _deleted(folder: Path) -> None:
    with contextlib.suppress(CollectionNotFoundError):  # by a try whose last step failed
        home.delete_collection(folder)


def _left_of(folder: Path) -> set[str]:
    return {"something"} if folder.exists() and any(folder.iterdir()) else set()


def _created(folder: Path) -> None:
    if not (folder / "catalog.sqlite").exists():
        Collection.create(folder).close()
    put(folder, vectors(1, 2))


def _used(folder: Path) -> None:
    """Everything that only reads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*(damage|missing|hidden)")
        warnings.filterwarnings("ignore", ".*cannot be read now")
        with Collection.open(folder) as collection:
            (hit,) = collection.search(vector(4), k=1)
            assert (hit.path.name, hit.cosine > 0.999) == ("4", True), hit
            collection.status()
            found = collection.verify()
            assert all("now" in line for line in found), found
            (hit,) = collection.search(vector(5), k=1)
            assert (hit.path.name, hit.cosine > 0.999) == ("5", True), hit


def _index(seed: int) -> FlatIndex:
    index = FlatIndex("l2")
    index.add(np.random.default_rng(seed).standard_normal((40, D)).astype(np.float32))
    return index


def _save_index(folder: Path) -> None:
    _index(2).save(folder / "a.lka")


def _prepare_files(folder: Path) -> None:
    folder.mkdir()
    _index(1).save(folder / "a.lka")


def _look_at_index(folder: Path) -> set[str]:
    vectors = load_index(folder / "a.lka").search(np.zeros((1, D), np.float32), k=40).distances
    return {str(n) for n in (1, 2) if np.array_equal(_index(n).search(np.zeros((1, D)), k=40).distances, vectors)}


def _prepare_transform(folder: Path) -> None:
    filled(folder.with_name("model"), vectors(*range(30)))
    folder.mkdir()
    _save_transform(folder, 8)


def _save_transform(folder: Path, d: int = 4) -> None:
    with Collection.open(folder.with_name("model")) as collection:
        save_transform(collection.fit_transform(d), folder / "a.safetensors")


def _look_if_there(folder: Path) -> set[str]:
    try:
        return searched(folder, vector_of)
    except CollectionNotFoundError:
        return set()


EVERYTHING = {f"{number}" for number in range(MANY)}
TASKS = {
    "add": Task(
        _prepare_add,
        _add,
        {f"{n}" for n in range(4)},
        {f"{n}" for n in range(12)},
        lambda folder: searched(folder, _picture_of(folder)),
    ),
    "merge": Task(
        _prepare_merge,
        lambda folder: [put(folder, vectors(n)) for n in (7, 8, 9)],
        {f"{n}" for n in range(7)},
        {f"{n}" for n in range(10)},
    ),
    "compact": Task(
        _prepare_compact,
        _compacted,
        {f"{n}" for n in (*range(20, MANY + 20), 200)},
        {f"{n}" for n in (*range(20, MANY + 20), 200)},
    ),
    "build": Task(
        lambda folder: filled(folder, vectors(*range(30))),
        lambda folder: put(folder, vectors(*range(30, MANY))),
        {f"{n}" for n in range(30)},
        EVERYTHING,
    ),
    "extend": Task(
        lambda folder: filled(folder, vectors(*range(MANY))),
        lambda folder: put(folder, vectors(*range(MANY, MANY + 5))),
        EVERYTHING,
        {f"{n}" for n in range(MANY + 5)},
    ),
    "transform": Task(lambda folder: filled(folder, vectors(*range(MANY))), _transformed, EVERYTHING, EVERYTHING),
    "remove": Task(
        lambda folder: filled(folder, vectors(*range(MANY))), _removed, EVERYTHING, {f"{n}" for n in range(60, MANY)}
    ),
    "repair": Task(
        _prepare_repair, _repaired, {f"{n}" for n in range(4)}, {f"{n}" for n in range(4)}, _look_after_repair
    ),
    "delete": Task(
        lambda folder: filled(folder, vectors(*range(MANY))),
        _deleted,
        {"something"},
        set(),
        _left_of,
        lambda folder: [],
    ),
    "create": Task(lambda folder: folder.mkdir(), _created, set(), {"1", "2"}, _look_if_there),
    "use": Task(lambda folder: filled(folder, vectors(*range(MANY))), _used, EVERYTHING, EVERYTHING),
    "index": Task(_prepare_files, _save_index, {"1"}, {"2"}, _look_at_index, no_parts),
    "save": Task(
        _prepare_transform,
        _save_transform,
        {"8"},
        {"4"},
        lambda folder: {f"{load_transform(folder / 'a.safetensors').d_out}"},
        no_parts,
    ),
}


# --- tries -----------------------------------------------------------------------------------------------------------


def small() -> None:
    """Let few pictures commit, merge, compact, and have an index."""
    models._embedders[CARD.fingerprint] = FakeEmbedder()  # type: ignore[assignment]
    commit.COMMIT_FILES = 2
    upkeep.MERGED, upkeep.DEAD_LEAST = 3, 20
    upkeep.DEAD_SHARE = 0.1
    indexing.EXACT_BELOW, indexing.FEWEST_CONTENTS = 48, 48
    indexing.FRESH_LEAST, indexing.FRESH_SHARE = 0, 0.0
    segments.READ_UP_TO = 1000  # larger ones are mapped


def attempt(change: Callable[[Path], object], folder: Path, at: int, number: int, on: bool, only: str = "") -> str:
    """Make a change in which a call fails; nothing, or what is said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with failing(folder, at, number, on, only):
                change(folder)
        except InputError as error:
            return f"foreign: {type(error).__name__}: {error}"
        except (LookalikeError, OSError) as error:
            of_files = isinstance(error, OSError) and "catalog.sqlite" not in os.listdir(folder)  # noqa: PTH208
            kind = "typed" if isinstance(error, CollectionError | ReadOnlyError) or of_files else "foreign"
            return f"{kind}: {type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 (it is told)
            return f"foreign: {type(error).__name__}: {error}"
    return "".join(f"warning: {warning.message}" for warning in said)


def restored(template: Path, folder: Path) -> None:
    """Put a collection and what is beside it back, at the same place: its entries are absolute paths."""
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(template, folder.parent)


def one(task: Task, template: Path, folder: Path, at: int, number: int, *, on: bool = False) -> dict[str, Any]:
    """One try, where everything is as it was prepared."""
    restored(template, folder)
    status, said = in_new_process(lambda: attempt(task.change, folder, at, number, on))

    def look() -> str:
        found = task.look(folder)
        assert task.before & task.after <= found <= task.before | task.after, found
        return "ok"

    def again() -> str:
        task.change(folder)
        found = task.look(folder)
        assert found == task.after, found
        assert (left := task.is_clean(folder)) == [], left
        return "ok"

    _, looked = in_new_process(look)
    _, done = in_new_process(again)
    return {"status": status, "said": said, "looked": looked, "again": done}


Try = tuple[int, int, bool]


def every_try(calls: list[str]) -> Iterator[Try]:
    """Calls, the errors they fail with, and whether all that follow do, too."""
    for at, call in enumerate(calls):
        yield at, errno.EIO, False
        if call.split()[0] not in READS:
            yield at, errno.ENOSPC, False
        if at % 5 == 0:
            yield at, NUMBERS[at // 5 % len(NUMBERS)], False
        if at % 11 == 0:
            yield at, errno.EIO, True


def some_tries(calls: list[str], most: int) -> list[Try]:
    """A few of them at random: of each function, those that matter first."""
    rng = np.random.default_rng(len(calls))
    left: dict[str, list[Try]] = {}
    for one_try in every_try(calls):
        left.setdefault(calls[one_try[0]].split()[0], []).append(one_try)
    found: list[Try] = []
    for name in itertools.cycle([name for name in FIRST if name in left] + sorted(left.keys() - FIRST)):
        if len(found) == most or not any(left.values()):
            return found
        if left[name]:
            found.append(left[name].pop(int(rng.integers(len(left[name])))))
    return found


def main(name: str, folder: Path, most: int) -> None:
    small()
    task, template, place = TASKS[name], folder / "template", folder / "try" / "c"
    place.parent.mkdir()
    task.prepare(place)
    place.parent.rename(template)
    restored(template, place)
    with failing(place, -1, 0) as calls:
        task.change(place)
    for at, number, on in some_tries(calls, most) if most else every_try(calls):
        _tell(at=at, call=calls[at], number=number, on=on, **one(task, template, place, at, number, on=on))


# --- kills -----------------------------------------------------------------------------------------------------------

KILLED_AT = {"create": 1, "write": 2, "fsync": 2, "rename": 1, "open": 2, "pwrite64": 8, "fdatasync": 1, "unlink": 8}
"""Calls before which a writer is killed, and how many of them each merge has at least."""

EACH = 10  # kills before a call of each name, half of them in merges
DESCRIPTORS = 64


def commit_one_by_one(folder: Path, told: int, commits: int, merging: Any = contextlib.nullcontext) -> None:
    """Commit one row at a time, and merge, as a long first `add` of slow pictures does; tell each step into a file."""
    with Collection.open(folder) as collection, collection._catalog.write() as connection:
        first = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        for number in range(first, first + commits):
            os.pwrite(told, b"%8d add  " % number, 0)
            with transaction(connection):
                (id,) = commit.append_features(connection, folder, [Feature(vector(number).astype("f2"), 1.0, None)])
                connection.execute(
                    "INSERT INTO entries (path, label, feature, is_file) VALUES (?, x'', ?, 0)", (b"/v/%d" % number, id)
                )
                bump(connection)
            os.pwrite(told, b"%8d merge" % (number + 1), 0)
            with merging():
                upkeep.merge_recent(connection, folder)


def limited(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a new process that may have few files open."""

    def with_few() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        return work()

    return in_new_process(with_few)


def count_rows(folder: Path) -> str:
    """How many rows there are; each holds what was written, and those that are asked for are found."""
    with Collection.open(folder) as collection:
        assert (problems := collection.verify()) == [], problems
        entries = collection.entries(limit=10_000)
        assert [entry.path.name for entry in entries] == [f"{number}" for number in range(len(entries))]
        with collection.view() as (_, snapshot):
            rows = snapshot.store[snapshot.features_of(collection.ids())]
        assert np.abs(rows - np.stack([vector(number) for number in range(len(entries))])).max() < 1e-3
        for entry in entries[-3:]:
            assert collection.search(vector_of(entry.path), k=1)[0].id == entry.id
        return f"{len(entries)} {collection.status()['segments']}"


def kills(folder: Path) -> None:
    """Kill a writer with few descriptors again and again; each goes on where the one before was killed."""
    original, rng = folder / "c", np.random.default_rng(0)
    filled(original, vectors(0))
    told = os.open(folder / "told", os.O_RDWR | os.O_CREAT)

    for number, name in itertools.product(range(EACH), KILLED_AT):
        in_merge = number % 2 == 1 or name == "unlink"
        at = int(rng.integers(KILLED_AT[name] if in_merge else 8 * KILLED_AT[name]))
        os.pwrite(told, b"0 open".ljust(20), 0)

        def work(name: str = name, at: int = at, in_merge: bool = in_merge) -> None:
            handle = os.open(folder / "told", os.O_WRONLY)
            kill = functools.partial(failing, original, at, 0, only=name)
            if in_merge:
                commit_one_by_one(original, handle, 60, kill)
                return
            with kill():
                commit_one_by_one(original, handle, 60)

        status, said = limited(work)
        done, phase = os.pread(told, 20, 0).decode().split()
        opened, found = limited(lambda: count_rows(original))
        _tell(name=name, at=at, status=status, said=said, done=int(done), phase=phase, opened=opened, found=found)

    def finish() -> str:
        commit_one_by_one(original, os.open(os.devnull, os.O_WRONLY), 60)
        put(original, vectors(10**6))
        left = strays(original)
        with Collection.open(original) as collection:
            return (
                f"{collection.status()['segments']} {left} {collection.verify()} {len(list(Path('/dev/fd').iterdir()))}"
            )

    status, said = limited(finish)
    _tell(name="end", status=status, said=said)


def commit_that_failed(folder: Path) -> None:
    """Kill a process after a merge whose commit could not be made durable, and after the next writer has looked for orphans."""
    place = folder / "c"
    small()
    upkeep.MERGED = 100
    filled(place, vectors(0))
    for number in range(1, 4):
        put(place, vectors(number))
    upkeep.MERGED = 3

    def work() -> None:
        with Collection.open(place) as collection, collection._catalog.write() as connection:
            said = attempt(lambda _: upkeep.merge_recent(connection, place), place, 2, errno.EIO, False, "fdatasync")
            assert "disk I/O error" in said, said  # it was the fsync of the commit
            Writer(connection, place)
            os.kill(os.getpid(), signal.SIGKILL)

    status, said = in_new_process(work)
    opened, found = in_new_process(lambda: sorted(searched(place, vector_of)))
    _tell(status=status, said=said, opened=opened, found=found)


if __name__ == "__main__":
    if sys.argv[1] == "kills":
        kills(Path(sys.argv[2]))
    elif sys.argv[1] == "commit":
        commit_that_failed(Path(sys.argv[2]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
