"""Conditions over many rows: whatever is known when, the answer is that of a slow reading of one row after the other."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.audience_language import All, Compared, Either, Not, Selection, Tagged
from serving.triggers.conditions import View, bounds

NUMBERS, TAGS = ("event_hour", "count_views_item_1d", "churn_probability", "value_cents"), ("silent_30d", "tier=gold")
Row = Mapping[str, float | bool]

leaves = st.one_of(
    st.builds(
        Compared, st.sampled_from(NUMBERS), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(0, 3).map(float)
    ),
    st.builds(Tagged, st.sampled_from(TAGS)),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
rows = st.fixed_dictionaries(
    {
        **{name: st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")]) for name in NUMBERS},
        **{name: st.booleans() for name in TAGS},
    }
)


def holds(condition: Selection, row: Row) -> bool:
    if isinstance(condition, Tagged):
        return bool(row[condition.tag])
    if isinstance(condition, Not):
        return not holds(condition.operand, row)
    if isinstance(condition, All):
        return all(holds(operand, row) for operand in condition.operands)
    if isinstance(condition, Either):
        return any(holds(operand, row) for operand in condition.operands)
    value, number = row[condition.feature], condition.number
    if value != value:
        return False
    signs = {"=": value == number, "!=": value != number, "<": value < number, "<=": value <= number}
    return {**signs, ">": value > number, ">=": value >= number}[condition.sign]


def view_of(those: list[Row], hidden: frozenset[str] = frozenset()) -> View:
    return View(
        len(those),
        {name: np.array([row[name] for row in those], dtype=np.float32) for name in NUMBERS if name not in hidden},
        {name: np.array([row[name] for row in those], dtype=np.bool_) for name in TAGS if name not in hidden},
    )


@given(conditions, st.lists(rows, min_size=1, max_size=8), st.frozensets(st.sampled_from([*NUMBERS, *TAGS])))
def test_bounds_lie_about_the_truth_and_meet_when_all_is_known(
    condition: Selection, those: list[Row], hidden: frozenset[str]
) -> None:
    truth = np.array([holds(condition, row) for row in those])

    surely, perhaps = bounds(condition, view_of(those, hidden))
    assert not (surely & ~truth).any()
    assert not (truth & ~perhaps).any()
    for bound in bounds(condition, view_of(those)):
        assert bound.tolist() == truth.tolist()


def test_what_is_not_known_of_a_row_is_not_what_is_not_known_yet() -> None:
    missing, more = View(1, {"event_hour": np.array([np.nan], dtype=np.float32)}), Compared("event_hour", ">", 1.0)
    assert [bound.tolist() for bound in bounds(more, missing)] == [[False], [False]]
    assert [bound.tolist() for bound in bounds(Not(more), missing)] == [[True], [True]]
    assert [bound.tolist() for bound in bounds(more, View(1))] == [[False], [True]]


def test_features_are_read_by_name_now_and_before() -> None:
    width = len(View(0).contract.features)
    place = View(0).contract.feature_names.index("views_1d")
    now, before = np.zeros((2, width), dtype=np.float32), np.ones((2, width), dtype=np.float32)
    now[:, place] = [5, 6]
    view = View(2, features=now, before=before)
    assert view.number("views_1d") is not None
    assert view.number("views_1d").tolist() == [5, 6]  # type: ignore[union-attr] # just seen
    assert view.number("before.views_1d").tolist() == [1, 1]  # type: ignore[union-attr] # it is there
    assert View(2).number("views_1d") is None
    earlier = view.earlier({"event_hour": np.array([3, 4], dtype=np.float32)})
    assert earlier.number("views_1d").tolist() == [1, 1]  # type: ignore[union-attr] # it is there
    assert earlier.number("event_hour").tolist() == pytest.approx([3, 4])  # type: ignore[union-attr] # it is there
