"""The server decodes in workers: one bad picture costs nobody else their search."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import lookalike as la
from lookalike.app.service import Service
from lookalike.errors import UnreadableNowError
from lookalike.features import workers
from lookalike.search import Part, Query, Region
from tests.features.pictures import encoded, scene


def test_searches_thumbnails_and_regions_are_decoded_by_workers_and_one_that_hangs_delays_no_other(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))
    with la.Collection.create(tmp_path / "home" / "collections" / "photos") as collection:
        collection.add(pictures)
    shared = workers._Shared()
    pool = shared.pool = workers.Workers(1, module="tests.features.hanging_worker")
    monkeypatch.setattr(workers, "_shared", shared)
    service = Service(tmp_path / "home" / "collections" / "photos")
    try:
        data = encoded(scene(400, 300), "PNG")
        assert service.search(Query((Part(image=data),))).found
        (pid,) = pool.pids()

        def hang() -> None:
            with pytest.raises(UnreadableNowError):
                service.search(Query((Part(image=b"sleep"),)))

        hanging = threading.Thread(target=hang)
        hanging.start()
        while not pool._busy:
            time.sleep(0.005)
        found = service.search(Query((Part(image=data, region=Region(0, 0, 0.5, 0.5)),))).found
        assert service.thumbnail(found[0].hit.id).body.startswith(b"\xff\xd8")
        assert hanging.is_alive() and len(pool.pids()) == 2
        while hanging.is_alive():  # it is tried once more
            for worker in list(pool._busy):
                os.kill(worker.pid, signal.SIGKILL)
            time.sleep(0.02)
        hanging.join()
    finally:
        service.close()
        pool.close()
    assert shared.holders == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
