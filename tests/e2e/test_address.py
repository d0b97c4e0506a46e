"""Python and the page write and read the same addresses."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import Page

from lookalike import Part, Query, Region

pytestmark = pytest.mark.browser

REWRITE = """async (address) => {
  const { fromParams, toParams } = await import(new URL("lookalike/query.js", document.baseURI).href);
  return toParams(fromParams(new URLSearchParams(address), "photos")).toString();
}"""
SENT = """async (address) => {
  const { fromParams, toForm } = await import(new URL("lookalike/query.js", document.baseURI).href);
  return [...toForm(fromParams(new URLSearchParams(address), "photos"))];
}"""


def test_the_page_reads_and_writes_what_python_does(page: Page) -> None:
    part = Region(0.25, 0, 0.5, 0.125)
    for query in (
        Query(7, k=12, fold=True),
        Query(words="a dog & a cat + 1", k=200),
        Query(
            [Part(kept="0a" * 16), Part(url="https://pictures.test/ä b.jpg?x=1", region=part), 3, 4], words="at night"
        ),
        Query([Part(id=1, source="drawings"), Part(id=2, region=part)], sort="largest", exact=True),
        Query(like=[3, 4], dislike=5, labels=["photos/fish", "a b"], at_least=60, sort="newest", fold=True),
        Query(7, after="2021-01-01", before="2023-05-01", min_side=100, max_side=2000, shape="portrait"),
    ):
        address = query.to_address("my photos")
        rewritten = page.evaluate(REWRITE, address)
        assert parse_qsl(rewritten, keep_blank_values=True) == parse_qsl(address, keep_blank_values=True)
        assert Query.from_address(rewritten) == query
        assert Query.from_fields(map(tuple, page.evaluate(SENT, address))) == query
