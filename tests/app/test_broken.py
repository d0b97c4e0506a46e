"""Collections that are broken in every way, and every route: an answer, and nothing of this machine in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from lookalike.app import AppServer
from lookalike.app.messages import public_error, public_text
from lookalike.collection import Collection
from lookalike.collection.catalog import connecting
from lookalike.collection.index.generation import INDEX_FOLDER
from lookalike.collection.lock import LOCK, WriterLock
from lookalike.collection.segments import FOLDER as SEGMENTS
from lookalike.data.datasets import starter_folder
from tests.app.serving import owner, serving

TAKEN = 32  # of zeros: a tag that nobody has


def catalogue(folder: Path) -> Path:
    return folder / "catalog.sqlite"


def garbage(folder: Path) -> None:
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    catalogue(folder).write_bytes(bytes(range(256)) * 400)


def deleted(folder: Path) -> None:
    for path in folder.glob("catalog.sqlite*"):
        path.unlink()


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def a_folder(folder: Path) -> None:
    deleted(folder)
    catalogue(folder).mkdir()


def tables_dropped(folder: Path) -> None:
    with sqlite3.connect(catalogue(folder)) as connection:
        connection.execute("DROP TABLE entries")
        connection.execute("ALTER TABLE features RENAME COLUMN norm TO length")


def values_changed(folder: Path) -> None:
    with sqlite3.connect(catalogue(folder)) as connection:
        connection.execute("UPDATE meta SET value = 'garbage' WHERE key IN ('changes', 'duplicates')")
        connection.execute("UPDATE entries SET path = CAST('/nowhere/' || id AS BLOB), root = 99")


def newer(folder: Path) -> None:
    with sqlite3.connect(catalogue(folder)) as connection:
        connection.execute("PRAGMA user_version = 999")


def segment_gone(folder: Path) -> None:
    shutil.rmtree(folder / SEGMENTS)


def index_gone(folder: Path) -> None:
    shutil.rmtree(folder / INDEX_FOLDER)


def cut_off(folder: Path) -> None:
    for path in [*(folder / SEGMENTS).iterdir(), *(folder / INDEX_FOLDER).iterdir()]:
        start = path.read_bytes()[:100]
        path.unlink()  # what the server has mapped stays as it was
        path.write_bytes(start)


def looped(folder: Path) -> None:
    """Not to be read, by root neither."""
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


BREAKING = [
    garbage,
    deleted,
    gone,
    a_folder,
    tables_dropped,
    values_changed,
    newer,
    segment_gone,
    index_gone,
    cut_off,
    looped,
]


@pytest.fixture(scope="module")
def broken_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small collection, and two copies of it for each way of breaking one."""
    home = tmp_path_factory.mktemp("secret-place") / "ann's home"
    pictures = home / "my pictures"
    pictures.mkdir(parents=True)
    for file in sorted((starter_folder() / "photos/fish").iterdir())[:3]:
        shutil.copy(file, pictures)
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (pictures / "link").symlink_to(pictures)
    whole = home / "collections/whole"
    with Collection.create(whole) as collection:
        collection.add(pictures)
    for each in [*BREAKING, locked]:
        for kind in ("open", "closed"):
            shutil.copytree(whole, home / f"collections/{each.__name__} {kind}")
    return home


def locked(folder: Path) -> None:
    """Stands for a collection that another process holds."""


@pytest.fixture(scope="module")
def server(broken_home: Path) -> Iterator[AppServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connecting, "BUSY_SECONDS", 0.01)
        with serving(broken_home, "whole") as running:
            yield running


@pytest.fixture(scope="module")
def people(server: AppServer) -> Iterator[list[httpx.Client]]:
    """Somebody without the server's secret, and somebody with it."""
    with owner(server) as one, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as two:
        yield [two, one]


def requests(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route of the API, asked of one collection."""
    inside: dict[str, Any] = {"params": {"in": name}}
    form = {"data": {"id": "1", "in": name, "result": "2"}}
    gets = [
        "status",
        "labels",
        "examples",
        "skipped",
        "duplicates",
        "images/1",
        "thumbnails/1",
        "pictures/1",
        "pictures",
    ]
    return [
        *(("GET", f"/api/{path}", inside) for path in gets),
        *(
            ("GET", f"/api/{path}", {})
            for path in ("health", "jobs", "collections", "metrics", f"queries/{'0' * TAKEN}")
        ),
        ("GET", "/api/collections", {"params": {"details": "true"}}),
        ("GET", "/api/pictures", {"params": {"in": name, "label": ["a", "é"], "min_side": 1}}),
        *(("POST", f"/api/{path}", form) for path in ("search", "page/search", "why", "explain")),
        ("POST", "/api/search", {"data": {"text": "fish", "in": name}}),
        ("POST", "/api/search", {"data": {"id": "1", "from": name}}),
        (
            "POST",
            "/api/search",
            {"data": {"id": "1", "in": name, "label": ["a", "b"], "exact": "true", "fold": "true"}},
        ),
        ("POST", "/api/duplicates", {**inside, "json": {"ids": [1], "decision": "keep"}}),
        ("POST", f"/api/collections/{name}/update", {}),
        ("DELETE", "/api/jobs/1", {}),
    ]


def check(response: httpx.Response, home: Path, label: object) -> None:
    """No path of this machine, process, or SQL in the body or in a header."""
    if response.headers["content-type"].startswith("image/"):
        return
    # Who has the server's secret is shown which folders a collection was made from.
    shown = re.sub(r'"folders":\[[^]]*\]', "", response.text)
    text = shown + json.dumps(dict(response.headers))
    for path in (str(home), str(home.parent), "secret-place", str(Path.home()) + "/", "/tmp/", "site-packages"):
        assert path not in text, (label, text)
    assert not re.search(rf"\b{os.getpid()}\b|process \d|\(number \d|\bpid\b", text), (label, text)
    sql = r"no such (table|column)|\bSELECT\b|\bFROM entries|sqlite3|syntax error|Expression tree|malformed|not a database"
    assert not re.search(sql, text), (label, text)
    assert "Traceback" not in text, (label, text)
    if response.status_code >= 400:
        assert set(response.json()["error"]) == {"type", "message"}, (label, text)


def ended(client: httpx.Client) -> Any:
    """The latest job, once it has ended."""
    while (jobs := client.get("/api/jobs").json()["jobs"]) and jobs[0]["state"] == "running":
        time.sleep(0.02)
    return jobs


@pytest.mark.parametrize("breaking", BREAKING, ids=lambda breaking: breaking.__name__)
@pytest.mark.parametrize("kind", ["open", "closed"])
def test_a_broken_collection_names_nothing_of_this_machine(
    people: list[httpx.Client], broken_home: Path, breaking: Callable[[Path], None], kind: str
) -> None:
    name = f"{breaking.__name__} {kind}"
    folder = broken_home / "collections" / name
    if kind == "open":  # the server has it open, and has searched it
        assert people[0].post("/api/search", data={"id": 1, "in": name}).status_code == 200
    breaking(folder)
    refused = 0
    for client in people:
        for method, path, options in requests(name):
            response = client.request(method, path, **options)
            check(response, broken_home, (name, method, path))
            refused += response.status_code >= 400
        for job in ended(client):
            check_text(job["error"] or "", broken_home)
    assert refused
    assert people[0].get("/api/health").status_code == 200, "the server goes on"
    check(people[1].delete(f"/api/collections/{name}"), broken_home, name)


def check_text(text: str, home: Path) -> None:
    check(httpx.Response(200, text=text), home, text)


@pytest.mark.parametrize("kind", ["open", "closed"])
def test_a_collection_in_use_names_no_process(people: list[httpx.Client], broken_home: Path, kind: str) -> None:
    name = f"locked {kind}"
    folder = broken_home / "collections" / name
    if kind == "open":
        assert people[0].post("/api/search", data={"id": 1, "in": name}).status_code == 200
    other = sqlite3.connect(catalogue(folder), isolation_level=None)
    try:
        with WriterLock(folder / LOCK).held():
            if kind == "closed":  # nobody reads it, so that it can be had alone
                other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE meta SET value = value")
            seen = []
            for client in people:
                for method, path, options in requests(name):
                    response = client.request(method, path, **options)
                    check(response, broken_home, (name, method, path))
                    seen.append(response.status_code)
                ended(client)
            assert 409 in seen
    finally:
        other.close()
    assert people[0].post("/api/search", data={"id": 1, "in": name}).status_code == 200


def test_gradios_own_search_names_nothing_either(server: AppServer, broken_home: Path) -> None:
    name = "whole again"
    folder = broken_home / "collections" / name
    shutil.copytree(broken_home / "collections/whole", folder)
    garbage(folder)
    page = Client(server.url, verbose=False, analytics_enabled=False)
    try:
        with pytest.raises(AppError) as raised:
            page.predict(None, "https://pictures.test/a.jpg", 3, name, api_name="/search")
        check_text(str(raised.value), broken_home)
    finally:
        page.close()


def test_a_home_that_cannot_be_read_names_nothing(people: list[httpx.Client], broken_home: Path) -> None:
    """Last: the collections are all out of reach, the one that the server began with included."""
    away = broken_home.parent / "away"
    broken_home.rename(away)
    broken_home.symlink_to(broken_home.name)
    try:
        for client in people:
            for method, path, options in [*requests("whole"), *requests("another")]:
                check(client.request(method, path, **options), broken_home, (method, path))
            ended(client)
    finally:
        broken_home.unlink()
        away.rename(broken_home)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/x/catalog.sqlite is damaged", "x/catalog.sqlite is damaged"),
        ("the disk of /home/ann/x is full", "the disk of x is full"),
        ("a link (/home/ann/my pictures/a b)", "a link (a b)"),
        ("no folder '/home/ann/my pictures'", "no folder 'my pictures'"),
        ("/srv/collections/photos: closed", "photos: closed"),
        ("it has /home/eve/a.jpg in /home/eve", "it has a.jpg in eve"),
        (r"C:\Users\ann\x.jpg: gone", "x.jpg: gone"),
        ("another process (number 4711) is writing to /home/ann/x; wait", "another process is writing to x; wait"),
        (
            "expected https://photos.example/a.jpg, 1/2, and/or a:b",
            "expected https://photos.example/a.jpg, 1/2, and/or a:b",
        ),
        ("cannot be read:/home/ann/x/a, <b>", "cannot be read:x/a, <b>"),
        ("", ""),
    ],
)
def test_paths_are_taken_out_of_messages(text: str, shown: str) -> None:
    assert public_text(text, {"/home/ann/x": "x", "/srv/collections": ""}) == shown


def test_what_sqlite_said_is_taken_out_even_where_the_cause_is_hidden() -> None:
    try:
        try:
            sqlite3.connect(":memory:").execute("SELECT a FROM entries")
        except sqlite3.Error as cause:
            raise ValueError(f"/home/ann/x is damaged ({cause}); index again") from None
    except ValueError as error:
        assert public_error(error, {"/home/ann/x": "x"}) == "x is damaged; index again"
