"""POST /v1/events: every line of what events may be, what became of each, and that what was accepted is in its stream."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.erasures import Erasures
from features.events.keys import EventKeys
from features.events.schema import Event, event_of
from features.events.shop import EventShop
from features.settings import Settings
from serving.api import Api
from serving.event_schemas import EXAMPLES, EventsResponse
from serving.openapi import document
from serving.problems import CODES
from tests.serving.asgi import Answer, Client, problem_of
from tests.serving.small_shop import NOW

KEY = "a key of sixteen bytes or more"


@dataclass
class Counter:
    """A server with a store of its own corner, and what a producer does with it."""

    client: Client
    settings: Settings
    keys: EventKeys
    plain: Any

    def post(self, *events: Any, **more: Any) -> Answer:
        """A batch."""
        return self.client.post("/v1/events", {"events": list(events)}, **more)

    def rows(self, *events: Any) -> list[dict[str, Any]]:
        """The rows of a batch, which has to be answered."""
        answer = self.post(*events)
        assert answer.status in {202, 207}, answer.body
        rows = [row.model_dump(exclude_none=True) for row in EventsResponse.model_validate_json(answer.body).rows]
        assert (answer.status == 202) == all(row["status"] == "accepted" for row in rows)
        return rows

    def stored(self) -> list[Event]:
        """Every event in the streams."""
        found = [self.plain.xrange(self.keys.stream(partition)) for partition in self.keys.every_partition]
        return [event_of(fields[b"e"]) for entries in found for _, fields in entries]

    def quarantined(self) -> list[tuple[str, Any]]:
        """Reason and content of what was set aside."""
        entries = self.plain.xrange(self.keys.quarantine)
        return [(fields[b"reason"].decode(), json.loads(fields[b"event"])["content"]) for _, fields in entries]


def sent(kind: str = "view", **more: Any) -> dict[str, Any]:
    """An event of now; None takes a field away."""
    own: dict[str, Any] = {"item_id": "apple"} if kind in {"view", "cart"} else {}
    if kind in {"purchase", "return"}:
        own = {"order_id": "o1", "channel": "web", "lines": [{"item_id": "apple", "net_cents": 500}]}
    every = {"schema_version": 1, "type": kind, "event_id": "e1", "occurred_at": NOW.isoformat(), "member_id": "ann"}
    return {name: value for name, value in {**every, **own, **more}.items() if value is not None}


@pytest.fixture
def counter(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Counter]:
    chosen = Settings(
        data_dir=tmp_path,
        mlruns_dir=tmp_path / "mlruns",
        redis_url=store_url,
        key_prefix=f"test-{request.node.name}",
        identity_key=KEY,
        now=NOW,
    )
    keys = EventKeys(chosen.key_prefix, chosen.event_partitions)
    with redis.Redis.from_url(store_url) as plain:
        plain.set(keys.shop, EventShop("America/New_York", "USD").to_bytes())
        client = Client(Api(chosen))
        yield Counter(client, chosen, keys, plain)
        client.close()


def test_one_event_is_in_its_stream_when_it_is_answered(counter: Counter) -> None:
    answer = counter.client.post("/v1/events", sent("purchase"))

    assert answer.status == 202
    assert answer.json() == {"rows": [{"event_id": "e1", "status": "accepted", "errors": []}], "durable": "memory"}
    (event,) = counter.stored()
    assert (event.subject, event.received_at, event.local_hour) == ("ann", NOW, 10)
    assert event.lines[0].net_cents == 500


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_each_example_of_the_documentation_is_accepted(counter: Counter, name: str) -> None:
    assert counter.client.post("/v1/events", EXAMPLES[name]).status == 202


def test_the_same_id_and_body_is_accepted_again_and_another_body_is_a_conflict(counter: Counter) -> None:
    assert counter.client.post("/v1/events", sent()).status == 202
    assert counter.client.post("/v1/events", sent()).status == 202
    problem_of(counter.client.post("/v1/events", sent(item_id="pear")), 409, "event_conflict")
    assert counter.rows(sent(item_id="pear"), sent())[0]["status"] == "conflict"
    assert {event.item_id for event in counter.stored()} == {"apple"}


def test_out_of_order_late_of_unknown_member_or_item_and_a_return_before_its_purchase_are_all_kept(counter: Counter) -> None:
    rows = counter.rows(
        sent(event_id="b"),
        sent(event_id="a", occurred_at=(NOW - timedelta(hours=3)).isoformat()),
        sent(event_id="late", occurred_at=(NOW - timedelta(days=40)).isoformat()),
        sent(event_id="x", member_id="never seen"),
        sent(event_id="y", item_id="never sold"),
        sent("return", event_id="r", order_id="r1", of_order_id="o1"),
        sent("purchase", event_id="p"),
    )
    assert {row["status"] for row in rows} == {"accepted"}
    assert sorted(event.event_id for event in counter.stored()) == ["a", "b", "late", "p", "r", "x", "y"]


def test_one_bad_among_five_hundred(counter: Counter) -> None:
    events = [sent(event_id=f"e{number}") for number in range(500)]
    events[250] = sent("purchase", event_id="bad", lines=[{"net_cents": 1}, {"net_cents": -1}])

    answer = counter.post(*events)
    rows = answer.json()["rows"]

    assert answer.status == 207
    assert [row["status"] for row in rows].count("accepted") == 499
    assert rows[250] == {
        "event_id": "bad",
        "status": "refused",
        "code": "invalid_request",
        "errors": [{"pointer": "/events/250/lines/1/net_cents", "problem": "Expected `int` >= 0"}],
    }
    assert len(counter.stored()) == 499


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": None},
        {"event_id": "a{b"},
        {"event_id": "a:b"},
        {"event_id": "a*b"},
        {"event_id": "a\nb"},
        {"occurred_at": "2018-01-01T10:00:00"},
        {"currency": "EUR"},
        {"currency": "dollars"},
        {"lines": [{"net_cents": -1}]},
        {"lines": [{"net_cents": 1e308}]},
        {"colour": "red"},
    ],
)
def test_a_wrong_event_is_answered_with_422_and_a_pointer(counter: Counter, wrong: dict[str, Any]) -> None:
    document = problem_of(counter.client.post("/v1/events", sent("purchase", **wrong)), 422, "invalid_request")
    assert len(document["errors"]) == 1
    assert not counter.stored()


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        (b'{"net_cents": NaN}', 422, "invalid_request"),
        (b'{"a": 1, "a": 2}', 400, "malformed_json"),
        (b'{"events": [', 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b'{"events": []}', 422, "invalid_request"),
        (b'{"events": {}}', 422, "invalid_request"),
        (b'{"events": [{}], "more": 1}', 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
    ],
)
def test_a_wrong_body_is_refused_as_a_whole(counter: Counter, wrong: bytes, status: int, code: str) -> None:
    problem_of(counter.client.send("POST", "/v1/events", wrong), status, code)


def test_content_type_method_and_sizes(counter: Counter) -> None:
    client = counter.client
    problem_of(client.send("POST", "/v1/events", b"{}", content_type="text/plain"), 415, "unsupported_media_type")
    problem_of(client.get("/v1/events"), 405, "method_not_allowed")
    problem_of(counter.post(*[sent(event_id=f"e{n}") for n in range(501)]), 413, "too_large")
    problem_of(client.send("POST", "/v1/events", b" " * 1_048_577), 413, "too_large")
    problem_of(client.post("/v1/events", sent(item_id="x" * 200)), 413, "too_large")
    assert counter.rows(sent(item_id="x" * 200))[0]["code"] == "too_large"


def test_the_future_and_the_unknown_are_set_aside_with_the_reason(counter: Counter) -> None:
    later = (NOW + timedelta(minutes=6)).isoformat()
    rows = counter.rows(
        sent(event_id="f", occurred_at=later),
        sent(event_id="t", type="teleport", visitor_id="cookie-1"),
        sent(event_id="v", schema_version=2),
        sent(event_id="ok", occurred_at=(NOW + timedelta(minutes=4)).isoformat()),
    )
    assert [(row["status"], row.get("reason")) for row in rows] == [
        ("quarantined", "future"),
        ("quarantined", "unknown_type"),
        ("quarantined", "unknown_version"),
        ("accepted", None),
    ]
    assert [reason for reason, _ in counter.quarantined()] == ["future", "unknown_type", "unknown_version"]
    assert "cookie-1" not in json.dumps(counter.quarantined())
    assert [event.event_id for event in counter.stored()] == ["ok"]
    assert counter.client.post("/v1/events", sent(type="teleport")).status == 207


def test_numbers_of_any_length_are_no_trouble(counter: Counter) -> None:
    long = {"much": 10**400, "more": 2**70}
    rows = counter.rows(sent(event_id="t", type="teleport", **long), sent(**long), sent(event_id="a:b", type="teleport"))
    assert [row["status"] for row in rows] == ["quarantined", "refused", "quarantined"]
    assert "event_id" not in rows[2]
    headers = [("X-Api-Key", "test-key"), ("Idempotency-Key", "long")]
    assert counter.post(sent(type="teleport", **long), headers=headers).status == 207


def test_after_an_erasure_or_a_refusal_nothing_is_kept_and_there_is_a_receipt(counter: Counter) -> None:
    erasure = Erasures(counter.settings.data_dir).request("gone", at=NOW, by="test")
    counter.plain.set(counter.keys.opted_out("bob"), "facts")

    gone, again, bob, ann = counter.rows(
        sent(event_id="1", member_id="gone"),
        sent(event_id="2", member_id="gone", type="teleport"),
        sent(event_id="3", member_id="bob"),
        sent(event_id="4"),
    )
    assert (gone["status"], gone["reason"], gone["receipt"]) == ("dropped", "erased", erasure.receipt)
    assert (again["status"], again["receipt"]) == ("dropped", erasure.receipt)
    assert (bob["status"], bob["reason"], len(bob["receipt"])) == ("dropped", "opted_out", 32)
    assert ann["status"] == "accepted"
    assert [event.event_id for event in counter.stored()] == ["4"]
    assert counter.quarantined() == []


def test_a_visitor_who_is_known_to_have_refused_is_dropped_as_the_member_is(counter: Counter) -> None:
    counter.plain.set(counter.keys.opted_out("bob"), "facts")
    looks = [sent(event_id=name, member_id=None, visitor_id=name) for name in ("v", "w")]
    assert [row["status"] for row in counter.rows(*looks)] == ["accepted", "accepted"]
    (visitor, _) = (event.subject for event in counter.stored())
    counter.plain.set(counter.keys.alias(visitor), "bob")

    rows = counter.rows(*(look | {"event_id": f"{place}"} for place, look in enumerate(looks)))
    assert sorted((row["status"], row.get("reason")) for row in rows) == [("accepted", None), ("dropped", "opted_out")]
    assert len(next(row for row in rows if row["status"] == "dropped")["receipt"]) == 32
    assert len(counter.stored()) == 3


def test_a_visitor_is_known_by_a_hash_only(counter: Counter) -> None:
    counter.rows(sent(member_id=None, visitor_id="13800138000"), sent("identify", event_id="i", visitor_id="13800138000"))
    assert {event.visitor for event in counter.stored()} != {None}
    for key in counter.plain.scan_iter(match=f"{counter.keys.prefix}:*"):
        assert b"13800138000" not in key + (counter.plain.dump(key) or b"")


def test_without_an_identity_key_visitors_are_refused(counter: Counter) -> None:
    client = Client(Api(replace(counter.settings, identity_key="")))
    document = problem_of(client.post("/v1/events", sent(visitor_id="c")), 422, "invalid_request")
    assert document["errors"][0]["pointer"] == "/visitor_id"
    client.close()


def test_an_idempotency_key_stands_for_one_request(counter: Counter) -> None:
    headers = [("X-Api-Key", "test-key"), ("Idempotency-Key", "k1")]
    assert counter.post(sent(), headers=headers).status == 202
    assert counter.post(sent(), headers=headers).status == 202
    problem_of(counter.post(sent(event_id="e2"), headers=headers), 409, "idempotency_conflict")
    others = [("X-Api-Key", "second-key"), ("Idempotency-Key", "k1")]
    assert counter.post(sent(event_id="e2"), headers=others).status == 202
    problem_of(counter.post(sent(), headers=[("X-Api-Key", "test-key"), ("Idempotency-Key", "a b")]), 422, "invalid_request")


def test_a_store_that_knows_no_shop_says_so(counter: Counter) -> None:
    counter.plain.delete(counter.keys.shop)
    problem_of(counter.client.post("/v1/events", sent()), 503, "nothing_published")
    counter.plain.set(counter.keys.shop, b"{}")
    problem_of(counter.client.post("/v1/events", sent()), 503, "corrupt_record")


def test_another_number_of_partitions_is_refused_before_anything_is_lost(counter: Counter) -> None:
    counter.rows(sent())
    client = Client(Api(replace(counter.settings, event_partitions=16)))
    document = problem_of(client.post("/v1/events", sent(event_id="e2")), 503, "configuration")
    assert "RAPPORT_EVENT_PARTITIONS is 16, and the streams have 8" in document["detail"]
    assert len(counter.stored()) == 1
    client.close()


def test_too_long_a_backlog_is_429_until_it_is_shorter(counter: Counter) -> None:
    client = Client(Api(replace(counter.settings, events_backlog=3)))
    for number in range(3):
        counter.plain.xadd(counter.keys.stream(number), {"e": sent(event_id=f"e{number}")["event_id"]})

    answer = client.post("/v1/events", sent())
    problem_of(answer, 429, "stream_full")
    assert answer.headers["retry-after"] == "1"

    counter.plain.delete(counter.keys.stream(0))
    client.wait(1.1)
    assert client.post("/v1/events", sent()).status == 202
    client.close()


def test_what_became_of_events_is_counted(counter: Counter) -> None:
    counter.rows(sent(), sent(event_id="a:b"), sent(event_id="t", type="teleport"))
    meter = counter.client.api.meter
    assert [meter.value("rapport_events_total", status) for status in ("accepted", "refused", "quarantined")] == [1, 1, 1]


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
def test_any_body_is_answered_as_documented(counter: Counter) -> None:
    documented = set(document()["paths"]["/v1/events"]["post"]["responses"])
    names = st.sampled_from([*sent("purchase"), *sent(), "visitor_id", "colour"])
    event = st.builds(lambda base, odd: base | odd, st.sampled_from([sent(), sent("purchase")]), st.dictionaries(names, ODD))

    @settings(max_examples=600, suppress_health_check=list(HealthCheck))
    @given(event | st.fixed_dictionaries({"events": st.lists(event | ODD, max_size=4) | ODD}) | ODD, st.booleans())
    def holds(body: Any, ascii_only: bool) -> None:
        content = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        answer = counter.client.send("POST", "/v1/events", content)
        assert answer.status < 500
        assert str(answer.status) in documented
        if answer.status in {202, 207}:
            EventsResponse.model_validate_json(answer.body)
        else:
            assert CODES[answer.json()["code"]][0] == answer.status

    holds()
