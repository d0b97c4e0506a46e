"""`lookalike search`: shapes of the answers, kinds of queries, and what cannot be searched with."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from PIL import Image, ImageOps

from tests.cli.conftest import Command, Indexed


def test_json_is_an_array_best_first(indexed: Indexed) -> None:
    query = indexed.folder / "photos/fish/fish-1.jpg"
    hits = indexed.lookalike("search", query, "-k", "5", "--json").json
    assert len(hits) == 5
    assert all(set(hit) == {"path", "similarity", "cosine", "distance", "id"} for hit in hits)
    assert hits[0]["path"] == str(query)
    assert hits[0]["similarity"] > 99
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    assert all(abs(1 - hit["cosine"] - hit["distance"]) < 1e-5 for hit in hits)
    assert all(Path(hit["path"]).is_absolute() and isinstance(hit["id"], int) for hit in hits)


def test_table_for_people(indexed: Indexed) -> None:
    query = indexed.folder / "photos/fish/fish-1.jpg"
    outcome = indexed.lookalike("search", query, "-k", "3")
    assert outcome.code == 0
    assert re.fullmatch(r"\s*100\.0  same picture  .*fish-1\.jpg", outcome.lines[0]), outcome
    assert len(outcome.lines) == 3
    assert not re.search("[\t\x1b]", outcome.out)
    assert "ms to search 24 pictures in my pictures" in outcome.err


def test_nothing_found_is_said(indexed: Indexed) -> None:
    outcome = indexed.lookalike("search", indexed.folder / "photos/fish/fish-1.jpg", "--taken", "1970")
    assert (outcome.code, outcome.lines) == (0, [])
    assert "no picture matches" in outcome.err


def two_fish(starter: Path, folder: Path) -> Path:
    """A new folder with two pictures."""
    folder.mkdir()
    for name in ("fish-1.jpg", "fish-2.jpg"):
        shutil.copy(starter / "photos/fish" / name, folder)
    return folder


def test_a_disk_that_was_away_when_it_was_indexed(lookalike: Command, starter: Path, tmp_path: Path) -> None:
    disk, away = two_fish(starter, tmp_path / "disk"), tmp_path / "away"
    assert lookalike("index", disk).code == 0
    assert "missing" not in lookalike("status").out
    disk.rename(away)
    assert lookalike("index", disk).code == 1
    away.rename(disk)
    told = lookalike("status").out
    assert re.search(r"^missing +2, hidden until lookalike index finds them again$", told, re.MULTILINE), told
    assert "not measured: there are no pictures" in told
    outcome = lookalike("search", disk / "fish-1.jpg")
    assert (outcome.code, outcome.lines) == (0, [])
    assert "all 2 pictures of disk were missing when it was last indexed" in outcome.err
    assert "--folder" not in outcome.err
    assert lookalike("index", disk).code == 0
    assert len(lookalike("search", disk / "fish-1.jpg").lines) == 2


def test_a_renamed_folder_and_a_file_that_is_gone(lookalike: Command, starter: Path, tmp_path: Path) -> None:
    trip, holiday = two_fish(starter, tmp_path / "Trip"), tmp_path / "Holiday"
    assert lookalike("index", trip).code == 0
    trip.rename(holiday)
    assert lookalike("index", holiday, "--in", "Trip").code == 0
    hits = lookalike("search", holiday / "fish-1.jpg", "--json").json
    assert [hit["path"] for hit in hits] == [str(holiday / "fish-1.jpg"), str(holiday / "fish-2.jpg")]
    assert not any("missing" in hit for hit in hits)
    (holiday / "fish-1.jpg").unlink()
    lines = lookalike("search", starter / "photos/fish/fish-1.jpg").lines
    assert lines[0].endswith("fish-1.jpg  (the file is gone)")
    assert lines[1].endswith("fish-2.jpg")


def test_a_changed_copy_finds_its_picture(indexed: Indexed, tmp_path: Path) -> None:
    original = indexed.folder / "photos/windmill/windmill-1.jpg"
    with Image.open(original) as picture:
        ImageOps.mirror(picture.resize((160, 120))).save(tmp_path / "copy.png")
    assert indexed.lookalike("search", tmp_path / "copy.png", "--json").json[0]["path"] == str(original)


def test_relative_paths(indexed: Indexed) -> None:
    outcome = indexed.lookalike("search", "fish-1.jpg", "--json", cwd=indexed.folder / "photos/fish")
    assert outcome.json[0]["path"].endswith("fish-1.jpg")


def test_several_queries_are_one(indexed: Indexed) -> None:
    a, b = indexed.folder / "photos/fish/fish-1.jpg", indexed.folder / "drawings/hat"
    hat = sorted(b.iterdir())[0]
    best = {hit["path"] for hit in indexed.lookalike("search", a, hat, "-k", "2", "--json").json}
    assert best == {str(a), str(hat)}


def test_each_query_by_itself(indexed: Indexed) -> None:
    names = [str(indexed.folder / "photos/fish" / name) for name in ("fish-1.jpg", "fish-10.jpg")]
    answers = indexed.lookalike("search", *names, "--each", "-k", "2", "--json").json
    assert [answer["query"] for answer in answers] == names
    assert all(set(answer) == {"query", "results"} and len(answer["results"]) == 2 for answer in answers)
    assert [answer["results"][0]["path"] for answer in answers] == names
    table = indexed.lookalike("search", *names, "--each", "-k", "2")
    assert [line for line in table.lines if line.startswith("query: ")] == [f"query: {name}" for name in names]


def test_k_beyond_the_collection_gives_all(indexed: Indexed) -> None:
    query = indexed.folder / "photos/fish/fish-1.jpg"
    assert len(indexed.lookalike("search", query, "-k", "1000", "--json").json) == 24


def test_k_below_one_is_a_usage_error(indexed: Indexed) -> None:
    for k in ("0", "-3", "many"):
        outcome = indexed.lookalike("search", indexed.folder / "photos/fish/fish-1.jpg", "-k", k)
        assert outcome.code == 2, outcome


def test_queries_that_cannot_be(indexed: Indexed) -> None:
    search = indexed.lookalike
    search("search", "no/such/picture.jpg").failed_with("no/such/picture.jpg", "no such file")
    search("search", "./a red car", "--json").failed_with("./a red car: there is no such file")
    search("search", "sunset", "--json").failed_with(
        "sunset: there is no such file, and none of the model's 1,000 labels"
    )
    search("search", "fish", indexed.folder / "photos/fish/fish-1.jpg").failed_with("do not mix with pictures")
    search("search", indexed.folder).failed_with("folder")
    search("search", indexed.folder / "text.jpg").failed_with("text.jpg")
    search("search", indexed.folder / "empty.png", "--json").failed_with("empty.png")
    search("search", indexed.folder / "photos/fish/fish-1.jpg", "--in", "nobody").failed_with("nobody")
    search("search", indexed.folder / "photos/fish/fish-1.jpg", "--in", "my pictuers").failed_with(
        "did you mean 'my pictures'?"
    )
    elsewhere = indexed.folder / "my pictuers"
    search("search", indexed.folder / "photos/fish/fish-1.jpg", "--in", elsewhere).failed_with(
        "; there are: my pictures"
    )
    search("search", "--", indexed.folder / "photos/fish/fish-1.jpg", "--in", "x").failed_with(
        "--in: everything after -- is"
    )


def test_words_are_labels_with_the_default_model(indexed: Indexed) -> None:
    outcome = indexed.lookalike("search", "fish", "-k", "5")
    assert outcome.code == 0, outcome
    assert sum("/photos/fish/" in line for line in outcome.lines) >= 3, outcome
    assert re.fullmatch(r"\s*\d+\.\d  (sure|perhaps)\s+\S.*/photos/fish/.*\.jpg", outcome.lines[0]), outcome
    assert "a label search, as this model knows 1,000 labels and no other words: 'fish' matches" in outcome.err
    unquoted = indexed.lookalike("search", "green", "fish", "-k", "5", "--json")
    assert [hit["path"] for hit in unquoted.json] == [line.split("  ")[-1].strip() for line in outcome.lines]
    assert all(set(hit) == {"path", "similarity", "cosine", "distance", "id"} for hit in unquoted.json)
    assert "not used, as no label has that name: green" in unquoted.err


def test_words_and_pictures_each_by_themselves(indexed: Indexed) -> None:
    picture = indexed.folder / "photos/fish/fish-1.jpg"
    words, pictures = indexed.lookalike("search", "hats", picture, "--each", "-k", "2", "--json").json
    assert {"cowboy hat", "sombrero"} <= set(words["labels"])
    assert all("/hat/" in hit["path"] for hit in words["results"])
    assert set(pictures) == {"query", "results"}


def test_a_file_comes_before_words(indexed: Indexed, tmp_path: Path) -> None:
    (tmp_path / "dog").write_bytes((indexed.folder / "photos/fish/fish-1.jpg").read_bytes())
    outcome = indexed.lookalike("search", "dog", "-k", "1", cwd=tmp_path)
    assert outcome.lines[0].endswith("fish-1.jpg")
    assert "label" not in outcome.err
    (tmp_path / "hats").mkdir()
    (tmp_path / "sunset").mkdir()
    assert "/hat/" in indexed.lookalike("search", "hats", "-k", "1", cwd=tmp_path).lines[0]
    indexed.lookalike("search", "sunset", cwd=tmp_path).failed_with("sunset: a folder, not a picture, and none of")


def test_every_part_of_a_query_is_a_flag(indexed: Indexed, tmp_path: Path) -> None:
    search = indexed.lookalike
    fish, hat = indexed.folder / "photos/fish", indexed.folder / "drawings/hat"
    one, two = fish / "fish-1.jpg", fish / "fish-10.jpg"
    whole = search("search", one, "-k", "24", "--json").json
    number = next(hit["id"] for hit in whole if hit["path"] == str(two))

    part = search("search", one, "--region", "0,0,100,100", "--json").json
    assert part != whole[:10]
    assert search("search", one, "--region", "0,0,1,1", "-k", "24", "--json").json == whole
    refined = search("search", one, "--like", sorted(hat.iterdir())[0], "--less", f"id:{number}", "-k", "24", "--json")
    assert number not in [hit["id"] for hit in refined.json]
    assert "/hat/" in refined.json[1]["path"] + refined.json[0]["path"]
    assert (
        search("search", one, "--less", two, "--json").json
        == search("search", one, "--less", f"id:{number}", "--json").json
    )
    assert number not in [hit["id"] for hit in search("search", f"id:{number}", "--json").json]

    only = search("search", one, "--folder", "drawings", "--sort", "name", "--json").json
    assert len(only) == 8
    assert [hit["path"] for hit in only] == sorted(
        (hit["path"] for hit in only), key=lambda path: Path(path).name.casefold()
    )
    assert search("search", one, "--taken", "..1999-12", "--json").json == []
    assert search("search", one, "--taken", "1999..", "-k", "24", "--json").json == whole
    likely = search("search", one, "--at-least", "60", "-k", "24", "--json").json
    assert likely == [hit for hit in whole if hit["similarity"] >= 60]
    words = search("search", "--words", "fish", "--shape", "landscape", "-k", "3")
    assert words.lines == search("search", "fish", "--shape", "landscape", "-k", "3").lines
    exact = search("search", one, "--exact")
    assert exact.lines == search("search", one).lines
    assert (
        search("search", one, two, "--each", "--region", "", "--region", "0,0,0.5,1", "--json").json[0]["results"]
        == whole[:10]
    )


def test_copies_are_shown_in_words(lookalike: Command, starter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Trip"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(starter / "photos/fish/fish-1.jpg", folder / name)
    shutil.copy(starter / "photos/fish/fish-2.jpg", folder)
    assert lookalike("index", folder).code == 0
    first, second = lookalike("search", folder / "a.jpg", "--fold").lines
    assert first.endswith("a.jpg  (and 2 copies)")
    assert second.endswith("fish-2.jpg")
    hits = lookalike("search", folder / "a.jpg", "--fold", "--json").json
    assert [Path(copy["path"]).name for copy in hits[0]["same"]] == ["b.jpg", "c.jpg"]
    assert "same" not in hits[1]


def test_flags_that_cannot_be(indexed: Indexed) -> None:
    search, fish = indexed.lookalike, indexed.folder / "photos/fish/fish-1.jpg"
    for usage in (
        ("search",),
        ("search", "--each", "--words", "fish"),
        ("search", fish, "--sort", "beauty"),
        ("search", fish, "--shape", "round"),
        ("search", fish, "--at-least", "101"),
        ("search", fish, "--min-side", "-1"),
    ):
        assert search(*usage).code == 2, usage
    search("search", fish, "--region", "left").failed_with("region: expected x,y,width,height")
    search("search", fish, "--region", "0,0,9000,10").failed_with("reaches beyond the picture, which has")
    search("search", fish, "--region", "0,0,9,9", "--region", "0,0,9,9").failed_with("region: expected at most one")
    search("search", fish, "--taken", "soon").failed_with("--taken: expected dates as in 2021")
    search("search", fish, "--like", "no.jpg").failed_with("no.jpg: there is no such file")
    search("search", fish, "--less", "id:99999").failed_with("id: 99999 is not in this collection")
    search("search", fish, "--words", "fish").failed_with("do not mix with pictures")


def test_urls_inside_this_machine_are_refused(indexed: Indexed) -> None:
    for url in ("http://127.0.0.1:9/a.jpg", "http://localhost/a.jpg", "http://[::1]/", "HTTP://169.254.169.254/latest"):
        indexed.lookalike("search", url).failed_with("lookalike")


def test_without_any_collection(lookalike: Command, pictures: Path) -> None:
    lookalike("search", pictures / "photos/fish/fish-1.jpg").failed_with("index")


def test_a_reader_that_has_enough_is_no_error(indexed: Indexed) -> None:
    process = indexed.lookalike.start("search", indexed.folder / "photos/fish/fish-1.jpg", "-k", "24", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert err == ""


def test_help_is_quick_and_names_every_command(lookalike: Command) -> None:
    outcome = lookalike("--help")
    for command in (
        "demo",
        "index",
        "search",
        "serve",
        "status",
        "verify",
        "remove",
        "collections",
        "datasets",
        "models",
    ):
        assert re.search(rf"^ *{command}\b", outcome.out, re.MULTILINE), outcome
    assert lookalike("-h", stderr=subprocess.PIPE).out == outcome.out
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", lookalike("--version").out)
