"""Journey 2: a catalogue behind a service, from the first index to a new model that was compared, and taken back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Command

TOKEN = "a-token-of-the-shop-0123456789"
NAME = "pictures.shop.example"
SHELVES = ("photos/windmill", "photos/tool", "drawings/hat")
EACH = 9
DAILY = 3


@pytest.fixture
def catalogue(tmp_path: Path, starter: Path) -> Path:
    """Products in folders by what they are, and some for later beside them."""
    for at, shelf in enumerate(SHELVES):
        pictures = sorted((starter / shelf).iterdir())
        for number, picture in enumerate(pictures[: EACH + DAILY]):
            folder = tmp_path / ("catalogue" if number < EACH else "later") / shelf.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(picture, folder / f"article {at}{number:02}.jpg")
    return tmp_path / "catalogue"


@contextmanager
def service(lookalike: Command, collection: str) -> Iterator[httpx.Client]:
    """The server as a process, asked as the shop's own proxy passes requests on."""
    serve = ("serve", "--in", collection, "--port", "0", "--token", TOKEN, "--trusted-host", NAME)
    with lookalike.start(*serve) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            url = re.findall(r"http://127\.0\.0\.1:\d+/", line)[0]
            headers = {"host": NAME, "authorization": f"Bearer {TOKEN}"}
            with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
            try:
                _, err = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert b"Traceback" not in err
    assert process.returncode == 0


def ask(client: httpx.Client, picture: Path, **fields: Any) -> list[dict[str, Any]]:
    """What the shop's own code does."""
    response = client.post("/api/search", files={"image": picture.read_bytes()}, data=fields)
    assert response.status_code == 200, response.text
    return list(response.json()["results"])


def measured(client: httpx.Client) -> dict[str, float]:
    """What monitoring sees."""
    lines = client.get("/api/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@pytest.mark.slow
def test_a_catalogue_behind_a_service(lookalike: Command, catalogue: Path, tmp_path: Path) -> None:
    queries = sorted(catalogue.rglob("*.jpg"))[::4]
    assert lookalike("index", catalogue, "--in", "shop").code == 0

    with service(lookalike, "shop") as shop:
        # Nobody else gets in, under whatever name.
        assert shop.get("/api/status", headers={"authorization": "Bearer guessed-guessed-guessed"}).status_code == 401
        assert shop.get("/api/status", headers={"host": "elsewhere.example"}).status_code == 421
        assert shop.get("/", headers={"authorization": ""}).status_code == 401
        assert shop.post("/api/collections", json={"folder": str(catalogue)}).status_code == 403

        # The folder is the label; a filter leaves k results; the same question has the same answer.
        labels = {item["label"]: item["pictures"] for item in shop.get("/api/labels").json()["labels"]}
        assert labels == {"windmill": EACH, "tool": EACH, "hat": EACH}
        first = {query: ask(shop, query, k=5) for query in queries}
        assert all(hits[0]["path"] == query.relative_to(catalogue).as_posix() for query, hits in first.items())
        filtered = ask(shop, queries[0], k=5, label="tool")
        assert [hit["path"].partition("/")[0] for hit in filtered] == ["tool"] * 5
        assert first == {query: ask(shop, query, k=5) for query in queries}

        # A day: pictures come and go while the service runs, and are found or not from the next search on.
        later = sorted((tmp_path / "later").rglob("*.jpg"))
        for picture in later:
            shutil.copy2(picture, catalogue / picture.relative_to(tmp_path / "later"))
        gone = sorted((catalogue / "hat").iterdir())[:2]
        for picture in gone:
            picture.unlink()
        day = lookalike("index", catalogue, "--in", "shop")
        assert f"({len(SHELVES) * EACH - 2} unchanged, {len(later)} new, 2 removed" in day.out or (
            f"{len(later)} new" in day.out and "2 removed" in day.out
        ), day
        assert ask(shop, later[0], k=1)[0]["path"] == later[0].relative_to(tmp_path / "later").as_posix()
        assert gone[0].relative_to(catalogue).as_posix() not in [hit["path"] for hit in ask(shop, later[0], k=200)]
        status = shop.get("/api/status").json()
        assert status["pictures"] == len(SHELVES) * EACH + len(later) - 2
        assert status["recall_at_10"]["value"] == 1.0

        # Monitoring.
        seen = measured(shop)
        answered = seen['lookalike_requests_total{method="POST",route="/search",status="200"}']
        assert answered == seen["lookalike_search_seconds_count"] == 2 * len(queries) + 3
        assert seen['lookalike_pictures{collection="shop"}'] == status["pictures"]
        assert seen['lookalike_recall_at_10{collection="shop"}'] == 1.0

        # Another model, beside the one in use: compared on the shop's own queries before anybody sees it.
        assert lookalike("index", catalogue, "--in", "shop-fast", "--model", "fast").code == 0
        assert shop.get("/api/status", params={"in": "shop-fast"}).json()["model"] != status["model"]
        kept = [query for query in queries if query.exists()]
        old = [ask(shop, query, k=5) for query in kept]
        new = [ask(shop, query, k=5, **{"in": "shop-fast"}) for query in kept]
        shared = [len({h["path"] for h in a} & {h["path"] for h in b}) for a, b in zip(old, new, strict=True)]
        assert sum(shared) / len(shared) >= 3, "the fast model answers much like the exact one"
        assert old != new

    # The switch, and back: the same collection as before, with the same answers.
    with service(lookalike, "shop-fast") as shop:
        assert ask(shop, kept[0], k=5) == new[0]
    with service(lookalike, "shop") as shop:
        assert [ask(shop, query, k=5) for query in kept] == old
    assert lookalike("collections", "delete", "shop-fast", "--yes").code == 0
    assert lookalike("verify", "--in", "shop").code == 0
