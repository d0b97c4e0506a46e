"""Pictures as people have them: what a browser shows is what is searched."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lookalike.errors import ImageError
from lookalike.features.embedder import Embedder
from lookalike.features.images import decode, open_picture, probe, read, thumbnail
from tests.features import profiles
from tests.features.pictures import chunk, difference, encoded, png, scene

PLAIN = scene()
SHOWN = np.asarray(PLAIN)
PNG = encoded(PLAIN, "PNG")
ZEROS = zlib.compress(bytes(80_000_000))


def shown(source: Any) -> np.ndarray:
    return np.asarray(open_picture(source))


def why_not(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        open_picture(source)
    return str(caught.value)


def in_png(*chunks: bytes, behind: bool = False) -> bytes:
    """The scene, with chunks before its pixels or behind them."""
    return PNG[:-12] + b"".join(chunks) + PNG[-12:] if behind else PNG[:33] + b"".join(chunks) + PNG[33:]


def spoilt(made: bytes) -> bytes:
    """A chunk whose checksum is wrong."""
    return made[:-1] + bytes([made[-1] ^ 1])


# --- PNG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"k\0" + b"x" * 3_000_000),
        chunk(b"zTXt", b"k\0\0" + ZEROS),
        chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS),
        chunk(b"iCCP", b"k\0\0" + ZEROS),
        chunk(b"iCCP", b"k\0\0no zlib"),
        chunk(b"iCCP", b"k\0\7" + zlib.compress(b"")),
        chunk(b"tIME", b""),
        chunk(b"gAMA", b"\0"),
        chunk(b"pHYs", b""),
        spoilt(chunk(b"tEXt", b"k\0text")),
        spoilt(chunk(b"tRNS", bytes(6))),
        spoilt(chunk(b"prVt", b"abc")),
    ],
    ids=lambda extra: extra[4:8].decode(),
)
def test_a_png_s_extras_do_not_cost_the_picture(extra: bytes, behind: bool) -> None:
    assert difference(shown(in_png(extra, behind=behind)), SHOWN) == 0


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_of_every_depth_is_over_white(depth: int) -> None:
    """Half black, half middling or white, which is transparent."""
    clear = (1 << depth) - 1
    bits = "0" * depth * 8 + f"{clear:0{depth}b}" * 8
    row = b"\0" + int(bits, 2).to_bytes(2 * depth, "big")
    for value, expected in ((clear, [0] * 8 + [255] * 8), (0, [0] * 8 + [255] * 8)):
        data = png(16, 1, colour=0, depth=depth, chunks=chunk(b"tRNS", struct.pack(">H", value)), data=row)
        if value:
            assert shown(data)[0, :, 0].tolist() == expected
    middle = clear // 2 or 0
    bits = f"{middle:0{depth}b}" * 8 + f"{clear:0{depth}b}" * 8
    row = b"\0" + int(bits, 2).to_bytes(2 * depth, "big")
    data = png(16, 1, colour=0, depth=depth, chunks=chunk(b"tRNS", struct.pack(">H", middle)), data=row)
    plain = shown(png(16, 1, colour=0, depth=depth, data=row))[0, :, 0]
    assert plain[0] == round(255 * middle / clear) or depth == 16
    del data


def test_a_transparent_colour_of_sixteen_bits() -> None:
    row = b"\0" + struct.pack(">6H", 0x1234, 0, 0, 0xFFFF, 0, 0)
    data = png(2, 1, colour=2, depth=16, chunks=chunk(b"tRNS", struct.pack(">HHH", 0x1234, 0, 0)), data=row)
    assert shown(data)[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_of_an_animation_whose_picture_is_not_shown_the_first_frame_is() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    hidden = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert shown(hidden)[0, 0].tolist() == [0, 255, 0]
    played = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert shown(played)[0, 0].tolist() == [255, 0, 0]


def test_apple_s_own_png_is_named() -> None:
    assert "CgBI" in why_not(PNG[:8] + chunk(b"CgBI", bytes(4)) + PNG[8:])


# --- cut short -------------------------------------------------------------------------------------------------------

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("picture", [PLAIN, scene(640, 480), NOISE], ids=["small", "smooth", "more than one buffer"])
def test_a_jpeg_that_lacks_only_its_end_is_read(picture: Image.Image, progressive: bool) -> None:
    whole = encoded(picture, "JPEG", quality=90, progressive=progressive)
    for data in (whole[:-2], whole[:-1], whole[:-2] + bytes(70_000), whole + bytes(70_000)):
        assert difference(shown(data), shown(whole)) == 0
        assert difference(decode(data, 64), decode(whole, 64)) == 0
    for cut in (whole[: len(whole) // 2], whole[: len(whole) * 9 // 10]):
        for data in (cut, cut + bytes(len(whole) - len(cut)), cut + bytes(70_000)):
            for target in (64, 600):
                with pytest.raises(ImageError, match="cut short"):
                    read(data, target)


def test_half_a_png_filled_with_zeros_is_cut_short() -> None:
    for picture in (scene(640, 480), NOISE):
        data = encoded(picture, "PNG")
        assert "cut short" in why_not(data[: len(data) // 2] + bytes(len(data) // 2))


# --- TIFF ------------------------------------------------------------------------------------------------------------

RAMP = np.tile(np.linspace(0, 1, 64), (48, 1))
RAMP_SHOWN = np.rint(RAMP * 255)


def tiff(values: np.ndarray, **options: Any) -> bytes:
    return encoded(Image.fromarray(values), "TIFF", **options)


def raw_tiff(data: bytes, bits: int, kind: int, samples: int = 1, photometric: int = 1, extra: bytes = b"") -> bytes:
    """64 × 48 pixels, little-endian, in one strip."""
    values = [(256, 64), (257, 48), (258, bits), (259, 1), (262, photometric), (277, samples), (278, 48), (339, kind)]
    table = [struct.pack("<HHII", tag, 4 if tag in (256, 257) else 3, 1, value) for tag, value in values]
    at = 8 + 2 + 12 * 11 + 4
    table += [struct.pack("<HHII", 273, 4, 1, at), struct.pack("<HHII", 279, 4, 1, len(data))]
    table.append(struct.pack("<HHII", 42113, 2, len(extra) or 1, at + len(data)))
    table.sort(key=lambda entry: struct.unpack_from("<H", entry))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 11) + b"".join(table) + bytes(4) + data + (extra or b"\0")


def test_numbers_of_every_kind_are_the_same_ramp() -> None:
    kinds: dict[str, bytes] = {
        "float, 0 to 1": tiff(RAMP.astype(np.float32)),
        "float, dark": tiff((RAMP / 50).astype(np.float32)),
        "float, any range": tiff((RAMP * 300 - 1000).astype(np.float32)),
        "signed 16": raw_tiff((RAMP * 3000 - 1000).astype("<i2").tobytes(), 16, 2),
        "signed 16, whole range": raw_tiff((RAMP * 65535 - 32768).astype("<i2").tobytes(), 16, 2),
        "signed 8": raw_tiff((RAMP * 255 - 128).astype("<i1").tobytes(), 8, 2),
        "signed 32": raw_tiff((RAMP * 4e9 - 2e9).astype("<i4").tobytes(), 32, 2),
        "unsigned 32": raw_tiff((RAMP * 4.2e9).astype("<u4").tobytes(), 32, 1),
        "12 of 16 bits": raw_tiff((RAMP * 4095).astype("<u2").tobytes(), 16, 1),
        "16 bits": raw_tiff((RAMP * 65535).astype("<u2").tobytes(), 16, 1),
        "16 bits, white is 0": raw_tiff((65535 - RAMP * 65535).astype("<u2").tobytes(), 16, 1, photometric=0),
        "float, white is 0": raw_tiff((1 - RAMP).astype("<f4").tobytes(), 32, 3, photometric=0),
    }
    twelve = np.rint(RAMP * 4095).astype(int).reshape(-1, 2)
    packed = np.stack([twelve[:, 0] >> 4, (twelve[:, 0] & 15) << 4 | twelve[:, 1] >> 8, twelve[:, 1] & 255], axis=1)
    kinds["12 bits"] = raw_tiff(packed.astype(np.uint8).tobytes(), 12, 1)
    for name, data in kinds.items():
        assert difference(shown(data)[..., 0], RAMP_SHOWN) < 2, name


def test_values_that_mean_nothing_do_not_decide_the_range() -> None:
    heights = RAMP * 200 + 400
    heights[:10, :] = -9999
    heights[10, :5] = 3.4e38
    lonely = shown(tiff(heights.astype(np.float32)))[..., 0]
    assert difference(lonely[12:], RAMP_SHOWN[12:]) < 2 and not lonely[:10].any()
    named = RAMP * 250 + 5
    named[:10, :] = 260  # not far from the others, but the file says so
    data = raw_tiff(named.astype("<i2").tobytes(), 16, 2, extra=b"260.0\0")
    assert difference(shown(data)[12:, :, 0], named[12:]) < 3
    hot = RAMP * 10 + 3
    hot[0, 0] = 90  # a pixel that is broken
    assert difference(shown(tiff(hot.astype(np.float32)))[1:, :, 0], RAMP_SHOWN[1:]) < 3


def test_kinds_that_are_not_read_are_said_to_be_that() -> None:
    half = raw_tiff(RAMP.astype("<f2").tobytes(), 16, 3)
    assert why_not(half).startswith("TIFF of 1 × 16 bits (floating-point grey, compression 1): not read")
    colours = raw_tiff(np.repeat(RAMP[..., None], 3, 2).astype("<f4").tobytes(), 32, 3, 3, 2)
    assert why_not(colours).startswith("TIFF of 3 × 32 bits (floating-point RGB")
    assert "damaged" not in why_not(half) + why_not(colours)


# --- orientation -----------------------------------------------------------------------------------------------------


def exif(turned: int) -> bytes:
    made = Image.Exif()
    made[0x0112] = turned
    return made.tobytes()


@pytest.mark.parametrize("behind", [False, True])
def test_orientation_of_a_png_is_that_of_its_exif(behind: bool) -> None:
    data = in_png(chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")), behind=behind)
    assert open_picture(data).size == probe(data)[:2] == (64, 96)


def test_what_browsers_ignore_does_not_turn_a_picture() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    hexed = exif(6).hex()
    info.add_text("Raw profile type exif", f"\nexif\n{len(hexed) // 2:8}\n{hexed}\n")
    app1 = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    jpeg = encoded(PLAIN, "JPEG")
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg[2:]
    for data in (encoded(PLAIN, "PNG", pnginfo=info), jpeg, encoded(PLAIN, "WEBP", xmp=xmp)):
        assert open_picture(data).size == probe(data)[:2] == PLAIN.size


def test_orientation_is_not_applied_twice() -> None:
    import pillow_heif

    for turned in (1, 3, 6, 8):
        upright = {1: PLAIN, 3: PLAIN.rotate(180), 6: PLAIN.rotate(-90, expand=True), 8: PLAIN.rotate(90, expand=True)}[
            turned
        ]
        out = io.BytesIO()
        pillow_heif.from_pillow(PLAIN).save(out, quality=95, exif=exif(turned))
        heif = out.getvalue()
        for data in (
            encoded(PLAIN, "AVIF", quality=95, exif=exif(turned)),
            encoded(PLAIN, "WEBP", exif=exif(turned)),
            heif,
        ):
            assert open_picture(data).size == probe(data)[:2] == upright.size
            assert difference(shown(data), upright) < 8


# --- what is not read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL"),
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"II\xbc\1" + bytes(50), "JPEG XR"),
        (b"\xff\xd8\xff\xf7\0\x0b" + bytes(50), "JPEG-LS"),
        (b"\0\0\1\0\1\0" + bytes(50), "Windows icon"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50), "camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "camera raw"),
        (b"\x76\x2f\x31\1" + bytes(50), "OpenEXR"),
        (b"qoif" + bytes(50), "QOI"),
        (b"P7\nWIDTH 3\n", "PAM"),
        (bytes(128) + b"DICM" + bytes(50), "DICOM"),
        (b"8BPS\0\1" + bytes(50), "Photoshop"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pictures_that_cannot_be_read_are_named(data: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, path):
        reason = why_not(source)
        assert reason.lower().removeprefix("a ").startswith(name.lower())
        assert "damaged" not in reason


# --- colours ---------------------------------------------------------------------------------------------------------

COLOURS = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("primaries", "gamma"), [(profiles.DISPLAY_P3, 2.2), (profiles.ADOBE_RGB, 2.2), (profiles.SRGB, 1.0)]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_become_srgb(kind: str, primaries: np.ndarray, gamma: float) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(COLOURS), kind, icc_profile=profiles.rgb_profile(primaries, gamma), **options)
    expected = profiles.expected(COLOURS, primaries, gamma)
    assert difference(shown(data), expected) < 1
    assert difference(shown(data), COLOURS) > 3
    assert difference(decode(data, 8), expected) < 1


def test_thumbnails_and_jpegs_and_transparent_pictures_become_srgb() -> None:
    icc = profiles.rgb_profile(profiles.ADOBE_RGB, 2.2)
    flat = Image.new("RGB", (640, 480), (60, 180, 90))
    expected = profiles.expected(np.array([60, 180, 90]), profiles.ADOBE_RGB, 2.2)
    data = encoded(flat, "JPEG", quality=95, icc_profile=icc)
    assert difference(np.asarray(Image.open(io.BytesIO(thumbnail(data, 40))))[5, 5], expected) < 4
    assert difference(decode(data, 16)[5, 5], expected) < 4, "of a JPEG that was decoded small, too"
    assert difference(shown(encoded(flat.convert("RGBA"), "PNG", icc_profile=icc))[5, 5], expected) < 1
    assert difference(shown(encoded(flat.quantize(4), "PNG", icc_profile=icc))[5, 5], expected) < 2


def test_grey_and_ink_become_srgb() -> None:
    grey = Image.new("L", (8, 8), 100)
    linear = shown(encoded(grey, "PNG", icc_profile=profiles.grey_profile(1.0)))
    assert difference(linear, profiles.expected(np.array([100] * 3), profiles.SRGB, 1.0)) < 1.5
    ink = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    data = encoded(ink, "TIFF", icc_profile=profiles.cmyk_profile((20, 90, 160)))
    assert difference(shown(data), np.array([20, 90, 160])) < 4
    data = encoded(ink, "JPEG", quality=95, icc_profile=profiles.cmyk_profile((20, 90, 160)))
    assert difference(decode(data, 8), np.array([20, 90, 160])) < 6


def test_profiles_that_say_nothing_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ink = profiles.cmyk_profile((20, 90, 160))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    good = profiles.rgb_profile(profiles.ADOBE_RGB, 2.2)
    for icc in (srgb, ink, lab, b"nonsense", bytes(5000), good[:200], good[:128] + bytes(400), good + bytes(5 << 20)):
        for kind in ("PNG", "TIFF"):
            assert difference(shown(encoded(PLAIN, kind, icc_profile=icc)), SHOWN) == 0


# --- transparency ----------------------------------------------------------------------------------------------------


def drawing(colour: tuple[int, ...], shape: int, backdrop: tuple[int, ...] = (255, 255, 255, 0)) -> Image.Image:
    picture = Image.new("RGBA", (96, 96), backdrop)
    boxes = [(10, 40, 86, 56), (40, 10, 56, 86), (20, 20, 76, 76), (8, 8, 40, 88)]
    picture.paste((*colour, 255), boxes[shape])
    return picture


def test_light_drawings_on_transparency_are_told_apart() -> None:
    light = [(255, 255, 255), (250, 250, 240), (255, 255, 230), (240, 250, 255)]
    logos = [encoded(drawing(colour, at), "PNG") for at, colour in enumerate(light)]
    vectors = Embedder().embed(logos).astype(np.float64)
    cosines = vectors @ vectors.T
    assert cosines[~np.eye(4, dtype=bool)].max() < 0.95, "four logos, and not one white square"
    for logo in logos:
        seen = shown(logo)
        assert seen[0, 0].tolist() == [0, 0, 0] and seen.max() >= 250


def test_what_is_seen_over_white_stays_there() -> None:
    for colour in ((0, 0, 0), (200, 30, 30), (255, 255, 0), (128, 128, 128)):
        seen = shown(drawing(colour, 2))
        assert seen[0, 0].tolist() == [255, 255, 255] and seen[48, 48].tolist() == list(colour)
    outlined = drawing((255, 255, 255), 2)
    outlined.paste((0, 0, 0, 255), (20, 20, 76, 22))
    assert shown(outlined)[0, 0].tolist() == [255, 255, 255]
    assert (shown(Image.new("RGBA", (9, 9), (255, 255, 255, 0))) == 255).all(), "nothing at all is white"
    assert (shown(Image.new("RGBA", (9, 9), (255, 255, 255, 255))) == 255).all(), "white that is not transparent too"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_the_rule_is_the_same_for_every_format_and_use(kind: str) -> None:
    picture = drawing((255, 255, 255), 1)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture, kind, **options)
    whole = shown(data)
    assert whole[2, 2].max() < 8 and whole[48, 48].min() > 247
    assert difference(decode(data, 48)[24, 24], np.array([255] * 3)) < 8 and decode(data, 48)[1, 1].max() < 8
    small = np.asarray(Image.open(io.BytesIO(thumbnail(data, 48))))
    assert small[1, 1].max() < 16 and small[24, 24].min() > 239
    grey = shown(encoded(picture.convert("LA"), "PNG"))
    assert grey[2, 2].max() == 0 and grey[48, 48].min() == 255
