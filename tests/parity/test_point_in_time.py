"""A feature as of T does not know what happened at T or later, whatever that was."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from parity.random_shops import HOUR, SHOPS, Shop, events, moments, on_the_hour, placed, returns, sales, shops_with_news
from shops import Event, Exposure, Line, Redemption, moment_of, shop

from features.build import FeatureRows, build
from features.facts import Facts
from features.holidays import holiday_days

LATER = st.lists(st.tuples(st.one_of(sales, returns), st.one_of(st.just(0), st.integers(0, 24 * 400))), min_size=1, max_size=20)
"""Lines and how many hours after T they come; 0 is T itself."""


SEEN_LATER = st.lists(st.tuples(events, st.integers(0, 24 * 400)), max_size=10)


def assert_same_rows(left: FeatureRows, right: FeatureRows) -> None:
    assert left.member_ids.tolist() == right.member_ids.tolist()
    assert left.records.tobytes() == right.records.tobytes()
    assert left.matrix.tobytes() == right.matrix.tobytes()
    assert repr(dict(left.edges)) == repr(dict(right.edges))  # as text, since NaN is not equal to itself


@settings(SHOPS, max_examples=15)
@given(known=shops_with_news, hours=moments, later=LATER, seen=SEEN_LATER)
@example(  # nothing before T at all
    known=Shop([Line("ann", 0.0)], [], [], []), hours=0, later=[(Line("ann", 0.0), 0), (Line("bob", 0.0), 1)], seen=[]
)
def test_whatever_comes_at_or_after_the_moment_changes_nothing(
    known: Shop, hours: int, later: list[tuple[Line, int]], seen: list[tuple[Event, int]]
) -> None:
    moment = on_the_hour(hours)
    after = known._replace(
        lines=[*known.lines, *(placed(line, (hours + later) * HOUR) for line, later in later)],
        events=[*known.events, *(event._replace(at=(hours + later) * HOUR) for event, later in seen)],
        exposures=[*known.exposures, Exposure("ann", hours * HOUR)],
        redemptions=[*known.redemptions, Redemption("ann", hours * HOUR)],
    )

    assert_same_rows(build(known.facts(), as_of=moment), build(after.facts(), as_of=moment))


@settings(SHOPS, max_examples=10)
@given(known=shops_with_news, hours=moments, later=st.lists(st.tuples(sales, st.integers(0, 24 * 90)), min_size=1, max_size=10))
def test_whatever_is_recorded_or_corrected_at_the_moment_or_later_changes_nothing(
    known: Shop, hours: int, later: list[tuple[Line, int]]
) -> None:
    moment = on_the_hour(hours)
    recorded = [line._replace(recorded=(hours + delay) * HOUR) for line, delay in later]
    corrected = [
        line._replace(superseded=hours * HOUR) if line.superseded is None and line.recorded is None else line
        for line in known.lines
    ]
    seen = [Event("ann", 0.0, recorded=hours * HOUR)]
    after = known._replace(lines=[*known.lines, *recorded], events=[*known.events, *seen])
    replaced = known._replace(lines=corrected)

    before = build(known.facts(), as_of=moment)
    assert_same_rows(before, build(after.facts(), as_of=moment))
    assert_same_rows(before, build(replaced.facts(), as_of=moment))


def test_a_line_added_later_to_an_order_of_the_past_changes_nothing() -> None:
    known = [Line("ann", 1.0, 700, order="basket"), Line("bob", 0.0, 300)]
    later = [Line("ann", 5.0, 9_000, item="soap", order="basket", coupon=50)]

    assert_same_rows(build(shop(known), as_of=moment_of(5)), build(shop(known + later), as_of=moment_of(5)))


def test_the_moment_itself_belongs_to_the_future() -> None:
    facts = shop([Line("ann", 1.0, 700), Line("ann", 2.0, 5)])

    assert build(facts, as_of=moment_of(2.0)).column("spend_cents_7d")[0] == 700
    assert build(facts, as_of=moment_of(2.0 + 1 / 86_400)).column("spend_cents_7d")[0] == 705


def test_truncating_real_facts_changes_nothing(facts: Facts) -> None:
    moment = facts.midnight(facts.manifest.until_day - 60)
    cut = facts.midnight(facts.manifest.until_day - 60).timestamp()
    others = {name: facts.tables[name].to_pyarrow() for name in ("items", "exposures", "redemptions")}
    purchases_before = facts.tables["purchases"].filter(facts.tables["purchases"].occurred_at.epoch_seconds() < int(cut))
    truncated = Facts.in_memory(
        {"purchases": purchases_before.to_pyarrow(), **others},
        time_zone=facts.manifest.time_zone,
        holidays=holiday_days("US", (), first_day=facts.manifest.first_day, last_day=facts.manifest.until_day),
    )
    assert truncated.manifest.until_day < facts.manifest.until_day

    assert_same_rows(build(facts, as_of=moment), build(truncated, as_of=moment))
