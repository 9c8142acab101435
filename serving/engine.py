"""The scoring engine of a worker: requests that arrive together are read, derived and scored together.

One round trip to the store and one pass over the trees serve all requests that are waiting; whoever arrives meanwhile is in
the next batch. So a batch is as large as the load makes it, and a lone request waits for nobody.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from features.contract import CONTRACT
from features.errors import NothingPublished, StoreUnavailable
from serving.batch import NO_DEADLINE, Batch, Job, Reply
from serving.bundle import ModelSet
from serving.ladder import Below, run_passport
from serving.metrics import Meter
from serving.reading import GuardedReader
from serving.running_loop import RunningLoop
from serving.score_parsing import QuickScoreRequest
from serving.score_schemas import ScoreRequest
from serving.scoring import ScoringContext, default_outputs
from serving.served import ServedModel
from serving.together import let_others_come
from training.registry import CHALLENGER

ROWS_TOGETHER = 250
"""Rows scored in one go, at most."""
BATCH_S = 0.01
"""Time that a batch may take: as long the worker answers nobody else, and refuses nobody either."""
FEWEST_ROWS = 16
QUIET_TURNS, MOST_WAITED_FOR = 2, 128
"""A request needs a turn of the loop from its socket to the engine, and one more where it comes through uvicorn's own way."""


class Engine:
    """What scores for one worker."""

    def __init__(self, reader: GuardedReader, clock: Callable[[], datetime], *, stale_after_s: float, meter: Meter) -> None:
        self._reader = reader
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._meter = meter
        self._waiting: deque[Job] = deque()
        self._working: asyncio.Task[None] | None = None
        self._running = RunningLoop()
        self._reason_s, self._row_s = 0.0002, 0.00002
        self.shadow: Callable[[], ServedModel | None] = lambda: None

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self._waiting)

    async def score(self, asked: ScoreRequest | QuickScoreRequest, models: ModelSet, *, deadline: float = NO_DEADLINE) -> Reply:
        """Scores of the members of one request, by the models given.

        Raises
        ------
        NothingPublished, StoreUnavailable, ContractMismatch, CorruptRecord
            Nobody can be answered, not even from the lower steps of the ladder.
        """
        job = Job(
            asked.member_ids,
            tuple(dict.fromkeys(asked.outputs)) if asked.outputs is not None else default_outputs(models),
            models,
            self._running().create_future(),
            top=asked.top_k if asked.explain == "top_k" else 0,
            language=asked.language,
            max_staleness_s=asked.max_staleness,
            deadline=deadline,
        )
        if len(job.member_ids) <= FEWEST_ROWS and deadline == NO_DEADLINE:
            self._enqueue(job)
            reply = await job.answer
        else:
            reply = await (self._queued(job) if len(job.member_ids) <= FEWEST_ROWS else self._in_parts(job))
        if reply.reasons == "dropped":
            self._meter.add("rapport_reasons_dropped_total")
        return reply

    async def close(self) -> None:
        """Let batches under way end."""
        if self._working is not None:
            await self._working

    def _enqueue(self, job: Job) -> None:
        self._waiting.append(job)
        if self._working is None or self._working.done():
            self._working = self._running().create_task(self._work())

    async def _queued(self, job: Job) -> Reply:
        self._enqueue(job)
        if job.deadline == NO_DEADLINE:
            return await job.answer
        return await self._in_time(job)

    async def _in_time(self, job: Job) -> Reply:
        """The answer, or priors once the deadline has passed; the batch goes on without the request."""
        try:
            async with asyncio.timeout(max(0.0, job.deadline - time.monotonic())):
                return await asyncio.shield(job.answer)
        except TimeoutError:
            job.answer.cancel()
            reply = self._priors(job, "deadline")
            self._count([reply], job.models)
            return reply

    async def _in_parts(self, job: Job) -> Reply:
        """A long request as several, all for one moment; others are answered between them."""
        rows = self._rows_in_time(job)
        if len(job.member_ids) <= rows:
            return await self._queued(job)
        moment, replies = self._clock(), []
        for start in range(0, len(job.member_ids), rows):
            part = job.member_ids[start : start + rows]
            own: asyncio.Future[Reply] = self._running().create_future()
            replies.append(await self._queued(replace(job, member_ids=part, moment=moment, answer=own)))
        runs = {run["run"]: run for reply in replies for run in reply.runs}
        reasons = max((reply.reasons for reply in replies), key=("none", "given", "dropped").index)
        return Reply(
            [row for reply in replies for row in reply.rows], moment, replies[-1].published, list(runs.values()), reasons
        )

    async def _work(self) -> None:
        while self._waiting:
            await let_others_come(self._waiting, quiet_turns=QUIET_TURNS, most=MOST_WAITED_FOR)
            jobs = self._take()
            try:
                await self._answer(jobs)
            except Exception as error:  # noqa: BLE001 # the named edge: a batch that fails is taken apart
                await self._one_by_one(jobs, error)

    def _take(self) -> list[Job]:
        """Requests for the next batch: those waiting longest, as far as there is time; one of its own moment alone."""
        jobs = [self._waiting.popleft()]
        share = len(jobs[0].member_ids) / self._rows_in_time(jobs[0])
        while self._waiting and jobs[0].moment is None:
            other = self._waiting[0]
            share += len(other.member_ids) / self._rows_in_time(other)
            if other.moment is not None or other.models is not jobs[0].models or share > 1:
                break
            jobs.append(self._waiting.popleft())
        return jobs

    def _rows_in_time(self, job: Job) -> int:
        """Rows of such a request that make a batch, by what a row has taken so far."""
        row_s = self._row_s + (self._reason_s if job.top else 0.0)
        return max(FEWEST_ROWS, min(ROWS_TOGETHER, int(BATCH_S / row_s)))

    async def _one_by_one(self, jobs: list[Job], error: Exception) -> None:
        if len(jobs) == 1:
            _fail(jobs[0], error)
            return
        for job in jobs:
            try:
                await self._answer([job])
            except Exception as own:  # noqa: BLE001 # the same edge, for this request
                _fail(job, own)

    async def _answer(self, jobs: list[Job]) -> None:
        """Read and score one batch."""
        member_ids = [member for job in jobs for member in job.member_ids]
        self._meter.observe("rapport_batch_rows", value=len(member_ids))
        try:
            read = await self._reader.members(member_ids)
        except StoreUnavailable as error:
            if self._reader.priors.known:
                self._give_all(jobs, [self._priors(job, "store_unavailable") for job in jobs])
            else:
                for job in jobs:
                    _fail(job, error)
            return
        if read.published is None:
            raise NothingPublished("no features were published to the online store", remedy='run "rapport publish"')
        moment = jobs[0].moment or self._clock()
        context = ScoringContext(CONTRACT, jobs[0].models, moment, self._stale_after_s)
        batch = Batch(context, read, jobs, self._reader.priors)
        begun = time.thread_time()  # what it takes, not what it waits for while others have the processor
        batch.score(reason_s=self._reason_s)
        self._learn(batch, len(member_ids), time.thread_time() - begun)
        if batch.below:
            batch.nightly = await self._reader.nightly([member_ids[place] for place in batch.below])
        self._give_all(jobs, batch.replies())
        self._score_in_the_shadow(batch)

    def _learn(self, batch: Batch, rows: int, seconds: float) -> None:
        """What a row takes, its reasons apart: an eighth of each batch counts, so that one hiccup does not."""
        if batch.reason_s is not None:
            self._reason_s += (batch.reason_s - self._reason_s) / 8
            seconds -= batch.reason_s * batch.told
        if rows >= FEWEST_ROWS:
            self._row_s += (max(seconds, 0.0) / rows - self._row_s) / 8

    def _score_in_the_shadow(self, batch: Batch) -> None:
        """Let a challenger answer as well, to be counted and told to nobody; after the batch has been answered."""
        model = self.shadow()
        if model is not None:
            for difference in batch.difference(model):
                self._meter.observe("rapport_shadow_difference", value=difference)

    def _give_all(self, jobs: Sequence[Job], replies: Sequence[Reply]) -> None:
        """Answer requests that were asked for the same models, but those whose deadline has passed meanwhile."""
        given = [(job, reply) for job, reply in zip(jobs, replies, strict=True) if not job.answer.done()]
        for job, reply in given:
            job.answer.set_result(reply)
        self._count([reply for _, reply in given], jobs[0].models)

    def _count(self, replies: Sequence[Reply], models: ModelSet) -> None:
        """What was answered, for /metrics."""
        rows = [row for reply in replies for row in reply.rows]
        for (status, step), number in Counter((row["status"], row["fallback"]) for row in rows).items():
            self._meter.add("rapport_rows_total", "score", status, by=number)
            self._meter.add("rapport_ladder_total", "score", step, by=number)
        arm = "challenger" if models.aliases.get("churn") == CHALLENGER else "champion"
        cells = [row["churn"] for row in rows if row["fallback"] == "none"]
        chances = [cell["probability"] for cell in cells if cell is not None]
        self._meter.observe_all("rapport_churn_probability", arm, values=chances)

    def _priors(self, job: Job, reason: str) -> Reply:
        """Means of everyone for each member: what is left without the store, or without time."""
        moment = job.moment or self._clock()
        below = Below(job.models, self._reader.priors, moment)
        row = below.prior(job.outputs, reason)
        edition = self._reader.priors.edition
        runs = [run_passport(edition)] if edition is not None and row["nightly_run"] is not None else []
        return Reply([{"member_id": m, **row} for m in job.member_ids], moment, None, runs, "dropped" if job.top else "none")


def _fail(job: Job, error: Exception) -> None:
    if not job.answer.done():  # its deadline has not passed
        job.answer.set_exception(error)
