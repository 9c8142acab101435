"""Scores for many members from what the store holds about them. Pure: no HTTP, no clock, no store.

Rows of several requests are scored together: deriving features and walking trees cost little more for sixteen members than
for one, and a row's answer does not depend on who stands beside it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.codec import Decoded, decode, empty_records, is_readable
from features.contract import Contract
from features.days import day_of, microseconds, moment_of
from features.derive import derive, model_columns
from features.errors import ContractMismatch
from features.live_state import first_live_day, merged
from features.stamp import Edition, Stamp
from serving.bundle import ModelSet
from serving.outputs import MODEL_OF, Answered, Cell, NotANumber, answer
from serving.served import ServedModel
from training.predictors import Matrix

Row = dict[str, Any]
SHOWN = ("lifecycle_stage", "rfm_tier")
_NO_CELLS: Mapping[str, Cell | None] = dict.fromkeys(MODEL_OF)


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """What one request is answered with: features, models, the moment, and from what age on features are stale."""

    contract: Contract
    models: ModelSet
    moment: datetime
    stale_after_s: float


@dataclass(frozen=True)
class PublishedFeatures:
    """A stamp, and what is worked out of it once for all requests that read under it."""

    stamp: Stamp

    @cached_property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.stamp.time_zone)

    @cached_property
    def editions(self) -> tuple[Edition, ...]:
        """The publish that ended, then those under way."""
        return (self.stamp.edition, *self.stamp.pending)

    @cached_property
    def known_us(self) -> NDArray[np.int64]:
        """As of which moment each edition is right, in microseconds since 1970."""
        return np.array([microseconds(edition.as_of_moment) for edition in self.editions], dtype=np.int64)

    @cached_property
    def edges(self) -> tuple[dict[str, float], ...]:
        """Population edges and thresholds of each edition, NaN for missing."""
        return tuple(
            {name: float("nan") if value is None else value for name, value in edition.edges.items()}
            for edition in self.editions
        )

    def require(self, contract: Contract) -> None:
        """Raise ContractMismatch unless it was published with these declarations."""
        if self.stamp.contract != contract.hash:
            raise ContractMismatch(
                f"the store was published with contract {self.stamp.contract[:8]}…, this process derives {contract.hash[:8]}…",
                remedy='publish with this version ("rapport publish"), or serve with the version that published',
            )


@dataclass(frozen=True, slots=True)
class Vectors:
    """Features of several members as of one moment.

    Attributes
    ----------
    matrix
        float32, shape (members, features of the contract).
    as_of, age_s
        Moment each row is right as of, as text, and its age in seconds.
    """

    matrix: NDArray[np.float32]
    as_of: list[str]
    age_s: list[int]

    def __len__(self) -> int:
        return len(self.as_of)


@dataclass(frozen=True, slots=True)
class Scored:
    """What models say of several members: answers by output, labels of what profiles show, and models that failed."""

    vectors: Vectors
    model_matrix: Matrix
    by_output: Mapping[str, Answered]
    shown: Mapping[str, list[str | None]]
    failed: frozenset[str]


def vectors_of(
    context: ScoringContext,
    published: PublishedFeatures,
    values: Sequence[bytes | None],
    today: Sequence[bytes | None] = (),
) -> Vectors:
    """Features of members whose stored values can be read, None for members without any; `today` is their live values."""
    stored = _decoded(context.contract, published, values)
    editions = editions_of(published.stamp, stored.written_at)
    moments = _moments(published, stored, editions)
    records = stored.records
    if any(value is not None for value in today):
        records, _ = merged(context.contract, records, today, _first_days(published, moments))
    matrix = feature_matrix(context, published.stamp, records, editions, published=published)
    now = microseconds(context.moment)
    ages = np.maximum(now - moments, 0) // 1_000_000
    texts = {moment: moment_of(moment).isoformat() for moment in set(moments.tolist())}
    return Vectors(matrix, [texts[moment] for moment in moments.tolist()], ages.tolist())


def _decoded(contract: Contract, published: PublishedFeatures, values: Sequence[bytes | None]) -> Decoded:
    """Stored rows; those of members whom only the stream knows yet are empty, and as old as the publish."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return decode(contract, known)
    found, rows = decode(contract, known), [row for row, value in enumerate(values) if value is not None]
    records = empty_records(contract, len(values), unknown=published.stamp.unknown)
    as_of, written_at = np.full((2, len(values)), published.known_us[0])
    records[rows], as_of[rows], written_at[rows] = found.records, found.as_of, found.written_at
    return Decoded(records, as_of, written_at)


def _first_days(published: PublishedFeatures, moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first local day that each row does not hold."""
    different, place = np.unique(moments, return_inverse=True)
    days = [first_live_day(moment_of(moment), published.zone) for moment in different.tolist()]
    return np.array(days, dtype=np.int64)[place]


def readable(contract: Contract, value: bytes | None) -> bool:
    """Whether there is a stored value, and one that this process can read."""
    return value is not None and is_readable(contract, value)


def feature_matrix(
    context: ScoringContext,
    stamp: Stamp,
    records: NDArray[np.void],
    editions: NDArray[np.intp] | None = None,
    *,
    published: PublishedFeatures | None = None,
) -> NDArray[np.float32]:
    """Features of the records as of the context's moment, columns as `Contract.feature_names`.

    Parameters
    ----------
    editions
        Of each record, which of the stamp's editions its population edges are from; None: all from the one that ended.
    """
    published = published or PublishedFeatures(stamp)
    day = day_of(context.moment, published.zone)
    if editions is None or not editions.any():
        return derive(context.contract, records, day=day, edges=published.edges[0])
    matrix = np.empty((len(records), len(context.contract.features)), dtype=np.float32)
    for position, edges in enumerate(published.edges):
        of_it = editions == position
        if of_it.any():
            matrix[of_it] = derive(context.contract, records[of_it], day=day, edges=edges)
    return matrix


def editions_of(stamp: Stamp, written_at: NDArray[np.int64]) -> NDArray[np.intp]:
    """Which publish wrote each row: 0 for one that ended, from 1 on the pending ones, in the stamp's order."""
    editions = np.zeros(len(written_at), dtype=np.intp)
    for position, edition in enumerate(stamp.pending, start=1):
        editions[written_at == microseconds(edition.published_moment)] = position
    return editions


def _moments(published: PublishedFeatures, stored: Decoded, editions: NDArray[np.intp]) -> NDArray[np.int64]:
    """The moment each row is right as of: a row that a publish left as it was had not changed by then."""
    return np.maximum(stored.as_of, published.known_us[editions])


def score(context: ScoringContext, vectors: Vectors, outputs: Collection[str]) -> Scored:
    """What the models say of each member; a model that answers with what is no number answers nobody."""
    contract = context.contract
    model_matrix = np.ascontiguousarray(vectors.matrix[:, model_columns(contract)])
    silence = silence_of(contract, vectors)
    found: dict[str, Answered] = {}
    failed = set()
    for output in outputs:
        model = context.models.served.get(MODEL_OF[output])
        if model is not None:
            try:
                found[output] = answer(model, model_matrix, silence)
            except NotANumber:
                failed.add(output)
    shown = {name: _labels(contract, name, vectors.matrix) for name in SHOWN}
    return Scored(vectors, model_matrix, found, shown, frozenset(failed))


def silence_of(contract: Contract, vectors: Vectors) -> NDArray[np.float32]:
    """Days since the last purchase of each member."""
    return vectors.matrix[:, contract.feature_names.index("days_since_last_purchase")]


def _labels(contract: Contract, name: str, matrix: NDArray[np.float32]) -> list[str | None]:
    """The category of a coded feature of each row, None for missing."""
    column, categories = _coded(contract, name)
    return [None if code != code else categories[int(code)] for code in matrix[:, column].tolist()]


@cache
def _coded(contract: Contract, name: str) -> tuple[int, tuple[str, ...]]:
    """Where a coded feature stands, and what its codes mean."""
    return contract.feature_names.index(name), tuple(contract.feature(name).categories)


def rows_of(
    scored: Scored, rows: Sequence[int], member_ids: Sequence[str], outputs: Collection[str], *, stale_after_s: float
) -> list[Row]:
    """The answers about some rows, as `schemas.ScoreRow`, all of them asked for the same outputs."""
    found = [(output, scored.by_output[output].cells) for output in outputs if output in scored.by_output]
    missing = None
    if len(found) < len(outputs):
        missing = "model_failed" if scored.failed.intersection(outputs) else "model_missing"
    as_of, ages = scored.vectors.as_of, scored.vectors.age_s
    stages, tiers = (scored.shown[name] for name in SHOWN)
    answers = []
    for row, member in zip(rows, member_ids, strict=True):
        answer: Row = {
            "member_id": member,
            "status": "STALE" if ages[row] > stale_after_s else "OK",
            "reason": missing,
            "fallback": "none",
            "as_of": as_of[row],
            "age_seconds": ages[row],
            "nightly_run": None,
            **_NO_CELLS,
            "lifecycle_stage": stages[row],
            "rfm_tier": tiers[row],
        }
        for output, cells in found:
            answer[output] = cell = cells[row]
            if cell is None and missing is None:
                answer["reason"] = "not_active"
        if answer["reason"] is not None:
            answer["status"] = "PARTIAL"
        answers.append(answer)
    return answers


def default_outputs(models: ModelSet) -> tuple[str, ...]:
    """What is answered where a request does not say: churn and tier, and the others where such a model stands."""
    return tuple(output for output, name in MODEL_OF.items() if output in {"churn", "tier"} or name in models.served)


def explainable(models: ModelSet, output: str) -> ServedModel | None:
    """The model of an output if its scores can come with reasons in time."""
    model = models.served.get(MODEL_OF[output])
    return model if model is not None and model.explained else None
