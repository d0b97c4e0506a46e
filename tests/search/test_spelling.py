"""One query, four spellings: each is turned into each, for what each can hold."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from lookalike import InputError, Part, Query, Region
from lookalike.app.api.forms import asked
from lookalike.cli.asking import read
from lookalike.cli.commands import app

COMMAND: Any = typer.main.get_command(app).commands["search"]  # type: ignore[attr-defined]

names = st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text)
ids = st.integers(0, 2**63 - 1)
urls = names.map("https://pictures.test/".__add__)
corners = st.floats(0, 0.5)
fractions = st.builds(Region, corners, corners, *[st.floats(0.001, 0.5)] * 2)
pixels = st.builds(Region, *[st.integers(0, 5000)] * 2, *[st.integers(2, 5000)] * 2)
own_ids = st.builds(Part, id=ids)
by_url, by_id = (st.builds(Part, region=st.none() | fractions, **each) for each in ({"url": urls}, {"id": ids}))
others_ids = st.builds(Part, id=ids, source=st.sampled_from(["a b", "Ärger"]), region=st.none() | fractions)
kept = st.builds(Part, kept=st.sampled_from(["0a" * 16, "1b" * 16]), region=st.none() | fractions)
bytes_parts = st.builds(Part, image=st.binary(), region=st.none() | fractions)
paths = names.map("/{}".format) | names.map("{}.jpg".format)
by_path = st.builds(Part, path=paths, region=st.none() | fractions | pixels)
dates = st.none() | st.sampled_from(["2021", "2021-05", "2021-05-03"])
sides = st.none() | st.integers(0, 2**31 - 1)


@st.composite
def queries(draw: st.DrawFn, *kinds: st.SearchStrategy[Part], marks: st.SearchStrategy[Part] = own_ids) -> Query:
    """Queries with pictures of these kinds, kind after kind."""
    few = [draw(st.lists(kind, max_size=2)) for kind in kinds]
    return Query(
        [part for parts in few for part in parts],
        words=draw(names if not any(few) else st.none() | names),
        like=draw(st.lists(marks, max_size=2)),
        dislike=draw(st.lists(marks, max_size=2)),
        labels=draw(st.lists(names, max_size=2)),
        after=draw(dates),
        before=draw(dates),
        min_side=draw(sides),
        max_side=draw(sides),
        shape=draw(st.sampled_from([None, "landscape", "portrait", "square"])),
        at_least=draw(st.floats(0, 100)),
        k=draw(st.integers(1, 1_000_000)),
        sort=draw(st.sampled_from(["similarity", "name", "newest", "oldest", "largest"])),
        exact=draw(st.booleans()),
        fold=draw(st.booleans()),
    )


def from_arguments(arguments: list[str]) -> Query:
    """As the command reads them."""
    given = COMMAND.make_context("search", list(arguments)).params
    return read(**{name: value for name, value in given.items() if name not in ("into", "json", "each")})


def as_json(query: Query) -> Query:
    return Query.from_json(json.loads(json.dumps(query.to_json())))


@given(queries(bytes_parts, kept, by_url, others_ids, by_id, by_path, marks=own_ids | by_path | bytes_parts))
def test_json_holds_everything(query: Query) -> None:
    assert as_json(query) == query


@given(queries(bytes_parts, kept, by_url, by_id | others_ids), st.sampled_from([None, "holiday"]))
def test_a_form_holds_what_a_server_can_get(query: Query, name: str | None) -> None:
    assert Query.from_fields(query.to_fields(name)) == query


@given(queries(kept, by_url, by_id | others_ids))
def test_an_address_holds_no_bytes(query: Query) -> None:
    address = query.to_address("my holiday")
    assert address.startswith("in=my+holiday")
    assert Query.from_address(address) == query
    assert Query.from_address(f"http://127.0.0.1:7860/?{address}#x") == query
    assert Query.from_address(f"?{address}") == query


@given(queries(by_path | by_url | by_id, marks=by_path.map(lambda part: replace(part, region=None)) | own_ids))
def test_a_command_line_holds_paths(query: Query) -> None:
    def bare(part: Part) -> Part:
        return replace(part, path=part.path and part.path.removeprefix("./"))

    asked = from_arguments(query.to_arguments())
    parts = {role: [bare(part) for part in getattr(asked, role)] for role in ("parts", "like", "dislike")}
    assert replace(asked, **parts) == query


@given(queries(by_url, by_id))
def test_what_all_can_say_goes_round(query: Query) -> None:
    once = from_arguments(as_json(query).to_arguments())
    twice = Query.from_fields(Query.from_address(once.to_address("holiday")).to_fields())
    assert twice == query


def test_the_example_of_the_documentation() -> None:
    query = Query(
        Part.of("a.jpg", "10,10,200,150"),
        words="at night",
        like=["b.jpg"],
        dislike=["c.jpg"],
        labels="2024",
        after="2021",
        before="2023-05-01",
        at_least=60,
        sort="newest",
        fold=True,
    )
    line = "a.jpg --region 10,10,200,150 --like b.jpg --less c.jpg --folder 2024 --at-least 60 --fold --sort date"
    assert from_arguments([*line.split(), "--taken", "2021..2023-05-01", "--words", "at night"]) == query
    assert from_arguments(query.to_arguments()) == query


def test_the_table_of_the_documentation_has_every_flag_and_field() -> None:
    page = (Path(__file__).parents[2] / "docs/search.md").read_text("utf-8")
    rows = [line.split(" | ")[1:4] for line in page.splitlines() if line.startswith("| ") and line.count(" | ") == 3]
    python, flags, fields = ("\n".join(column) for column in zip(*rows, strict=True))
    known = {name for option in COMMAND.params for name in option.opts}
    assert set(re.findall(r"--[a-z-]+", flags)) == {name for name in known if name.startswith("--")} - {
        "--in",
        "--results",
        "--json",
        "--each",
    }
    query = {name for name in inspect.signature(Query).parameters if name != "parts"}
    assert set(re.findall(r"(\w+)=", python)) == query
    form = {name for name in inspect.signature(asked).parameters if name != "source"}
    assert form <= set(re.findall(r"\w+", fields))


def test_what_people_give_is_told_apart() -> None:
    query = Query(["a.jpg", "HTTPS://a.b/c", 7, b"\xff\xd8"], like=7, dislike=["b.jpg"])
    assert [part.to_json() for part in query.parts] == [
        {"path": "a.jpg"},
        {"url": "HTTPS://a.b/c"},
        {"id": 7},
        {"image": "/9g="},
    ]
    assert query.like == (Part(id=7),)
    assert hash(query) == hash(replace(query, k=10))
    odd = Query(["id:12", "-k", "red bicycle"])
    assert odd.to_arguments() == ["./id:12", "./-k", "./red bicycle"]
    assert from_arguments(["id:12"]) == Query(12)


def test_a_whole_picture_is_no_region() -> None:
    assert Part(id=1, region=Region(0, 0, 1, 1)) == Part(id=1)
    assert Query.from_fields([("id", "1"), ("region", "0,0,1,1")]) == Query(1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Query, "at least one of"),
        (lambda: Query(dislike=7), "need one to be like"),
        (lambda: Query(7, k=0), "k: expected at least 1"),
        (lambda: Query(7, at_least=101), "at_least: expected a similarity from 0 to 100"),
        (lambda: Query(7, sort="beauty"), "sort: expected one of similarity"),  # type: ignore[arg-type]
        (lambda: Query(7, after="soon"), "after: expected a date"),
        (lambda: Query(range(1001)), "at most 1,000 pictures"),
        (lambda: Query(1.5), "got float"),  # type: ignore[arg-type]
        (Part, "expected one of image"),
        (lambda: Part(id=1, path="a.jpg"), "expected one of image"),
        (lambda: Part(path="http://a.b/c"), "give it as a url"),
        (lambda: Part(path="a.jpg", source="holiday"), "source: "),
        (lambda: Region(10, 10, 0, 5), "inside the picture"),
        (lambda: Query.from_json({"parts": [{"file": "a.jpg"}]}), "plain values"),
        (lambda: Query.from_json({"parts": [{"image": "?"}]}), "plain values"),
        (lambda: Query.from_json({"parts": [{"id": 1}], "colour": "red"}), "plain values"),
        (lambda: Query.from_json([1]), "plain values"),  # type: ignore[arg-type]
        (lambda: Query("a.jpg").to_fields(), "names no files"),
        (lambda: Query(b"x").to_address("holiday"), "holds no bytes"),
        (lambda: Query(7, like="a.jpg").to_fields(), "takes ids"),
        (lambda: Query(Part(id=1, region=Region(1, 1, 5, 5))).to_fields(), "as fractions"),
        (lambda: Query.from_fields([("id", "1"), ("region", "1,1,5,5")]), "as fractions"),
        (lambda: Query.from_address("id=seven"), "id: expected a whole number, got 'seven'"),
        (lambda: Query.from_address("id=7&threshold=much"), "threshold: expected a number"),
        (lambda: Query.from_address("id=7&exact=perhaps"), "exact: expected true or false"),
        (lambda: Query(b"x").to_arguments(), "holds no bytes"),
        (lambda: Query(7, like=Part.of("a.jpg", "0,0,0.5,1")).to_arguments(), "takes whole pictures"),
        (lambda: Query(7, at_least="much"), "at_least: expected a number"),  # type: ignore[arg-type]
        (lambda: Query(7, min_side=-1), "min_side: expected at least 0"),
        (lambda: Query(Part(id=1, source="holiday")).to_arguments(), "holds no bytes"),
        (lambda: from_arguments(["id:1", "--region", "0,0,1,1", "--region", "0,0,5,5"]), "for each of 1 pictures"),
        (lambda: from_arguments(["id:1", "--taken", "yesterday"]), "--taken: expected dates as in 2021"),
        (lambda: from_arguments(["id:1", "--taken", ".."]), "--taken: expected dates"),
    ],
)
def test_what_cannot_be_said(make: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()
