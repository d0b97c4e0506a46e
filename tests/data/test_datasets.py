"""The starter pictures and whose they are."""

from __future__ import annotations

from collections import Counter

import pytest

from lookalike.data.datasets import DATASETS, get_dataset, starter_attribution, starter_folder
from lookalike.data.walk import Found, label_of, walk
from lookalike.errors import DatasetError


def test_every_starter_picture_is_attributed_and_nothing_else_is() -> None:
    entries = list(walk(starter_folder(), {".jpg"}))
    assert all(isinstance(entry, Found) for entry in entries)
    names = {entry.path.relative_to(starter_folder()).as_posix() for entry in entries}
    assert names == set(starter_attribution())


def test_the_card_says_what_is_there() -> None:
    card = DATASETS["starter"]
    attributions = starter_attribution().values()
    assert card.pictures == len(attributions)
    assert {(x.name, x.url): x.pictures for x in card.licences} == Counter(
        (a.licence, a.licence_url) for a in attributions
    )
    assert card.labels == len({label_of(a.file, ".") for a in attributions})
    assert card.bundled
    assert card.size == sum((starter_folder() / a.file).stat().st_size for a in attributions)


def test_every_attribution_is_complete() -> None:
    for attribution in starter_attribution().values():
        for value in (attribution.author, attribution.source, attribution.licence, attribution.changes):
            assert value.strip()
            assert value in attribution.credit
        assert attribution.licence_url.startswith("https://creativecommons.org/")


def test_an_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(DatasetError, match="did you mean 'starter'"):
        get_dataset("startre")
    with pytest.raises(DatasetError, match="there are: starter"):
        get_dataset("zzz")
