"""Collections made, updated and deleted over the API; jobs that are watched and stopped; duplicates; thumbnails on disk."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookalike.app import AppServer, jobs
from lookalike.app.pictures import Thumbnails
from lookalike.app.service import Service
from lookalike.collection import AddReport, Collection, Progress
from lookalike.collection.lock import LOCK, WriterLock
from lookalike.data.datasets import starter_folder
from tests.app.serving import build_home, owner, serving
from tests.app.test_api import error


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that these tests change."""
    return build_home(tmp_path_factory.mktemp("keeping"))


@pytest.fixture(scope="module")
def own(own_home: Path) -> Iterator[httpx.Client]:
    with serving(own_home) as server, owner(server) as client:
        yield client


def wait(client: httpx.Client, id: int) -> dict[str, Any]:
    """The job, once it has ended."""
    for _ in range(600):
        job = next(job for job in client.get("/api/jobs").json()["jobs"] if job["id"] == id)
        if job["state"] != "running":
            return dict(job)
        time.sleep(0.05)
    raise AssertionError(f"still running: {job}")


def names(client: httpx.Client) -> list[str]:
    return [item["name"] for item in client.get("/api/collections").json()["collections"]]


def test_a_folder_becomes_a_collection_is_updated_and_deleted(own: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "my holiday"
    shutil.copytree(starter_folder() / "photos/fish", folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (folder / "letter.txt").write_text("dear")
    job = wait(own, own.post("/api/collections", json={"folder": str(folder)}).json()["id"])
    assert (job["state"], job["collection"]) == ("done", "my holiday")
    pictures = len(list(folder.iterdir())) - 2
    assert job["report"]["new"] == pictures
    assert {item["path"] for item in job["report"]["skipped"]} == {"broken.jpg", "letter.txt"}
    assert all(item["reason"] for item in job["report"]["skipped"])
    assert "my holiday" in names(own)
    assert own.get("/api/status", params={"in": "my holiday"}).json()["pictures"] == pictures

    for file in sorted(folder.glob("*.jpg"))[1:3]:
        file.unlink()
    job = wait(own, own.post("/api/collections/my holiday/update").json()["id"])
    assert job["report"]["removed"] == 2
    assert own.delete("/api/collections/my holiday").json() == {"deleted": "my holiday"}
    assert "my holiday" not in names(own)
    assert len(list(folder.iterdir())) == pictures, "the pictures themselves stay"
    error(own.delete("/api/collections/my holiday"), 404)


def test_a_job_is_stopped_and_what_it_did_is_kept(own: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    shutil.copytree(starter_folder(), folder)
    id = own.post("/api/collections", json={"folder": str(folder)}).json()["id"]
    assert "being indexed" in error(own.post("/api/collections", json={"folder": str(folder)}), 409)
    error(own.delete("/api/collections/many"), 409)
    while own.get("/api/jobs").json()["jobs"][0]["progress"] is None:
        time.sleep(0.01)
    assert own.delete(f"/api/jobs/{id}").json()["stopping"]
    assert wait(own, id)["state"] == "stopped"
    error(own.delete("/api/jobs/999"), 404)


@pytest.mark.parametrize("folder", ["pictures", "/nowhere/at/all", "/etc/passwd", "", "\0"])
def test_what_is_no_folder_is_refused(own: httpx.Client, folder: str) -> None:
    error(own.post("/api/collections", json={"folder": folder}), 422)


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "x" * 201, "\n"])
def test_what_is_no_name_is_refused(own: httpx.Client, name: str) -> None:
    error(own.post("/api/collections", json={"folder": str(starter_folder()), "name": name}), 422)


def test_a_folder_without_pictures_makes_no_collection(own: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    job = wait(own, own.post("/api/collections", json={"folder": str(tmp_path / "empty")}).json()["id"])
    assert job["report"]["indexed"] == 0
    assert "empty" not in names(own)


def test_a_name_of_other_folders_is_refused_unless_both_are_to_be_one(own: httpx.Client, tmp_path: Path) -> None:
    for number, folder in ((1, "one"), (2, "two")):
        (tmp_path / folder).mkdir()
        shutil.copy(starter_folder() / f"photos/fish/fish-{number}.jpg", tmp_path / folder)
    asked = {"folder": str(tmp_path / "one"), "name": "shelf"}
    assert wait(own, own.post("/api/collections", json=asked).json()["id"])["report"]["new"] == 1
    assert wait(own, own.post("/api/collections", json=asked).json()["id"])["report"]["unchanged"] == 1
    asked["folder"] = str(tmp_path / "two")
    assert "'shelf' of other folders" in error(own.post("/api/collections", json=asked), 422)
    assert wait(own, own.post("/api/collections", json={**asked, "join": True}).json()["id"])["state"] == "done"
    assert own.get("/api/status", params={"in": "shelf"}).json()["pictures"] == 2
    (shelf,) = [c for c in own.get("/api/collections?details=true").json()["collections"] if c["name"] == "shelf"]
    assert [folder["path"] for folder in shelf["folders"]] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert own.delete("/api/collections/shelf").status_code == 200


def test_the_name_of_the_served_collection_is_taken_wherever_it_lies(own_home: Path, tmp_path: Path) -> None:
    with Collection.create(tmp_path / "elsewhere/mine.lookalike") as mine:
        mine.add(own_home / "pictures/photos/photos/fish")
    server = AppServer(tmp_path / "elsewhere/mine.lookalike")
    with server, owner(server) as client:
        asked = {"folder": str(own_home / "pictures/drawings"), "name": "mine"}
        error(client.post("/api/collections", json=asked), 422)
        assert client.get("/api/status").json()["pictures"] == 8


def test_skipped_files_come_by_their_reason_those_of_interest_first(own: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(starter_folder() / "photos/fish/fish-1.jpg", folder)
    for name in ("a.txt", "b.txt", "c.txt", "deep/broken.jpg", "<b>.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff\xe0 cut off" if name.endswith("jpg") else b"dear")
    job = wait(own, own.post("/api/collections", json={"folder": str(folder)}).json()["id"])
    reasons = job["report"]["reasons"]
    assert [(item["count"], item["files"]) for item in reasons] == [
        (2, ["<b>.jpg", "deep/broken.jpg"]),
        (3, ["a.txt", "b.txt", "c.txt"]),
    ]
    later = own.get("/api/skipped", params={"in": "mixed"}).json()
    assert later["total"] == 5
    assert later["reasons"] == reasons
    assert own.delete("/api/collections/mixed").status_code == 200


def test_a_job_stopped_before_its_first_picture_leaves_no_collection(
    own: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(job: jobs.Job, progress: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs.Job, "tell", stopped)
    folder = tmp_path / "never"
    shutil.copytree(starter_folder() / "photos/fish", folder)
    assert wait(own, own.post("/api/collections", json={"folder": str(folder)}).json()["id"])["state"] == "stopped"
    assert "never" not in names(own)


def test_the_page_is_told_of_refusals_in_answers(own: httpx.Client) -> None:
    response = own.get("/api/folders", params={"path": "/nowhere"}, headers={"x-lookalike-page": "1"})
    assert response.status_code == 200
    assert "no folder '/nowhere'" in response.json()["error"]["message"]


def test_folders_can_be_looked_through(own: httpx.Client, tmp_path: Path) -> None:
    for name in ("b", "A", ".secret", "<b>bold"):
        (tmp_path / name).mkdir()
    for file in ("file", "one.JPG", ".hidden.jpg"):
        (tmp_path / file).touch()
    seen = own.get("/api/folders", params={"path": str(tmp_path)}).json()
    assert seen["crumbs"][-1] == {"name": tmp_path.name, "path": str(tmp_path)}
    assert Path(seen["crumbs"][0]["path"]) == Path(tmp_path.anchor)
    assert (seen["path"], seen["parent"]) == (str(tmp_path), str(tmp_path.parent))
    assert (seen["folders"], seen["pictures"]) == (["<b>bold", "A", "b"], 1)
    assert Path(own.get("/api/folders").json()["path"]).is_absolute()
    error(own.get("/api/folders", params={"path": "relative"}), 422)


def test_the_collection_of_the_server_and_one_in_use_are_not_deleted(own: httpx.Client, own_home: Path) -> None:
    assert "was started with" in error(own.delete("/api/collections/photos"), 503)
    with WriterLock(own_home / "collections/drawings" / LOCK).held():
        error(own.delete("/api/collections/drawings"), 409)
        error(own.post("/api/duplicates", params={"in": "drawings"}, json={"ids": [1], "decision": "keep"}), 409)
    assert own.get("/api/status", params={"in": "drawings"}).status_code == 200


def test_duplicates_are_grouped_and_decided_on(own: httpx.Client) -> None:
    where = {"in": "drawings", "similarity": 99.5}
    (group, *_) = own.get("/api/duplicates", params=where).json()["groups"]
    ids = [picture["id"] for picture in group["pictures"]]
    assert len({picture["bytes"] for picture in group["pictures"]}) == 1
    own.post("/api/duplicates", params=where, json={"ids": ids[:1], "decision": "keep"})
    own.post("/api/duplicates", params=where, json={"ids": ids, "decision": "ignore"})
    again = own.get("/api/duplicates", params=where).json()["groups"][0]
    assert again["ignored"]
    assert {picture["id"]: picture["kept"] for picture in again["pictures"]} == {ids[0]: True, ids[1]: False}
    assert own.get("/api/duplicates", params={**where, "ignored": False}).json()["groups"] == []
    loose = {"in": "drawings", "similarity": 50, "limit": 2}
    pages = [own.get("/api/duplicates", params={**loose, "offset": at}).json() for at in (0, 2, 1000)]
    assert [len(page["groups"]) for page in pages] == [2, 2, 0]
    assert len({page["total"] for page in pages}) == 1
    assert pages[0]["groups"][0]["count"] >= pages[1]["groups"][0]["count"]
    own.post("/api/duplicates", params=where, json={"ids": ids, "decision": "reset"})
    assert not own.get("/api/duplicates", params=where).json()["groups"][0]["ignored"]
    error(own.post("/api/duplicates", params=where, json={"ids": [999], "decision": "keep"}), 404)
    error(own.post("/api/duplicates", params=where, json={"ids": ids, "decision": "delete"}), 422)


@pytest.fixture(scope="module")
def proxied(own_home: Path) -> Iterator[AppServer]:
    with serving(own_home, tokens=["0123456789abcdef"], trusted_hosts=["photos.example"]) as server:
        yield server


def test_only_its_own_machine_changes_collections(proxied: AppServer, tmp_path: Path) -> None:
    headers = {"authorization": "Bearer 0123456789abcdef"}
    with httpx.Client(base_url=proxied.url, headers=headers, trust_env=False) as client:
        assert client.get("/api/jobs").json()["local"] is False
        for method, path in [
            ("GET", "/api/folders"),
            ("POST", "/api/collections/photos/update"),
            ("DELETE", "/api/collections/drawings"),
            ("DELETE", "/api/jobs/1"),
        ]:
            error(client.request(method, path), 403)
        error(client.post("/api/collections", json={"folder": str(tmp_path)}), 403)


def test_a_token_opens_the_api_and_nothing_else(proxied: AppServer) -> None:
    with httpx.Client(base_url=proxied.url, trust_env=False) as client:
        right = {"authorization": "Bearer 0123456789abcdef"}
        assert client.get("/api/health", headers=right).status_code == 200
        assert client.get("/api/health", headers=right | {"host": "photos.example"}).status_code == 200
        for wrong in ("Bearer 0123456789abcdeF", "Bearer", "0123456789abcdef", "Basic 0123456789abcdef", "Bearer é"):
            error(client.get("/api/health", headers={"authorization": wrong.encode()}), 401)
        for path in ("/", "/config", "/gradio_api/info", "/gradio_api/upload"):
            error(client.get(path, headers=right), 401)
        error(client.get("/api/health", headers=right | {"host": "evil.example"}), 421)
        foreign = right | {"host": "photos.example", "origin": "https://evil.example"}
        error(client.post("/api/search", headers=foreign, data={"id": "1"}), 403)
        own = right | {"host": "photos.example", "origin": "https://photos.example"}
        assert client.post("/api/search", headers=own, data={"id": "1"}).status_code == 200


def test_thumbnails_are_made_once_and_kept_on_disk(own: httpx.Client, own_home: Path, tmp_path: Path) -> None:
    first = own.get("/api/thumbnails/1", params={"side": 96})
    (kept,) = (own_home / "cache/thumbnails").rglob(f"{first.headers['etag'].strip(chr(34))}.jpg")
    assert kept.read_bytes() == first.content
    kept.write_bytes(first.content[:-2])  # torn by a crash
    assert own.get("/api/thumbnails/1", params={"side": 96}).content == first.content
    assert kept.read_bytes() == first.content


def test_thumbnails_stay_below_their_limit(tmp_path: Path, own_home: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "cache", limit=60_000)
    with Collection.open(own_home / "collections/photos") as photos:
        for entry in photos.entries():
            assert thumbnails.get(entry, 320).body
    sizes = [path.stat().st_size for path in (tmp_path / "cache").rglob("*.*")]
    assert 0 < sum(sizes) <= 60_000
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_thumbnails_without_a_disk_are_made_each_time(tmp_path: Path, own_home: Path) -> None:
    (tmp_path / "file").touch()
    with Collection.open(own_home / "collections/photos") as photos:
        assert Thumbnails(tmp_path / "file" / "cache").get(photos.entry(1), 96).body


def test_work_that_fails_says_so() -> None:
    def broken(progress: Any) -> AddReport:
        progress(Progress(1, 2, "scanning"))
        raise OSError(28, "No space left on device")

    work = jobs.Jobs()
    job = work.start("a", broken)
    work.close()
    assert (job.state, job.error) == ("failed", "No space left on device")
    assert job.to_json()["progress"]["done"] == 1


def test_decisions_open_a_collection_beside_the_event_loop(own: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    real = Service.collection

    def noted(self: Service, name: str | None = None) -> Collection:
        threads.append(threading.current_thread().name)
        return real(self, name)

    monkeypatch.setattr(Service, "collection", noted)
    assert own.post("api/duplicates", json={"ids": [1], "decision": "reset"}).status_code == 200
    assert threads
    assert all("AnyIO" in name for name in threads), threads
