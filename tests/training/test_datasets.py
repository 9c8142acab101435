"""Snapshots in time order: windows that never touch, rows that belong together, whole members apart."""

import re

import numpy as np
import pytest
from shops import Line, shop

from features.build import FeatureRows
from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from training.boosting import both
from training.churn import ChurnDefinition, churn_label
from training.datasets import Examples, Labelled, Snapshots, examples
from training.labels import purchased_within, spend_within
from training.periods import MIN_HISTORY_DAYS
from training.spending import member_folds, spending_periods


def span(days: int) -> Facts:
    """A shop whose facts are that many days long, with a few regular members."""
    ends = [Line("first", 0.0), Line("last", days - 1.0)]
    return shop(ends + [Line(f"m{i}", float(day)) for i in range(4) for day in range(i, days, 9 + i)])


def test_windows_of_spending_never_touch_either() -> None:
    for days in (266, 300, 365, 420):
        facts = span(days)
        newest = spending_periods(facts)[-1]
        assert max(newest.train) + 90 <= newest.test
        assert newest.test + 90 == facts.manifest.until_day
        assert list(newest.days) == sorted(set(newest.days))
        assert min(newest.train) >= facts.manifest.first_day + MIN_HISTORY_DAYS


def test_the_shortest_history_for_spending_is_the_one_the_message_names() -> None:
    with pytest.raises(NotEnoughData, match="there are 200, from 2024-01-01") as caught:
        spending_periods(span(200))
    needed = int(re.search(r"needs (\d+) days", str(caught.value))[1])  # type: ignore[index]

    assert spending_periods(span(needed))
    with pytest.raises(NotEnoughData):
        spending_periods(span(needed - 1))


def spend_of_everybody(facts: Facts, horizon_days: int) -> Labelled:
    def label(rows: FeatureRows) -> tuple[np.ndarray, np.ndarray]:
        members = rows.member_ids.tolist()
        return np.ones(len(members), dtype=np.bool_), spend_within(facts, members, day=rows.day, horizon_days=horizon_days)

    return label


def test_members_matrix_and_labels_belong_together() -> None:
    facts = span(300)
    snapshots = Snapshots(facts)
    days = [facts.manifest.first_day + 120, facts.manifest.first_day + 150]

    data = examples(snapshots, days, spend_of_everybody(facts, 20))

    column = CONTRACT.model_features.index("spend_cents_90d")
    assert data.matrix.shape == (len(data), len(CONTRACT.model_features))
    assert data.matrix.dtype == np.float32
    assert len(data.member_ids) == len(data.days) == len(data.labels) == len(data)
    assert np.unique(data.days).tolist() == days
    for row in range(len(data)):
        member, day = str(data.member_ids[row]), int(data.days[row])
        rows = snapshots.at(day)
        assert data.matrix[row, column] == rows.column("spend_cents_90d")[rows.member_ids == member][0]
        assert data.labels[row] == spend_within(facts, [member], day=day, horizon_days=20)[0]


def test_only_members_who_are_eligible_are_rows() -> None:
    quiet = [Line("quiet", 0.0), Line("edge", 116.0), Line("bob", 115.0)]
    facts = shop([*quiet, Line("ann", 0.0), *(Line("ann", float(day)) for day in range(190, 260, 5)), Line("edge", 230.0)])
    day = facts.manifest.first_day + 200  # 84 days after the purchase of "edge"

    data = examples(Snapshots(facts), [day], churn_label(facts, ChurnDefinition(horizon_days=28, active_days=84)))

    assert data.member_ids.tolist() == ["ann", "edge"]
    assert data.labels.tolist() == [False, True]  # "edge" came back on day 230, the horizon ended on day 227
    assert purchased_within(facts, ["edge"], day=day, horizon_days=31).tolist() == [True]


def test_a_snapshot_is_built_once() -> None:
    facts = span(60)
    snapshots = Snapshots(facts)
    day = facts.manifest.first_day + 30

    assert list(snapshots.prepare([day, day + 1])) == [day, day + 1]
    assert snapshots.at(day) is snapshots.at(day)
    assert snapshots.at(day).day == day
    assert snapshots.at(day).as_of.astimezone(facts.zone).date() == calendar_day(day)
    assert snapshots.at(day).as_of == facts.midnight(day)


def table(members: list[str], first: int = 0) -> Examples:
    """Examples whose one column is the number of the row, as is the label."""
    numbers = np.arange(first, first + len(members))
    return Examples(np.array(members), numbers.astype(np.int32), numbers.astype(np.float32).reshape(-1, 1), numbers)


def test_both_puts_one_after_the_other() -> None:
    whole = both(table(["a", "b"]), table(["c", "a", "d"], first=2))

    assert whole.member_ids.tolist() == ["a", "b", "c", "a", "d"]
    assert whole.days.tolist() == whole.matrix[:, 0].tolist() == whole.labels.tolist() == [0, 1, 2, 3, 4]


def test_each_member_is_held_out_once_and_whole() -> None:
    data = table([f"m{number % 50}" for number in range(400)])

    folds = list(member_folds(data, seed=3, folds=5))

    assert sorted(place for fold in folds for place in fold.held_out.tolist()) == list(range(400))
    for fold in folds:
        assert not set(data.member_ids[fold.fitted]) & set(data.member_ids[fold.held_out])
        assert len(fold.fitted) + len(fold.held_out) == 400
        assert len(set(data.member_ids[fold.held_out])) == 10


def test_who_is_held_out_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    data = table([f"m{number % 50}" for number in range(200)])
    reverse = Examples(data.member_ids[::-1], data.days[::-1], data.matrix[::-1], data.labels[::-1])

    first = {seed: next(member_folds(data, seed=seed)).held_out for seed in (3, 4)}
    again = next(member_folds(reverse, seed=3)).held_out

    assert set(data.member_ids[first[3]]) == set(reverse.member_ids[again])
    assert set(data.member_ids[first[3]]) != set(data.member_ids[first[4]])
