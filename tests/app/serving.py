"""Two small collections of starter pictures in a home of their own, and the app serving them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from lookalike.app import AppServer
from lookalike.collection import Collection
from lookalike.data.datasets import starter_folder

FOLDERS = {
    "photos": ("photos/fish", "photos/windmill", "photos/tool"),
    "drawings": ("drawings/bird", "drawings/hat", "drawings/flower"),
}
PER_FOLDER = 8
WINDMILL = "photos/windmill/windmill-12.jpg"
_HOMES: list[Path] = []  # in force; that of the whole run first
HOSTILE = '<img src=x onerror=alert(1)>&".jpg'


def build_home(home: Path) -> Path:
    """A `LOOKALIKE_HOME` with the collections "photos" and "drawings"."""
    for name, folders in FOLDERS.items():
        root = home / "pictures" / name
        for folder in folders:
            (root / folder).mkdir(parents=True)
            files = sorted((starter_folder() / folder).iterdir())
            wanted = [file for file in files if f"{folder}/{file.name}" == WINDMILL]
            for file in [*wanted, *(f for f in files if f not in wanted)][:PER_FOLDER]:
                shutil.copy2(file, root / folder / file.name)
        if name == "drawings":
            source = sorted((root / "drawings/bird").iterdir())[0]
            shutil.copy2(source, source.with_name(HOSTILE))
        with Collection.create(home / "collections" / name) as collection:
            collection.add(root)
    return home


@contextlib.contextmanager
def serving(
    home: Path,
    collection: str = "photos",
    **options: Any,
) -> Iterator[AppServer]:
    """The app on a free port, with `home` as the user's data folder."""
    with at_home(home), AppServer(home / "collections" / collection, **options) as server:
        yield server


@contextlib.contextmanager
def at_home(home: Path) -> Iterator[None]:
    """`LOOKALIKE_HOME` is `home`, until a later home is named; servers of several fixtures end in any order."""
    if not _HOMES:
        _HOMES.append(Path(os.environ["LOOKALIKE_HOME"]))
    _HOMES.append(home)
    os.environ["LOOKALIKE_HOME"] = str(home)
    try:
        yield
    finally:
        _HOMES.remove(home)
        os.environ["LOOKALIKE_HOME"] = str(_HOMES[-1])


@contextlib.contextmanager
def owner(server: AppServer, **options: Any) -> Iterator[httpx.Client]:
    """Somebody who has opened the address that the server printed, and so has its secret as a cookie."""
    with httpx.Client(base_url=server.url, trust_env=False, **{"timeout": 60, **options}) as client:
        opened = client.get(server.address, follow_redirects=True)
        assert (opened.status_code, str(opened.url)) == (200, server.url)
        yield client
