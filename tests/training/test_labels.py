"""Labels: what members did on the days [T, T + horizon), against a naive count over the purchases themselves."""

import numpy as np
import pytest
from shops import START, Line, moment_of, shop

from features.build import FeatureRows, build
from features.days import day_number
from features.errors import NotEnoughData
from training.labels import purchased_within, require_matured, spend_within

MEMBERS = ["ann", "bob", "cleo", "dan"]
LATEST = Line("till", 60.0)
"""A purchase of somebody else, so that the facts reach far enough."""
DAY_0 = day_number(START.date())


def random_lines(seed: int) -> list[Line]:
    """Sales and returns of three members over two months, many of them within an hour of midnight."""
    generator = np.random.default_rng(seed)
    lines = [LATEST, Line("till", 0.0)]
    for number in range(120):
        day = int(generator.integers(0, 60))
        at = day + float(generator.choice([-0.02, 0.0, 0.25, 0.48, 0.4999, 0.5]))
        cents = int(generator.integers(1, 5000))
        is_return = generator.random() < 0.2
        member = str(generator.choice(["ann", "bob", "cleo"]))
        lines.append(Line(member, max(at, 0.0), -cents if is_return else cents, kind="return" if is_return else "sale"))
        if number % 10 == 0:
            lines.append(Line(None, max(at, 0.0), 999))
    return lines


def local_day(line: Line) -> int:
    return day_number(moment_of(line.at).date())


def naive_purchased(lines: list[Line], member: str, day: int, horizon: int) -> bool:
    return any(x.member == member and x.kind == "sale" and day <= local_day(x) < day + horizon for x in lines)


def naive_spend(lines: list[Line], member: str, day: int, horizon: int) -> int:
    return sum(x.cents for x in lines if x.member == member and day <= local_day(x) < day + horizon)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("offset", "horizon"), [(0, 1), (10, 7), (30, 28), (59, 2)])
def test_labels_equal_a_naive_count(seed: int, offset: int, horizon: int) -> None:
    lines = random_lines(seed)
    facts = shop(lines)
    day = DAY_0 + offset

    bought = purchased_within(facts, MEMBERS, day=day, horizon_days=horizon)
    spent = spend_within(facts, MEMBERS, day=day, horizon_days=horizon)

    assert bought.tolist() == [naive_purchased(lines, member, day, horizon) for member in MEMBERS]
    assert spent.tolist() == [naive_spend(lines, member, day, horizon) for member in MEMBERS]


def test_answers_stand_in_the_order_asked_for() -> None:
    facts = shop([Line("ann", 10.0, 100), Line("bob", 11.0, 7), LATEST])
    day = DAY_0 + 10

    assert spend_within(facts, ["zoe", "bob", "ann"], day=day, horizon_days=5).tolist() == [0, 7, 100]
    assert purchased_within(facts, ["zoe", "bob", "ann"], day=day, horizon_days=1).tolist() == [False, False, True]
    assert len(purchased_within(facts, [], day=day, horizon_days=1)) == 0


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (9.49, False),  # a quarter to midnight on the day before T
        (9.5, True),  # midnight at which T begins
        (10.0, True),
        (16.49, True),  # the last minutes of day T + 6
        (16.5, False),  # midnight at which day T + 7 begins
        (17.0, False),
    ],
)
def test_the_horizon_begins_on_day_t_and_ends_before_day_t_plus_h(at: float, inside: bool) -> None:
    facts = shop([Line("start", 0.0), Line("ann", at, 250), LATEST])
    day = DAY_0 + 10

    assert purchased_within(facts, ["ann"], day=day, horizon_days=7).tolist() == [inside]
    assert spend_within(facts, ["ann"], day=day, horizon_days=7).tolist() == [250 if inside else 0]


def test_the_shops_midnight_counts_also_after_the_clocks_changed() -> None:
    noon_in_summer_time = 100 - 1 / 24
    facts = shop(
        [Line("ann", 0.0), Line("ann", noon_in_summer_time - 0.5), Line("bob", noon_in_summer_time - 0.51), Line("till", 140)]
    )
    day = DAY_0 + 100

    assert purchased_within(facts, ["ann", "bob"], day=day, horizon_days=1).tolist() == [True, False]


def test_a_return_is_no_purchase_but_lowers_spend() -> None:
    facts = shop(
        [Line("ann", 10.0, -300, kind="return"), Line("bob", 10.0, 900), Line("bob", 11.0, -400, kind="return"), LATEST]
    )
    day = DAY_0 + 8

    assert purchased_within(facts, ["ann", "bob"], day=day, horizon_days=7).tolist() == [False, True]
    assert spend_within(facts, ["ann", "bob"], day=day, horizon_days=7).tolist() == [-300, 500]


def test_anonymous_purchases_are_nobodys() -> None:
    facts = shop([Line("ann", 0.0), Line(None, 10.0, 5000), LATEST])

    assert not purchased_within(facts, ["None", "", "ann"], day=DAY_0 + 5, horizon_days=10).any()


def test_a_horizon_that_has_not_passed_is_refused() -> None:
    facts = shop([Line("ann", 0.0), LATEST])  # days 0 to 60 of the shop: facts until day 61
    last = DAY_0 + 61 - 28

    require_matured(facts, day=last, horizon_days=28)
    assert len(purchased_within(facts, ["ann"], day=last, horizon_days=28)) == 1
    for label in (purchased_within, spend_within):
        with pytest.raises(NotEnoughData, match=r"2024-02-04 need facts until 2024-03-03; there are facts until 2024-03-02"):
            label(facts, ["ann"], day=last + 1, horizon_days=28)


def test_labels_see_nothing_before_the_day() -> None:
    after = [Line("ann", 31.0, 40), Line("cleo", 35.0, -5, kind="return"), LATEST]
    one = shop([Line("till", 0.0), Line("bob", 29.0, 999), *after])
    other = shop([Line("till", 0.0), *(Line(member, 29.49, 12345) for member in MEMBERS), *after])
    day = DAY_0 + 30

    for label in (purchased_within, spend_within):
        assert np.array_equal(label(one, MEMBERS, day=day, horizon_days=20), label(other, MEMBERS, day=day, horizon_days=20))


def test_features_see_nothing_from_the_day_on() -> None:
    lines = random_lines(5)
    facts = shop(lines)
    day = DAY_0 + 30
    until_then = shop([line for line in lines if local_day(line) < day])

    whole, before = (build(f, as_of=facts.midnight(day)) for f in (facts, until_then))

    assert whole.member_ids.tolist() == before.member_ids.tolist() != []
    assert np.array_equal(whole.matrix, before.matrix, equal_nan=True)


def test_a_purchase_at_midnight_is_in_the_label_and_not_in_the_features() -> None:
    facts = shop([Line("ann", 0.0, 100), Line("ann", 9.5, 7), LATEST])
    day = DAY_0 + 10

    rows: FeatureRows = build(facts, as_of=facts.midnight(day))

    assert rows.column("spend_cents_30d")[rows.member_ids == "ann"].tolist() == [100]
    assert spend_within(facts, ["ann"], day=day, horizon_days=1).tolist() == [7]
