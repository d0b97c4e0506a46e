"""What the REST API answers, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from lookalike.curate.marks import Decision

__all__ = [
    "Collections",
    "Decided",
    "Deleted",
    "Duplicates",
    "ErrorResponse",
    "Examples",
    "FoldedResult",
    "Folders",
    "Health",
    "JobState",
    "Jobs",
    "Labels",
    "Marked",
    "NewCollection",
    "Page",
    "Picture",
    "Result",
    "SearchResponse",
    "SkippedFiles",
    "Timing",
    "Why",
]

Id = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Result(BaseModel):
    """One picture found. `path` is relative to the folder that was indexed; `missing` is there if the file is not."""

    path: str
    similarity: float
    cosine: float
    distance: float
    id: int
    missing: Literal[True] | None = None


class FoldedResult(Result):
    """The same, with near-identical pictures under it, if `fold` was asked for."""

    same: list[Result] | None = None


class Timing(BaseModel):
    """Milliseconds."""

    embed: float
    search: float


class SearchResponse(BaseModel):
    """Results, best first or in the order asked for; with `exact`, the ids that the index would have missed, if it were asked.

    `words` says how words were read, where the model has labels only.
    """

    results: list[FoldedResult]
    timing_ms: Timing
    missed: list[int] | None = None
    words: str | None = None


class ErrorDetail(BaseModel):
    """What went wrong, in one line for a person."""

    type: str
    message: str


class ErrorResponse(BaseModel):
    """The shape of every error."""

    error: ErrorDetail


class Health(BaseModel):
    """The server can search."""

    status: Literal["ok"]
    version: str
    pictures: int


class Credit(BaseModel):
    """Who made a starter picture."""

    author: str
    licence: str
    licence_url: str
    source: str
    changes: str


class Picture(BaseModel):
    """What is known about a picture; `path` is relative to the folder that was indexed, `modified` in ms since 1970."""

    id: int
    path: str
    name: str
    label: str
    width: int | None
    height: int | None
    format: str | None
    bytes: int | None
    modified: int | None
    credit: Credit | None


class Page(BaseModel):
    """Some of `total` pictures."""

    total: int
    pictures: list[Picture]


class Examples(BaseModel):
    """Pictures to start from."""

    examples: list[Picture]


class Label(BaseModel):
    """A folder, with the pictures in it and below; `name` can be shown."""

    label: str
    name: str
    pictures: int


class Labels(BaseModel):
    """The folders of a collection."""

    labels: list[Label]


class Folder(BaseModel):
    """A folder that was indexed."""

    path: str
    pictures: int
    missing: bool


class CollectionItem(BaseModel):
    """A collection; all but the first two only with `details`, `folders` only on the server's own machine."""

    name: str
    default: bool
    pictures: int | None = None
    missing: int | None = None
    labels: int | None = None
    skipped: int | None = None
    bytes: int | None = None
    folders: list[Folder] | None = None
    problem: str | None = None


class Collections(BaseModel):
    """The collections, the default first."""

    collections: list[CollectionItem]


class Reason(BaseModel):
    """Files that were passed over for the same reason; the first fifty are named."""

    reason: str
    count: int
    files: list[str]


class SkippedFiles(BaseModel):
    """All files that were passed over."""

    total: int
    reasons: list[Reason]


class SkippedFile(BaseModel):
    """One of them."""

    path: str
    reason: str


class JobProgress(BaseModel):
    """How far a job is; `total` is 0 while that is not known."""

    phase: str
    done: int
    total: int
    rate: float
    seconds_left: float | None
    skipped: int


class JobReport(BaseModel):
    """What a job did."""

    indexed: int
    new: int
    changed: int
    unchanged: int
    moved: int
    missing: int
    removed: int
    seconds: float
    skipped_count: int
    skipped: list[SkippedFile]
    reasons: list[Reason]


class JobState(BaseModel):
    """Indexing in the background."""

    id: int
    collection: str
    state: Literal["running", "done", "stopped", "failed"]
    stopping: bool
    error: str | None
    progress: JobProgress | None
    report: JobReport | None


class Jobs(BaseModel):
    """The latest first; `local`: whether this request may index folders; `needs_token`: it could with the server's secret."""

    jobs: list[JobState]
    local: bool
    needs_token: bool


class Crumb(BaseModel):
    """A folder on the way to another."""

    name: str
    path: str


class Folders(BaseModel):
    """The folders in a folder of the server's machine, and how many pictures lie directly in it."""

    path: str
    parent: str
    name: str
    crumbs: list[Crumb]
    folders: list[str]
    pictures: int


class CopyOf(Picture):
    """A picture of a group: how like the first of its part it is, and whether it was marked to be kept.

    `is_link` says that its path is a symbolic link, `link_of` which picture stands for its file, if that is another one.
    """

    similarity: float
    kept: bool
    part: int
    is_link: bool
    link_of: int | None


class DuplicateGroup(BaseModel):
    """The same picture several times, the one with the most pixels first; at most 200 of `count` are named.

    Each is like another one. Those that are not like the first are in parts of their own, part after part, each under the first of
    that part. `least_similarity` is that of the two that are least alike; in a chain it is below what was asked for. `links` of
    the pictures are links or second names of a file, which take no space.
    """

    ignored: bool
    spare_bytes: int
    least_similarity: float
    is_chain: bool
    links: int
    count: int
    pictures: list[CopyOf]


class Duplicates(BaseModel):
    """A page of `total` groups; `pictures` and `spare_bytes` are of all groups that are not ignored."""

    total: int
    ignored: int
    pictures: int
    spare_bytes: int
    groups: list[DuplicateGroup]


class WhyPart(BaseModel):
    """How like the result is to one part of the query; `id`, `query` or `text` says which part that is."""

    role: Literal["asked", "like", "unlike"]
    cosine: float
    similarity: float
    word: str
    id: int | None = None
    source: str | None = None
    name: str | None = None
    query: str | None = None
    text: str | None = None
    region: str | None = None


class WhyIndex(BaseModel):
    """Where the index placed it; the numbers are null where every picture was compared."""

    verdict: str
    found: bool
    list_rank: int | None
    nprobe: int | None
    nlist: int | None
    code_rank: int | None
    candidates: int | None
    code_distance: float | None


class Why(BaseModel):
    """Why a picture is, or is not, among the results."""

    cosine: float
    similarity: float
    distance: float
    word: str
    rank: int | None
    compared: int
    passes: bool
    parts: list[WhyPart]
    index: WhyIndex


class NewCollection(BaseModel):
    """A folder of this machine to index; `name` is the folder's own if not given.

    With `join`, the folder is added to a collection of that name which was made from others.
    """

    folder: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Annotated[str | None, Field(max_length=200)] = None
    join: bool = False


class Deleted(BaseModel):
    """The name of the collection that is gone."""

    deleted: str


class Decided(BaseModel):
    """What somebody decided about pictures of a group: keep, ignore or reset."""

    ids: Annotated[list[Id], Field(max_length=10_000)]
    decision: Decision


class Marked(BaseModel):
    """How many pictures were decided on."""

    marked: int
