"""Reads what producers send, strictly: an event, or why there is none. Pure: no Redis, no HTTP.

An event that is wrong is refused, with a pointer and never the value; one that may become readable (a type or version of a
newer producer, a moment in the future) is set aside.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal, NoReturn
from zoneinfo import ZoneInfo

import msgspec

from features.days import day_number
from features.events.schema import (
    ANONYMOUS,
    ID_PATTERN,
    MAX_CENTS,
    MAX_EVENT_ID,
    MAX_LINES,
    MAX_TEXT,
    SCHEMA_VERSION,
    TYPES,
    Event,
    Sent,
)
from features.identifiers import hash_identifier

MAX_KEPT = 16_384
"""Bytes of an event of unknown type or version that may be set aside."""
FUTURE = timedelta(minutes=5)
"""How far a producer's clock may be ahead of ours."""
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")


class EventRefused(Exception):
    """An event that breaks the schema. `code` is one of the API's; `pointer` says where; the value is not repeated."""

    def __init__(self, code: Literal["malformed_json", "invalid_request", "too_large"], pointer: str, problem: str) -> None:
        super().__init__(f"{pointer or 'the event'}: {problem}")
        self.code, self.pointer, self.problem = code, pointer, problem


class EventSetAside(Exception):
    """An event that nothing can be done with yet. `content` is what is kept of it, a visitor's id hashed."""

    def __init__(self, reason: Literal["unknown_type", "unknown_version", "future"], content: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason, self.content = reason, content


def json_bytes(content: object) -> bytes:
    """Any JSON value as bytes; unlike msgspec's, with numbers of any length. ValueError for lone surrogates."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads what producers send.

    Attributes
    ----------
    zone, currency
        The shop's; with an empty currency any ISO code is taken.
    identity_key
        Hashes visitors' ids; without one, events of visitors are refused.
    """

    zone: ZoneInfo
    currency: str = ""
    identity_key: bytes = b""

    def read_bytes(self, sent: bytes, *, received_at: datetime) -> Event:
        """The event in a JSON text as a broker or a trusted producer has it; raises as `read`."""
        try:
            content = json.loads(sent.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
            json_bytes(content)  # lone surrogates fail here
        except (ValueError, RecursionError):
            raise EventRefused("malformed_json", "", "this is not valid JSON in UTF-8, or names a field twice") from None
        return self.read(content, received_at=received_at)

    def read(self, content: object, *, received_at: datetime) -> Event:
        """The event in a parsed JSON value.

        Raises
        ------
        EventRefused
            It breaks the schema.
        EventSetAside
            Its type or version is unknown, or it lies more than five minutes in the future.
        """
        kind = self._kind(content)
        event = self._event(_converted(content, kind), received_at)
        if event.occurred_at - received_at > FUTURE:
            raise EventSetAside("future", msgspec.to_builtins(event))
        return event

    @staticmethod
    def is_event_id(text: str) -> bool:
        """Whether a text may be an event's id."""
        return len(text) <= MAX_EVENT_ID and _ID.match(text) is not None

    def _kind(self, content: object) -> type[Sent]:
        if not isinstance(content, dict):
            raise EventRefused("invalid_request", "", "an event is a JSON object")
        _require_small(content)
        for name, wanted in (("type", str), ("schema_version", int), ("event_id", str)):
            if type(content.get(name)) is not wanted:
                raise EventRefused("invalid_request", f"/{name}", f"Expected `{wanted.__name__}`")
        if content["schema_version"] != SCHEMA_VERSION:
            raise EventSetAside("unknown_version", self._kept(content))
        if content["type"] not in TYPES:
            raise EventSetAside("unknown_type", self._kept(content))
        return TYPES[content["type"]]

    def _kept(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of an event whose fields are not known; a visitor's id goes nowhere as it is."""
        if len(json_bytes(content)) > MAX_KEPT:
            raise EventRefused("too_large", "", f"an event of an unknown type or version has at most {MAX_KEPT} bytes")
        kept = {name: value for name, value in content.items() if name != "visitor_id"}
        visitor, kind = content.get("visitor_id"), content.get("visitor_kind", "cookie")
        if isinstance(visitor, str) and isinstance(kind, str) and self.identity_key:
            kept["visitor"] = hash_identifier(kind, visitor, self.identity_key)
        return kept

    def _event(self, sent: Sent, received_at: datetime) -> Event:
        _require_whose(sent)
        occurred_at = sent.occurred_at
        if not EARLIEST <= occurred_at < LATEST:
            raise EventRefused("invalid_request", "/occurred_at", "the moment lies outside any shop's books")
        local = occurred_at.astimezone(self.zone)
        own = {name: getattr(sent, name) for name in _own_fields(type(sent))}
        if "lines" in own:
            self._require_order(sent)
        return Event(
            event_id=sent.event_id,
            type=sent.type,
            occurred_at=occurred_at.astimezone(UTC),
            received_at=received_at,
            local_day=day_number(local.date()),
            local_hour=local.hour,
            member_id=sent.member_id,
            visitor=self._hashed(sent),
            visitor_kind=sent.visitor_kind if sent.visitor_id is not None else "cookie",
            **own,
        )

    def _hashed(self, sent: Sent) -> str | None:
        if sent.visitor_id is None:
            return None
        if not self.identity_key:
            raise EventRefused("invalid_request", "/visitor_id", "this server has no identity key and takes no visitors")
        return hash_identifier(sent.visitor_kind, sent.visitor_id, self.identity_key)

    def _require_order(self, order: Any) -> None:
        if order.currency is not None and self.currency and order.currency != self.currency:
            raise EventRefused("invalid_request", "/currency", f"this shop's facts are in {self.currency}")
        for name in ("net_cents", "discount_cents", "coupon_cents"):
            if sum(getattr(line, name) for line in order.lines) > MAX_CENTS:
                raise EventRefused("invalid_request", "/lines", f"the lines' {name} come to more than {MAX_CENTS}")


@cache
def _own_fields(kind: type[Sent]) -> tuple[str, ...]:
    """Fields that a type has beside those of all."""
    return tuple(name for name in kind.__struct_fields__ if name not in Sent.__struct_fields__)


def _require_whose(sent: Sent) -> None:
    if sent.type == "identify" and (sent.member_id is None or sent.visitor_id is None):
        raise EventRefused("invalid_request", "", "identify needs member_id and visitor_id")
    if sent.member_id is None and sent.visitor_id is None:
        raise EventRefused("invalid_request", "", "member_id or visitor_id is needed")
    if sent.member_id is not None and sent.member_id.startswith(ANONYMOUS):
        raise EventRefused("invalid_request", "/member_id", f"ids that begin with {ANONYMOUS} are the service's own")


def _converted(content: object, kind: type[Sent]) -> Sent:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise EventRefused("invalid_request", *_told(str(error))) from None


_PART = re.compile(r"\.([a-z_]+)|\[(\d+)\]")


def _told(message: str) -> tuple[str, str]:
    """Pointer and problem from msgspec's message, without anything that was sent."""
    problem, _, path = message.partition(" - at `$")
    pointer = "".join(f"/{name or number}" for name, number in _PART.findall(path))
    if problem.startswith("Object contains unknown field"):
        return pointer, "there is a field that events of this type do not have"
    if problem.startswith("Invalid enum value"):
        return pointer, "the value is none of those allowed"
    if "matching regex" in problem:
        return pointer, "the text has signs that are not allowed here"
    return pointer, problem


def _require_small(content: Mapping[str, Any]) -> None:
    """Texts and lists within their limits, whatever field they are in: the rest of the schema need not look at megabytes."""
    limits = {"event_id": MAX_EVENT_ID}
    for name, value in content.items():
        if isinstance(value, str) and len(value) > limits.get(name, MAX_TEXT):
            raise EventRefused("too_large", _field(name), f"a text has at most {limits.get(name, MAX_TEXT)} characters")
        if isinstance(value, list) and len(value) > MAX_LINES:
            raise EventRefused("too_large", _field(name), f"an order has at most {MAX_LINES} lines")
        for part in value if isinstance(value, list) else ():
            for key, text in part.items() if isinstance(part, dict) else ():
                if isinstance(text, str) and len(text) > MAX_TEXT:
                    raise EventRefused("too_large", f"/lines/{_field(key)}", f"a text has at most {MAX_TEXT} characters")


def _field(name: str) -> str:
    """A pointer to a field; a name that is no field's is not repeated."""
    return f"/{name}" if re.fullmatch(r"[a-z_]{1,32}", name) else ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object names a field twice")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON numbers")
