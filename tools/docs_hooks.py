"""What `make docs` does beyond mkdocs: README and CONTRIBUTING become pages, and pages of the starter pictures are drawn live.

``LOOKALIKE_DOCS_VIEWS=off`` leaves the drawing out, which takes most of the time.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"about.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
BACK = {name: page for page, name in PAGES.items()}
LINK = re.compile(r"(\]\()([^)\s#]+)")
VIEW = re.compile(r"<!-- live: (\w+), (.+?) -->")
QUERY = "photos/windmill/windmill-12.jpg"


def on_files(files: Any, config: Any) -> Any:
    """Put the pages in that lie beside docs/, not in it."""
    from mkdocs.structure.files import File

    for page, name in PAGES.items():
        files.append(File.generated(config, page, content=_from_root((ROOT / name).read_text("utf-8"))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of docs/ lead to the pages that stand for these files."""
    if page.file.src_path in PAGES:
        return markdown
    markdown = VIEW.sub(_frame, markdown)
    return LINK.sub(lambda found: found[1] + _inside(found[2]), markdown)


def _frame(found: re.Match[str]) -> str:
    """A view of `draw`, live in the page; nothing where the views are left out."""
    name, title = found.groups()
    if _left_out():
        return ""
    return (
        f'<iframe class="view" src="views/{name}.html" title="{title}" loading="lazy"></iframe>\n\n'
        f'<small>{title}, live; <a href="views/{name}.html">on a page of its own</a></small>'
    )


def _left_out() -> bool:
    return os.environ.get("LOOKALIKE_DOCS_VIEWS") == "off"


def _inside(target: str) -> str:
    name = target.removeprefix("../")
    return BACK.get(name, target) if target.startswith("../") else target


def _from_root(text: str) -> str:
    """A file of the repository's root as if it lay in docs/; links to files that are no page become plain words."""
    text = LINK.sub(
        lambda found: found[1] + BACK.get(found[2].removeprefix("docs/"), found[2].removeprefix("docs/")), text
    )
    return re.sub(r"(?<!!)\[([^\]]+)\]\((LICENSE|NOTICE)\)", r"\1", text)


def on_post_build(config: Any, **_: Any) -> None:
    """Draw the pages that docs/visualize.md shows."""
    if _left_out():
        return
    folder = Path(config["site_dir"]) / "views"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        draw(folder, Path(scratch))


def draw(folder: Path, scratch: Path) -> None:
    """Pages of the starter pictures into `folder`."""
    from lookalike import Collection
    from lookalike.data.datasets import starter_folder
    from lookalike.viz.explain import collection_index_page, explain_page
    from lookalike.viz.map import map_page

    with Collection.create(scratch / "starter.lookalike") as collection:
        collection.add(starter_folder())
        query = str(starter_folder() / QUERY)
        explain_page(collection, query, 14, nprobe=3).save(folder / "explain.html")
        collection_index_page(collection).save(folder / "index.html")
        map_page(collection, query=query).save(folder / "map.html")
        _draw_hnsw(collection, folder / "hnsw.html", scratch / "starter.hnsw")


def _draw_hnsw(collection: Any, page: Path, file: Path) -> None:
    import hnswlib

    from lookalike.data.datasets import starter_folder
    from lookalike.viz.hnsw import hnsw_page
    from lookalike.viz.hnsw_graph import read_hnsw

    ids = collection.ids()
    x = collection.vectors(ids.tolist())
    index = hnswlib.Index("cosine", x.shape[1])
    index.init_index(len(x), ef_construction=40, M=6, random_seed=1)
    index.add_items(x, ids, num_threads=1)
    index.save_index(str(file))
    graph = read_hnsw(file)
    hit = collection.search(starter_folder() / QUERY, k=1)[0]
    trace = graph.trace(x[int((ids == hit.id).argmax())], 8, 16)
    hnsw_page(graph, trace, "starter.hnsw", query_name=Path(QUERY).name).save(page)
