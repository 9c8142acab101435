"""When triggers may fire: the script in a real store decides as the rules in memory do, whatever is asked in whatever order."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.days import microseconds, moment_of
from features.online_store import RedisStore
from features.store_keys import Keys
from serving.triggers.declared import Cap, Trigger, Triggers
from serving.triggers.ledger import Ledger, kept_ms, terms_of
from serving.triggers.reading import parse_triggers
from serving.triggers.store import Asked, TriggerStore

BASE = 1_500_000_000_000_000
HOUR = 3_600_000_000
TEXT = """
limit = "4 per 2 days"
[trigger.a]
on = ["view"]
when = "views_1d > 0"
campaign = "spring"
cool_down = "3 hours"
cap = "2 per 1 day"
[trigger.b]
on = ["view"]
when = "views_1d > 0"
campaign = "spring"
cool_down = "0 seconds"
cap = "3 per 2 days"
[trigger.c]
on = ["view"]
when = "views_1d > 0"
cool_down = "5 hours"
"""
TRIGGERS = parse_triggers(TEXT, (), source="test")
KEPT = kept_ms(TRIGGERS)
prefixes = (f"ledger-{number}" for number in itertools.count())


def asked(firing: str, name: str, member: str = "ann") -> Asked:
    trigger = TRIGGERS.named(name)
    assert trigger is not None
    return Asked(firing, member, terms_of(trigger, TRIGGERS))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),  # trigger
            st.integers(0, 30),  # hour
            st.integers(0, 12),  # occasion
            st.sampled_from(["ask", "decide", "decide", "decide and publish"]),
        ),
        max_size=25,
    )
)
def test_the_script_decides_as_the_rules_do(store_url: str, steps: list[tuple[str, int, int, str]]) -> None:
    store, ledger = TriggerStore(store_url, prefix=next(prefixes)), Ledger()
    for name, hour, occasion, what in steps:
        each, moment = asked(f"{name}{occasion}", name), moment_of(BASE + hour * HOUR)
        if what == "ask":
            (found, _), expected = (
                store.ask([each], moment, kept_ms=KEPT)[0],
                ledger.ask(each.firing, each.terms, BASE + hour * HOUR),
            )
        else:
            message = f"{name}{occasion} {hour}".encode()
            found, waiting = store.decide([each], [message], moment, kept_ms=KEPT)[0]
            expected = ledger.decide(each.firing, each.terms, BASE + hour * HOUR)
            if found == "FIRED":
                assert waiting == message
            if what == "decide and publish" and found in {"FIRED", "WAITING"}:
                store.publish([(each.firing, each.member_id, waiting)])
                ledger.published(each.firing)
        assert found == expected
    store.close()


def test_who_refused_is_never_addressed(store: RedisStore, store_url: str) -> None:
    triggers = TriggerStore(store_url, prefix="refused")
    keys = Keys("refused")
    each = asked("one", "a")
    triggers._client.set(keys.opted_out("ann"), b"told")
    assert triggers.decide([each], [b"m"], moment_of(BASE), kept_ms=KEPT) == [("OPTED_OUT", b"")]
    triggers._client.delete(keys.opted_out("ann"))
    assert triggers.decide([each], [b"m"], moment_of(BASE), kept_ms=KEPT) == [("FIRED", b"m")]


def test_decisions_are_forgotten_after_eight_days_and_caps_when_no_cap_looks_so_far_back(store_url: str) -> None:
    triggers = TriggerStore(store_url, prefix="forgotten")
    for day in range(20):
        triggers.decide([asked(f"n{day}", "b")], [b"m"], moment_of(BASE) + timedelta(days=day), kept_ms=KEPT)
    state = triggers._client.hgetall(triggers.keys.state("ann"))
    decided = sorted(name.decode() for name in state if name.startswith(b"d:"))
    assert decided == sorted(f"d:n{day}" for day in range(12, 20))
    assert sorted(name.decode() for name in state if name.startswith(b"p:")) == sorted(f"p:n{day}" for day in range(12, 20))
    assert len(state[b"k:spring"].split(b",")) == 2  # of two days
    assert triggers._client.pttl(triggers.keys.state("ann")) == pytest.approx(KEPT, abs=10_000)


def test_what_is_kept_covers_the_longest_span() -> None:
    assert KEPT == 8 * 86_400_000
    long = Trigger("x", "", "x", ("view",), "", TRIGGERS.triggers[0].condition, cool_down=timedelta(days=90))
    capped = Trigger("y", "", "x", ("view",), "", TRIGGERS.triggers[0].condition, cap=Cap(1, timedelta(days=100)))
    assert kept_ms(Triggers((long,))) == 90 * 86_400_000
    assert kept_ms(Triggers((long, capped))) == 100 * 86_400_000
    assert terms_of(long, Triggers((long, capped))).caps[0] == ("x", 0, 0, 100 * 86_400_000_000)
    assert microseconds(moment_of(BASE)) == BASE
