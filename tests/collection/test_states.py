"""Any order of events gives what a plain dictionary says."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lookalike.collection import Collection, models
from tests.collection.fake import CARD, FakeEmbedder, picture

NAMES = [f"{folder}{name}.jpg" for folder in ("", "cats/", "dogs/") for name in "abcd"]
SEEDS = st.integers(0, 5)


class Folder(RuleBasedStateMachine):
    """Files on disk, the collection, and a model of both in dictionaries.

    The model: `files` is what is on disk, `known` what was there at the last `add` and has not been dropped since.
    """

    @initialize()
    def start(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="lookalike-states-"))
        self.folder = self.top / "pictures"
        self.folder.mkdir()
        self.before = models._embedders.get(CARD.fingerprint)
        self.embedder = FakeEmbedder()
        models._embedders[CARD.fingerprint] = self.embedder  # type: ignore[assignment]
        self.collection = Collection.create(self.top / "c")
        self.files: dict[str, int] = {}  # name to seed
        self.indexed: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        self.contents: set[int] = set()  # embedded since the last compaction
        self.clock = 10**18
        self.plugged = True

    def teardown(self) -> None:
        if hasattr(self, "collection"):
            self.collection.close()
            if self.before is None:
                models._embedders.pop(CARD.fingerprint, None)
            else:
                models._embedders[CARD.fingerprint] = self.before
            shutil.rmtree(self.top)

    def _tick(self, path: Path) -> None:
        self.clock += 1_000_000_000
        os.utime(path, ns=(self.clock, self.clock))

    @precondition(lambda self: self.plugged)
    @rule(name=st.sampled_from(NAMES), seed=SEEDS)
    def write(self, name: str, seed: int) -> None:
        self._tick(picture(self.folder / name, seed))
        self.files[name] = seed

    @precondition(lambda self: self.plugged and self.files)
    @rule(data=st.data())
    def touch(self, data: st.DataObject) -> None:
        self._tick(self.folder / data.draw(st.sampled_from(sorted(self.files))))

    @precondition(lambda self: self.plugged and self.files)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.files)))
        (self.folder / name).unlink()
        del self.files[name]

    @rule()
    def plug(self) -> None:
        away = self.top / "unplugged"
        if self.plugged:
            self.folder.rename(away)
        else:
            away.rename(self.folder)
        self.plugged = not self.plugged

    @rule(prune=st.booleans())
    def add(self, prune: bool) -> None:
        if not self.plugged and not self.collection.status()["roots"]:
            return
        self.embedder.decoded.clear()
        report = self.collection.add(self.folder, prune=prune)
        there = dict(self.files) if self.plugged else {}
        known = {**self.missing, **self.indexed}
        vanished = {name: seed for name, seed in known.items() if name not in there}
        fresh = set(there.values()) - self.contents
        assert len(self.embedder.decoded) == len(fresh)
        self.contents |= fresh
        # A new file whose contents a vanished one had takes its place: it was moved.
        moved = 0
        gone = dict(sorted(vanished.items()))
        for name in sorted(there):
            if self.plugged and name not in known:
                match = next((old for old, seed in gone.items() if seed == there[name]), None)
                if match is not None:
                    del gone[match]
                    moved += 1
        new = len([name for name in there if name not in known]) - moved
        changed = len([name for name in there if name in known and known[name] != there[name]])
        protected = not prune and (not self.plugged or len(gone) * 5 > len(known))
        assert (report.new, report.moved, report.changed) == (new, moved, changed)
        assert report.unchanged == len(there) - new - moved - changed
        assert (report.removed, report.missing) == ((0, len(gone)) if protected else (len(gone), 0))
        self.indexed = there
        self.missing = gone if protected else {}

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        expected = int(name in self.indexed or name in self.missing)
        assert self.collection.remove(self.folder / name) == expected
        self.indexed.pop(name, None)
        self.missing.pop(name, None)

    @rule()
    def compact(self) -> None:
        self.collection.compact()
        self.contents = {*self.indexed.values(), *self.missing.values()}

    @rule()
    def reopen(self) -> None:
        self.collection.close()
        self.collection = Collection.open(self.top / "c")

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "collection"):
            return
        entries = {entry.relative: entry for entry in self.collection.entries()}
        assert set(entries) == set(self.indexed)
        assert len(self.collection) == len(self.indexed)
        assert self.collection.status()["missing"] == len(self.missing)
        for name, entry in entries.items():
            hits = self.collection.search(entry.id, k=100)
            assert len(hits) == len(entries) - 1
            same = {hit.relative for hit in hits if hit.cosine > 0.999}
            assert same == {other for other in entries if other != name and self.indexed[other] == self.indexed[name]}
        assert self.collection.verify() == []


TestFolder = Folder.TestCase
TestFolder.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
