"""Colour profiles made on the spot."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image, ImageCms

# Columns: what red, green and blue are in XYZ, seen under D50 light.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2."""
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    length = at + len(body)
    head = struct.pack(">I4s4s4s4s4s", length, b"test", b"\2\x40\0\0", b"prtr" if space == b"CMYK" else b"mntr", space,
                       b"Lab " if space == b"CMYK" else b"XYZ ")  # fmt: skip
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += _numbers(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_profile(primaries: np.ndarray, gamma: float) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    columns = {
        name: b"XYZ " + bytes(4) + _numbers(*primaries[:, at]) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    white = b"XYZ " + bytes(4) + _numbers(0.9642, 1, 0.8249)
    return profile(b"RGB ", {**_texts(), b"wtpt": white, **columns, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def grey_profile(gamma: float) -> bytes:
    white = b"XYZ " + bytes(4) + _numbers(0.9642, 1, 0.8249)
    return profile(
        b"GRAY", {**_texts(), b"wtpt": white, b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))}
    )


def cmyk_profile(cyan: tuple[int, int, int]) -> bytes:
    """Inks whose cyan has the given colour of sRGB; the others are pure, and black covers them all."""
    corners = []
    for number in range(16):
        c, m, y, k = ((number >> shift) & 1 for shift in (3, 2, 1, 0))
        colour = (
            np.array(cyan if c else (255, 255, 255)) * ((1, 0, 1) if m else (1, 1, 1)) * ((1, 1, 0) if y else (1, 1, 1))
        )
        corners.append(np.zeros(3) if k else colour)
    picture = Image.fromarray(np.array([corners], np.uint8))
    lab = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    values = np.asarray(lab)[0].astype(int)
    values[:, 1:] = (values[:, 1:] + 128) % 256  # Pillow's are signed, the profile's begin at -128
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _numbers(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += bytes(range(256)) * 4 + values.astype(np.uint8).tobytes() + bytes(range(256)) * 3
    return profile(b"CMYK", {**_texts(), b"A2B0": lut})


def expected(colours: np.ndarray, primaries: np.ndarray, gamma: float) -> np.ndarray:
    """What sRGB shows for them, by the formulas."""
    linear = (colours / 255) ** gamma @ (np.linalg.inv(SRGB) @ primaries).T
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved * 255


def _texts() -> dict[bytes, bytes]:
    text = b"made for a test\0"
    return {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + text,
    }


def _numbers(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
