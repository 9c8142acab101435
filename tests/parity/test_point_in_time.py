"""A feature as of T does not know what happened at T or later, whatever that was."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from parity.random_shops import HOUR, SHOPS, moments, on_the_hour, placed, purchases, returns, sales
from shops import Line, moment_of, shop

from features.build import FeatureRows, build
from features.facts import Facts

LATER = st.lists(st.tuples(st.one_of(sales, returns), st.one_of(st.just(0), st.integers(0, 24 * 400))), min_size=1, max_size=20)
"""Lines and how many hours after T they come; 0 is T itself."""


def assert_same_rows(left: FeatureRows, right: FeatureRows) -> None:
    assert left.member_ids.tolist() == right.member_ids.tolist()
    assert left.records.tobytes() == right.records.tobytes()
    assert left.matrix.tobytes() == right.matrix.tobytes()
    assert repr(dict(left.edges)) == repr(dict(right.edges))  # as text, since NaN is not equal to itself


@settings(SHOPS, max_examples=15)
@given(known=purchases, hours=moments, later=LATER)
@example(known=[Line("ann", 0.0)], hours=0, later=[(Line("ann", 0.0), 0), (Line("bob", 0.0), 1)])  # nothing before T at all
def test_whatever_comes_at_or_after_the_moment_changes_nothing(
    known: list[Line], hours: int, later: list[tuple[Line, int]]
) -> None:
    moment = on_the_hour(hours)
    future = [placed(line, (hours + after) * HOUR) for line, after in later]

    assert_same_rows(build(shop(known), as_of=moment), build(shop(known + future), as_of=moment))


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
    purchases_before = facts.tables["purchases"].filter(facts.tables["purchases"].occurred_at.epoch_seconds() < int(cut))
    truncated = Facts.in_memory(
        {"purchases": purchases_before.to_pyarrow(), "items": facts.tables["items"].to_pyarrow()},
        time_zone=facts.manifest.time_zone,
    )
    assert truncated.manifest.until_day < facts.manifest.until_day

    assert_same_rows(build(facts, as_of=moment), build(truncated, as_of=moment))
