"""One batch: the requests that were read together, scored together, and their rows. No store and no waiting in here."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.answers import NightlyAnswer
from features.errors import ContractMismatch
from serving.bundle import ModelSet
from serving.ladder import Below, Priors, run_passport
from serving.outputs import Cell, NotANumber, answer
from serving.reading import MembersRead
from serving.reasoning import add_reasons
from serving.scoring import PublishedFeatures, Row, Scored, ScoringContext, readable, rows_of, score, silence_of, vectors_of
from serving.served import ServedModel
from training.predictors.reason_sentences import Language

NO_DEADLINE = float("inf")


@dataclass(frozen=True, slots=True)
class Reply:
    """Rows in the order asked for, and what the passport says of them."""

    rows: list[Row]
    moment: datetime
    published: PublishedFeatures | None
    runs: list[dict[str, Any]]
    reasons: str


@dataclass(slots=True, eq=False)
class Job:
    """A request, or a part of a long one, that waits for its batch.

    Attributes
    ----------
    top
        Reasons wanted; 0 for none.
    deadline
        Moment of the monotonic clock; infinity for none.
    moment
        The moment answered for; None for that of the batch.
    """

    member_ids: list[str]
    outputs: tuple[str, ...]
    models: ModelSet
    answer: asyncio.Future[Reply]
    top: int = 0
    language: Language = "en"
    max_staleness_s: float | None = None
    deadline: float = NO_DEADLINE
    moment: datetime | None = None


@dataclass(slots=True)
class _Part:
    """A request within the batch: where its members begin, which of them are answered from the scored matrix, and with what."""

    job: Job
    start: int
    places: list[int] = field(default_factory=list)
    reasons: str = "none"
    told: dict[str, dict[int, list[Cell]]] = field(default_factory=dict)


class Batch:
    """Requests answered together.

    Attributes
    ----------
    below
        Places of members, counted over all requests, that a lower step of the ladder has to answer, and why.
    nightly
        What is stored of those members' nightly answers, in that order.
    reason_s
        Seconds of processor that the reasons of one row took; None where none were given.
    told
        Rows that were given reasons.
    """

    def __init__(self, context: ScoringContext, read: MembersRead, jobs: Sequence[Job], priors: Priors) -> None:
        self.below: dict[int, str] = {}
        self.nightly: list[NightlyAnswer | None] = []
        self.reason_s: float | None = None
        self.told = 0
        self._context = context
        self._read = read
        self._priors = priors
        self._parts: list[_Part] = []
        self._place: dict[int, int] = {}
        self._scored: Scored | None = None
        self._mismatch = False
        start = 0
        for job in jobs:
            self._parts.append(_Part(job, start))
            start += len(job.member_ids)

    def score(self, *, reason_s: float) -> None:
        """Score every member that can be.

        Parameters
        ----------
        reason_s
            Seconds that the reasons of one row are expected to take: those that would come too late are left out.
        """
        published = self._read.published
        if published is None:
            return
        try:
            published.require(self._context.contract)
        except ContractMismatch:
            self._mismatch = True
            self._all_below("contract_mismatch", self._parts)
            return
        now = time.monotonic()
        self._all_below("deadline", [part for part in self._parts if part.job.deadline <= now])
        live = self._live([part for part in self._parts if part.job.deadline > now])
        if live:
            values, today = ([side[place] for place in live] for side in (self._read.aggregates, self._read.live))
            vectors = vectors_of(self._context, published, values, today)
            outputs = dict.fromkeys(output for part in self._parts for output in part.job.outputs)
            self._place = {place: row for row, place in enumerate(live)}
            self._scored = score(self._context, vectors, list(outputs))
            self._not_these(self._scored)
            for part in self._parts:
                places = range(part.start, part.start + len(part.job.member_ids))
                part.places = [place for place in places if place in self._place and place not in self.below]
            self._explain(self._scored, reason_s)

    def replies(self) -> list[Reply]:
        """The answer to each request; `nightly` has been filled in for the rows of `below`.

        Raises
        ------
        ContractMismatch
            Features are of another version, and no lower step can answer anybody.
        """
        stored = dict(zip(self.below, self.nightly, strict=True)) if self.nightly else {}
        live = self._live_rows()
        replies = [self._reply(part, live, stored) for part in self._parts]
        if self._mismatch:
            self._require_something(replies)
        return replies

    def difference(self, challenger: ServedModel) -> list[float]:
        """How far a challenger's churn probability is from what was answered, of every member whom the models apply to."""
        champion = self._scored.by_output.get("churn") if self._scored is not None else None
        if champion is None or self._scored is None:
            return []
        try:
            other = answer(challenger, self._scored.model_matrix, silence_of(self._context.contract, self._scored.vectors))
        except NotANumber:
            return []
        both = zip(champion.cells, other.cells, strict=True)
        return [abs(a["probability"] - b["probability"]) for a, b in both if a is not None and b is not None]

    def _all_below(self, reason: str, parts: Sequence[_Part]) -> None:
        for part in parts:
            for place in range(part.start, part.start + len(part.job.member_ids)):
                if self._read.aggregates[place] is not None and self._read.opted_out[place] is None:
                    self.below[place] = reason

    def _live(self, parts: Sequence[_Part]) -> list[int]:
        """Places of the members who can be scored; unreadable ones go a step down."""
        live = []
        for part in parts:
            for place in range(part.start, part.start + len(part.job.member_ids)):
                value = self._read.aggregates[place]
                if (value is None and self._read.live[place] is None) or self._read.opted_out[place] is not None:
                    continue
                if value is None or readable(self._context.contract, value):
                    live.append(place)
                else:
                    self.below[place] = "record_unreadable"
        return live

    def _not_these(self, scored: Scored) -> None:
        """Rows that are too old for their request, or that a model failed to answer, go a step down."""
        for part in self._parts:
            limit, failed = part.job.max_staleness_s, not scored.failed.isdisjoint(part.job.outputs)
            if limit is None and not failed:
                continue
            for place in range(part.start, part.start + len(part.job.member_ids)):
                row = self._place.get(place)
                if row is not None and failed:
                    self.below[place] = "model_failed"
                elif row is not None and limit is not None and scored.vectors.age_s[row] > limit:
                    self.below[place] = "too_stale"

    def _explain(self, scored: Scored, reason_s: float) -> None:
        """Reasons for the requests that ask for them and have the time."""
        groups: dict[tuple[int, Language, tuple[str, ...]], list[_Part]] = {}
        now, begun, rows_told = time.monotonic(), time.thread_time(), 0
        for part in self._parts:
            job = part.job
            if not job.top:
                continue
            if now + reason_s * len(job.member_ids) > job.deadline:
                part.reasons = "dropped"
            else:
                part.reasons = "given"
                groups.setdefault((job.top, job.language, job.outputs), []).append(part)
        for (top, language, outputs), parts in groups.items():
            rows = [self._place[place] for part in parts for place in part.places]
            told = add_reasons(self._context.models, scored, rows, outputs, top=top, language=language)
            rows_told += len(rows)
            for part in parts:
                part.told = told
        if rows_told:
            self.told, self.reason_s = rows_told, (time.thread_time() - begun) / rows_told

    def _live_rows(self) -> dict[int, Row]:
        """The rows that are answered from the scored matrix, by place; those asked for the same outputs are made together."""
        if self._scored is None:
            return {}
        alike: dict[tuple[str, ...], list[_Part]] = {}
        for part in self._parts:
            alike.setdefault(part.job.outputs, []).append(part)
        found: dict[int, Row] = {}
        for outputs, parts in alike.items():
            places = [place for part in parts for place in part.places]
            members = [part.job.member_ids[place - part.start] for part in parts for place in part.places]
            rows = [self._place[place] for place in places]
            made = rows_of(self._scored, rows, members, outputs, stale_after_s=self._context.stale_after_s)
            found.update(zip(places, made, strict=True))
        return found

    def _reply(self, part: _Part, live: dict[int, Row], stored: dict[int, NightlyAnswer | None]) -> Reply:
        runs: dict[str, dict[str, Any]] = {}
        rows = []
        for place, member in enumerate(part.job.member_ids, start=part.start):
            row = live.get(place)
            if row is None:
                row = {"member_id": member, **self._row_below(part, place, stored.get(place))}
                if row["nightly_run"] is not None:
                    self._note_run(runs, row["nightly_run"], stored.get(place))
            elif part.told:
                self._tell(row, part.told, self._place[place])
            rows.append(row)
        return Reply(rows, self._context.moment, self._read.published, list(runs.values()), part.reasons)

    def _tell(self, answered: Row, told: dict[str, dict[int, list[Cell]]], row: int) -> None:
        """Put reasons beside the scores of a row."""
        for output, reasons in told.items():
            if row in reasons:
                answered[output] = {**answered[output], "reasons": reasons[row]}

    def _note_run(self, runs: dict[str, dict[str, Any]], run: str, nightly: NightlyAnswer | None) -> None:
        for edition in (self._priors.edition, nightly.edition if nightly is not None else None):
            if edition is not None and str(edition.run) == run:
                runs[run] = run_passport(edition)

    def _row_below(self, part: _Part, place: int, nightly: NightlyAnswer | None) -> Row:
        """The answer about a member who is not scored here."""
        outputs = part.job.outputs
        below = Below(self._context.models, self._priors, self._context.moment, part.job.max_staleness_s)
        if self._read.opted_out[place] is not None:
            return below.prior(outputs, None, status="OPTED_OUT")
        if place not in self.below:
            return below.cold()
        row = self._place.get(place)
        stage = self._scored.shown["lifecycle_stage"][row] if self._scored is not None and row is not None else None
        return below.row(outputs, self.below[place], nightly, stage)

    def _require_something(self, replies: Sequence[Reply]) -> None:
        """Raise what is wrong where features are of another version and nobody knows anything else to say."""
        nobody = all(row["fallback"] == "refused" for reply in replies for row in reply.rows)
        if nobody and self._read.published is not None:
            self._read.published.require(self._context.contract)
