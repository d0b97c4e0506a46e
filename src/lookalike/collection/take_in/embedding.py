"""From files to features: each file is read once and hashed; contents that are new go through the model."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._files import open_at_once
from lookalike.collection.records import Pace
from lookalike.collection.take_in.commit import Commits, Failed, Feature, Placed
from lookalike.collection.take_in.elsewhere import is_gone
from lookalike.collection.take_in.scan import Scan
from lookalike.collection.take_in.scopes import Scope, clean_text
from lookalike.data.stamp import Stamp
from lookalike.errors import ImageError, UnreadableNowError

if TYPE_CHECKING:
    from lookalike.features._source import Source
    from lookalike.features.embedder import Embedder
    from lookalike.features.reading import Content

__all__ = ["TakeIn"]

_NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file whose contents are being embedded."""

    path: bytes
    stamp: Stamp


class TakeIn:
    """One pass over the files that a scan found to be looked into, and a second one over those that could not be read.

    A file is read once: what is hashed is what is decoded, and what is recorded of it is what its open handle said. All of this
    runs in one thread: the embedder asks for the next file when it is asked for the next result, and only decodes and infers in
    others.
    """

    def __init__(self, scan: Scan, commits: Commits, pace: Pace) -> None:
        from lookalike.features.reading import Reader

        self.scan = scan
        self.commits = commits
        self.pace = pace
        self.total = scan.count_files()
        self._reading = Reader()
        self._waiting: dict[bytes, list[Waiting]] = {}  # by hash
        self._contents: dict[Path, tuple[bytes, Content]] = {}  # of files handed to the embedder
        self._again: list[bytes] = []  # files that could not be read
        self._is_last = False  # whether this is the second pass
        self._lost: dict[bytes, Scope] = {}  # folders that went away
        self._done = 0

    def run(self, embedder: Embedder | None) -> None:
        """Take all files in. When this is cut short, `Commits.flush` keeps what was done."""
        if self.total:
            self.pace.tell("embedding", 0, self.total)
        self._pass(embedder, self.scan.files())
        again, self._again, self._is_last = self._again, [], True
        if again:
            self._lost = {path: scope for path, scope in self._lost.items() if not self.scan.is_there(scope)}
            self._pass(embedder, iter(again))
        self.commits.flush()
        if self.total:
            self.pace.tell("embedding", self.total, self.total, last=True)

    def _pass(self, embedder: Embedder | None, files: Iterator[bytes]) -> None:
        sources = self._to_embed(files)
        if embedder is None:
            for _ in sources:
                raise AssertionError("files to embed, but no embedder")
            return
        results = embedder.stream(sources)
        try:
            for path, result in results:
                self._take(path, result)
                self._settle_down()
        finally:
            if isinstance(results, Generator):
                results.close()  # waits for its threads
            self._reading.close()

    # --- in ----------------------------------------------------------------------------------------------------------

    def _to_embed(self, files: Iterator[bytes]) -> Iterator[tuple[Path, Source]]:
        """Files whose contents are not known yet, with the contents; the others are dealt with on the way."""
        for name in files:
            path = Path(os.fsdecode(name))
            if self._lost_around(name) is not None:
                self._put_off(name, "")
            elif (content := self._read(name, path)) is not None:
                yield path, content.source
                continue
            self._settle_down()

    def _read(self, name: bytes, path: Path) -> Content | None:
        """The contents of a file, if they are to be embedded; the embedder has them until `_take`."""
        content: Content | None = None
        try:
            content = self._reading.read(path)
            digest = content.digest()
        except UnreadableNowError as error:
            self._put_off(name, str(error))
        except ImageError as error:
            self._fail(name, str(error), None if content is None else content.stamp)
        else:
            if self._admit(Waiting(name, content.stamp), digest):
                self._contents[path] = digest, content
                return content
        if content is not None:
            self._reading.release(content)
        return None

    def _admit(self, file: Waiting, content: bytes) -> bool:
        """Note a file; whether its contents have to be embedded."""
        if content in self._waiting:
            self._waiting[content].append(file)
            return False
        if content in self.commits.batch.features:
            self._place(file, content)
            return False
        known = self.commits.feature_of(content)
        if known is not None:
            self._place(file, known)
            return False
        self._waiting[content] = [file]
        return True

    def _take(self, path: Path, result: Any) -> None:
        """A result of the embedder, for all files of these contents."""
        digest, content = self._contents.pop(path)
        files = self._waiting.pop(digest)
        try:
            content.check()
        except UnreadableNowError as error:
            result = error
        finally:
            self._reading.release(content)
        if isinstance(result, ImageError):
            for file in files:
                if isinstance(result, UnreadableNowError):
                    self._put_off(file.path, str(result))
                else:
                    self._fail(file.path, str(result), file.stamp)
            return
        row = np.asarray(result.vector, np.float32)
        if not np.isfinite(row).all():
            for file in files:
                self._fail(file.path, "the model gave no finite numbers for it", file.stamp)
            return
        self.commits.batch.features[digest] = Feature(
            row.astype(np.float16), float(result.norm), digest, result.width, result.height, result.format or None
        )
        for file in files:
            self._place(file, digest)

    def _place(self, file: Waiting, feature: int | bytes) -> None:
        self.commits.batch.placed.append(Placed(file.path, file.stamp, feature))
        self._done += 1

    def _put_off(self, name: bytes, reason: str) -> None:
        """Read a file once more when the others are done; after that, leave it for the next run."""
        if self._lost_around(name) is None:
            scope = self.scan.scope_of(name)
            if scope is not None and not self.scan.is_there(scope):
                self._lost[os.fsencode(scope.path)] = scope
        if not self._is_last:
            self._again.append(name)
        elif (root := self._lost_around(name)) is not None:
            self._fail(name, f"its folder {os.fsdecode(root)} is gone", None, is_hidden=True)
        else:
            reason = "vanished while being indexed" if is_gone(name) else reason
            self._fail(name, reason, None, is_hidden=not _can_be_opened(name))

    def _lost_around(self, name: bytes) -> bytes | None:
        """The folder that went away, with the file in it."""
        scope = self.scan.scope_of(name) if self._lost else None
        root = None if scope is None else os.fsencode(scope.path)
        return root if root in self._lost else None

    def _fail(self, name: bytes, reason: str, stamp: Stamp | None, *, is_hidden: bool = False) -> None:
        self.commits.batch.failed.append(Failed(name, clean_text(reason), stamp, is_hidden))
        self._done += 1
        self.pace.skipped += 1

    def _settle_down(self) -> None:
        """Commit when it is time, and tell how far we are."""
        self.commits.flush_in_time()
        self.pace.tell("embedding", self._done, self.total)


def _can_be_opened(path: bytes) -> bool:
    """Whether the file is there, as far as can be said: with nothing left to open it with, nothing is known against it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (the name is bytes)
            return False
        os.close(open_at_once(path))
    except OSError as error:
        return error.errno in _NOTHING_LEFT
    return True
