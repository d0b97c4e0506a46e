"""Data sets from packages, with an apt-get and a dpkg of the test's own: nothing leaves the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lookalike.data.datasets import DATASETS
from lookalike.data.debian import PACKAGES, fetch
from lookalike.errors import DatasetError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are scripts that start with #!")

# Both read what they should do from the folder FAKE: `size` (claimed), `stale` (fails with the system's lists), `broken`.
APT_GET = """
import os, pathlib, sys
fake, arguments = pathlib.Path(os.environ["FAKE"]), sys.argv[1:]
with (fake / "calls").open("a") as log:
    log.write(" ".join(arguments) + "\\n")
if os.environ["LC_ALL"] != "C" or sys.stdin.read():
    sys.exit("expected English and no input")
own_lists = any("Dir::State::Lists=" in argument for argument in arguments)
if (fake / "stale").exists() and not own_lists or (fake / "offline").exists():
    sys.exit("E: Unable to locate package")
if "update" not in arguments:
    name, payload = arguments[-1], (fake / "payload").read_bytes()
    if "--print-uris" in arguments:
        size = (fake / "size").read_text() if (fake / "size").exists() else len(payload)
        print(f"'https://127.0.0.1/{name}.deb' {name}_1_all.deb {size} SHA256:00")
    else:
        pathlib.Path(f"{name}_1_all.deb").write_bytes(payload)
"""
DPKG = """
import os, pathlib, sys
flag, archive, root = sys.argv[1:]
assert flag == "-x" and pathlib.Path(archive).read_bytes() == b"a package"
if (pathlib.Path(os.environ["FAKE"]) / "broken").exists():
    sys.exit("dpkg-deb: error: not a package")
exec((pathlib.Path(os.environ["FAKE"]) / "tree.py").read_text(), {"root": pathlib.Path(root)})
"""
TREE = """
stamps = root / "usr/share/tuxpaint/stamps"
(stamps / "animals/birds").mkdir(parents=True)
(stamps / "animals/birds/owl.png").write_bytes(b"owl")
(stamps / "animals/cat.JPG").write_bytes(b"cat")
(stamps / "animals/cat.ogg").write_bytes(b"miaow")
(stamps / "animals/secret.png").symlink_to("/etc/passwd")
(stamps / "outside").symlink_to("/etc")
(root / "usr/share/doc/tuxpaint-stamps-default").mkdir(parents=True)
(root / "usr/share/doc/tuxpaint-stamps-default/copyright").write_text("GPL-2")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with apt-get and dpkg, which is all of PATH, and what they are to do."""
    folder = tmp_path / "fake"
    (folder / "bin").mkdir(parents=True)
    for name, text in (("apt-get", APT_GET), ("dpkg", DPKG)):
        script = folder / "bin" / name
        script.write_text(f"#!{sys.executable} -I\n{text}")
        script.chmod(0o755)
    (folder / "payload").write_bytes(b"a package")
    (folder / "tree.py").write_text(TREE)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setenv("FAKE", str(folder))
    return folder


def test_pictures_are_fetched_and_nothing_else(fake: Path, tmp_path: Path) -> None:
    said: list[str] = []
    target = tmp_path / "data" / "stamps"
    fetched = fetch("stamps", target, said.append)
    assert fetched == (target, 2, False)
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir())
    assert files == ["COPYRIGHT", "animals/birds/owl.png", "animals/cat.JPG"]
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert (target / "animals/birds/owl.png").read_bytes() == b"owl"
    assert any("fetching tuxpaint-stamps-default" in line for line in said)
    assert [path.name for path in target.parent.iterdir()] == ["stamps"]  # no leavings


def test_what_is_there_is_not_fetched_again(fake: Path, tmp_path: Path) -> None:
    (tmp_path / "stamps").mkdir()
    fetch("stamps", tmp_path / "stamps")  # an empty folder is no obstacle
    calls = (fake / "calls").read_text()
    assert fetch("stamps", tmp_path / "stamps") == (tmp_path / "stamps", 2, True)
    assert (fake / "calls").read_text() == calls


def test_a_stale_list_is_got_around_without_root(fake: Path, tmp_path: Path) -> None:
    (fake / "stale").touch()
    assert fetch("stamps", tmp_path / "stamps").pictures == 2
    update = next(line for line in (fake / "calls").read_text().splitlines() if line.endswith("update"))
    assert f"Dir::State::Lists={tmp_path}" in update
    assert "Dir::Cache=" in update


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("offline", "the list of packages cannot be had"),
        ("broken", "cannot be unpacked: dpkg-deb: error: not a package"),
    ],
)
def test_what_fails_is_said_and_leaves_nothing(fake: Path, tmp_path: Path, spoil: str, message: str) -> None:
    (fake / spoil).touch()
    with pytest.raises(DatasetError, match=message):
        fetch("stamps", tmp_path / "data" / "stamps")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("size", "message"),
    [("10", "expected 10 bytes, got 9"), (str(2 << 30), "at most 1,074 MB"), ("many", "does not say how large")],
)
def test_sizes_are_checked(fake: Path, tmp_path: Path, size: str, message: str) -> None:
    (fake / "size").write_text(size)
    with pytest.raises(DatasetError, match=message):
        fetch("stamps", tmp_path / "stamps")
    assert not (tmp_path / "stamps").exists()


@pytest.mark.parametrize(
    "tree",
    [
        "root.mkdir()",
        "(root / 'usr/share/tuxpaint/stamps').mkdir(parents=True)",
        "(root / 'usr/share/tuxpaint').mkdir(parents=True); (root / 'usr/share/tuxpaint/stamps').symlink_to('/usr')",
        "root.mkdir(); (root / 'usr').symlink_to('/usr')",
    ],
)
def test_a_package_of_another_shape_is_refused(fake: Path, tmp_path: Path, tree: str) -> None:
    (fake / "tree.py").write_text(tree)
    with pytest.raises(DatasetError, match="this version of it is not known"):
        fetch("stamps", tmp_path / "stamps")
    assert not (tmp_path / "stamps").exists()


def test_where_there_is_no_apt_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"no apt-get and no dpkg; .* openclipart-png .* usr/share/openclipart/png"):
        fetch("clipart", tmp_path / "clipart")


def test_only_known_data_sets_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there are: stamps, clipart"):
        fetch("starter", tmp_path / "x")
    fetchable = {card.name for card in DATASETS.values() if not card.bundled and card.archive is None}
    assert fetchable == set(PACKAGES)
    for card in DATASETS.values():
        assert sum(licence.pictures for licence in card.licences) == card.pictures
