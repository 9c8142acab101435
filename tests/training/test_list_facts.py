"""What lists tell beside their items: the member's own record of each, and what else was bought of late."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from features.online_store import RecommendationList
from features.rules.declared import LATELY_DAYS
from training.predictors.buying_groups import buying_groups
from training.predictors.histories import Histories
from training.predictors.list_facts import as_stored
from training.predictors.lists import RankedLists

DAY = 17_532
CATALOGUE: Any = SimpleNamespace(
    item_ids=np.array(["bread", "jam", "milk", "soap", "tea"]),
    group_centres=np.array([[1, 0], [0, 1]], dtype=np.float32),
    categories=np.array([0, 0, 1, -1, 1], dtype=np.int32),
)


def histories() -> Histories:
    """Ann bought milk five times, bread once, tea long ago, and looked at soap; Bob bought nothing."""
    zeros = np.zeros(4, dtype=np.float32)
    return Histories(
        day=DAY,
        starts=np.array([0, 4, 4]),
        items=np.array([0, 2, 3, 4], dtype=np.int32),
        times=np.array([1, 5, 0, 2], dtype=np.float32),
        first_days=np.array([DAY - 3, DAY - 61, DAY - 1, DAY - 300], dtype=np.int32),
        last_days=np.array([DAY - 3, DAY - 13, DAY - 1, DAY - LATELY_DAYS - 1], dtype=np.int32),
        fast=zeros,
        slow=np.array([1, 4, 0, 1], dtype=np.float32),
        interest=zeros,
        trips=np.zeros(2, dtype=np.float32),
        pace=np.zeros(2, dtype=np.float32),
        stores=np.full(2, -1, dtype=np.int32),
    )


def told(*lists: list[str]) -> list[RecommendationList]:
    """Lists of these items, as they are stored."""
    known, width = CATALOGUE.item_ids.tolist(), max(map(len, lists))
    items = [[known.index(name) for name in names] + [-1] * (width - len(names)) for names in lists]
    sources, scores, groups = np.full((2, width), 6, np.int8), np.zeros((2, width)), buying_groups(CATALOGUE, histories())
    ranked = RankedLists(np.array(items, dtype=np.int32), sources, scores, groups)
    return list(as_stored(ranked, CATALOGUE, histories(), model="r@1", as_of="2018-01-01T05:00:00+00:00"))


def test_items_carry_the_members_own_record_and_a_rhythm_from_the_second_purchase_on() -> None:
    ann, bob = told(["milk", "jam", "soap", "tea"], ["milk"])
    milk, jam, soap, tea = ann.items
    assert (milk.times, milk.last_day, milk.gap_days) == (5, DAY - 13, 12.0)
    assert (tea.times, tea.gap_days) == (2, 239.0)
    assert jam.times is soap.times is None, "never bought; a look is no purchase"
    assert (bob.items[0].times, bob.lately, bob.day) == (None, {}, DAY)
    assert [item.item_id for item in bob.items] == ["milk"]
    assert (ann.group, bob.group) == (1, -1), "milk and tea against bread; of Bob nothing is known"
    assert [(item.score, item.source) for item in ann.items[:2]] == [(1.0, "popular"), (0.5, "popular")]


def test_what_was_bought_of_late_and_is_not_listed_is_remembered() -> None:
    ann, _ = told(["milk"], [])
    assert ann.lately == {"bread": DAY - 3}
    assert RecommendationList.from_bytes(ann.to_bytes()) == ann
