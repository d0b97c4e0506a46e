"""Everything lookalike raises on purpose.

::

    LookalikeError
    ├── InputError (ValueError)          an argument that cannot be used
    │   ├── DimensionError               vectors of another dimension
    │   └── DTypeError (TypeError)       an array of something else than numbers
    ├── NotTrainedError                  train() has to come first
    ├── TrainingError                    these points cannot train this index
    ├── IdError (KeyError)               an id that is not stored, or is stored already
    ├── ReadOnlyError                    a mapped index or collection cannot be changed
    ├── FormatError                      a file that is not what it should be
    │   └── VersionError                 a file of a newer lookalike
    ├── ImageError                       a picture that cannot be decoded
    │   └── UnreadableNowError           it could not be read this time; nothing is known about its contents
    ├── FetchError                       a URL that cannot or must not be fetched
    ├── ModelError                       an unknown or unusable model
    ├── DatasetError                     an unknown or unusable data set
    ├── MissingExtraError (ImportError)  an optional dependency is not installed
    └── CollectionError                  a collection that cannot be used
        ├── CollectionNotFoundError      there is none at that place
        └── CollectionLockedError        another process is writing to it

Every message is one line: what was given, what was expected, what to do.
"""

from __future__ import annotations

__all__ = [
    "CollectionError",
    "CollectionLockedError",
    "CollectionNotFoundError",
    "DTypeError",
    "DatasetError",
    "DimensionError",
    "FetchError",
    "FormatError",
    "IdError",
    "ImageError",
    "InputError",
    "LookalikeError",
    "LookalikeWarning",
    "MissingExtraError",
    "ModelError",
    "NotTrainedError",
    "ReadOnlyError",
    "TrainingError",
    "UnreadableNowError",
    "VersionError",
]


class LookalikeError(Exception):
    """Base of every error that lookalike raises on purpose."""


class InputError(LookalikeError, ValueError):
    """An argument that cannot be used: its value, shape or range."""


class DimensionError(InputError):
    """Vectors whose dimension is not the index's; the message gives both."""


class DTypeError(InputError, TypeError):
    """An array whose elements are not numbers, or are numbers of the wrong kind."""


class NotTrainedError(LookalikeError):
    """`train` has to come first."""


class TrainingError(LookalikeError):
    """The given points cannot train this index, for instance too few of them."""


class IdError(LookalikeError, KeyError):
    """An id that is not stored, or that is stored already."""

    def __str__(self) -> str:  # KeyError would print the repr of its argument
        return Exception.__str__(self)


class ReadOnlyError(LookalikeError):
    """An index opened with ``mmap=True``, or a reader's collection, cannot be changed."""


class FormatError(LookalikeError):
    """A file that is damaged, truncated or of another kind."""


class VersionError(FormatError):
    """A file written by a newer version of lookalike."""


class ImageError(LookalikeError):
    """A picture that cannot be decoded; the message is the reason, in words for a person."""


class UnreadableNowError(ImageError):
    """A picture that could not be read this time: the system failed, or the file changed meanwhile.

    It says nothing about the contents, which may be fine: the same file is tried again later. Every other `ImageError` of a
    file means that it was read and is no picture that can be used.
    """


class FetchError(LookalikeError):
    """A URL that could not be fetched, or that must not be."""


class ModelError(LookalikeError):
    """An unknown model, a damaged model file, or vectors of another model."""


class DatasetError(LookalikeError):
    """An unknown or damaged data set."""


class MissingExtraError(LookalikeError, ImportError):
    """An optional dependency is not installed; the message gives the command."""


class CollectionError(LookalikeError):
    """A collection that cannot be used as asked."""


class CollectionNotFoundError(CollectionError):
    """There is no collection at that place."""


class CollectionLockedError(CollectionError):
    """Another process is writing to this collection."""


class LookalikeWarning(UserWarning):
    """Advice that does not stop the work, such as fewer training points than advisable."""
