"""Small files do not take minutes: twice the size takes about twice the work, whatever is repeated in a file."""

from __future__ import annotations

import gc
import io
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from lookalike.errors import ImageError
from lookalike.features import _formats
from lookalike.features._exif import defused, exif_orientation
from lookalike.features.images import decode, probe
from tests.features.pictures import chunk, difference, encoded, png, scene

SMALL = scene(40, 30)
JPEG = encoded(SMALL, "JPEG", quality=95)
GIF = encoded(SMALL.quantize(16), "GIF")
DATA = b"\0" * 14


def in_jpeg(parts: bytes) -> bytes:
    return JPEG[:2] + parts + JPEG[2:]


def in_gif(parts: bytes) -> bytes:
    at = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
    return GIF[:at] + parts + GIF[at:]


def in_png(chunks: bytes) -> bytes:
    return png(2, 2, chunks=chunks, data=DATA)


def strips(n: int) -> bytes:
    """A grey TIFF of a pixel a row, each row a strip, one behind the other."""
    entries = [(256, 1), (257, n), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)]
    at = 8 + 2 + 12 * 9 + 4
    table = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries]
    table += [struct.pack("<HHII", 273, 4, n, at), struct.pack("<HHII", 279, 4, n, at + 4 * n)]
    first = at + 8 * n
    places = b"".join(struct.pack("<I", first + row) for row in range(n))
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", 9) + b"".join(sorted(table)) + bytes(4) + places
        + struct.pack("<I", 1) * n + bytes(n)
    )  # fmt: skip


def tags(n: int, size: int) -> bytes:
    """A TIFF, or EXIF, of n tags that all name the same bytes."""
    wanted = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (278, 4), (279, 16)]
    at = 8 + 2 + 12 * (n + len(wanted)) + 4
    table = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in wanted]
    table += [struct.pack("<HHII", 1000 + tag, 1, size, at) for tag in range(n)]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(table)) + b"".join(table) + bytes(4) + bytes(size)


def webp(after: bytes) -> bytes:
    pixels = encoded(SMALL, "WEBP")[12:]
    head = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + struct.pack("<I", 39)[:3] + struct.pack("<I", 29)[:3]
    body = b"WEBP" + head + pixels + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_exif(n: int) -> bytes:
    exif = tags(n // 500, n // 2)
    return webp(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))


REPEATED: dict[str, Callable[[int], bytes]] = {
    "gif comment": lambda n: in_gif(b"!\xfe" + (b"\xff" + b"a" * 255) * (n // 64) + b"\0"),
    "gif comments": lambda n: in_gif(b"!\xfe\7aaaaaaa\0" * (n // 11)),
    "gif application": lambda n: in_gif(b"!\xff\x0bNETSCAPE2.0" + b"\7aaaaaaa" * (n // 8) + b"\0"),
    "gif text": lambda n: in_gif(b"!\1" + b"\7aaaaaaa" * (n // 8) + b"\0"),
    "gif controls": lambda n: in_gif(b"!\xf9\4\0\0\0\0\0" * (n // 16)),
    "gif junk": lambda n: in_gif(b"\1" * n),
    "ppm comment": lambda n: b"P6 #" + b"a" * n + b"\n2 2 255\n" + b"a" * 12,
    "ppm comments": lambda n: b"P6 " + b"#\n" * (n // 2) + b"2 2 255\n" + b"a" * 12,
    "ppm space": lambda n: b"P6 " + b" " * n + b"2 2 255\n" + b"a" * 12,
    "plain ppm comments": lambda n: b"P3 2 2 255\n" + b"#aaaaaaaaaaaaaa\n" * (n // 16) + b"1 " * 12,
    "plain ppm": lambda n: b"P3 %d 1 255\n" % (n // 6) + b"1 " * (n // 2),
    "plain pbm": lambda n: b"P1 %d 1\n" % (n // 2) + b"1 " * (n // 2),
    "ppm depth": lambda n: b"P6 %d 1 100\n" % (n // 3) + b"1" * n,
    "jpeg filling": lambda n: in_jpeg(b"\xff" * n),
    "jpeg junk": lambda n: in_jpeg(b"\xff\xe5\0\2" + bytes(n)),
    "jpeg stuffing": lambda n: in_jpeg(b"\xff\xe5\0\2" + b"\xff\0" * (n // 2)),
    "jpeg restarts": lambda n: in_jpeg(b"\xff\xd0" * (n // 2)),
    "jpeg comments": lambda n: in_jpeg((b"\xff\xfe\0\x40" + b"a" * 62) * (n // 66)),
    "jpeg application": lambda n: in_jpeg((b"\xff\xe5\0\x40" + b"a" * 62) * (n // 66)),
    "jpeg photoshop": lambda n: in_jpeg((b"\xff\xed\x27\x22Photoshop 3.0\0" + b"8BIM\4\4" + bytes(10000 - 2)) * (n // 10020)),
    "jpeg filling at the end": lambda n: JPEG[:-2] + b"\xff" * n + JPEG[-2:],
    "png texts": lambda n: in_png(chunk(b"tEXt", b"a\0") * (n // 14)),
    "png private": lambda n: in_png(chunk(b"prVt", b"") * (n // 12)),
    "png empty pixels": lambda n: in_png(chunk(b"IDAT", b"") * (n // 12)),
    "png profiles": lambda n: in_png(chunk(b"iCCP", b"a\0\0" + zlib.compress(b"")) * (n // 23)),
    "png transparency": lambda n: in_png(chunk(b"tRNS", bytes(6)) * (n // 18)),
    "png exif": lambda n: in_png(chunk(b"eXIf", tags(n // 500, n // 2))),
    "png texts behind": lambda n: png(2, 2, data=DATA)[:-12] + chunk(b"tEXt", b"a\0") * (n // 14) + chunk(b"IEND", b""),
    "webp chunks": lambda n: webp(b"ABCD\0\0\0\0" * (n // 8)),
    "webp exif": webp_exif,
    "tiff strips": lambda n: strips(n // 9),
    "tiff tags": lambda n: tags(min(n // 500, 4000), n // 2),
    "avif exif": lambda n: encoded(SMALL, "AVIF", speed=10, exif=b"Exif\0\0" + tags(n // 500, n // 2)),
}  # fmt: skip


def seconds(work: Callable[[], object], enough: float) -> float:
    """Of processor time of this thread, the least of a few tries, or the first that is not more than `enough`.

    Other processes take caches away, and what this process holds is not to be looked through for garbage meanwhile.
    """
    least = float("inf")
    for _ in range(4):
        gc.disable()
        begun = time.thread_time()
        try:
            work()
        finally:
            least = min(least, time.thread_time() - begun)
            gc.enable()
        if least <= enough:
            break
    return least


@pytest.mark.parametrize("name", REPEATED)
def test_time_does_not_quadruple_when_size_doubles(name: str) -> None:
    make = REPEATED[name]
    data = make(1_000_000)
    large = seconds(lambda: decode(data, 32), 0.2)
    # Four times the size: sixteen times the work where it is quadratic. What is done in no time is not compared.
    if large > 0.2:
        part = make(250_000)
        assert large < 10 * seconds(lambda: decode(part, 32), 0.0)
    assert large < 1.0, "and it was minutes for files of some megabytes"


LIMITED: dict[str, tuple[bytes, str]] = {
    "jpeg parts": (in_jpeg(b"\xff\xfe\0\2" * 750_000), "parts in its header"),
    "jpeg tables": (in_jpeg(b"\xff\xdb\0\2" * 30_000), "parts in its header"),
    "gif blocks": (in_gif(b"!\xfe\1a\0" * 300_000), "blocks before its picture"),
    "png chunks": (in_png(chunk(b"IDAT", b"") * 250_000), "chunks"),
    "tiff tags": (tags(60_000, 8), "tags"),
    "tiff strips apart": (strips(40_000).replace(struct.pack("<I", 1) * 40_000, struct.pack("<I", 2) * 40_000), "strips"),
    "plain ppm comments": (b"P3 2 2 255\n" + b"#\n" * 200_000 + b"\n" + b"1 " * 12, "comments"),
    "jpeg 2000 boxes": (encoded(SMALL, "JPEG2000")[:12] + b"\0\0\0\x08free" * 5000, "boxes"),
    "jpeg 2000 markers": (b"\xff\x4f\xff\x51" + b"\0\2" + b"\xff\x64\0\2" * 5000, "markers before its pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITED)
def test_files_of_more_parts_than_any_picture_has_are_refused_and_say_why(name: str) -> None:
    data, words = LIMITED[name]
    # The comments of plain numbers are met while they are decoded, all else by looking at the header too.
    for ask in (lambda: decode(data, 32), lambda: probe(data))[: 1 if name == "plain ppm comments" else 2]:

        def refused(ask: Callable[[], object] = ask) -> None:
            with pytest.raises(ImageError, match=rf"more than [\d,]+ {words}, which no picture needs"):
                ask()

        assert seconds(refused, 0.9) < 1.0


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encoded(SMALL, "JPEG", progressive=True)
    at = data.rfind(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused() -> None:
    assert decode(scans(60), 32).shape == (32, 32, 3)
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode(scans(2006), 32)
    with pytest.raises(ImageError, match="more than 100 scans"):
        probe(scans(101))


def test_a_picture_is_the_same_without_what_is_left_out() -> None:
    for name in ("jpeg comments", "gif comment", "jpeg filling", "gif controls", "jpeg junk"):
        clean = JPEG if name.startswith("jpeg") else GIF
        assert difference(decode(REPEATED[name](5000), 32), decode(clean, 32)) == 0
    assert decode(strips(1000), 4).shape == (4, 4, 3)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_strips_one_behind_the_other_are_the_same_picture(mode: str, order: str) -> None:
    picture = scene(90, 70).convert(mode)
    pixels, samples, bits = picture.tobytes(), len(picture.getbands()), 1 if mode == "1" else 8
    row = len(pixels) // 70
    sizes = [row * min(8, 70 - top) for top in range(0, 70, 8)]
    at = 8 + 2 + 12 * 9 + 4 + 8 * len(sizes)
    places = [at + sum(sizes[:number]) for number in range(len(sizes))]
    values = [(256, 90), (257, 70), (258, bits), (259, 1), (262, 2 if samples == 3 else 1), (277, samples), (278, 8)]
    table = [struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in values]
    for tag, where in ((273, at - 8 * len(sizes)), (279, at - 4 * len(sizes))):
        table.append(struct.pack(order + "HHII", tag, 4, len(sizes), where))
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 9) + b"".join(sorted(table, key=len))
    data += bytes(4) + struct.pack(f"{order}{2 * len(sizes)}I", *places, *sizes) + pixels
    made, prepared = _formats.identify(data)
    with Image.open(io.BytesIO(prepared.data)) as joined:
        assert joined.tag_v2[273] == (at,)  # type: ignore[attr-defined]
    assert difference(made.convert("RGB"), picture.convert("RGB")) == 0


def test_exif_is_defused_only_where_it_would_take_long() -> None:
    harmless = tags(20, 4)
    assert defused(b"abc" + harmless) == b"abc" + harmless
    bomb = b"abc" + tags(3000, 100_000)
    made = defused(bomb)
    assert len(made) == len(bomb) and made[3 + 8 : 3 + 10] == b"\0\0"
    exif = Image.Exif()
    exif.load(made[3:])
    assert not exif


@pytest.mark.parametrize("order", "<>")
def test_orientation_is_read_as_browsers_read_it(order: str) -> None:
    magic = b"II*\0" if order == "<" else b"MM\0*"

    def exif(kind: int, number: int, value: bytes) -> bytes:
        entry = struct.pack(order + "HHI", 274, kind, number) + value.ljust(4, b"\0")
        return magic + struct.pack(order + "IH", 8, 1) + entry + bytes(4)

    short = struct.pack(order + "H", 6)
    assert exif_orientation(exif(3, 1, short)) == 6
    assert exif_orientation(b"Exif\0\0" + exif(3, 1, short)) == 6
    assert exif_orientation(exif(4, 1, struct.pack(order + "I", 6))) == 1, "a LONG is no orientation"
    assert exif_orientation(exif(3, 2, short)) == 1
    assert exif_orientation(exif(3, 1, struct.pack(order + "H", 9))) == 1
    for cut in range(len(exif(3, 1, short)) - 4):
        assert exif_orientation(exif(3, 1, short)[:cut]) in (1, 6)
