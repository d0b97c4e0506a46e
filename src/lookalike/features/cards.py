"""What is known about a model: its card, as data and as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from lookalike._typing import Array
from lookalike.errors import ModelError

__all__ = ["LAYOUTS", "SAME", "WORDS", "Calibration", "ModelCard", "TextTower", "least_cosine", "word"]

# From which similarity on a word is said. Every model's calibration is anchored to these, so the words mean the
# same whatever the model; docs/models.md says what they mean.
WORDS = ((90.0, "same picture"), (75.0, "very alike"), (50.0, "related"), (0.0, "weak"))

SAME = WORDS[0][0]
"""The similarity from which on the word is "same picture"."""

LAYOUTS = ("uint8 nhwc", "float32 nchw")
"""What a network takes: bytes as they are decoded; or numbers, normalised by the card, channels first."""

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

    @classmethod
    def plain(cls) -> Calibration:
        """Of a model that nobody measured: the cosine in percent."""
        return cls((0.0, 1.0), (0.0, 100.0), "not measured: the cosine itself, in percent")


@dataclass(frozen=True, slots=True)
class TextTower:
    """The half of a two-tower model that turns words into vectors comparable with those of pictures.

    Attributes
    ----------
    file, tokenizer : str
        Names of the ONNX file and of the tokenizer's JSON file (of the library tokenizers), beside the model's.
    sha256, tokenizer_sha256 : str or None
        Of these; None where they are not known.
    url, tokenizer_url : str
        Where they can be fetched; empty where that is not known.
    input, output : str
        Names in the ONNX file: token numbers int64 (n, length), and vectors float32 (n, d).
    length : int
        Token sequences are cut and padded to it.
    padding : int
        The token that pads.
    """

    file: str
    tokenizer: str
    sha256: str | None = None
    tokenizer_sha256: str | None = None
    url: str = ""
    tokenizer_url: str = ""
    input: str = "input_ids"
    output: str = "text_embeds"
    length: int = 77
    padding: int = 0

    def __post_init__(self) -> None:
        _check_file_name(self.file, "text tower")
        _check_file_name(self.tokenizer, "text tower")
        if not 1 <= self.length <= 10_000:
            raise ModelError(f"text tower: expected a length from 1 to 10,000, got {self.length}")


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
        Name of the ONNX file, in the package or in the user's folder of models; None for vectors that somebody made
        elsewhere.
    sha256 : str or None
        Of that file; None where it is not known.
    size : int
        Of that file in bytes, 0 where it is not known.
    input_size : int
        Pictures are squashed to squares of this side.
    pooling, preprocessing : str
        How a picture becomes a vector, in words. Vectors made otherwise are another model's. Where the output named
        `output` still has positions, `pooling` is what is done with them: average, max, gem or cls.
    input, output : str
        Names in the ONNX file.
    layout : str
        One of `LAYOUTS`.
    mean, std : tuple of float
        Of each colour, from 0 to 1, which ``"float32 nchw"`` is normalised with.
    url : str
        Where the ONNX file can be fetched; empty where that is not known.
    timm : str
        The network's name in timm, from which it can be exported; empty where it has none.
    text : TextTower or None
    weights : str
        Name of the file beside it from which training can go on; empty where there is none.
    positions : str
        Name of what is pooled inside the graph: a map (n, d, height, width) or tokens (n, tokens, d); empty where there is
        nothing that could be pooled otherwise.
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
    size: int = 0
    input_size: int = 0
    pooling: str = ""
    preprocessing: str = ""
    input: str = "image"
    output: str = "avg"
    layout: str = "uint8 nhwc"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    url: str = ""
    timm: str = ""
    text: TextTower | None = None
    weights: str = ""
    positions: str = ""

    def __post_init__(self) -> None:
        if self.file is not None:
            _check_file_name(self.file, f"model {self.name!r}")
        if self.weights:
            _check_file_name(self.weights, f"model {self.name!r}")
        if self.layout not in LAYOUTS:
            raise ModelError(f"model {self.name!r}: layout: expected {' or '.join(LAYOUTS)}, got {self.layout!r}")
        wanted = 3 if self.layout == "float32 nchw" else 0
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if (len(self.mean), len(self.std)) != (wanted, wanted) or not finite or not all(x > 0 for x in self.std):
            raise ModelError(
                f"model {self.name!r}: expected {wanted} finite numbers as mean and std, these positive, for "
                f"{self.layout}, got {list(self.mean)} and {list(self.std)}"
            )
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
        >>> from lookalike.features.models import get_model
        >>> get_model("efficientnet-lite0").similarity(1.0)
        100.0
        """
        known = np.nan_to_num(np.asarray(cosine, np.float64), nan=-1.0)
        result = np.interp(known, self.calibration.cosines, self.calibration.similarities)
        return float(result) if np.ndim(cosine) == 0 else np.asarray(result)

    @property
    def fingerprint(self) -> str:
        """Equal for two cards exactly when their vectors can be compared. Calibration and titles do not matter."""
        parts: tuple[Any, ...] = (
            self.name,
            self.sha256,
            self.d,
            self.input_size,
            self.pooling,
            self.preprocessing,
        )
        graph = (self.input, self.output, self.layout, self.mean, self.std)
        if graph != ("image", "avg", "uint8 nhwc", (), ()):  # cards of 0.1 said none of this
            parts += graph
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
        values["calibration"] = Calibration(**_known(Calibration, values["calibration"]))
        if isinstance(tower := values.get("text"), dict):
            values["text"] = TextTower(**_known(TextTower, tower))
        return cls(**_known(cls, values))


def _check_file_name(name: str, whose: str) -> None:
    if not name or name in {".", ".."} or set(name) & set("/\\:\0"):
        raise ModelError(f"{whose}: expected a plain file name, got {name!r}")


_NUMBERS = ("cosines", "similarities", "mean", "std")
_WHOLE = ("d", "size", "input_size", "length", "padding")
_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    dict.fromkeys(_WHOLE, (int,))
    | dict.fromkeys(_NUMBERS, (list,))
    | {"calibration": (Calibration,), "text": (TextTower, type(None))}
)
_MAYBE = frozenset({"file", "sha256", "tokenizer_sha256"})  # of a card's; a tower always has its files


def _known(cls: type[ModelCard] | type[Calibration] | type[TextTower], values: dict[str, Any]) -> dict[str, Any]:
    """The values that are fields of `cls`, each of the right kind; JSON's lists of numbers as tuples."""
    taken = {}
    for field in fields(cls):
        if field.name not in values:
            if field.default is MISSING:
                raise ModelError(f"model card: expected {field.name!r}, which is missing")
            continue
        value, kinds = values[field.name], _KINDS.get(field.name, (str,))
        if field.name in _MAYBE and field.default is None:
            kinds = (str, type(None))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ModelError(f"model card: {field.name}: expected {kinds[0].__name__}, got {type(value).__name__}")
        if isinstance(value, list):
            if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
                raise ModelError(f"model card: {field.name}: expected numbers")
            value = tuple(float(x) for x in value)
        taken[field.name] = value
    return taken


def word(similarity: float) -> str:
    """The word for a similarity: same picture, very alike, related or weak.

    Examples
    --------
    >>> word(97.0), word(12.5)
    ('same picture', 'weak')
    """
    return next((name for least, name in WORDS if similarity >= least), WORDS[-1][1])


def least_cosine(card: ModelCard, similarity: float) -> float:
    """The smallest cosine, as a float32, that the model's calibration maps to `similarity`; infinity if it maps none."""
    low, high = np.float32(-1), np.float32(1)
    if card.similarity(float(high)) < similarity - 1e-9:
        return math.inf
    while low < (middle := (low + high) / 2) < high:
        if card.similarity(float(middle)) >= similarity - 1e-9:
            high = middle
        else:
            low = middle
    return float(high)
