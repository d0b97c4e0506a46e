"""Refining over a real socket: several pictures, parts, likes, filters, order, copies, exact search, reasons."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from lookalike._validate import unit_rows
from lookalike.collection import Collection
from lookalike.errors import InputError
from lookalike.search import Region
from lookalike.search.resolve import mixed
from tests.app.serving import WINDMILL, serving
from tests.app.test_api import error


def ask(client: httpx.Client, route: str = "search", **fields: Any) -> dict[str, Any]:
    files = [("image", ("a.jpg", image, "image/jpeg")) for image in fields.pop("images", [])]
    data = {key.rstrip("_"): value for key, value in fields.items()}
    response = client.post(f"/api/{route}", data=data, files=files or None)
    assert response.status_code == 200, response.text
    return dict(response.json())


def found(client: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    return list(ask(client, **fields)["results"])


@pytest.fixture(scope="module")
def pictures(home: Path) -> dict[str, dict[str, Any]]:
    """What the collection "photos" holds, by path."""
    with serving(home) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        page = client.get("/api/pictures", params={"limit": 100}).json()
    assert page["total"] == len(page["pictures"]) == 24
    return {picture["path"]: picture for picture in page["pictures"]}


def first_of(pictures: dict[str, dict[str, Any]], label: str, n: int = 1) -> list[int]:
    return [picture["id"] for picture in pictures.values() if picture["label"] == label][:n]


def test_several_pictures_are_one_query(client: httpx.Client, pictures: dict[str, Any], windmill: bytes) -> None:
    fish = first_of(pictures, "photos/fish")
    both = found(client, id=fish, images=[windmill], k=24)
    assert both[0]["path"] == WINDMILL
    assert fish[0] not in [hit["id"] for hit in both]
    alone = {hit["id"]: hit["cosine"] for hit in found(client, images=[windmill], k=24)}
    nearer = [hit for hit in both if hit["path"].startswith("photos/fish/") and hit["cosine"] > alone[hit["id"]]]
    assert len(nearer) == 7, "every other fish came closer"


def test_a_region_is_searched_as_if_it_were_cut_out(
    client: httpx.Client, pictures: dict[str, Any], windmill: bytes
) -> None:
    with Image.open(io.BytesIO(windmill)) as picture:
        width, height = picture.size
        cut = io.BytesIO()
        picture.crop((width // 2, 0, width, height)).save(cut, "PNG")
    expected = found(client, images=[cut.getvalue()], k=24)
    asked = found(client, images=[windmill], region="0.5,0,0.5,1", k=24)
    assert asked[0]["cosine"] < 0.99
    assert {h["id"]: h["cosine"] for h in asked} == pytest.approx({h["id"]: h["cosine"] for h in expected}, abs=0.01)
    by_id = found(client, id=pictures[WINDMILL]["id"], region="0.5,0,0.5,1", k=24)
    assert pictures[WINDMILL]["id"] not in [hit["id"] for hit in by_id]
    assert [hit["id"] for hit in by_id[:5]] == [hit["id"] for hit in asked if hit["path"] != WINDMILL][:5]


def test_regions_belong_to_pictures_in_order(client: httpx.Client, pictures: dict[str, Any], windmill: bytes) -> None:
    fish = first_of(pictures, "photos/fish")
    some = ask(client, images=[windmill], id=fish, region=["", "0,0,0.5,0.5"])
    other = ask(client, images=[windmill], id=fish, region=["0,0,0.5,0.5", ""])
    assert [h["cosine"] for h in some["results"]] != [h["cosine"] for h in other["results"]]


def test_a_picture_upright_by_exif_is_cut_upright(client: httpx.Client, windmill: bytes) -> None:
    with Image.open(io.BytesIO(windmill)) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # to be turned by 90° to be upright
        turned = io.BytesIO()
        picture.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=95, exif=exif)
    straight = found(client, images=[windmill], region="0,0,1,0.4")
    assert found(client, images=[turned.getvalue()], region="0,0,1,0.4")[0]["cosine"] == pytest.approx(
        straight[0]["cosine"], abs=0.02
    )


def test_more_like_these_and_less_like_those(client: httpx.Client, pictures: dict[str, Any]) -> None:
    fish, tool = first_of(pictures, "photos/fish", 2), first_of(pictures, "photos/tool", 2)
    start = first_of(pictures, "photos/windmill")

    def mean_place(hits: list[dict[str, Any]], label: str) -> float:
        return float(np.mean([at for at, hit in enumerate(hits) if hit["path"].startswith(label)]))

    plain = found(client, id=start, k=24)
    refined = found(client, id=start, like=fish, dislike=tool, k=24)
    assert mean_place(refined, "photos/fish") < mean_place(plain, "photos/fish")
    assert mean_place(refined, "photos/tool") > mean_place(plain, "photos/tool")
    assert not {hit["id"] for hit in refined} & {*tool, *start}, "what is not liked is not shown"
    assert set(fish) <= {hit["id"] for hit in refined}
    assert found(client, like=fish, k=3)


def test_the_mix_is_rocchios() -> None:
    rng = np.random.default_rng(0)
    asked, like, unlike = (unit_rows(rng.standard_normal((n, 8)).astype(np.float32)) for n in (2, 3, 1))
    unit = [x.mean(axis=0) / np.linalg.norm(x.mean(axis=0)) for x in (asked, like, unlike)]
    expected = unit[0] + 0.75 * unit[1] - 0.5 * unit[2]
    np.testing.assert_allclose(mixed(asked, like, unlike), expected / np.linalg.norm(expected), atol=1e-6)
    none = np.empty((0, 8), np.float32)
    with pytest.raises(InputError, match="cancel"):
        mixed(np.zeros((1, 8), np.float32), none, none)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({"label": ["photos/fish"]}, lambda p: p["label"] == "photos/fish"),
        ({"label": ["photos/fish", "photos/tool"]}, lambda p: p["label"] in ("photos/fish", "photos/tool")),
        ({"label": ["photos"]}, lambda p: True),
        ({"shape": "portrait"}, lambda p: p["height"] > p["width"] * 1.05),
        ({"min_side": 320}, lambda p: max(p["width"], p["height"]) >= 320),
        ({"max_side": 319}, lambda p: max(p["width"], p["height"]) <= 319),
        ({"after": "2500-01-01"}, lambda p: False),
        ({"before": "2500-01-01", "label": "photos/fish"}, lambda p: p["label"] == "photos/fish"),
    ],
)
def test_filters_leave_k_results_of_those_that_pass(
    client: httpx.Client, pictures: dict[str, Any], windmill: bytes, wanted: dict[str, Any], passes: Any
) -> None:
    expected = {picture["id"] for picture in pictures.values() if passes(picture)}
    assert {hit["id"] for hit in found(client, images=[windmill], k=200, **wanted)} == expected
    assert len(found(client, images=[windmill], k=5, **wanted)) == min(5, len(expected))


def test_threshold_and_order(client: httpx.Client, pictures: dict[str, Any], windmill: bytes) -> None:
    plain = found(client, images=[windmill], k=12)
    least = plain[5]["similarity"]
    assert found(client, images=[windmill], k=12, threshold=least) == [h for h in plain if h["similarity"] >= least]
    by_path = {picture["id"]: picture for picture in pictures.values()}
    keys = {
        "name": lambda hit: by_path[hit["id"]]["name"].casefold(),
        "newest": lambda hit: -by_path[hit["id"]]["modified"],
        "oldest": lambda hit: by_path[hit["id"]]["modified"],
        "largest": lambda hit: -by_path[hit["id"]]["width"] * by_path[hit["id"]]["height"],
    }
    for order, key in keys.items():
        ordered = found(client, images=[windmill], k=12, sort=order)
        assert {hit["id"] for hit in ordered} == {hit["id"] for hit in plain}
        assert [key(hit) for hit in ordered] == sorted(key(hit) for hit in ordered), order


def test_the_page_can_refine_without_sending_a_picture_again(client: httpx.Client, windmill: bytes) -> None:
    first = ask(client, "page/search", images=[windmill], k=5)
    (tag,) = first["queries"]
    again = ask(client, "page/search", query=tag, k=5, region="0,0,1,1")
    assert [hit["id"] for hit in again["results"]] == [hit["id"] for hit in first["results"]]
    shown = client.get(f"/api/queries/{tag}")
    assert shown.headers["content-type"] == "image/jpeg"
    gone = ask(client, "page/search", query="0" * 32)
    assert "give it again" in gone["error"]["message"]
    error(client.get("/api/queries/nothing"), 404)


def test_words_are_labels_and_the_answer_says_so(client: httpx.Client) -> None:
    answer = ask(client, text="fish", k=4)
    assert all("fish" in hit["path"] for hit in answer["results"])
    assert "a label search" in answer["words"]
    assert ask(client, text="fish", k=5, fold=True, threshold=100)["results"] == []
    error(client.post("/api/why", data={"text": "fish", "result": 1}), 422)


def test_ids_may_come_from_several_collections(client: httpx.Client) -> None:
    both = ask(client, id=[1, 1], **{"from": ["photos", "drawings"]})["results"]
    assert 1 not in {hit["id"] for hit in both}
    assert both != ask(client, id=[1, 1], **{"from": "photos"})["results"]


def test_pages_of_the_collection_pass_filters(client: httpx.Client) -> None:
    page = client.get("/api/pictures", params={"shape": "portrait", "label": "photos/windmill"}).json()
    assert 0 < page["total"] < 8
    assert all(each["height"] > each["width"] for each in page["pictures"])
    error(client.get("/api/pictures", params={"after": "soon"}), 422)


def test_why(client: httpx.Client, pictures: dict[str, Any], windmill: bytes) -> None:
    fish, *_ = first_of(pictures, "photos/fish")
    why = ask(client, "why", images=[windmill], like=fish, result=pictures[WINDMILL]["id"])
    assert why["rank"] == 1
    assert [part["role"] for part in why["parts"]] == ["asked", "like"]
    assert why["parts"][0]["cosine"] > 0.99 > why["parts"][1]["cosine"]
    assert (why["parts"][0]["word"], why["parts"][1]["id"]) == ("same picture", fish)
    assert client.get(f"/api/queries/{why['parts'][0]['query']}").status_code == 200
    assert (why["passes"], why["compared"]) == (True, 24)
    assert "24 pictures" in why["index"]["verdict"]
    own = ask(client, "why", id=fish, dislike=2, label="photos/windmill", result=fish)
    assert (own["passes"], own["rank"]) == (False, None)
    assert own["compared"] == len(set(first_of(pictures, "photos/windmill", 8)) - {2, fish})
    hits = found(client, id=fish, k=24)
    assert [ask(client, "why", id=fish, result=hits[at]["id"])["rank"] for at in (0, 4)] == [1, 5]
    error(client.post("/api/why", data={"id": fish, "result": 9999}), 404)


def test_the_report_of_a_search_is_a_page_that_can_reach_nothing(
    client: httpx.Client, pictures: dict[str, Any], home: Path
) -> None:
    fish, *_ = first_of(pictures, "photos/fish")
    response = client.post("/api/explain", data={"id": fish, "dislike": 2, "k": 5, "label": "photos/windmill"})
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith("; sandbox allow-scripts")
    assert "self" not in policy
    assert response.headers["x-frame-options"] == "DENY"
    trace = json.loads(re.findall(r'id="trace">(.*?)</script>', response.text)[0])
    assert trace["k"] == 5
    assert trace["exact"]["ids"][0] != 2
    assert "The filter is left out here" in response.text
    assert str(home) not in response.text, "no folder of this machine is told"
    words = client.post("/api/explain", data={"text": "fish"})
    assert "words were matched to labels" in words.json()["error"]["message"]
    error(words, 422)
    error(client.post("/api/explain", data={"id": 9999}), 404)
    error(client.post("/api/explain", data={"id": fish}, headers={"Origin": "https://evil.test"}), 403)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Vectors enough for an index, in pairs that are nearly equal."""
    home = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(1)
    clouds = rng.standard_normal((60, 32))[rng.integers(0, 60, 1500)] + rng.standard_normal((1500, 32))
    x = np.repeat(clouds, 2, axis=0) + 0.03 * rng.standard_normal((3000, 32))
    with Collection.create(home / "collections/large") as collection:
        collection.add_vectors(x, [f"{at}.jpg" for at in range(3000)], [f"half/{at % 2}" for at in range(3000)])
        assert collection.status()["index"] == "ivfpq"
    with serving(home, "large") as server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


def test_the_report_says_when_the_results_did_not_come_from_the_index(large: httpx.Client) -> None:
    def told(**more: Any) -> bool:
        text = large.post("/api/explain", data={"id": 1, **more}).text
        return "The results beside this were found by comparing with everything" in text

    assert told(exact=True)
    assert found(large, id=1, k=5) and not told(k=5)


def test_copies_are_folded_and_k_results_come_back(large: httpx.Client) -> None:
    plain = found(large, id=[1, 3], k=10)
    folded = found(large, id=[1, 3], k=10, fold=True)
    assert len(folded) == 10
    paired = [hit for hit in folded if len(hit["same"]) == 1]
    assert len(paired) >= 7
    assert all((hit["id"] - 1) // 2 == (hit["same"][0]["id"] - 1) // 2 for hit in paired)
    shown = {each["id"] for hit in folded for each in (hit, *hit["same"])}
    assert {hit["id"] for hit in plain} <= shown


def test_exact_search_says_what_the_index_missed_and_why(large: httpx.Client) -> None:
    missed = 0
    assert ask(large, "page/search", id=1, k=20)["exact"] is False
    for start in range(1, 200, 10):
        exact = ask(large, id=start, k=20, exact=True)
        quick = found(large, id=start, k=20)
        assert "missed" in exact
        assert set(exact["missed"]) == {h["id"] for h in exact["results"]} - {h["id"] for h in quick}
        for number in exact["missed"][:2]:
            why = ask(large, "why", id=start, result=number)
            assert why["index"]["nlist"] > why["index"]["nprobe"] > 0
            assert not why["index"]["found"] or why["index"]["code_rank"] > 10
            missed += 1
    assert missed, "an index that misses nothing needs another test"
    nearest = found(large, id=1, k=1)[0]["id"]
    met = ask(large, "why", id=1, result=nearest)["index"]
    assert met["found"]
    assert met["list_rank"] <= met["nprobe"]
    assert "visited" in met["verdict"]


def test_where_all_are_compared_anyway_nothing_is_said_of_the_index(large: httpx.Client) -> None:
    for start in range(1, 200, 40):
        quick, exact = (ask(large, "page/search", id=start, k=50, exact=told) for told in (False, True))
        assert quick["exact"] is exact["exact"] is True
        assert quick["missed"] is exact["missed"] is None, "an index that was not asked misses nothing"
        assert [hit["id"] for hit in quick["results"]] == [hit["id"] for hit in exact["results"]]
        assert "missed" not in ask(large, id=start, k=50, exact=True)
    assert ask(large, "page/search", id=1, k=10, label="half/1", before="2001-01-01")["exact"] is True


def test_a_filter_is_applied_inside_the_index(large: httpx.Client) -> None:
    hits = found(large, id=1, k=100, label="half/1")
    assert len(hits) == 100
    assert all(int(hit["path"].removesuffix(".jpg")) % 2 for hit in hits)


def test_labels_and_pages(client: httpx.Client) -> None:
    labels = {item["label"]: item["pictures"] for item in client.get("/api/labels").json()["labels"]}
    assert labels == {"photos": 24, "photos/fish": 8, "photos/tool": 8, "photos/windmill": 8}
    pages = [client.get("/api/pictures", params={"offset": at, "limit": 10}).json() for at in (0, 10, 20, 30)]
    assert [len(page["pictures"]) for page in pages] == [10, 10, 4, 0]
    assert len({picture["id"] for page in pages for picture in page["pictures"]}) == 24
    only = client.get("/api/pictures", params={"label": "photos/fish"}).json()
    assert only["total"] == 8
    one, two = (client.get("/api/examples", params={"n": 6, "page": page}).json()["examples"] for page in (0, 1))
    assert not {p["id"] for p in one} & {p["id"] for p in two}


@pytest.mark.parametrize("text", ["0,0,0,1", "-0.1,0,1,1", "0,0,nan,1", "0.5,0,0.6,1", "1,1", "a,b,c,d", "0,0,1e400,1"])
def test_a_region_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="region"):
        Region.parse(text)


def test_a_region_has_at_least_one_pixel() -> None:
    region = Region.parse("0.999,0.999,0.0005,0.0005")
    assert region is not None
    assert region.box((3, 3)) == (2, 2, 3, 3)
    assert Region.parse("0,0,1,1") is Region.parse("") is None
    assert str(Region(0.25, 0, 0.5, 1)) == "0.25,0,0.5,1"
