from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lookalike.app import AppServer
from lookalike.app.guard import attempts
from lookalike.errors import FetchError
from tests.app.serving import WINDMILL, build_home, serving


@pytest.fixture(scope="session", autouse=True)
def _quick_refusals() -> Iterator[None]:
    """Tests send thousands of wrong passwords; what those cost is tested in test_capacity.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "SECONDS", 0.001)
        patch.setattr(attempts, "LATER_SECONDS", 0.001)
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def windmill(home: Path) -> bytes:
    return (home / "pictures/photos" / WINDMILL).read_bytes()


@pytest.fixture(scope="package")
def server(home: Path, windmill: bytes) -> Iterator[AppServer]:
    def fetch(url: str) -> bytes:
        if url == "https://pictures.test/windmill.jpg":
            return windmill
        raise FetchError(f"{url}: refused")

    with serving(home, fetch=fetch) as running:
        yield running


@pytest.fixture
def client(server: AppServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
        yield client
