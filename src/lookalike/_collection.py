"""`Collection`: stored pictures, and everything that can be asked of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike._typing import ArrayLike, FloatArray
from lookalike._validate import check_count, check_ids, check_vectors
from lookalike.collection.records import Hit, Progress, TextAnswer
from lookalike.collection.stored import StoredCollection
from lookalike.features.models import SAME
from lookalike.search.find import Found, Wanted, folded_ids, results
from lookalike.search.lookup import vectors_of
from lookalike.search.query import Query

if TYPE_CHECKING:
    from lookalike.curate.groups import Group
    from lookalike.curate.marks import Decision
    from lookalike.explain.contents import Inside
    from lookalike.explain.explanation import Explanation
    from lookalike.explain.reasons import Met
    from lookalike.features.transforms import Transform
    from lookalike.quality.adaptation import Adaptation
    from lookalike.quality.evaluate import Evaluation
    from lookalike.quality.labelled import Labels

__all__ = ["Collection"]


class Collection(StoredCollection):
    """Pictures that can be searched, in a folder on disk.

    Many processes and threads can read a collection while one writes to it: each search works on one consistent
    state, and the next one sees what was committed meanwhile. Make one with `create` or `open`; close it with
    `close` or use it in a ``with`` statement.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> collection = Collection.create(folder.name + "/mine.lookalike")
    >>> report = collection.add_vectors(np.eye(3), paths=["a.jpg", "b.jpg", "c.jpg"], model="mine")
    >>> [hit.path.name for hit in collection.search(np.array([0.9, 0.1, 0.0]), k=2)]
    ['a.jpg', 'b.jpg']
    >>> collection.close(); folder.cleanup()
    """

    def search(
        self, query: Any, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> list[Hit]:
        """The pictures most like `query`, best first.

        Parameters
        ----------
        query
            | a path (a ``file://`` URL is one), a URL (http or https), a PIL image, the bytes of a picture, or uint8 pixels
              (height, width, 3);
            | a vector of the collection's dimension;
            | an entry's id (int), which leaves that entry out of the results;
            | a list of those: the mean of their unit vectors. A list of floats is one vector, a list of ints ids;
            | or a `lookalike.Query`, for everything else: regions, words, more and less like, filters, order, copies.
        k : int, optional
            Number of results; all, if there are fewer. 10 if not given, or the query's own.
        exact : bool
            Compare with every vector instead of asking the index.
        allow : ids or boolean mask indexed by id, optional
            Only these entries can be results; k of them are found if there are k.

        Raises
        ------
        ImageError
            If the picture is missing or cannot be decoded.
        FetchError
            If the URL cannot or must not be fetched.
        DimensionError, InputError, IdError, ModelError
            If the vector, the id or the kind of query does not fit this collection.
        """
        return self.search_timed(query, k, exact=exact, allow=allow)[0]

    def search_timed(
        self, query: Any, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> tuple[list[Hit], dict[str, float]]:
        """`search`, and what it took: ``{"embed": milliseconds, "search": milliseconds}``."""
        from lookalike.search.run import search_like

        if isinstance(query, Query):
            answer = query.ask(self, k, exact=exact, allow=allow)
            return answer.hits, answer.timing_ms
        return search_like(self, query, check_count(10 if k is None else k, "k"), exact=exact, allow=allow)

    def results(
        self, vector: ArrayLike, wanted: Wanted, *, allow: ArrayLike | None = None, made_for: str | None = None
    ) -> tuple[list[Found], list[int] | None, bool]:
        """What `search` finds with a vector, as people look at it: copies folded, and what is known of each file.

        Parameters
        ----------
        vector : array, shape (d,)
        wanted : Wanted
        allow : ids or boolean mask indexed by id, optional
        made_for : str, optional
            The `identity` of the collection when the vector was made: another one may have another model.

        Returns
        -------
        found : list of Found
            Best first.
        missed : list of int or None
            Ids among the k best that the index would not have found, if that is wanted; None if it would not be used.
        always_exact : bool
            Whether a search like this one always compares with every picture, even if that is not asked for.

        Raises
        ------
        DimensionError, DTypeError, InputError
            If the vector does not fit this collection.
        CollectionError
            If it was made for another one.
        """
        return results(self, vector, wanted, allow=allow, made_for=made_for)

    def folded(self, ids: ArrayLike, k: int) -> list[list[int]]:
        """Places in `ids` of the first k, each followed by those that are the same picture and in no group before.

        Raises
        ------
        IdError
            If one of the ids is not here, or missing.
        """
        return folded_ids(self, check_ids(ids, name="ids"), k)

    def search_text(self, text: str, k: int = 10, *, exact: bool = False, allow: ArrayLike | None = None) -> TextAnswer:
        """The pictures that show what a text says, best first.

        Where the model has a text tower, the text is turned into a vector and searched with. The default model has none, but
        a classifier with 1,000 labels: the words are matched to labels, or to kinds of them such as "dog", and pictures ranked
        by probability. `TextAnswer.explain` says so, and which labels those were.

        Parameters
        ----------
        text : str
        k, exact, allow
            As in `search`; a label search is always exact.

        Raises
        ------
        InputError
            If no label matches the words.
        ModelError
            If the model knows pictures only.
        """
        from lookalike.search.words import pictures_of

        k = check_count(k, "k")
        start = time.perf_counter()
        vector = self.text_vector(text)
        if vector is None:
            return pictures_of(self, text, k, allow)
        embed = (time.perf_counter() - start) * 1e3
        hits, timing = self.search_timed(vector, k, exact=exact, allow=allow)
        return TextAnswer(hits, (), (), (), timing | {"embed": embed})

    def text_vector(self, text: str) -> FloatArray | None:
        """The vector of a text, to search with or to mix with those of pictures; None where the model has no text tower.

        Returns
        -------
        vector : ndarray of float32, shape (d,), or None
            Of length 1.
        """
        from lookalike.search.words import embed_text

        return embed_text(self.model, text)

    def vectors(self, queries: Sequence[Any]) -> FloatArray:
        """The vectors that `search` would use for some queries: unit vectors, float32, shape (n, d).

        Parameters
        ----------
        queries : sequence
            Each as in `search`, but no list.

        Raises
        ------
        ImageError, FetchError, DimensionError, InputError, IdError, ModelError
            As `search` does.
        """
        return vectors_of(self, queries)

    def how_met(self, vector: ArrayLike, ids: ArrayLike) -> list[Met]:
        """Why the index would, or would not, find pictures for a query vector; see `lookalike.explain.reasons`.

        Raises
        ------
        IdError
            If one of the ids is not here, or missing.
        """
        from lookalike.explain.reasons import how_met

        with self.view() as (_, snapshot):
            xq = snapshot.stored(vector, "vector")[0]
            wanted = check_ids(ids, name="ids")
            snapshot.check_here(wanted)
            return how_met(snapshot, xq, wanted)

    def measured(self, vectors: ArrayLike, id: int) -> list[tuple[float, float]]:
        """Cosine, and similarity in percent, of a picture to each of some vectors; an IdError if it is not here."""
        from lookalike.explain.reasons import measured

        with self.view() as (_, snapshot):
            wanted = check_ids([id], name="id")
            snapshot.check_here(wanted)
            return measured(snapshot, check_vectors(vectors, snapshot.card.d, "vectors"), int(wanted[0]))

    def explain(
        self, query: Any, k: int = 10, *, nprobe: int | None = None, candidates: int | None = None
    ) -> Explanation:
        """One search, step by step: cells, tables, estimates, re-ranking, what was missed and why; `lookalike.viz` draws it.

        Parameters
        ----------
        query
            As in `search`; of a `lookalike.Query`, its vector. A filter is ignored.
        k : int
        nprobe, candidates : int, optional
            By default those of the collection's index. If it has no index, a temporary one is made, of a sample if the
            collection is large.

        Raises
        ------
        InputError
            If the collection is empty.
        ImageError, FetchError, DimensionError, IdError, ModelError
            As `search` does.
        """
        from lookalike.explain.search import explain_search

        k = check_count(k, "k", 1, 1000)
        chosen = [
            None if value is None else check_count(value, name)
            for name, value in (("nprobe", nprobe), ("candidates", candidates))
        ]
        asked = query.vector(self) if isinstance(query, Query) else query
        return explain_search(self, asked, k, *chosen)

    def inside(self) -> Inside:
        """The contents of the index, for views; of a temporary one if the collection has none. See `lookalike.viz`.

        Raises
        ------
        InputError
            If the collection is empty.
        """
        from lookalike.explain.contents import look_inside

        with self.view() as (_, snapshot):
            return look_inside(snapshot, self.name)

    def named(self, ids: Iterable[int]) -> dict[int, tuple[str, Path]]:
        """A name to show and the file of each of these entries.

        Raises
        ------
        IdError
            If one of them is not here.
        """
        from lookalike.explain.contents import named_paths

        with self._catalog.read() as connection:
            return named_paths(connection, set(ids))

    def duplicates(
        self,
        similarity: float = SAME,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Group]:
        """Groups of the same picture: copies, and other sizes, formats and slight edits.

        Any two pictures that are at least this similar are in one group; see `lookalike.curate.groups.Group` for chains and
        links.

        Parameters
        ----------
        similarity : float
            Least similarity of two pictures of a group, 0 to 100; from 90 on the word is "same picture".
        progress : callable, optional
            Called with a `Progress` a few times per second; what it raises ends the work.
        cancelled : callable, optional
            Called a few times per second; when it returns True, the work ends with KeyboardInterrupt.
        """
        from lookalike.curate.groups import find_groups

        with self.view() as (connection, snapshot):
            return find_groups(connection, snapshot, similarity, progress, cancelled)

    def mark_duplicates(self, ids: Iterable[int], decision: Decision) -> None:
        """Remember that pictures are to be kept (``"keep"``), left alone together (``"ignore"``), or neither (``"reset"``).

        Raises
        ------
        IdError
            If one of them is not here.
        CollectionLockedError, ReadOnlyError
            If somebody else is writing, or nothing can be written.
        """
        from lookalike.curate.marks import marked, read_marks, set_marks

        chosen = [self.entry(id).id for id in ids]
        with self._lock.held(), self._catalog.write() as connection:
            set_marks(connection, marked(read_marks(connection), chosen, decision))

    def evaluate(
        self,
        labels: Labels = "folders",
        *,
        at_least: int = 2,
        queries: int = 10_000,
        duplicates: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> Evaluation:
        """Measure the quality of results: each labelled picture is a query for the others that share a label.

        Parameters
        ----------
        labels : "folders", path or mapping
            ``"folders"``: each picture's folder, or what a ``labels.tsv`` in the folder that was indexed says. A path: such a
            file. A mapping: labels by path.
        at_least : int
            Labels with fewer pictures, and pictures without another label, are left out.
        queries : int
            If there are more pictures, this many of them, chosen at random, are queries.
        duplicates : int
            Number of pictures to alter in twenty ways (`lookalike.features.spoil`), to see which picture each copy finds.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Raises
        ------
        InputError
            If there are not two labels of `at_least` pictures each, or the labels are not of this collection.
        FormatError
            If the file of labels is not one.
        ModelError
            If `duplicates` are wanted of vectors that were made elsewhere.
        """
        from lookalike.quality.evaluate import evaluate

        return evaluate(self, labels, at_least, queries, duplicates, progress)

    def adapt(
        self,
        labels: Labels = "folders",
        *,
        at_least: int = 2,
        progress: Callable[[Progress], None] | None = None,
    ) -> Adaptation:
        """Learn from labels which differences between vectors do not matter, and measure what that gains; nothing is changed yet.

        Parameters
        ----------
        labels, at_least
            As in `evaluate`.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Returns
        -------
        Adaptation
            With the gain on held-out pictures and labels; if it `helps`, give its `transform` to `set_transform`.

        Raises
        ------
        InputError
            If there are too few labelled pictures to learn from, or to check on.
        """
        from lookalike.quality.adaptation import adapt

        return adapt(self, labels, at_least, progress)

    def fit_transform(self, d: int, *, whiten: bool = False) -> Transform:
        """Principal components of the vectors, to `d` dimensions; needs no labels. Nothing is changed yet.

        Raises
        ------
        InputError
            If `d` is more than the vectors have, or there are fewer than two pictures.
        """
        from lookalike.quality.adaptation import principal_components

        return principal_components(self, d, whiten)
