"""Printing: results on stdout, messages and progress on stderr, file names as the bytes they are."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from typer.core import TyperGroup

from lookalike.errors import LookalikeError, LookalikeWarning

__all__ = ["Commands", "clean", "count", "duration", "emit", "emit_json", "grouped", "prepare", "say", "table"]

# C0, DEL and C1: a file name must not move the cursor, recolour the terminal or start a new line.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {0x0A: "\\n", 0x09: "\\t"}

_FEW = 5  # files skipped for the same reason that are named one by one


def prepare() -> None:
    """Make both streams take any file name, and warnings one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # On POSIX a name that is not UTF-8 leaves as the bytes it came from; Windows has no such names.
            utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if utf8 and os.name == "posix" else "backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", LookalikeWarning)
        warnings.filterwarnings("default", message="lookalike kernels: ")  # kernels know no class of ours
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    note = "note" if issubclass(category, LookalikeWarning) else f"warning: {category.__name__}"
    say(f"{note}: {message}")


def clean(text: object) -> str:
    """`text` with control characters spelt out, safe to print."""
    return str(text).translate(_CONTROL)


def say(message: str) -> None:
    """A message for the person, on stderr, marked as ours."""
    with contextlib.suppress(BrokenPipeError):
        print(f"lookalike: {clean(message)}", file=sys.stderr, flush=True)  # noqa: T201


def emit(line: str = "") -> None:
    """A line of the result, on stdout."""
    print(clean(line))  # noqa: T201


def emit_json(value: Any) -> None:
    """One JSON document on stdout; ASCII, so that every name survives every locale."""
    print(json.dumps(value, indent=2, allow_nan=False))  # noqa: T201


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows on stdout in columns that line up, parted by two spaces; the last column may be of any length."""
    if not rows:
        return
    cells = [tuple(clean(cell) for cell in row) for row in rows]
    widths = [max(len(row[j]) for row in cells) for j in range(len(cells[0]) - 1)]
    for row in cells:
        emit("  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip())


def grouped(skipped: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(path, reason) of skipped files; a reason that many share takes one row, after the others."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    few = [(path, reason) for reason, paths in by_reason.items() if len(paths) <= _FEW for path in paths]
    many = [(count(len(paths), "file"), reason) for reason, paths in by_reason.items() if len(paths) > _FEW]
    return sorted(few) + sorted(many, key=lambda row: row[1])


def count(n: int, noun: str) -> str:
    """``1 picture``, ``40,000 pictures``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """Time as somebody would say it: ``0.4 s``, ``12 s``, ``7 min 36 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Commands(TyperGroup):
    """The one place where errors become a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        with _exit_codes():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    import typer

    try:
        yield
    except LookalikeError as error:
        say(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(1) from None
    except MemoryError:
        say("out of memory; what was done before is kept. Close other programs, or work on less at once")
        raise typer.Exit(1) from None
    except BrokenPipeError:
        # The reader, such as `head`, has what it wants. Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        name = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
        say(f"{error.strerror or error}{name}")
        raise typer.Exit(1) from None
