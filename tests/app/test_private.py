"""What is used of uvicorn and gradio that is not for others to use: in one place each, and refused where it has moved."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import gradio
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

import lookalike
from lookalike.app.gradio.filedata import guard_components
from lookalike.app.gradio.uploads import Uploads
from lookalike.app.guard import connections
from lookalike.app.guard.connections import PARTS, check_parts
from lookalike.errors import MissingExtraError
from tests.app.serving import serving

APP = Path(lookalike.__file__).parent / "app"


def test_it_is_where_it_was() -> None:
    own = {
        *dir(H11Protocol),
        *re.findall(r"self\.(\w+)", Path(H11Protocol.__init__.__code__.co_filename).read_text("utf-8")),
    }
    assert own.issuperset(PARTS)
    for kind in (gradio.Image, gradio.File, gradio.Textbox, gradio.Slider, gradio.Gallery):
        assert callable(kind.async_move_resource_to_block_cache)
        assert callable(kind.preprocess)


def test_it_is_used_in_one_place() -> None:
    private = re.compile(
        r"uvicorn\.protocols|async_move_resource_to_block_cache|from gradio\.(?!themes)|import gradio\."
    )
    users = {file.relative_to(APP).as_posix() for file in APP.rglob("*.py") if private.search(file.read_text("utf-8"))}
    assert users == {"guard/connections.py", "gradio/filedata.py"}


def test_a_version_that_lacks_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"cannot use uvicorn \S+, where str has no connections; pip install"):
        check_parts("", ["connections"], "uvicorn")

    page = SimpleNamespace(blocks={1: gradio.Textbox(), 2: object()})
    with pytest.raises(MissingExtraError, match=r"cannot use gradio \S+, where object has no async_move"):
        guard_components(page, Uploads(tmp_path))


def test_a_server_does_not_start_with_a_version_that_lacks_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PARTS", (*PARTS, "moved_away"))
    with pytest.raises(MissingExtraError, match="cannot use uvicorn"), serving(home):
        pass
