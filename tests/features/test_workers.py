"""Workers decode as the process itself does, are killed when they must be, and never outlive it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.data.datasets import starter_folder
from lookalike.errors import ImageError, LookalikeWarning, UnreadableNowError
from lookalike.features import _worker, images, workers
from lookalike.features._source import open_file
from lookalike.features.embedder import Embedded, Embedder
from lookalike.features.workers import CannotStartError, DefectError, Workers
from tests.features.pictures import encoded, scene

GOOD = encoded(scene(), "PNG")
READ = {"do": "read", "size": 32}
PROBE = {"do": "probe"}
HANGING = "tests.features.hanging_worker"


def is_running(pid: int) -> bool:
    """Whether there is such a process, one that is dead but not waited for included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pids: list[int], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(is_running, pids)):
        time.sleep(0.01)
    return not any(map(is_running, pids))


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    """One whose workers hang, crash or need memory when they are told to."""
    yield from made_and_closed(Workers(1, seconds=0.6, memory=256 << 20, module=HANGING))


@pytest.fixture(scope="module")
def impatient() -> Iterator[Workers]:
    yield from made_and_closed(Workers(1, patience=2, module=HANGING))


def made_and_closed(made: Workers) -> Iterator[Workers]:
    yield made
    pids = made.pids()
    made.close()
    assert ended(pids), "no process is left, not even a dead one that nobody waited for"


def ask(pool: Workers, data: bytes, request: dict[str, Any] = READ) -> Any:
    return pool.run(request, data, len(data))


def works(pool: Workers) -> bool:
    """Where the machine is so busy that a new worker does not even start in its time, it is asked again, as anybody would."""
    end = time.monotonic() + 60
    while True:
        try:
            return ask(pool, GOOD, PROBE).head["facts"] == [96, 64, "PNG"]
        except UnreadableNowError:
            if time.monotonic() > end:
                raise


def test_workers_of_a_program_that_holds_much_are_kept() -> None:
    """Linux counts the memory of the program into the ``ru_maxrss`` of what it starts."""
    held = np.ones(_worker._SPENT + (64 << 20), np.uint8)
    pool = Workers(1)
    try:
        assert works(pool)
        (pid,) = pool.pids()
        assert works(pool)
        assert pool.pids() == [pid]
    finally:
        pool.close()
    assert held[-1] == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000"])
def test_workers_give_what_the_process_itself_gives(kind: str, tmp_path: Path) -> None:
    data = encoded(scene(300, 200), kind)
    path = tmp_path / "picture"
    path.write_bytes(data)

    def everything(source: Any) -> list[Any]:
        read = images.read(source, 64)
        shown = images.open_picture(source, 100)
        return [read.pixels.tobytes(), read[1:], images.probe(source), shown.size, shown.tobytes(), shown.mode,
                images.thumbnail(source, 50)]  # fmt: skip

    own = everything(data)
    with workers.held():
        for source in (data, bytearray(data), path, str(path)):
            assert everything(source) == own
        with path.open("rb") as file, open_file(path) as handle:
            assert images.read(file, 64).pixels.tobytes() == own[0]
            assert everything(handle) == own
        assert images.read(data, 64).pixels.flags.writeable


def test_starter_pictures_have_the_same_vectors() -> None:
    paths = sorted(starter_folder().rglob("*.jpg"))[::60]
    embedder = Embedder(threads=2)
    own = embedder.embed(paths)
    streamed = list(embedder.stream(paths))
    assert all(isinstance(result, Embedded) for _, result in streamed)
    assert (np.stack([result.vector for _, result in streamed if isinstance(result, Embedded)]) == own).all()


def test_reasons_come_through(tmp_path: Path) -> None:
    for source in (b"", b"text", GOOD[:50], tmp_path / "gone", tmp_path, "a\0b"):
        with pytest.raises(ImageError) as own:
            images.read(source, 32)
        with workers.held(), pytest.raises(ImageError) as other:
            images.read(source, 32)
        assert (type(own.value), str(own.value)) == (type(other.value), str(other.value))


def test_a_picture_that_takes_too_long_says_so(pool: Workers) -> None:
    with pytest.raises(ImageError, match=r"takes more than 0\.6 s to decode: not read") as caught:
        ask(pool, b"spin")
    assert not isinstance(caught.value, UnreadableNowError)
    assert works(pool)


def test_a_decoder_that_waits_for_ever_is_no_fault_of_the_picture(impatient: Workers) -> None:
    with pytest.raises(UnreadableNowError, match=r"within 2 s"):
        ask(impatient, b"sleep")
    assert works(impatient)


def test_a_stopped_worker_is_killed(impatient: Workers) -> None:
    assert works(impatient)
    (pid,) = impatient.pids()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(UnreadableNowError):
        ask(impatient, GOOD, PROBE)
    assert ended([pid]) and works(impatient)


def test_a_picture_that_needs_too_much_memory_says_so(pool: Workers) -> None:
    with pytest.raises(ImageError, match=r"needs more than 256 MB of memory") as caught:
        ask(pool, b"memory")
    assert not isinstance(caught.value, UnreadableNowError)
    assert works(pool)


def test_a_crash_costs_one_picture(pool: Workers) -> None:
    with pytest.raises(ImageError, match="crash") as caught:
        ask(pool, b"crash")
    assert not isinstance(caught.value, UnreadableNowError)
    assert works(pool)


def test_a_defect_is_raised_and_no_picture_s_fault(pool: Workers) -> None:
    with pytest.raises(DefectError, match="ZeroDivisionError: a defect"):
        ask(pool, b"defect")
    assert works(pool)


def test_what_a_library_prints_is_lost_and_no_socket_is_inherited() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        os.set_inheritable(server.fileno(), True)
        pool = Workers(1, module=HANGING)
        try:
            assert ask(pool, b"print").head["facts"] == "", "nor is there anything to read"
            assert works(pool), "the noise is not taken for an answer"
            (pid,) = pool.pids()
            held = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
        finally:
            pool.close()
    assert held and not any(name.startswith("socket:") for name in held)


def test_a_worker_killed_in_the_middle_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    data = encoded(scene(1200, 900), "PNG")
    expected = images.read(data, 64).pixels.tobytes()
    path = tmp_path / "p.png"
    path.write_bytes(data)
    pool = Workers(2)
    answers: list[bytes] = []

    def decode() -> None:
        with open_file(path) as handle:
            answers.append(pool.run({"do": "read", "size": 64}, handle, handle.size).body)

    for _ in range(3):
        thread = threading.Thread(target=decode)
        thread.start()
        while thread.is_alive() and not pool._busy:
            time.sleep(0.001)
        for pid in pool.pids():
            os.kill(pid, signal.SIGKILL)
        thread.join()
    pids = pool.pids()
    pool.close()
    assert answers == [expected] * 3 and ended(pids)


def test_a_worker_killed_twice_leaves_its_picture_for_later(impatient: Workers) -> None:
    def kill() -> None:
        for _ in range(2):
            while not impatient._busy:
                time.sleep(0.001)
            (worker,) = impatient._busy
            os.kill(worker.pid, signal.SIGKILL)
            while worker in impatient._busy:
                time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(UnreadableNowError, match="memory"):
        ask(impatient, b"sleep")
    killer.join()
    assert works(impatient)


def test_slow_pictures_do_not_occupy_all_workers() -> None:
    slow = Workers(2, module=HANGING)

    def hang() -> None:
        with pytest.raises(UnreadableNowError):
            ask(slow, b"sleep")

    threads = [threading.Thread(target=hang) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        end = time.monotonic() + 60
        while len(slow.pids()) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        assert works(slow), "while four others hang"
        assert len(slow.pids()) == 5
    finally:
        pids = slow.pids()
        slow.close()
        for thread in threads:
            thread.join(60)
    assert ended(pids)


def test_workers_that_are_not_needed_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE", 0.1)
    pool = Workers(1)
    assert works(pool)
    pids = pool.pids()
    assert ended(pids) and pool.pids() == []
    assert works(pool), "and start again"
    pool.close()


def test_an_interrupt_in_the_middle_leaves_a_pool_that_works(pool: Workers) -> None:
    class Interrupted:
        def tell(self) -> int:
            return 0

        def seek(self, _place: int) -> None: ...

        def read(self, _size: int) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.run(READ, Interrupted(), 100)  # type: ignore[arg-type]
    assert works(pool)


def test_a_file_that_shrinks_meanwhile_is_tried_again_later(pool: Workers, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(GOOD)
    with open_file(path) as handle:
        path.write_bytes(GOOD[:10])
        with pytest.raises(UnreadableNowError, match="shorter"):
            pool.run(READ, handle, handle.size)
    assert works(pool)


def test_where_no_process_can_be_started_pictures_are_decoded_here_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = workers._Shared()
    pool = shared.pool = Workers(1, module="tests.features.no_such_module")
    monkeypatch.setattr(workers, "_shared", shared)
    with pytest.raises(CannotStartError):
        works(pool)
    with workers.held():
        with pytest.warns(LookalikeWarning, match="without protection"):
            first = images.read(GOOD, 32)
        with warnings.catch_warnings(record=True) as seen:
            second = images.read(GOOD, 32)
    assert not seen and (first.pixels == second.pixels).all()
    pool.close()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not workers._Shared().is_possible


_PROGRAM = """
import os, sys, time
from lookalike.features import _worker, images, workers
with workers.held():
    images.read(sys.stdin.buffer.read(), 32)
    print(*workers.running().pids(), flush=True)
    if sys.argv[1] == "fork" and os.fork() == 0:
        time.sleep(1000)
    if sys.argv[1] == "wait":
        time.sleep(1000)
"""


@pytest.mark.parametrize("way", ["end", "kill", "fork", "interrupt"])
def test_no_worker_outlives_its_parent(way: str, tmp_path: Path) -> None:
    """A library's user, without a main guard, which multiprocessing would need."""
    script = tmp_path / "script.py"
    script.write_text(_PROGRAM)
    argument = way if way in ("end", "fork") else "wait"
    with subprocess.Popen(
        [sys.executable, script, argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        program.stdin.write(GOOD)
        program.stdin.close()
        (pid,) = map(int, program.stdout.readline().split())
        if way == "kill":
            program.kill()
        if way == "interrupt":
            os.killpg(program.pid, signal.SIGINT)
        program.wait(60)
        gone = ended([pid])
        if way == "fork":
            os.killpg(program.pid, signal.SIGKILL)  # the child that still sleeps
    assert gone


def test_a_worker_whose_parent_is_stopped_is_ended_by_the_system(tmp_path: Path) -> None:
    """The timers are the system's: nothing has to be awake to end a decoder that runs for ever."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; from lookalike.features.workers import Workers\n"
        f"pool = Workers(1, seconds=2, module={HANGING!r}); pool.run({PROBE!r}, {GOOD!r}, {len(GOOD)})\n"
        "print(*pool.pids(), flush=True); pool.run({'do': 'spin'}, b'spin', 4)"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code, root], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        (pid,) = map(int, program.stdout.readline().split())

        def told() -> list[str]:
            """Its state, and at 11 and 12 the hundredths of a second that it has run."""
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

        end = time.monotonic() + 120
        before = sum(map(int, told()[11:13]))
        while sum(map(int, told()[11:13])) < before + 20 and time.monotonic() < end:  # until it is at it
            time.sleep(0.02)
        program.send_signal(signal.SIGSTOP)
        while told()[0] != "Z" and time.monotonic() < end:  # its parent is not awake to wait for it
            time.sleep(0.02)
        state = told()[0]
        program.kill()
    assert state == "Z"
