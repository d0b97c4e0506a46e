"""Pictures become unit vectors, in order, in bounded memory, whatever some of the files are."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.data.datasets import starter_folder
from lookalike.errors import ImageError, InputError, ModelError
from lookalike.features import embedder as module
from lookalike.features.embedder import Embedded, Embedder
from lookalike.features.models import DEFAULT_MODEL, MODELS, ModelCard, word
from tests.features.pictures import encoded, scene

PICTURES = sorted(starter_folder().rglob("*.jpg"))[::29]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(threads=3)


def test_vectors_are_unit_float32(embedder: Embedder) -> None:
    vectors = embedder.embed(PICTURES[:5])
    assert vectors.dtype == np.float32 and vectors.shape == (5, 1280)
    assert np.allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    assert embedder.embed([]).shape == (0, 1280)
    assert embedder.model_card is MODELS[DEFAULT_MODEL]


def test_every_kind_of_source_gives_the_same_vector(embedder: Embedder, tmp_path: Path) -> None:
    data = encoded(scene(), "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        vectors = embedder.embed([path, str(path), data, scene(), np.asarray(scene()), file])
    assert (vectors == vectors[0]).all()
    assert (embedder.embed([path]) == vectors[0]).all(), "alone or among others"
    assert (embedder.embed(path) == vectors[0]).all(), "a path by itself"  # type: ignore[arg-type]


def test_stream_gives_what_embed_gives_in_order(embedder: Embedder) -> None:
    streamed = list(embedder.stream(iter(PICTURES)))
    assert [path for path, _ in streamed] == PICTURES
    results = [result for _, result in streamed]
    assert all(isinstance(result, Embedded) for result in results)
    assert (np.stack([r.vector for r in results if isinstance(r, Embedded)]) == embedder.embed(PICTURES)).all()


def test_stream_says_what_the_file_was(embedder: Embedder) -> None:
    ((path, result),) = embedder.stream([str(PICTURES[0])])
    assert path == PICTURES[0] and isinstance(result, Embedded)
    with Image.open(path) as picture:
        assert (result.width, result.height, result.format) == (*picture.size, "JPEG")
    assert result.vector.shape == (1280,) and result.norm > 1


def test_bad_files_come_in_their_place(embedder: Embedder, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(encoded(scene(), "PNG"))
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    paths = [good, tmp_path / "text.jpg", good, tmp_path / "empty.jpg", tmp_path / "gone.jpg", tmp_path, good]
    results = [result for _, result in embedder.stream(paths)]
    reasons = [str(result) if isinstance(result, ImageError) else "" for result in results]
    assert [bool(reason) for reason in reasons] == [False, True, False, True, True, True, False]
    assert "text" in reasons[1] and "empty" in reasons[3] and "no such file" in reasons[4] and "folder" in reasons[5]


def test_a_file_that_vanishes_while_others_are_embedded(embedder: Embedder, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i:02}.png" for i in range(40)]
    for path in paths:
        path.write_bytes(encoded(scene(), "PNG"))
    stream = embedder.stream(paths)
    assert isinstance(next(stream)[1], Embedded)
    paths[-1].unlink()
    *rest, (last, error) = stream
    assert all(isinstance(result, Embedded) for _, result in rest)
    assert last == paths[-1] and isinstance(error, ImageError) and "no such file" in str(error)


def test_embed_names_the_first_bad_picture(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"bad\.jpg: the file is empty"):
        embedder.embed([PICTURES[0], tmp_path / "bad.jpg", tmp_path / "gone.jpg"])
    with pytest.raises(ImageError, match=r"^the file is empty$"):
        embedder.embed([b""])


def test_stream_reads_only_as_far_ahead_as_it_can_use(embedder: Embedder) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        for path in itertools.cycle(PICTURES):
            taken += 1
            yield path

    stream = embedder.stream(endless())
    given = sum(1 for _ in itertools.islice(stream, 30))
    assert given == 30
    assert taken <= 30 + 8 * embedder.threads
    stream.close()  # type: ignore[attr-defined]


def workers() -> int:
    return sum(thread.name.startswith("lookalike-embed") for thread in threading.enumerate())


def test_closing_ends_the_threads(embedder: Embedder) -> None:
    stream = embedder.stream(PICTURES * 3)
    next(stream)
    assert workers() > 0
    stream.close()  # type: ignore[attr-defined]
    assert workers() == 0


def test_an_interrupt_ends_the_threads_and_is_passed_on(embedder: Embedder) -> None:
    def interrupted() -> Iterator[Path]:
        yield from PICTURES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(embedder.stream(interrupted()))
    assert workers() == 0


def test_a_defect_is_not_taken_for_a_bad_picture(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(module.images, "read", defect)
    with pytest.raises(ZeroDivisionError):
        list(embedder.stream(PICTURES[:3]))
    assert workers() == 0


def test_one_embedder_serves_many_threads(embedder: Embedder) -> None:
    expected = embedder.embed(PICTURES[:4])
    answers: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: answers.append(embedder.embed(PICTURES[:4]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 and all((answer == expected).all() for answer in answers)


def test_parameters_are_checked() -> None:
    with pytest.raises(InputError):
        Embedder(threads=0)
    with pytest.raises(ModelError, match="efficientnet-lite0"):
        Embedder("efficientnet-lite7")
    with pytest.raises(ModelError):
        Embedder(ModelCard(name="mine", title="Mine", d=3, calibration=MODELS[DEFAULT_MODEL].calibration))


def test_a_blank_picture_has_a_vector(embedder: Embedder) -> None:
    vectors = embedder.embed([Image.new("RGB", (1, 1), colour) for colour in ("black", "white")])
    assert np.isfinite(vectors).all() and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_what_similarity_says_of_starter_pictures(embedder: Embedder) -> None:
    """The calibration holds: random pairs are weak, copies are the same picture or very alike."""
    card = embedder.model_card
    paths = sorted(starter_folder().rglob("*.jpg"))[::9]
    vectors = embedder.embed(paths).astype(np.float64)
    folders = np.array([path.parent.name for path in paths])
    cosines = (vectors @ vectors.T)[folders[:, None] != folders]
    weak = np.mean([word(s) == "weak" for s in card.similarity(cosines)])
    assert weak >= 0.97
    assert np.median(card.similarity(cosines)) < 20

    def words_of(copies: list[bytes | Image.Image]) -> list[str]:
        own = np.einsum("ij,ij->i", embedder.embed(copies), vectors)
        return [word(s) for s in card.similarity(own)]

    opened = [Image.open(path).convert("RGB") for path in paths]
    assert set(words_of(list(opened))) == {"same picture"}
    recompressed = words_of([encoded(picture, "JPEG", quality=60) for picture in opened])
    assert recompressed.count("same picture") >= 0.9 * len(paths)
    assert set(recompressed) <= {"same picture", "very alike"}
    mirrored = words_of([picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in opened])
    assert mirrored.count("same picture") >= 0.9 * len(paths)
