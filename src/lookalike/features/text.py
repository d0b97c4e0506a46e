"""Words to vectors, with the text tower of a model that has one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike._typing import FloatArray
from lookalike.errors import InputError, MissingExtraError, ModelError
from lookalike.features.models import ModelCard, load_file
from lookalike.features.network import describe, first_line, open_session, runtime_errors

__all__ = ["TextEmbedder"]

_MAX_CHARACTERS = 10_000


class TextEmbedder:
    """Turns words into vectors that can be compared with those of pictures by the same model.

    Parameters
    ----------
    card : ModelCard
        With a text tower.

    Raises
    ------
    ModelError
        If the model has no text tower, or its files are missing, damaged or others than the card says.
    MissingExtraError
        Without the package tokenizers.
    """

    def __init__(self, card: ModelCard) -> None:
        tower = card.text
        if tower is None:
            raise ModelError(
                f"model {card.name!r} knows pictures only; for words take one with a text tower: lookalike models list"
            )
        try:
            import tokenizers
        except ImportError:
            raise MissingExtraError('searching with words needs tokenizers: pip install "lookalike[text]"') from None
        self.model_card = card
        self._tower = tower
        vocabulary = load_file(card, tower.tokenizer, tower.tokenizer_sha256)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(vocabulary)
        except Exception as error:  # noqa: BLE001  # the library raises nothing more special
            raise ModelError(f"model {card.name!r}: {tower.tokenizer} is no tokenizer: {first_line(error)}") from None
        self._tokenizer.enable_truncation(tower.length)
        self._tokenizer.enable_padding(length=tower.length, pad_id=tower.padding)
        self._session = open_session(load_file(card, tower.file, tower.sha256), card.name)
        inputs = {end.name for end in self._session.get_inputs()}
        self._masked = "attention_mask" in inputs
        if inputs - {"attention_mask"} != {tower.input} or tower.output not in {
            end.name for end in self._session.get_outputs()
        }:
            raise ModelError(
                f"model {card.name!r}: expected a text tower from {tower.input!r} to {tower.output!r}, "
                f"got {describe(self._session)}"
            )

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of some texts.

        Parameters
        ----------
        texts : sequence of str
            What is longer than the tower takes is cut.

        Returns
        -------
        vectors : ndarray of float32, shape (n, d)
            Rows of length 1.

        Raises
        ------
        InputError
            For a text that is empty or absurdly long.
        ModelError
            If the tower puts out something else than the card says.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        vectors = np.empty((len(texts), self.model_card.d), np.float32)
        for i, text in enumerate(texts):
            vectors[i] = self._one(text)
        return vectors

    def _one(self, text: str) -> FloatArray:
        if not text.strip() or len(text) > _MAX_CHARACTERS:
            raise InputError(f"text: expected 1 to {_MAX_CHARACTERS:,} characters, got {len(text):,}")
        tokens = self._tokenizer.encode(text)
        feed = {self._tower.input: np.array([tokens.ids], np.int64)}
        if self._masked:
            feed["attention_mask"] = np.array([tokens.attention_mask], np.int64)
        try:
            (output,) = self._session.run([self._tower.output], feed)
        except runtime_errors() as error:
            raise ModelError(
                f"model {self.model_card.name!r}: its text tower cannot be run: {first_line(error)}"
            ) from None
        vector = np.asarray(output[0], np.float64)
        norm = float(np.linalg.norm(vector))
        if vector.shape != (self.model_card.d,) or not 0 < norm < np.inf:
            raise ModelError(
                f"model {self.model_card.name!r}: expected a text's vector with d={self.model_card.d}, got {vector.shape}"
            )
        scaled: FloatArray = (vector / norm).astype(np.float32)
        return scaled
