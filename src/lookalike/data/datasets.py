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

from lookalike._files import Checksum
from lookalike.errors import DatasetError

__all__ = [
    "DATASETS",
    "Archive",
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
class Archive:
    """The file in which its authors publish a data set.

    Attributes
    ----------
    url, file : str
        Where it is, and what it is called on disk.
    size : int
        In bytes.
    checksum : Checksum or None
        None where nobody published one: it is shown as unverified then, and its SHA-256 is noted at the first fetch.
    keep : str
        Which members are taken; see `lookalike.data.archives.unpack`.
    inner : str or None
        Name of the tar, where the file is a zip around one.
    """

    url: str
    file: str
    size: int
    checksum: Checksum | None
    keep: str
    inner: str | None = None


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
        How many pictures, and how many different labels they have.
    size : int
        In bytes: of the download, or of the pictures where they are inside the package.
    source : str
        Where it comes from.
    licences : tuple of Licence
        Every licence in it; the counts add up to `pictures`.
    bundled : bool
        Whether it is inside the package, so that nothing has to be fetched.
    citation : str
        How its authors want to be named, where they say.
    archive : Archive or None
        Where it is fetched from; None for those inside the package or in a package of Debian.
    """

    name: str
    title: str
    description: str
    pictures: int
    labels: int
    size: int
    source: str
    licences: tuple[Licence, ...]
    bundled: bool = False
    citation: str = ""
    archive: Archive | None = None

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
            size=4_418_485,
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
            description="photos and drawings of things, cut out, in labelled folders",
            pictures=796,
            labels=121,
            size=160_880_444,
            source="Debian package tuxpaint-stamps-default 2022.06.04, whose COPYRIGHT is fetched along",
            licences=(Licence("GPL-2.0-or-later", "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html", 796),),
        ),
        "clipart": DatasetCard(
            name="clipart",
            title="Open Clip Art Library 0.18",
            description="drawings in labelled folders",
            pictures=6900,
            labels=159,
            size=130_910_028,
            source="Debian package openclipart-png 0.18, whose COPYRIGHT is fetched along",
            licences=(Licence("public-domain", _CREATIVE_COMMONS + "publicdomain/mark/1.0/", 6900),),
        ),
        "caltech101": DatasetCard(
            name="caltech101",
            title="Caltech-101",
            description="photos of 101 kinds of things, one label each, and 467 unlabelled pictures as background",
            pictures=9144,
            labels=101,
            size=137_414_764,
            source="https://data.caltech.edu/records/mzrjq-6wc02",
            licences=(Licence("CC-BY-4.0", _CREATIVE_COMMONS + "licenses/by/4.0/", 9144),),
            citation=(
                "Li, Andreeto, Ranzato and Perona: Caltech 101 (version 1.0). CaltechDATA, 2022. https://doi.org/10.22002/D1.20086"
            ),
            archive=Archive(
                url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip?download=1",
                file="caltech-101.zip",
                size=137_414_764,
                checksum=Checksum(
                    "sha256",
                    "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
                    "TensorFlow Datasets, datasets/caltech101/checksums.tsv",
                ),
                keep=r"101_ObjectCategories/([\w-]+/[\w-]+\.jpg)",
                inner="caltech-101/101_ObjectCategories.tar.gz",
            ),
        ),
        "voc2012": DatasetCard(
            name="voc2012",
            title="PASCAL VOC 2012, training and validation",
            description="photos with one or more of 20 labels",
            pictures=17125,
            labels=20,
            size=1_999_639_040,
            source="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            licences=(Licence("Flickr terms of use", "https://www.flickr.com/help/terms", 17125),),
            citation=(
                "Everingham, Van Gool, Williams, Winn and Zisserman: The PASCAL Visual Object Classes Challenge 2012 (VOC2012). "
                "http://www.pascal-network.org/challenges/VOC/voc2012/workshop/index.html"
            ),
            archive=Archive(
                url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                file="VOCtrainval_11-May-2012.tar",
                size=1_999_639_040,
                checksum=Checksum("md5", "6cd6e144f989b92b3379bac3b3de84fd", "torchvision, datasets/voc.py"),
                keep=r"VOCdevkit/VOC2012/(JPEGImages/\w+\.jpg|Annotations/\w+\.xml)",
            ),
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
