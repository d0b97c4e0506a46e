"""`status`, `verify`, `remove`, and the lists of collections, data sets and models."""

from __future__ import annotations

from pathlib import Path

from lookalike.collection import Collection
from tests.cli.conftest import Command, Indexed, Outcome


def test_status_json(indexed: Indexed) -> None:
    status = indexed.lookalike("status", "--json").json
    assert status["pictures"] == 24
    assert status["index"] == "flat"
    assert isinstance(status["spec"], str)
    assert status["model"] == "efficientnet-lite0"
    assert sorted(Path(item["path"]).name for item in status["skipped"]) == ["broken.jpg", "empty.png", "text.jpg"]
    assert all(set(item) == {"path", "reason"} and item["reason"] for item in status["skipped"])
    recall = status["recall_at_10"]
    assert set(recall) == {"value", "low", "high", "k", "n"}
    assert recall["low"] <= recall["value"] <= recall["high"] <= 1


def test_status_for_people(indexed: Indexed) -> None:
    outcome = indexed.lookalike("status", "--in", "my pictures")
    assert outcome.code == 0
    facts = dict(line.split(maxsplit=1) for line in outcome.lines[:6])
    assert facts["pictures"] == "24"
    assert facts["skipped"] == "3"
    assert facts["model"] == "efficientnet-lite0"
    assert any("empty.png" in line for line in outcome.lines)


def test_verify(lookalike: Command, pictures: Path) -> None:
    lookalike("index", pictures, "--in", "mine")
    assert lookalike("verify", "--json").json == {"problems": []}
    fine = lookalike("verify")
    assert (fine.code, fine.out) == (0, "")
    assert "everything is as it should be" in fine.err
    segment = next(iter(lookalike.home.rglob("*.safetensors")))
    damaged = bytearray(segment.read_bytes())
    damaged[-1] ^= 0xFF
    segment.write_bytes(damaged)
    outcome = lookalike("verify")
    assert outcome.code == 1
    assert segment.name in outcome.out
    assert lookalike("verify", "--json").json["problems"]
    assert lookalike("verify", "--repair", "--json").json == {"problems": []}
    assert lookalike("verify").code == 0


def test_what_only_reads_needs_no_home_to_write_to(indexed: Indexed, tmp_path: Path) -> None:
    collection = next((indexed.lookalike.home / "collections").iterdir())
    (tmp_path / "file").write_bytes(b"")
    nowhere = Command(tmp_path / "file" / "home")  # no folder can be made there, by nobody
    with Collection.open(collection) as opened:
        query = opened.entries(limit=1)[0].path
    asked = nowhere("search", query, "-k", "1", "--json", "--in", str(collection))
    assert [Path(hit["path"]).name for hit in asked.json] == [query.name]
    assert nowhere("status", "--json", "--in", str(collection)).json["pictures"] == 24
    assert nowhere("verify", "--json", "--in", str(collection)).json == {"problems": []}
    assert nowhere("eval", "--json", "--in", str(collection)).code == 0
    assert nowhere("explain", query, "--json", "--in", str(collection)).code == 0
    nowhere("status").failed_with("no collection was used yet", "--in")


def test_remove(lookalike: Command, pictures: Path) -> None:
    lookalike("index", pictures, "--in", "mine")
    fish = sorted((pictures / "photos/fish").iterdir())
    assert lookalike("remove", fish[0]).out == "1 picture removed from mine\n"
    assert lookalike("remove", "fish", "--json", cwd=pictures / "photos").json == {"removed": 7}
    assert lookalike("status", "--json").json["pictures"] == 16
    assert all(path.exists() for path in fish)
    again = lookalike("remove", fish[0])
    assert again.code == 1
    assert "none of these" in again.err


def test_collections(lookalike: Command, pictures: Path) -> None:
    lookalike("index", pictures / "photos/fish", "--in", "one")
    lookalike("index", pictures / "photos/windmill", "--in", "two")
    listed = lookalike("collections", "list", "--json").json
    assert {(item["name"], item["pictures"]) for item in listed} == {("one", 8), ("two", 8)}
    assert all(Path(item["path"]).is_dir() for item in listed)
    assert [line.split()[0] for line in lookalike("collections", "list").lines] == ["one", "two"]
    lookalike("collections", "delete", "one").failed_with("--yes")
    assert lookalike("collections", "delete", "one", "--yes").code == 0
    assert [item["name"] for item in lookalike("collections", "list", "--json").json] == ["two"]
    assert len(list((pictures / "photos/fish").iterdir())) == 8
    lookalike("collections", "delete", "one", "--yes").failed_with("one")
    one = Path(listed[0]["path"])
    one.mkdir()
    (one / "writer.lock").touch()  # a deletion was cut short
    assert lookalike("collections", "delete", "one", "--yes").code == 0
    assert not one.exists()


def test_delete_touches_collections_only(lookalike: Command, pictures: Path) -> None:
    lookalike("collections", "delete", pictures, "--yes").failed_with(str(pictures))
    assert len(list(pictures.rglob("*.jpg"))) == 24


def test_datasets_name_every_author(lookalike: Command, starter: Path) -> None:
    outcome = lookalike("datasets", "list", "starter")
    files = [path.relative_to(starter).as_posix() for path in starter.rglob("*.jpg")]
    for name in files:
        line = next(line for line in outcome.lines if line.startswith(f"  {name}: "))
        assert "https://creativecommons.org/" in line
        assert "resized" in line
    card, *others = lookalike("datasets", "list", "--json").json
    assert not any(other["bundled"] or other["attribution"] for other in others)
    assert card["name"] == "starter"
    assert card["pictures"] == len(files) == len(card["attribution"])
    assert set(card["attribution"][0]) == {"file", "licence", "licence_url", "author", "source", "changes"}


def test_models(lookalike: Command) -> None:
    assert "efficientnet-lite0" in lookalike("models", "list").out
    card = next(card for card in lookalike("models", "list", "--json").json if card["default"])
    assert (card["name"], card["d"], card["licence"]) == ("efficientnet-lite0", 1280, "Apache-2.0")


def test_duplicates(lookalike: Command, pictures: Path) -> None:
    fish = sorted((pictures / "photos/fish").iterdir())

    def duplicates(*args: str | Path) -> Outcome:
        return lookalike("duplicates", "--similarity", "99.5", *args)

    copy = pictures / "a copy.jpg"
    copy.write_bytes(fish[0].read_bytes())
    lookalike("index", pictures, "--in", "mine")
    (group,) = duplicates("--json").json
    assert {Path(item["path"]) for item in group["pictures"]} == {fish[0], copy}
    assert group["spare_bytes"] == copy.stat().st_size
    shown = duplicates()
    assert [str(copy) in line or str(fish[0]) in line for line in shown.lines] == [False, True, True]
    assert "1 group of the same picture in mine" in shown.err
    duplicates("--keep", fish[0])
    assert [item["keep"] for item in duplicates("--json").json[0]["pictures"]].count(True) == 1
    assert "is ignored" in duplicates("--ignore", copy).err
    assert duplicates("--json").json == []
    assert len(duplicates("--json", "--all").json) == 1
    assert "is reset" in duplicates("--reset", copy).err
    assert [item["keep"] for item in duplicates("--json").json[0]["pictures"]] == [False, False]
    duplicates("--ignore", fish[1]).failed_with("is in no group with a similarity of 99.5 or more")
    duplicates("--keep", pictures / "nothing.jpg").failed_with("nothing.jpg", "is not in mine")
    assert copy.exists()
