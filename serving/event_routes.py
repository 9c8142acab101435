"""POST /v1/events: events of members and visitors into the streams, answered when they are there, one row each."""

import hashlib
import re
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from features.errors import StoreUnavailable
from features.events import pressure
from features.events.accepting import AsyncEventWriter, Outcome
from features.events.erased import ErasedMembers
from features.events.intake import EventRefused, EventSetAside, Intake, json_bytes
from features.events.keys import EventKeys
from features.events.pressure import Pressure
from features.events.schema import Event
from features.events.shop import EventShop
from features.settings import Settings
from features.store_errors import translated
from serving.breaker import Breaker
from serving.event_schemas import MOST_EVENTS, EventRow
from serving.metrics import Meter
from serving.parsing import json_object
from serving.problems import ApiError, answer_json

STORE_TIMEOUT_S = 2.0
"""Longer than for scores: five hundred events are written, and the disk is waited for where the server is told so."""
PRESSURE_S, SHOP_S, KEY_S = 1.0, 30.0, 24 * 3600
_KEY = re.compile(r"[!-~]{1,128}")
T = TypeVar("T")


@dataclass(slots=True)
class _Batch:
    """What one request comes to: a row for each event, those that are still to be written left open."""

    rows: list[EventRow | None]
    events: list[Event]
    set_aside: list[tuple[str, bytes]]


class EventRoutes:
    """The handler, on one store."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._settings, self._meter = settings, meter
        self._keys = EventKeys(settings.key_prefix, settings.event_partitions)
        self._writer = AsyncEventWriter(settings.redis_url, self._keys, timeout_s=STORE_TIMEOUT_S)
        self._erased = ErasedMembers(settings.data_dir)
        self._breaker = Breaker()
        self._pressure, self._pressure_until = Pressure(), 0.0
        self._intake: Intake | None = None
        self._intake_until = 0.0

    async def accept(self, request: Request) -> Response:
        """POST /v1/events: an event, or `{"events": […]}`."""
        content = json_object(await request.body(), request.headers.get("content-type", ""))
        sent, is_batch = _sent(content)
        await self._require_room()
        intake = await self._current_intake()
        await self._require_same_request(request, content)
        batch = self._read(sent, intake, is_batch=is_batch)
        rows = await self._write(batch)
        for row in rows:
            self._meter.add("rapport_events_total", row.status)
        if not is_batch:
            _require_taken(rows[0])
        answer = {"rows": [row.model_dump(exclude_none=True) for row in rows], "durable": self._pressure.durable}
        return answer_json(answer, 202 if all(row.status == "accepted" for row in rows) else 207)

    async def close(self) -> None:
        """Give the connections back."""
        await self._writer.close()

    def _read(self, sent: Sequence[object], intake: Intake, *, is_batch: bool) -> _Batch:
        """What can be said of each event before the store is asked."""
        batch, received_at = _Batch([], [], []), self._settings.clock()
        receipts = self._erased.refresh()
        for place, each in enumerate(sent):
            row: EventRow | None = None
            try:
                event = intake.read(each, received_at=received_at)
                receipt = receipts.of(event.subject)
                if receipt is not None:
                    row = EventRow(event_id=event.event_id, status="dropped", reason="erased", receipt=receipt)
                else:
                    batch.events.append(event)
            except EventRefused as error:
                row = _refused(each, error, f"/events/{place}" if is_batch else "")
            except EventSetAside as error:
                row = self._set_aside(each, error, batch, received_at)
            batch.rows.append(row)
        return batch

    def _set_aside(self, sent: Any, error: EventSetAside, batch: _Batch, received_at: datetime) -> EventRow:
        """A row for what goes into the quarantine, unless it is of somebody erased."""
        member = sent.get("member_id")
        receipt = self._erased.refresh().of(member) if isinstance(member, str) else None
        if receipt is not None:
            return EventRow(event_id=_id_of(sent), status="dropped", reason="erased", receipt=receipt)
        kept = {"received_at": received_at.isoformat(), "content": error.content}
        batch.set_aside.append((error.reason, json_bytes(kept)))
        return EventRow(event_id=_id_of(sent), status="quarantined", reason=error.reason)

    async def _write(self, batch: _Batch) -> list[EventRow]:
        """The events into their streams, and a row for each that had none."""
        outcomes = iter(await self._guarded(self._writer.accept(batch.events)) if batch.events else ())
        if batch.set_aside:
            await self._guarded(self._writer.set_aside(batch.set_aside))
        written = iter(batch.events)
        return [row or _row_of(next(written), next(outcomes)) for row in batch.rows]

    async def _require_room(self) -> None:
        """Raise ApiError while the streams or the server are too full; looked at once a second."""
        now = time.monotonic()
        if now >= self._pressure_until:
            self._pressure = await self._guarded(self._look())
            self._pressure_until = now + PRESSURE_S
        why = self._pressure.why_full(self._settings.events_backlog)
        if why:
            raise ApiError("stream_full", why)

    async def _look(self) -> Pressure:
        with translated():
            async with self._writer.client.pipeline(transaction=False) as pipeline:
                pressure.ask(pipeline, [self._keys.stream(partition) for partition in self._keys.every_partition])
                return pressure.read(await pipeline.execute(raise_on_error=False))

    async def _current_intake(self) -> Intake:
        """What reads this shop's events; asked for now and then, and kept while the store is away."""
        now = time.monotonic()
        if self._intake is None or now >= self._intake_until:
            shop = EventShop.from_bytes(await self._guarded(self._get(self._keys.shop)))
            self._intake, self._intake_until = shop.intake(self._settings.identity_key), now + SHOP_S
        return self._intake

    async def _require_same_request(self, request: Request, content: object) -> None:
        """With an Idempotency-Key, raise ApiError if another request came under it within a day.

        The same request may come again at any time without a key as well: event ids see to that.
        """
        key = request.headers.get("idempotency-key")
        if key is None:
            return
        if not _KEY.fullmatch(key):
            problem = {"pointer": "/Idempotency-Key", "problem": "a key has 1 to 128 visible ASCII characters"}
            raise ApiError("invalid_request", "1 field is not as it should be", errors=[problem])
        whose = f"{request.scope.get('rapport.key_name', '')}\0{key}"
        name = self._keys.request(hashlib.sha256(whose.encode()).hexdigest()[:32])
        digest = hashlib.sha256(json_bytes(content)).digest()[:16]
        before = await self._guarded(self._set_once(name, digest))
        if before not in (None, digest):
            raise ApiError("idempotency_conflict", "this Idempotency-Key came before with another request")

    async def _get(self, key: str) -> bytes | None:
        with translated():
            found: bytes | None = await self._writer.client.get(key)
        return found

    async def _set_once(self, key: str, value: bytes) -> bytes | None:
        """Set a value unless there is one; returns the one that was there."""
        with translated():
            found: bytes | None = await self._writer.client.set(key, value, nx=True, get=True, ex=KEY_S)
        return found

    async def _guarded(self, asking: Awaitable[T]) -> T:
        """What the store answers, unless it failed to a moment ago: then nobody waits for it."""
        if not self._breaker.allows():
            asking.close()  # type: ignore[attr-defined] # a coroutine
            raise StoreUnavailable(
                "the online store did not answer a moment ago", remedy='see that Redis runs: "rapport status"'
            )
        try:
            found = await asking
        except StoreUnavailable:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return found


def _sent(content: dict[str, Any]) -> tuple[list[object], bool]:
    """The events of a request, and whether it is a batch."""
    if "events" not in content:
        return [content], False
    events = content["events"]
    if len(content) > 1 or not isinstance(events, list) or not events:
        problem = {"pointer": "/events", "problem": "a batch is a list of events, with nothing beside it"}
        raise ApiError("invalid_request", "1 field is not as it should be", errors=[problem])
    if len(events) > MOST_EVENTS:
        raise ApiError("too_large", f"at most {MOST_EVENTS} events a request")
    return events, True


def _refused(sent: object, error: EventRefused, start: str) -> EventRow:
    return EventRow(
        event_id=_id_of(sent),
        status="refused",
        code=error.code,
        errors=[{"pointer": start + error.pointer, "problem": error.problem}],
    )


def _id_of(sent: object) -> str | None:
    """The id that an event names; None if it is none, and then it is not repeated."""
    event_id = sent.get("event_id") if isinstance(sent, dict) else None
    return event_id if isinstance(event_id, str) and Intake.is_event_id(event_id) else None


def _row_of(event: Event, outcome: Outcome) -> EventRow:
    if outcome is Outcome.OPTED_OUT:
        receipt = hashlib.blake2b(event.to_bytes(), digest_size=16).hexdigest()
        return EventRow(event_id=event.event_id, status="dropped", reason="opted_out", receipt=receipt)
    return EventRow(event_id=event.event_id, status="conflict" if outcome is Outcome.CONFLICT else "accepted")


def _require_taken(row: EventRow) -> None:
    """Raise ApiError for a single event that was not taken."""
    if row.status == "conflict":
        raise ApiError("event_conflict", "the member has another event of this id")
    if row.status == "refused":
        raise ApiError(row.code or "invalid_request", "the event is not as it should be", errors=row.errors)
