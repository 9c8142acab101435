"""The models' nightly answers as kept online: a packed record a member, and the stamp that says which run wrote what.

    offset  size  what
    0       2     magic: "A1"
    2       8     number of the run that wrote it
    10      8     as_of, microseconds since 1970 UTC
    18      ...   a value for each column of that run: `Edition.columns`

A run writes everybody: first it announces itself in the stamp with its models and columns, then it writes a record and the
readable profile of each member, and the stamp that ends it makes it the current one. A record names its run, so a reader
knows by which versions and as of when it was made, also in the middle of a run; one of neither run has no answer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.days import microseconds
from features.errors import CorruptRecord

MAGIC = b"A1"
HEADER = np.dtype([("magic", "S2"), ("run", "<u8"), ("as_of", "<i8")])
NUMBER, CODE = "<f4", "<i2"
"""How columns are kept: numbers with NaN for missing, and positions among labels with -1 for missing."""
_REMEDY = 'score everyone again: "rapport nightly"'


@dataclass(frozen=True, slots=True)
class AnsweringModel:
    """A model that answered for everyone.

    Attributes
    ----------
    label, sha256
        Name and version, churn@3; hash of the bundle's manifest.
    definition
        What the answer means, for example the horizon in days.
    labels
        What the codes of its columns stand for, such as names of groups.
    """

    name: str
    kind: str
    label: str
    sha256: str
    definition: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEdition:
    """One run: what its records hold and who made them.

    Attributes
    ----------
    run
        A number no other run has.
    columns
        Name and dtype of each value of a record, in order.
    fields
        What it writes into readable profiles.
    made_from
        Hash of facts, moment and models; empty where they were not kept.
    priors
        Mean of each column of numbers over everyone (under ""), and over the members of each lifecycle stage. What is
        answered of a member for want of anything better.
    """

    run: int
    as_of: str
    published_at: str
    contract: str
    members: int
    models: tuple[AnsweringModel, ...]
    columns: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    made_from: str = ""
    priors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One stored value: header and columns, packed."""
        return np.dtype([*HEADER.descr, *self.columns])

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "AnswerEdition":
        """The edition from what `asdict` made of it."""
        models = tuple(AnsweringModel(**model | {"labels": tuple(model["labels"])}) for model in content["models"])
        columns = tuple((str(name), str(dtype)) for name, dtype in content["columns"])
        edition = cls(**dict(content) | {"models": models, "columns": columns, "fields": tuple(content["fields"])})
        datetime.fromisoformat(edition.as_of)
        _ = edition.dtype, [dict[str, float](means) for means in edition.priors.values()]
        return edition


@dataclass(frozen=True, slots=True)
class AnswerStamp:
    """The run that ended last, None before the first, and those begun since; all but the last of these were broken off."""

    current: AnswerEdition | None = None
    pending: tuple[AnswerEdition, ...] = ()

    def to_bytes(self) -> bytes:
        """The stamp as JSON."""
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> "AnswerStamp":
        """The stamp from JSON.

        Raises
        ------
        CorruptRecord
            It is none.
        """
        try:
            content = json.loads(value)
            current = AnswerEdition.from_json(content["current"]) if content["current"] is not None else None
            return cls(current, tuple(AnswerEdition.from_json(edition) for edition in content["pending"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptRecord("the stamp of the answers in the store cannot be read", remedy=_REMEDY) from error

    def begun(self, edition: AnswerEdition) -> "AnswerStamp":
        """The stamp while a run is under way."""
        return replace(self, pending=(*self.pending, edition))

    @property
    def fields(self) -> set[str]:
        """Fields that profiles may hold by now."""
        editions = (*self.pending, *([self.current] if self.current else []))
        return {name for edition in editions for name in edition.fields}


@dataclass(frozen=True, slots=True)
class NightlyAnswer:
    """A member's answers by column, NaN or -1 where there is none, and the run they are of."""

    edition: AnswerEdition
    values: Mapping[str, float | int]


def pack_answers(edition: AnswerEdition, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.void]:
    """One stored value for each row of the columns."""
    rows = len(next(iter(columns.values())))
    packed = np.empty(rows, dtype=edition.dtype)
    packed["magic"], packed["run"] = MAGIC, edition.run
    packed["as_of"] = microseconds(datetime.fromisoformat(edition.as_of))
    for name, _ in edition.columns:
        packed[name] = columns[name]
    return packed.view(f"V{edition.dtype.itemsize}")


def read_answers(stamp: AnswerStamp | None, values: Sequence[bytes | None]) -> list[NightlyAnswer | None]:
    """What is stored of several members, in order; None for a member without an answer of a run that the stamp knows.

    Raises
    ------
    CorruptRecord
        A value is no record of ours, or not of the length that its run writes.
    """
    editions = {} if stamp is None else {edition.run: edition for edition in (*stamp.pending, stamp.current) if edition}
    return [None if value is None else _read(editions, value) for value in values]


def _read(editions: Mapping[int, AnswerEdition], value: bytes) -> NightlyAnswer | None:
    if len(value) < HEADER.itemsize or not value.startswith(MAGIC):
        raise CorruptRecord("a stored answer is no record of ours", remedy=_REMEDY)
    edition = editions.get(int(np.frombuffer(value, dtype=HEADER, count=1)["run"][0]))
    if edition is None:
        return None
    if len(value) != edition.dtype.itemsize:
        raise CorruptRecord("a stored answer has not the length that its run writes", remedy=_REMEDY)
    row = np.frombuffer(value, dtype=edition.dtype, count=1)
    return NightlyAnswer(edition, {name: row[name][0].item() for name, _ in edition.columns})
