"""What came back: counted in pieces, in money or in lines, the latest first, from the day on which the last of it is back."""

from dataclasses import replace

import numpy as np
import pytest
from shops import Line, moment_of, shop

from features.days import day_number
from training.interactions import purchase_days
from training.lists.behaviour import behaviour
from training.lists.rhythm import rhythm
from training.lists.windows import window
from training.returns import NEVER, days_undone

FIRST = day_number(moment_of(0.0).date())
BOUGHT, BACK = Line("m", 0.0, item="hat"), Line("m", 3.0, item="hat", kind="return", quantity=-1, cents=-1000)


def undone(*lines: Line) -> dict[int, int]:
    """By day of a purchase that came back, the day on which it had; counted from the first day."""
    table = days_undone(shop(lines).tables["purchases"]).to_pyarrow().to_pylist()
    return {row["local_day"] - FIRST: row["undone"] - FIRST for row in table}


def test_a_purchase_that_came_back_is_one_until_then() -> None:
    bought = purchase_days(shop([BOUGHT, BACK, Line("m", 9.0, item="scarf")]))

    assert bought.item_ids[bought.items].tolist() == ["hat", "scarf"]
    assert (bought.undone - FIRST).tolist() == [3, NEVER - FIRST]
    for day, there in ((1, ["hat"]), (3, ["hat"]), (4, []), (10, ["scarf"])):
        assert bought.item_ids[bought.until(FIRST + day).items].tolist() == there
    assert len(bought.within(FIRST, FIRST + 3).days) == 1
    assert len(bought.within(FIRST, FIRST + 4).days) == 0


def of_hat(at: float, quantity: int | None, cents: int) -> Line:
    back = (quantity or cents) < 0
    return Line("m", at, item="hat", quantity=quantity, cents=cents, kind="return" if back else "sale")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(0, 12, 1200), (3, -12, -1200)], {0: 3}),
        ([(0, 12, 1200), (3, -6, -600)], {}),
        ([(0, 12, 1200), (3, -6, -600), (5, -6, -600)], {0: 5}),
        ([(0, 1, 100), (2, 1, 100), (3, -1, -100)], {2: 3}),
        ([(0, 1, 100), (2, 1, 100), (3, -2, -200)], {0: 3, 2: 3}),
        ([(0, 1, 100), (3, -1, -100), (4, 1, 100)], {0: 3}),
        ([(0, -1, -100), (3, 1, 100)], {}),
        ([(0, 1, 100), (3, -9, -900), (4, 1, 100)], {0: 3}),
        ([(0, 2, 200), (0.1, 3, 300), (3, -3, -300)], {}),
        ([(0, 2, 200), (0.1, 3, 300), (3, -3, -300), (6, -2, -200)], {0: 6}),
        ([(0, None, 350), (3, None, -350)], {0: 3}),
        ([(0, None, 350), (3, None, -100)], {}),
        ([(0, 1, 350), (3, None, -100)], {}),
        ([(0, 1, 100), (0, -1, -100)], {0: 0}),
    ],
)
def test_the_latest_goes_back_first_by_pieces_or_money(
    lines: list[tuple[float, int | None, int]], expected: dict[int, int]
) -> None:
    assert undone(*(of_hat(*line) for line in lines)) == expected


def test_without_pieces_and_money_a_line_takes_back_a_line() -> None:
    lines = [without_size(Line("m", at, item="hat", kind=kind)) for at, kind in ((0, "sale"), (2, "sale"), (3, "return"))]

    assert undone(*lines) == {2: 3}


def without_size(line: Line) -> Line:
    return line._replace(quantity=None, cents=0)


def test_other_members_other_items_and_nobody_take_nothing_back() -> None:
    others = [BACK._replace(member="n"), BACK._replace(item="scarf"), BACK._replace(member=None)]

    assert undone(BOUGHT, *others) == {}


def test_a_return_that_was_corrected_away_takes_nothing_back() -> None:
    assert undone(BOUGHT, BACK._replace(superseded=4.0)) == {}


def test_what_everybody_sends_back_has_no_buyers_and_no_rhythm() -> None:
    """The hat is bought every week and sent back each time, the scarf every week and kept."""
    lines = [Line("till", 120.0, item="scarf")]
    for member in range(12):
        for day in range(member % 5, 100, 7):
            lines += [Line(f"m{member}", float(day), item=item) for item in ("hat", "scarf")]
            lines.append(BACK._replace(member=f"m{member}", at=day + 2.0))
    seen = behaviour(shop(lines))
    at = window(seen, day=FIRST + 110)

    assert seen.bought.item_ids[at.listed].tolist() == ["scarf"]
    kept = replace(seen, bought=seen.bought.where((seen.bought.undone == NEVER) & (seen.bought.days < FIRST + 110)))
    assert np.array_equal(rhythm(seen.until(FIRST + 110), at.listed).gaps, rhythm(kept, at.listed).gaps)
