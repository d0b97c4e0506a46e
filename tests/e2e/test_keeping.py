"""Collections, duplicates and reasons in the page; the fixture checks that nothing was complained about or asked elsewhere."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect

from lookalike.app import AppServer
from lookalike.collection import Collection
from lookalike.data.datasets import starter_folder
from tests.app.serving import HOSTILE, build_home, serving
from tests.e2e.browser import wait_until
from tests.e2e.conftest import Visit

pytestmark = pytest.mark.browser
AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that these tests change; a folder with pictures, copies, broken files and a hostile name in it."""
    home = build_home(tmp_path_factory.mktemp("keeping"))
    folder = home / "to index" / "my holiday"
    shutil.copytree(starter_folder() / "photos/fish", folder)
    (folder / EVIL).mkdir()
    shutil.copy(folder / "fish-1.jpg", folder / EVIL / HOSTILE)
    for name in ("one.jpg", "two.jpg", "<b>three.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (folder / "letter.txt").write_text("dear")
    for source in sorted((starter_folder() / "photos/tool").iterdir())[:12]:
        for name in ("one", "two"):
            (home / "twins" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, home / "twins" / name)
    with Collection.create(home / "collections/twins") as twins:
        twins.add(home / "twins")
    return home


@pytest.fixture(scope="module")
def own_server(own_home: Path) -> Iterator[AppServer]:
    with serving(own_home) as server:
        yield server


@pytest.fixture
def visit(browser: Browser, own_server: AppServer) -> Iterator[Callable[..., Page]]:
    """Open the page; at the end nobody may have complained or asked elsewhere."""
    visits: list[Visit] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        visit = Visit(context.new_page(), own_server.url).watch()
        visits.append(visit)
        visit.page.set_default_timeout(30_000)
        visit.page.goto(own_server.address)
        visit.page.wait_for_selector(".lk-tile")
        return visit.page

    yield open_page
    for visit in visits:
        visit.page.context.close()
    assert [visit.complaints for visit in visits if visit.complaints] == []
    assert [visit.foreign for visit in visits if visit.foreign] == []


def sheet(page: Page) -> Locator:
    return page.get_by_role("dialog")


def press(page: Page, name: str) -> None:
    sheet(page).get_by_role("button", name=name, exact=True).click()


def open_collections(page: Page) -> Locator:
    page.get_by_role("button", name="Collections", exact=True).click()
    expect(sheet(page).locator(".lk-collection").first).to_be_visible()
    return sheet(page)


def row(page: Page, name: str) -> Locator:
    return sheet(page).locator(f'[data-name="{name}"]')


def check_with_axe(page: Page) -> None:
    page.wait_for_timeout(300)
    found: list[dict[str, Any]] = Axe().run(page, context="dialog", options=AXE_RULES).response["violations"]
    assert [
        f"{issue['id']} {node['target']} {node['failureSummary']}" for issue in found for node in issue["nodes"]
    ] == []


def test_a_collection_from_a_folder_to_its_end(
    visit: Callable[..., Page], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made with skipped files, watched, shown, brought up to date, deleted with confirmation; a wrong folder, a taken name."""
    folder = own_home / "to index"
    seen, add = threading.Event(), Collection.add

    def added(collection: Collection, *arguments: Any, **named: Any) -> Any:
        assert seen.wait(300)
        return add(collection, *arguments, **named)

    monkeypatch.setattr(Collection, "add", added)
    page = visit(reduced_motion="reduce")
    dialog = open_collections(page)
    expect(row(page, "photos")).to_contain_text("24 pictures")
    expect(row(page, "photos")).to_contain_text("shown now")
    expect(row(page, "photos").get_by_role("button", name="Delete")).to_have_count(0)
    check_with_axe(page)

    press(page, "New collection")
    field = dialog.get_by_label("Folder on this machine")
    expect(field).not_to_have_value("")
    field.fill("/nowhere/at/all")
    press(page, "Index this folder")
    expect(dialog.get_by_role("alert")).to_contain_text("there is no folder '/nowhere/at/all'")
    field.fill(str(folder))
    field.press("Enter")
    dialog.locator(".lk-subfolders").get_by_role("button", name="my holiday").click()
    expect(dialog.locator(".lk-subfolders")).to_have_text(EVIL)
    expect(dialog).to_contain_text("31 pictures directly in it, and 1 folder")
    expect(dialog.get_by_label("Name of the collection")).to_have_value("my holiday")
    check_with_axe(page)

    dialog.get_by_label("Name of the collection").fill("drawings")
    press(page, "Index this folder")
    expect(dialog.get_by_role("alert")).to_contain_text("There is a collection called drawings already")
    expect(dialog.get_by_role("button", name="Add this folder to drawings")).to_be_visible()
    dialog.get_by_label("Name of the collection").fill("holiday")
    press(page, "Index this folder")
    expect(dialog.get_by_role("progressbar")).to_be_visible()
    seen.set()  # so few pictures could be done before anybody looks
    expect(dialog).to_contain_text("pictures of holiday can be searched")
    expect(dialog).to_contain_text("4 files skipped, and why")
    dialog.locator("summary").first.click()
    expect(dialog.locator("details[open] li")).to_have_text(["<b>three.jpg", "one.jpg", "two.jpg"])
    check_with_axe(page)
    press(page, "Show holiday")
    expect(dialog).to_have_count(0)
    expect(page.locator("#lk-status")).to_contain_text("29")
    shown = "i => i.getBoundingClientRect().top < innerHeight"
    wait_until(page, f"() => [...document.images].filter({shown}).every(i => i.complete)")  # one is deleted next

    open_collections(page)
    expect(row(page, "holiday")).to_contain_text("shown now")
    (folder / "my holiday/fish-1.jpg").unlink()
    row(page, "holiday").get_by_role("button", name="Update holiday").click()
    expect(dialog).to_contain_text("1 removed")
    press(page, "All collections")
    row(page, "holiday").get_by_role("button", name="Skipped files of holiday").click()
    expect(dialog.locator("summary")).to_have_count(2)
    press(page, "Back")
    row(page, "holiday").get_by_role("button", name="Delete holiday").click()
    expect(dialog).to_contain_text("The pictures themselves stay where they are.")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    check_with_axe(page)
    press(page, "Delete the collection")
    expect(row(page, "photos")).to_contain_text("shown now")
    expect(row(page, "holiday")).to_have_count(0)
    assert (folder / "my holiday/fish-2.jpg").exists()
    assert page.locator("img[src=x]").count() == 0


def test_indexing_is_watched_and_cancelled(visit: Callable[..., Page], own_home: Path) -> None:
    page = visit()
    dialog = open_collections(page)
    press(page, "New collection")
    dialog.get_by_label("Folder on this machine").fill(str(starter_folder()))
    dialog.get_by_label("Folder on this machine").press("Enter")
    dialog.get_by_label("Name of the collection").fill("many")
    press(page, "Index this folder")
    expect(dialog).to_contain_text(re.compile(r"\d+ of 349 · [\d.]+ a second · about .* left"))
    page.keyboard.press("Escape")  # the work goes on, and the button says so
    expect(page.locator("#lk-collections.is-busy")).to_be_visible()
    page.get_by_role("button", name="Collections", exact=True).click()
    press(page, "Cancel")
    expect(dialog).to_contain_text("Stopped")
    expect(page.locator("#lk-collections.is-busy")).to_have_count(0)
    press(page, "All collections")
    expect(row(page, "photos")).to_be_visible()


def test_stopping_what_has_just_failed_shows_why_it_failed(visit: Callable[..., Page]) -> None:
    """The job that the server answers has an `error`, and nothing is wrong with the request."""
    page = visit()
    running = {"id": 7, "collection": "new", "state": "running", "stopping": False, "error": None}
    job: dict[str, Any] = running | {"progress": None, "report": None}
    failed = job | {"state": "failed", "error": "No space left on the disk."}

    def answer(route: Route) -> None:
        is_stop = route.request.method == "DELETE"
        route.fulfill(json=failed if is_stop else {"jobs": [job], "local": True, "needs_token": False})

    page.route(re.compile(r"/api/jobs(/7)?$"), answer)
    page.get_by_role("button", name="Collections", exact=True).click()
    with page.expect_response(re.compile("/api/jobs/7$")):
        press(page, "Cancel")
    with page.expect_response(re.compile("/api/jobs$")):
        pass
    expect(sheet(page).get_by_role("alert")).to_have_count(0)
    job |= failed
    expect(sheet(page).get_by_role("alert")).to_have_text("No space left on the disk.")


def test_a_late_answer_changes_no_folder(visit: Callable[..., Page], own_home: Path) -> None:
    """Which folder is indexed is what was asked for last, whenever the home folder is answered."""
    page = visit()
    held: list[Route] = []
    page.route(re.compile(r"folders\?path=$"), lambda route: held.append(route))  # noqa: PLW0108 - it wraps functions only
    dialog = open_collections(page)
    press(page, "New collection")
    field = dialog.get_by_label("Folder on this machine")
    field.fill(str(own_home))
    field.press("Enter")
    expect(dialog.get_by_role("button", name="to index")).to_be_visible()
    with page.expect_response(re.compile(r"folders\?path=$")):
        held[0].continue_()
    expect(dialog.locator(".lk-crumbs [aria-current=page]")).to_have_text(own_home.name)
    expect(field).to_have_value(str(own_home))

    press(page, "Back")
    press(page, "New collection")
    field.fill(str(own_home / "to index"))  # not looked at yet when the home folder is answered
    with page.expect_response(re.compile(r"folders\?path=$")):
        held[1].continue_()
    expect(dialog.locator(".lk-crumbs [aria-current=page]")).to_be_visible()
    expect(field).to_have_value(str(own_home / "to index"))

    press(page, "Back")
    press(page, "New collection")
    expect(field).to_be_focused()  # to paste into, which is when the home folder is answered
    with page.expect_response(re.compile(r"folders\?path=$")):
        held[2].continue_()
    expect(dialog.locator(".lk-crumbs [aria-current=page]")).to_be_visible()
    page.keyboard.insert_text(str(own_home / "to index"))
    expect(field).to_have_value(str(own_home / "to index"))


def test_duplicates_are_kept_ignored_and_searched_with(visit: Callable[..., Page]) -> None:
    page = visit(color_scheme="dark")
    page.evaluate("window.lookalike.setCollection('drawings')")
    expect(page.locator("#lk-status")).to_contain_text("25")
    page.get_by_role("button", name="Duplicates", exact=True).click()
    dialog = sheet(page)
    groups = dialog.locator(".lk-group")
    expect(dialog.get_by_role("status")).to_contain_text("Nothing is deleted here")
    expect(groups.first).to_contain_text("2 pictures")
    expect(dialog).to_contain_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0
    check_with_axe(page)
    before = groups.count()

    groups.first.locator("[data-keep]").first.click()
    kept = groups.first.locator("[data-keep]").first
    expect(kept).to_have_attribute("aria-pressed", "true")
    expect(kept).to_be_focused()
    groups.first.get_by_role("button", name=re.compile("^Ignore")).click()
    expect(groups).to_have_count(before - 1)
    expect(groups.first.get_by_role("button", name=re.compile("^Ignore"))).to_be_focused()  # on to the next group
    dialog.get_by_label("Show ignored (1)").check()
    expect(groups).to_have_count(before)
    expect(dialog.locator(".lk-group.is-ignored")).to_have_count(1)
    dialog.locator(".lk-group.is-ignored").get_by_role("button", name=re.compile("^Reset")).click()
    expect(dialog.locator(".lk-group.is-ignored")).to_have_count(0)
    expect(dialog.locator("[aria-pressed=true]")).to_have_count(0)

    dialog.get_by_label("At least this alike").fill("100")
    expect(dialog.get_by_role("status")).to_contain_text("1 group, 2 pictures")
    name = groups.first.locator(".lk-copy-name").nth(1).inner_text()
    groups.first.locator(".lk-copy").nth(1).click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#lk-results h2")).to_contain_text(name)


def test_duplicates_come_in_pages(visit: Callable[..., Page]) -> None:
    page = visit()
    page.evaluate("window.lookalike.setCollection('twins')")
    expect(page.locator("#lk-status")).to_contain_text("24")
    page.get_by_role("button", name="Duplicates", exact=True).click()
    dialog = sheet(page)
    expect(dialog).to_contain_text("Page 1 of 2")
    expect(dialog.locator(".lk-group")).to_have_count(10)
    press(page, "Next")
    expect(dialog).to_contain_text("Page 2 of 2")
    expect(dialog.locator(".lk-group")).to_have_count(2)
    expect(dialog.get_by_role("button", name="Next")).to_be_disabled()
    for left in (1, 0):
        dialog.locator(".lk-group").first.get_by_role("button", name=re.compile("^Ignore")).click()
        expect(dialog.locator(".lk-group")).to_have_count(left or 10)  # an empty page is not shown
    press(page, "Close")


def test_why(visit: Callable[..., Page], own_home: Path) -> None:
    """The panel by itself, as the page's details show it: a picture that was uploaded, one that is liked, one that is not."""
    page = visit(color_scheme="dark")
    page.evaluate(
        """async (evil) => {
          const { showWhy } = await import(new URL("lookalike/why.js", document.baseURI).href);
          const bytes = await (await fetch("api/images/3")).blob();
          const makeForm = () => {
            const form = new FormData();
            form.append("image", new File([bytes], evil));
            for (const [key, value] of [["like", 5], ["dislike", 20], ["region", "0,0,0.5,1"]]) form.append(key, value);
            return form;
          };
          const [section, heading, panel] = ["section", "h2", "div"].map((tag) => document.createElement(tag));
          section.id = "why-here";
          heading.textContent = "Why?";
          section.append(heading, panel);
          document.querySelector("#lk-results").prepend(section);
          await showWhy(panel, { makeForm, hit: { id: 3, name: "x" }, collection: "photos" });
        }""",
        HOSTILE,
    )
    panel = page.locator("#why-here")
    expect(panel.locator("tbody tr")).to_have_count(4)
    expect(panel).to_contain_text(
        re.compile(r"\d+% alike to all of it together: (weak|related|very alike|same picture)")
    )
    expect(panel).to_contain_text("Of the 23 pictures compared")
    expect(panel.locator("tbody tr").nth(0)).to_contain_text("the marked part")
    expect(panel.locator("tbody tr").nth(2)).to_contain_text("less like this")
    expect(panel).to_contain_text("Compared directly: this collection's 24 pictures are all looked at.")
    wait_until(page, "[...document.querySelectorAll('#why-here img')].every((image) => image.naturalWidth > 0)")
    found = Axe().run(page, context="#why-here", options=AXE_RULES).response["violations"]
    assert [issue["id"] for issue in found] == []
    page.evaluate(
        """async () => {
          const { showWhy } = await import(new URL("lookalike/why.js", document.baseURI).href);
          const panel = document.querySelector("#why-here div");
          await showWhy(panel, { makeForm: () => new FormData(), hit: { id: 3 }, collection: "photos" });
        }"""
    )
    expect(panel.get_by_role("alert")).to_contain_text("Expected at least one of image, url, id")


def test_with_the_keyboard_alone(visit: Callable[..., Page], own_home: Path) -> None:
    page = visit()
    opener = page.get_by_role("button", name="Collections", exact=True)
    opener.focus()
    page.keyboard.press("Enter")
    expect(row(page, "photos").locator(".lk-choose")).to_be_focused()
    dialog = sheet(page)
    dialog.get_by_role("button", name="New collection").focus()
    page.keyboard.press("Enter")
    field = dialog.get_by_label("Folder on this machine")
    expect(field).to_be_focused()
    expect(field).not_to_have_value("")
    field.fill(str(own_home / "pictures"))
    page.keyboard.press("Enter")
    expect(dialog.locator(".lk-subfolders button")).to_have_count(2)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.lk-subfolders') !== null"):
            break
    page.keyboard.press("Enter")
    expect(field).to_have_value(str(own_home / "pictures/drawings"))
    assert page.evaluate("document.activeElement.closest('dialog') !== null"), "the focus is not lost"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(visit: Callable[..., Page], scheme: str) -> None:
    page = visit(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dialog = open_collections(page)
    press(page, "New collection")
    expect(dialog.locator(".lk-crumbs b")).to_be_visible()
    check_inside(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Duplicates", exact=True).click()
    expect(dialog.get_by_role("status")).not_to_be_empty()
    check_inside(page)
    check_with_axe(page)


def check_inside(page: Page) -> None:
    """Nothing of the dialog is wider than the screen, or scrolls sideways."""
    wide = page.evaluate(
        """() => [...document.querySelectorAll("dialog, dialog *")]
          .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest(".lk-hidden"))
          .map((node) => node.className)"""
    )
    assert wide == []


def test_a_server_that_others_reach_says_why_it_indexes_nothing(browser: Browser, own_home: Path) -> None:
    with serving(own_home, auth="ann:correct horse", trusted_hosts=["photos.example"]) as server:
        credentials: Any = {"username": "ann", "password": "correct horse"}
        with browser.new_context(http_credentials=credentials) as context:
            page = context.new_page()
            page.goto(server.url)
            page.wait_for_selector(".lk-tile")
            dialog = open_collections(page)
            expect(dialog).to_contain_text("only on the server's own machine")
            for name in ("New collection", "Update photos", "Delete drawings"):
                expect(dialog.get_by_role("button", name=name)).to_have_count(0)
            assert str(own_home) not in dialog.inner_text()


def test_a_page_without_the_secret_says_which_address_to_open(browser: Browser, own_server: AppServer) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(own_server.url)
        page.wait_for_selector(".lk-tile")
        dialog = open_collections(page)
        expect(dialog).to_contain_text("Open the address that lookalike serve printed")
        for name in ("New collection", "Update photos", "Delete drawings"):
            expect(dialog.get_by_role("button", name=name)).to_have_count(0)
        check_with_axe(page)
        page.keyboard.press("Escape")
        page.evaluate("window.lookalike.setCollection('twins')")
        page.get_by_role("button", name="Duplicates", exact=True).click()
        dialog.get_by_role("button", name=re.compile("^Keep ")).first.click()
        expect(dialog.get_by_role("alert")).to_contain_text("open the address that `lookalike serve` printed")
        page.goto(f"{own_server.address}&in=drawings")
        page.wait_for_selector(".lk-tile")
        assert "token" not in page.url
        assert page.url == f"{own_server.url}?in=drawings"
        assert page.evaluate("document.cookie") == "", "no script can read it"
        open_collections(page)
        expect(dialog.get_by_role("button", name="New collection")).to_be_visible()


def test_the_camera_over_plain_http_needs_https(browser: Browser, own_home: Path) -> None:
    """Under a name that is not this machine's, browsers give a page that came over plain http no camera at all."""
    with serving(own_home, auth="ann:horse", trusted_hosts=["photos.test"]) as server, browser.new_context() as context:
        page = context.new_page()

        def to_the_server(route: Route) -> None:
            if re.search("heartbeat|queue", route.request.url):  # they never end
                return route.abort()
            headers = {**route.request.headers, "authorization": "Basic YW5uOmhvcnNl"}
            there = route.request.url.replace("http://photos.test/", server.url)
            return route.fulfill(response=route.fetch(url=there, headers=headers))

        page.route("http://photos.test/**", to_the_server)
        page.goto("http://photos.test/")
        page.wait_for_selector(".lk-tile")
        assert page.evaluate("isSecureContext") is False
        page.get_by_role("button", name="Camera").click()
        expect(page.get_by_role("alert")).to_contain_text("The camera cannot be used")
        expect(page.get_by_role("alert")).to_contain_text("It needs https")
