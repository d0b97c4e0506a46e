"""A thumbnail is kept under the tag of the file that it was made of."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike.app import pictures
from lookalike.app.api import search as api
from lookalike.app.pictures import Thumbnails
from lookalike.collection.records import Entry, Hit
from lookalike.search.find import Found


def paint(path: Path, colour: str, mtime_ns: int) -> None:
    Image.new("RGB", (64, 64), colour).save(path)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def colour_of(body: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(body)) as picture:
        pixel = picture.convert("RGB").getpixel((32, 32))
    assert isinstance(pixel, tuple)
    return tuple(round(value / 255) for value in pixel)


def test_a_picture_that_changes_between_look_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    entry = Entry(1, path, tmp_path, "a.png", "")
    thumbnails = Thumbnails(tmp_path / "cache")
    paint(path, "red", 1_000_000_001)
    looked_at = pictures._current_tag

    def overwritten(entry: Entry) -> str:
        tag = looked_at(entry)
        paint(path, "lime", 2_000_000_001)
        return tag

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "_current_tag", overwritten)
        lime = thumbnails.get(entry, 96)
    assert colour_of(lime.body) == (0, 1, 0)
    assert thumbnails.get(entry, 96).etag == lime.etag
    paint(path, "red", 1_000_000_001)  # put back with its time, as sync tools do
    red = thumbnails.get(entry, 96)
    assert colour_of(red.body) == (1, 0, 0)
    assert red.etag != lime.etag


def test_a_picture_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    entry = Entry(1, path, tmp_path, "a.png", "")
    paint(path, "red", 1_000_000_001)
    fstat, seen = os.fstat, []

    def changing(handle: int) -> os.stat_result:
        seen.append(handle)
        if len(seen) == 2:
            os.utime(path, ns=(3_000_000_001, 3_000_000_001))
        return fstat(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", changing)
        first: Any = pictures.read_file(entry)
    assert first[1] not in {pictures.read_file(entry)[1], pictures._current_tag(entry)}


def test_a_result_whose_file_is_gone_says_so_in_the_answers(tmp_path: Path) -> None:
    entry = Entry(1, tmp_path / "a.png", tmp_path, "a.png", "")
    here = Hit(1, entry.path, "a.png", tmp_path, 100.0, 1.0, 0.0, "same picture", "")
    gone = Found(replace(here, missing=True), replace(entry, missing=True))
    folded = Found(here, entry, (gone,))
    answer = api._result(folded, fold=True).model_dump(exclude_none=True)
    assert "missing" not in answer
    assert [each["missing"] for each in answer["same"]] == [True]
    shown = api._shown(folded)
    assert "missing" not in shown
    assert [each["missing"] for each in shown["same"]] == [True]
