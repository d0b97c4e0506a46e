"""Pictures of wide numbers, as microscopes, scanners and satellites make them: which values become black and white."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from lookalike._typing import Array

__all__ = ["Levels", "from_numbers", "levels_of", "opacity"]

_BAND_BYTES: Final = 8 << 20
_SAMPLE: Final = 500_000  # values that decide
_LOW, _HIGH = 0.2, 99.8  # percentiles
_DENSE: Final = 0.7
_DARKEST: Final = 8  # a picture that uses less than an eighth of its range is stretched
_GAP: Final = 3  # a value as far from the others, in widths of their range, stands for "nothing measured"
_DEEP: Final = 65535.0


class Levels(NamedTuple):
    """What becomes black and white, and how the numbers are to be read."""

    black: float
    white: float
    is_unsigned: bool = False  # 32 bits that Pillow holds as signed
    inverted: bool = False


def levels_of(picture: Image.Image, facts: Mapping[str, Any]) -> Levels:
    """The numbers that become black and white.

    Sixteen bits keep their upper eight, as in every viewer. Of a TIFF that uses only a small part of its range, and of
    32-bit integers and floats, which have no agreed range, the values decide: those that look like 8 bits, 16 bits or
    0 to 1 are taken as such, others from a low to a high percentile, or from end to end where no value lies far outside.
    Values that stand for "nothing measured" do not count.
    """
    is_tiff = picture.format == "TIFF"
    inverted = is_tiff and bool(facts.get("inverted"))
    if picture.mode.startswith("I;16"):
        top = 4095.0 if facts.get("bits") == 12 else _DEEP
        if not is_tiff:
            return Levels(0.0, top)
        usual: tuple[float, ...] = (top,)
    else:
        usual = (255.0, _DEEP) if picture.mode == "I" else (1.0, 255.0, _DEEP)
    is_unsigned = is_tiff and picture.mode == "I" and facts.get("bits") == 32 and not facts.get("signed")
    values = _measured(_sample(picture, is_unsigned), facts.get("nodata"))
    if not values.size:
        return Levels(0.0, 1.0, is_unsigned, inverted)
    low, high = (float(value) for value in np.percentile(values, (_LOW, _HIGH)))
    for white in usual:
        # Of several usual ranges the first that holds them is meant; if they fill little of it, none is.
        if values[0] >= 0 and values[-1] <= white and high > white / _DARKEST:
            return Levels(0.0, white, is_unsigned, inverted)
    first, last = float(values[0]), float(values[-1])
    if high / 2 - low / 2 > (last / 2 - first / 2) * _DENSE:  # nothing lies far outside
        low, high = first, last
    return Levels(low, high, is_unsigned, inverted)


def from_numbers(picture: Image.Image, levels: Levels) -> Image.Image:
    """Grey, 8 bits."""
    black, white = levels.black, levels.white
    values = _array(picture, levels.is_unsigned).astype(np.float64)
    values = np.nan_to_num(values, nan=black, posinf=white, neginf=black)
    # The difference of two finite floats can be infinite; half of each cannot.
    with np.errstate(over="ignore"):  # what is far beyond white is white
        values = (values / 2 - black / 2) / max(white / 2 - black / 2, np.finfo(np.float64).tiny)
    grey = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if levels.inverted else grey)


def opacity(picture: Image.Image) -> Image.Image:
    """0 where a picture holds its transparent value, 255 elsewhere."""
    clear = np.asarray(picture) == picture.info.get("transparency")
    return Image.fromarray(np.where(clear, 0, 255).astype(np.uint8))


def _array(picture: Image.Image, is_unsigned: bool) -> Array:
    values = np.asarray(picture)
    return values.view(np.uint32) if is_unsigned else values


def _sample(picture: Image.Image, is_unsigned: bool) -> Array:
    """Finite values from all over the picture, in bounded memory."""
    width, height = picture.size
    step = max(int((width * height / _SAMPLE) ** 0.5), 1)
    rows = max(_BAND_BYTES // (8 * width) // step, 1) * step
    found = []
    for top in range(0, height, rows):
        values = _array(picture.crop((0, top, width, min(top + rows, height))), is_unsigned)[::step, ::step]
        found.append(values[np.isfinite(values)].astype(np.float64))
    return np.sort(np.concatenate(found))


def _measured(values: Array, nodata: float | None) -> Array:
    """Sorted values without those that stand for "nothing measured": the one that the file names, and lonely extremes."""
    if nodata is not None:
        values = values[values != nodata]
    for _ in range(4):
        if values.size < 16:
            break
        first, last = np.searchsorted(values, values[0], "right"), np.searchsorted(values, values[-1], "left")
        if first < values.size and values[first] - values[0] > _GAP * (values[-1] - values[first]) > 0:
            values = values[first:]
        elif last > 0 and values[-1] - values[last - 1] > _GAP * (values[last - 1] - values[0]) > 0:
            values = values[:last]
        else:
            break
    return values
