"""Any picture that Pillow reads comes out as upright RGB over white."""

from __future__ import annotations

import builtins
import io
import struct
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from lookalike.data.datasets import starter_folder
from lookalike.errors import ImageError
from lookalike.features import images
from lookalike.features.images import decode, open_picture, probe, read, thumbnail
from tests.features.pictures import chunk, difference, encoded, png, scene

PLAIN = scene()
SQUARE = np.asarray(PLAIN.resize((64, 64), Image.Resampling.BICUBIC))


def same_as_scene(source: Any, tolerance: float = 1.0) -> None:
    assert difference(decode(source, 64), SQUARE) < tolerance


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0.01),
        ("BMP", {}, 0.01),
        ("PPM", {}, 0.01),
        ("TIFF", {}, 0.01),
        ("TIFF", {"compression": "tiff_lzw"}, 0.01),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 3),
        ("JPEG", {"quality": 95, "subsampling": 0}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 3),
        ("WEBP", {"lossless": True}, 0.01),
        ("WEBP", {"quality": 95}, 4),
        ("AVIF", {"quality": 95}, 4),
        ("JPEG2000", {"irreversible": False}, 0.01),
    ],
)
def test_every_format(kind: str, options: dict[str, Any], tolerance: float) -> None:
    data = encoded(PLAIN, kind, **options)
    same_as_scene(data, tolerance)
    assert probe(data) == (96, 64, kind)
    assert read(data, 32)[1:] == (96, 64, kind)


def test_every_kind_of_source(tmp_path: Path) -> None:
    data = encoded(PLAIN, "PNG")
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    for source in (
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        PLAIN,
        np.asarray(PLAIN),
    ):
        same_as_scene(source, 0.01)
    with path.open("rb") as file:
        same_as_scene(file, 0.01)
    with Image.open(path) as picture:
        same_as_scene(picture, 0.01)


def test_an_array_that_is_ready_is_taken_as_it_is() -> None:
    assert np.array_equal(decode(SQUARE, 64), SQUARE)
    assert decode(np.asarray(PLAIN.convert("L")), 64).shape == (64, 64, 3)
    for wrong in (SQUARE.astype(np.float32), SQUARE[:, :, :2], SQUARE[0, 0], np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ImageError):
            decode(wrong, 64)


def test_a_caller_s_picture_is_not_changed() -> None:
    picture = Image.open(io.BytesIO(encoded(scene(960, 640), "JPEG")))
    decode(picture, 32)
    assert picture.size == (960, 640)
    kept = PLAIN.copy()
    kept.info["dpi"] = (72, 72)
    copy = open_picture(kept)
    copy.putpixel((0, 0), (1, 2, 3))
    assert kept.getpixel((0, 0)) != (1, 2, 3) and kept.info == {"dpi": (72, 72)} and copy.info == {}


GREY = PLAIN.convert("L")
GREY_SQUARE = np.asarray(GREY.resize((64, 64), Image.Resampling.BICUBIC).convert("RGB"))


def wide(dtype: type[np.generic], scale: float) -> Image.Image:
    return Image.fromarray((np.asarray(GREY, np.float64) * scale).astype(dtype))


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (GREY, "PNG"),
        (GREY, "JPEG"),
        (wide(np.uint16, 257), "PNG"),
        (wide(np.uint16, 257), "TIFF"),
        (wide(np.int32, 257), "TIFF"),
        (wide(np.int32, 1), "TIFF"),
        (wide(np.float32, 1), "TIFF"),
        (wide(np.float32, 1 / 255), "TIFF"),
        (GREY.convert("P"), "GIF"),
    ],
)
def test_grey_of_every_depth_is_the_same_picture(picture: Image.Image, kind: str) -> None:
    assert difference(decode(encoded(picture, kind), 64), GREY_SQUARE) < 2


def test_integers_of_no_usual_range_are_stretched() -> None:
    picture = Image.fromarray(np.asarray(GREY, np.int32) * 1_000_000 - 77)
    shown = np.asarray(open_picture(encoded(picture, "TIFF")))
    assert shown.min() == 0 and shown.max() == 255
    assert difference(shown, ImageOps.autocontrast(GREY).convert("RGB")) < 1


def test_big_endian_sixteen_bits() -> None:
    values = np.asarray(GREY, ">u2") * 257
    data = b"P5 96 64 65535\n" + values.astype(">u2").tobytes()
    assert difference(decode(data, 64), GREY_SQUARE) < 1.5


def test_floats_that_are_not_numbers_do_not_spoil_the_rest() -> None:
    values = np.asarray(GREY, np.float32) / 255
    values[0, :3] = np.nan, np.inf, -np.inf
    assert difference(decode(encoded(Image.fromarray(values), "TIFF"), 64), GREY_SQUARE) < 3
    huge = np.array([[-3e38, 3e38]] * 2, np.float32)
    assert set(np.unique(np.asarray(open_picture(Image.fromarray(huge))))) == {0, 255}
    nothing = np.full((4, 4), np.nan, np.float32)
    assert not decode(Image.fromarray(nothing), 8).any()


def test_one_bit() -> None:
    bits = GREY.point(lambda value: 255 * (value > 120)).convert("1")
    expected = bits.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    assert difference(decode(encoded(bits, "PNG"), 64), expected) < 0.01
    assert difference(decode(encoded(bits, "TIFF", compression="group4"), 64), expected) < 0.01


def test_palette() -> None:
    few = PLAIN.quantize(200)
    expected = few.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert difference(decode(encoded(few, kind), 64), expected) < 0.01


def test_cmyk() -> None:
    ink = PLAIN.convert("CMYK")
    same_as_scene(encoded(ink, "TIFF"), 3)
    same_as_scene(encoded(ink, "JPEG", quality=95), 4)  # Pillow writes Adobe's inverted kind
    assert difference(decode(encoded(scene(960, 640).convert("CMYK"), "JPEG", quality=95), 64), SQUARE) < 5


def test_lab_and_ycbcr_and_hsv() -> None:
    profile = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(PLAIN, profile, ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    same_as_scene(encoded(lab, "TIFF"), 4)
    same_as_scene(PLAIN.convert("YCbCr"), 2)
    same_as_scene(PLAIN.convert("HSV"), 4)


def half_clear() -> Image.Image:
    """The scene, its right half transparent over black."""
    picture = PLAIN.convert("RGBA")
    picture.paste((0, 0, 0, 0), (48, 0, 96, 64))
    return picture


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA"])
def test_alpha_is_laid_over_white(mode: str) -> None:
    source = half_clear()
    picture = source.convert("LA").convert(mode) if mode in {"La", "PA"} else source.convert(mode)
    if mode == "PA":  # which Pillow makes opaque
        picture.putalpha(source.getchannel("A"))
    shown = np.asarray(open_picture(picture))
    assert (shown[:, 48:] == 255).all()
    expected = PLAIN if mode in {"RGBA", "RGBa"} else GREY.convert("RGB")
    assert difference(shown[:, :48], np.asarray(expected)[:, :48]) < 1


def test_half_transparent_black_is_grey() -> None:
    shown = np.asarray(open_picture(Image.new("RGBA", (4, 4), (0, 0, 0, 128))))
    assert (np.abs(shown.astype(int) - 127) <= 1).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_of_files(kind: str) -> None:
    shown = np.asarray(open_picture(encoded(half_clear(), kind)))
    assert (shown[:, 52:] >= 250).all() and shown[:, :40].min() < 60


def test_one_transparent_colour() -> None:
    solid = PLAIN.copy()
    solid.paste((1, 2, 3), (48, 0, 96, 64))
    shown = np.asarray(open_picture(encoded(solid, "PNG", transparency=(1, 2, 3))))
    assert (shown[:, 48:] == 255).all() and shown[:, :48].min() < 60
    few = Image.new("P", (8, 8), 3)
    few.putpalette([10] * 768)
    for transparency in (3, bytes([255, 255, 255, 0])):
        assert (np.asarray(open_picture(encoded(few, "PNG", transparency=transparency))) == 255).all()
    assert (np.asarray(open_picture(encoded(few, "GIF", transparency=3))) == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert difference(open_picture(data), frames[0]) < 8


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(kind: str, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    data = encoded(PLAIN, kind, exif=exif, **({} if kind == "TIFF" else {"quality": 95}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert upright.size == ((64, 96) if turned >= 5 else (96, 64))
    assert difference(open_picture(data), upright) < 0.5
    assert difference(decode(data, 48), upright.resize((48, 48), Image.Resampling.BICUBIC)) < 1
    assert probe(data)[:2] == read(data, 48)[1:3] == upright.size
    assert open_picture(data, 24).size == ((16, 24) if turned >= 5 else (24, 16))


def test_orientation_with_a_drafted_jpeg() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(scene(960, 640), "JPEG", quality=95, exif=exif)
    expected = scene(960, 640).transpose(Image.Transpose.ROTATE_270).resize((64, 64), Image.Resampling.BICUBIC)
    assert difference(decode(data, 64), expected) < 3
    assert read(data, 64)[1:] == (640, 960, "JPEG")
    assert open_picture(data, 120).size == (80, 120)


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    same_as_scene(encoded(PLAIN, "JPEG", quality=95, exif=exif), 3)


def test_damaged_metadata_does_not_refuse_a_picture() -> None:
    good = encoded(PLAIN, "JPEG", quality=95)
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40):
        marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        same_as_scene(good[:2] + marker + good[2:], 3)
    same_as_scene(encoded(PLAIN, "PNG")[:33] + chunk(b"iCCP", b"x\0\0no zlib") + encoded(PLAIN, "PNG")[33:], 0.01)


def test_a_large_jpeg_is_decoded_small(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(2000, 1500), "JPEG", quality=90)
    sizes = []
    load = JpegImageFile.load

    def spy(self: JpegImageFile) -> Any:
        sizes.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImageFile, "load", spy)
    assert read(data, 224)[1:3] == (2000, 1500)
    assert set(sizes) == {(500, 375)}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16", "F", "1", "CMYK"])
def test_bands_and_reduction_change_nothing_to_speak_of(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = {
        "I;16": lambda: Image.fromarray(np.asarray(scene(900, 700).convert("L")).astype(np.uint16) * 257),
        "P": lambda: scene(900, 700).quantize(64),
    }.get(mode, lambda: scene(900, 700).convert(mode))()
    monkeypatch.setattr("lookalike.features._pixels._BAND_BYTES", 900 * 8 * 50)
    whole = open_picture(picture)
    small = decode(picture, 64)
    expected = whole.resize((64, 64), Image.Resampling.BICUBIC)
    assert whole.size == (900, 700)
    assert difference(small, expected) < 1.5


def test_thumbnail() -> None:
    made = Image.open(io.BytesIO(thumbnail(encoded(half_clear(), "PNG"), 48)))
    assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (48, 32))
    assert difference(made.crop((30, 4, 44, 28)), Image.new("RGB", (14, 24), "white")) < 6
    assert Image.open(io.BytesIO(thumbnail(PLAIN, 500))).size == (96, 64), "small pictures are not made larger"
    assert open_picture(scene(1000, 2), 10).size == (10, 1)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_modern_formats_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{kind.lower()}"
    if kind == "HEIC":
        import pillow_heif

        pillow_heif.from_pillow(PLAIN).save(path, quality=95)
    else:
        PLAIN.save(path, quality=95)
    same_as_scene(path, 5)
    assert path.suffix in images.SUFFIXES
    assert probe(path)[:2] == (96, 64)


def test_heic_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pillow_heif

    path = tmp_path / "photo.heic"
    pillow_heif.from_pillow(PLAIN).save(path)
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("pillow_heif"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(ImageError, match=r'pip install "lookalike\[heif\]"'):
        decode(path, 64)


def test_starter_pictures_all_decode() -> None:
    for path in sorted(starter_folder().rglob("*.jpg"))[::7]:
        pixels = decode(path, 224)
        assert pixels.shape == (224, 224, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
        assert pixels.std() > 1


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, dict(Image.OPEN), warnings.filters[:])
    tasks = [threading.Thread(target=decode, args=(encoded(PLAIN, "PNG"), 64)) for _ in range(8)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    with pytest.raises(ImageError):
        decode(png(60_000, 60_000), 64)
    assert before[0] == Image.MAX_IMAGE_PIXELS
    assert warnings.filters[:] == before[2]
    assert set(Image.OPEN) >= set(before[1])
