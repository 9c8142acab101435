"""Events are read strictly: what is wrong is refused with a pointer, what may become readable is set aside."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.days import day_number
from features.events.intake import EventRefused, EventSetAside, Intake
from features.events.schema import MAX_CENTS, TYPES, Event, anonymous_id, event_of
from features.identifiers import hash_identifier
from tests.features.events.event_makers import INTAKE, KEY, NOON, ZONE, event, sent


def refused(content: object, intake: Intake = INTAKE) -> EventRefused:
    with pytest.raises(EventRefused) as caught:
        intake.read(content, received_at=NOON)
    return caught.value


def set_aside(content: object) -> EventSetAside:
    with pytest.raises(EventSetAside) as caught:
        INTAKE.read(content, received_at=NOON)
    return caught.value


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type_is_read_and_survives_the_stream(kind: str) -> None:
    read = event(kind)

    assert (read.type, read.subject, read.local_hour) == (kind, "ann", 13)
    assert event_of(read.to_bytes()) == read


def test_day_and_hour_are_the_shops() -> None:
    late = event(occurred_at="2024-03-05T23:30:00+00:00", received_at=NOON + timedelta(days=1))

    assert (late.local_day, late.local_hour) == (day_number(datetime(2024, 3, 6, tzinfo=ZONE).date()), 0)
    assert late.occurred_at == datetime(2024, 3, 5, 23, 30, tzinfo=UTC)


def test_a_visitors_id_is_hashed_as_identities_are_and_kept_nowhere() -> None:
    read = event(member_id=None, visitor_id="cookie-1")

    assert read.visitor == hash_identifier("cookie", "cookie-1", KEY)
    assert read.subject == anonymous_id(read.visitor) == f"anon-{read.visitor[:16]}"
    assert b"cookie-1" not in read.to_bytes()
    assert refused(sent(visitor_id="cookie-1"), Intake(ZONE)).pointer == "/visitor_id"


def test_the_digest_tells_bodies_apart_and_not_moments_of_arrival() -> None:
    same = event(received_at=NOON + timedelta(seconds=5))

    assert event().digest() == same.digest()
    assert len(event().digest()) == 8
    assert event().digest() != event(item_id="pear").digest()


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("missing id", {"event_id": None}, "/event_id"),
    ("no zone", {"occurred_at": "2024-03-05T12:00:00"}, "/occurred_at"),
    ("no moment", {"occurred_at": "yesterday"}, "/occurred_at"),
    ("year 1", {"occurred_at": "0001-01-01T00:00:00Z"}, "/occurred_at"),
    ("year 9999", {"occurred_at": "9999-12-31T23:59:59Z"}, "/occurred_at"),
    ("seconds since 1970", {"occurred_at": 1_709_640_000}, "/occurred_at"),
    ("nobody's", {"member_id": None}, ""),
    ("the service's own id", {"member_id": "anon-0123456789abcdef"}, "/member_id"),
    ("number as id", {"event_id": 17}, "/event_id"),
    ("boolean as version", {"schema_version": True}, "/schema_version"),
    ("text as version", {"schema_version": "1"}, "/schema_version"),
    ("no version", {"schema_version": None}, "/schema_version"),
    ("no type", {"type": None}, "/type"),
    ("unknown field", {"colour": "red"}, ""),
    ("no item", {"item_id": None}, ""),
    ("duration below zero", {"duration_s": -1}, "/duration_s"),
    ("duration as float", {"duration_s": 1.5}, "/duration_s"),
    ("duration of 400 digits", {"duration_s": 10**400}, "/duration_s"),
    ("unknown channel", {"channel": "pigeon"}, "/channel"),
    ("unknown kind of visitor", {"visitor_kind": "face"}, "/visitor_kind"),
]


@pytest.mark.parametrize(("more", "pointer"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_events_are_refused_with_a_pointer(more: dict[str, Any], pointer: str) -> None:
    found = refused(sent(**more))

    assert (found.code, found.pointer) == ("invalid_request", pointer)
    assert "pigeon" not in str(found)
    assert "colour" not in str(found)


@pytest.mark.parametrize("field", ["event_id", "member_id", "item_id", "session_id", "store_id", "visitor_id"])
@pytest.mark.parametrize("text", ["a{b", "a}b", "a:b", "a*b", "a\nb", "a\x00b", "a\u200bb", " ", ""])
def test_ids_that_steer_keys_are_refused(field: str, text: str) -> None:
    assert refused(sent(**{field: text})).pointer == f"/{field}"


@pytest.mark.parametrize("name", ["event_id", "order_id", "member_id", "colour"])
def test_a_field_too_long_is_too_large(name: str) -> None:
    assert refused(sent("purchase", **{name: "x" * 200})).code == "too_large"


def test_lines_have_limits_too() -> None:
    line = {"item_id": "apple", "net_cents": 1}
    assert refused(sent("purchase", lines=[line] * 501)).code == "too_large"
    assert refused(sent("purchase", lines=[line | {"item_id": "x" * 200}])).code == "too_large"
    assert refused(sent("purchase", lines=[])).pointer == "/lines"
    assert refused(sent("purchase", lines=[line | {"net_cents": MAX_CENTS}] * 2)).pointer == "/lines"


@pytest.mark.parametrize("amount", [-1, 1.0, True, "5", None, float("nan"), float("inf"), 1e308, 2**63, 10**400])
@pytest.mark.parametrize("name", ["net_cents", "discount_cents", "coupon_cents"])
def test_amounts_are_whole_numbers_from_zero_on(name: str, amount: object) -> None:
    line = {"item_id": "apple", "net_cents": 1} | {name: amount}
    assert refused(sent("purchase", lines=[{"net_cents": 1}, line])).pointer == f"/lines/1/{name}"


def test_the_currency_is_the_shops() -> None:
    assert event("purchase", currency="EUR").currency == "EUR"
    assert refused(sent("purchase", currency="USD")).pointer == "/currency"
    assert refused(sent("purchase", currency="XX")).pointer == "/currency"
    assert Intake(ZONE, "", KEY).read(sent("purchase", currency="USD"), received_at=NOON).currency == "USD"


def test_identify_names_both() -> None:
    assert refused(sent("identify", visitor_id=None)).pointer == ""
    assert refused(sent("identify", member_id=None)).pointer == ""
    assert event("identify").subject == "ann"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"type": "teleport", "colour": "red"}, "unknown_type"),
        ({"schema_version": 2}, "unknown_version"),
        ({"schema_version": -1}, "unknown_version"),
        ({"occurred_at": (NOON + timedelta(minutes=5, seconds=1)).isoformat()}, "future"),
    ],
)
def test_what_may_become_readable_is_set_aside(more: dict[str, Any], reason: str) -> None:
    found = set_aside(sent(**more, visitor_id="cookie-1"))

    assert found.reason == reason
    assert "cookie-1" not in json.dumps(found.content)
    assert found.content["visitor"] == hash_identifier("cookie", "cookie-1", KEY)


def test_five_minutes_ahead_are_a_clock_and_no_future() -> None:
    assert event(occurred_at=(NOON + timedelta(minutes=5)).isoformat()).event_id == "e1"


def test_what_is_set_aside_has_a_limit() -> None:
    assert refused(sent(type="teleport", much=["x" * 100] * 300)).code == "too_large"


@pytest.mark.parametrize("content", [None, [], "text", 17, [sent()]])
def test_an_event_is_an_object(content: object) -> None:
    assert refused(content).code == "invalid_request"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a": 1} x',
        b'{"a": 1, "a": 1}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'"\xff"',
        b'{"a": "\\ud800"}',
        json.dumps(sent()).encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_texts_that_are_no_json(text: bytes) -> None:
    with pytest.raises(EventRefused) as caught:
        INTAKE.read_bytes(text, received_at=NOON)
    assert caught.value.code == "malformed_json"


def test_a_number_too_large_for_a_float_is_no_amount() -> None:
    text = json.dumps(sent("purchase")).replace("500", "1e999").encode()
    with pytest.raises(EventRefused) as caught:
        INTAKE.read_bytes(text, received_at=NOON)
    assert caught.value.pointer == "/lines/0/net_cents"


def test_a_number_of_any_length_is_read_and_refused() -> None:
    for kind in ("view", "teleport"):
        text = json.dumps(sent(kind, item_id="apple", duration_s=10**400)).encode()
        with pytest.raises((EventRefused, EventSetAside)):
            INTAKE.read_bytes(text, received_at=NOON)


def test_any_alphabet_makes_an_id() -> None:
    assert event(member_id="会员一").subject == "会员一"


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from([*sent("purchase"), *sent(), "visitor_id", "currency", "what"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=150),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_whatever_is_sent_is_an_event_or_has_a_reason(content: dict[str, Any]) -> None:
    for base in (sent(), sent("purchase"), {}):
        try:
            read = INTAKE.read(base | content, received_at=NOON)
        except (EventRefused, EventSetAside):
            continue
        assert isinstance(read, Event)
        assert event_of(read.to_bytes()) == read


def test_zones_with_clocks_going_back() -> None:
    """02:30 comes twice in the night the clocks go back; both have the same hour, and their own moments."""
    intake = Intake(ZoneInfo("Europe/Paris"))
    night = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    first, second = (
        intake.read(sent(occurred_at=(night + timedelta(hours=h)).isoformat()), received_at=night + timedelta(days=1))
        for h in (0, 1)
    )
    assert (first.local_hour, second.local_hour) == (2, 2)
    assert first.occurred_at < second.occurred_at
