"""Data sets that lookalike knows: where they are, what they hold, whose they are."""

from __future__ import annotations

import csv
import difflib
import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lookalike.errors import DatasetError

__all__ = [
    "DATASETS",
    "Attribution",
    "DatasetCard",
    "Licence",
    "get_dataset",
    "starter_attribution",
    "starter_attribution_file",
    "starter_folder",
]


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence, the address of its text, and how many pictures of a data set are under it."""

    name: str
    url: str
    pictures: int


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What a data set is and where it comes from.

    Attributes
    ----------
    name : str
        The name that commands take.
    title, description : str
        One line each.
    pictures, labels : int
        How many pictures, in how many labelled folders.
    source : str
        Where it comes from.
    licences : tuple of Licence
        Every licence in it; the counts add up to `pictures`.
    bundled : bool
        Whether it is inside the package, so that nothing has to be fetched.
    """

    name: str
    title: str
    description: str
    pictures: int
    labels: int
    source: str
    licences: tuple[Licence, ...]
    bundled: bool

    @property
    def licence_summary(self) -> str:
        """The licences in one line, most frequent first.

        Examples
        --------
        >>> get_dataset("starter").licence_summary
        'public domain 246, CC-BY-SA 78, CC-BY 23, CC0 2'
        """
        families: dict[str, int] = {}
        for licence in self.licences:
            family = licence.name.rstrip("0123456789.").rstrip("-").replace("public-domain", "public domain")
            families[family] = families.get(family, 0) + licence.pictures
        return ", ".join(f"{name} {n}" for name, n in sorted(families.items(), key=lambda pair: -pair[1]))

    def to_dict(self) -> dict[str, Any]:
        """The card as plain values, for ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who made a picture, under which licence it is, and what was changed.

    Attributes
    ----------
    file : str
        Path relative to the data set's folder, with forward slashes.
    licence, licence_url : str
        Name of the licence and the address of its text.
    author, source : str
        As the source names them.
    changes : str
        What was done to the picture (some licences require that this is said).
    """

    file: str
    licence: str
    licence_url: str
    author: str
    source: str
    changes: str

    @property
    def credit(self) -> str:
        """One line to print under the picture."""
        return f"{self.author}, {self.licence} ({self.licence_url}); {self.source}; {self.changes}"


_CREATIVE_COMMONS = "https://creativecommons.org/"

DATASETS: Mapping[str, DatasetCard] = MappingProxyType(
    {
        "starter": DatasetCard(
            name="starter",
            title="Starter pictures",
            description="photos and drawings in 18 labelled folders, small enough to come with lookalike",
            pictures=349,
            labels=18,
            source="Wikimedia Commons and the Open Clip Art Library; each picture's own source is in ATTRIBUTION.tsv",
            licences=(
                Licence("public-domain", _CREATIVE_COMMONS + "publicdomain/mark/1.0/", 246),
                Licence("CC-BY-SA-3.0", _CREATIVE_COMMONS + "licenses/by-sa/3.0/", 57),
                Licence("CC-BY-2.0", _CREATIVE_COMMONS + "licenses/by/2.0/", 18),
                Licence("CC-BY-SA-2.0", _CREATIVE_COMMONS + "licenses/by-sa/2.0/", 9),
                Licence("CC-BY-SA-4.0", _CREATIVE_COMMONS + "licenses/by-sa/4.0/", 9),
                Licence("CC-BY-1.0", _CREATIVE_COMMONS + "licenses/by/1.0/", 3),
                Licence("CC-BY-SA-2.5", _CREATIVE_COMMONS + "licenses/by-sa/2.5/", 3),
                Licence("CC-BY-3.0", _CREATIVE_COMMONS + "licenses/by/3.0/", 2),
                Licence("CC0-1.0", _CREATIVE_COMMONS + "publicdomain/zero/1.0/", 2),
            ),
            bundled=True,
        ),
        "stamps": DatasetCard(
            name="stamps",
            title="Tux Paint stamps",
            description="photos and drawings of things, cut out, in labelled folders; `lookalike datasets fetch stamps`",
            pictures=796,
            labels=121,
            source="Debian package tuxpaint-stamps-default 2022.06.04, whose COPYRIGHT is fetched along",
            licences=(Licence("GPL-2.0-or-later", "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html", 796),),
            bundled=False,
        ),
        "clipart": DatasetCard(
            name="clipart",
            title="Open Clip Art Library 0.18",
            description="drawings in labelled folders; `lookalike datasets fetch clipart`",
            pictures=6900,
            labels=159,
            source="Debian package openclipart-png 0.18, whose COPYRIGHT is fetched along",
            licences=(Licence("public-domain", _CREATIVE_COMMONS + "publicdomain/mark/1.0/", 6900),),
            bundled=False,
        ),
    }
)


def get_dataset(name: str) -> DatasetCard:
    """The card of a data set.

    Raises
    ------
    DatasetError
        If there is none of that name; the message names the nearest.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(str(name), DATASETS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(DATASETS)}"
    raise DatasetError(f"no data set is called {name!r}; {hint}")


def starter_folder() -> Path:
    """The folder of the starter pictures, inside the package.

    Raises
    ------
    DatasetError
        If this installation lacks it.
    """
    return _inside_package("images")


def starter_attribution_file() -> Path:
    """The table (tab-separated, UTF-8) of the starter pictures' authors, sources and licences."""
    return _inside_package("ATTRIBUTION.tsv")


@functools.cache
def starter_attribution() -> Mapping[str, Attribution]:
    """Author, source, licence and changes of each starter picture.

    Returns
    -------
    mapping of str to Attribution
        Keyed by the path relative to `starter_folder`, with forward slashes.

    Examples
    --------
    >>> starter_attribution()["photos/windmill/windmill-12.jpg"].licence
    'CC-BY-2.0'
    """
    with starter_attribution_file().open(encoding="utf-8", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        return MappingProxyType({row["file"]: Attribution(**row) for row in rows})


def _inside_package(name: str) -> Path:
    path = Path(str(resources.files("lookalike.data"))) / "starter" / name
    if not path.exists():
        raise DatasetError(
            f"this installation lacks the starter pictures ({path}); install lookalike again from a wheel"
        )
    return path
