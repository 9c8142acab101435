"""Segments: groups keep their names and places, the classifier learns them, and what a shop lacks is left out by name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shops import Line, shop

from features.contract import CONTRACT
from features.derive import model_columns
from features.errors import NotEnoughData
from tests.training.conftest import Predictors
from training.datasets import Examples, Snapshots
from training.predictors import SegmentPredictor
from training.predictors.segment_space import AXES, Scale, SegmentSpace, axes_told, nearest
from training.requirements import check_model
from training.segment_centres import held_centres, named, names_fit, settle
from training.segment_fit import fit_groups
from training.segment_groups import GROUPS, groups_told, prototypes
from training.segment_profiles import profiles, profiles_text
from training.segments import held_out, segment_days, segment_label, train_segments
from training.trained import Trained

FEATURES = CONTRACT.model_features
SPACE = SegmentSpace({axis.name: Scale(1.0, 0.0, 1.0) for axis in AXES})
RULES = prototypes(GROUPS, SPACE)


@pytest.fixture(scope="module")
def trained(snapshots: Snapshots) -> Trained:
    """Segments of the slice of Complete Journey."""
    return train_segments(snapshots)


def rows_of(**columns: float) -> np.ndarray:
    """One row with these features, all others missing."""
    row = np.full((1, len(FEATURES)), np.nan, dtype=np.float32)
    for name, value in columns.items():
        row[0, FEATURES.index(name)] = value
    return row


def around(centres: np.ndarray, each: int, *, seed: int = 1, spread: float = 0.2) -> np.ndarray:
    """So many points around each centre."""
    generator = np.random.default_rng(seed)
    return (np.repeat(centres, each, axis=0) + generator.normal(0, spread, (len(centres) * each, centres.shape[1]))).astype(
        np.float32
    )


def test_the_shapes_by_hand() -> None:
    space = SegmentSpace(
        {
            "silence": Scale(42.0, 0.0, 1.0),
            "frequency": Scale(5.0, 0.0, 1.0),
            "discount": Scale(0.2, 0.2, 0.1),
            "coupon": Scale(0.25, 0.5, 1.0),
        }
    )
    row = rows_of(
        days_since_last_purchase=56,
        purchase_days_180d=10,
        purchases_180d=8,
        discount_share_180d=0.4,
        coupon_purchase_share_180d=0.5,
    )

    found = space.points(row, FEATURES)[0]

    expected = [np.log(2), 1.2 * np.log(3), 1.0, np.sqrt(0.375) - 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert space.points(rows_of(days_since_last_purchase=9), FEATURES)[0, 0] == 0


def test_what_is_missing_lies_at_the_mean_and_nobody_lies_too_far_out() -> None:
    nothing, huge = np.full((1, len(FEATURES)), np.nan, dtype=np.float32), np.full((1, len(FEATURES)), 1e30, dtype=np.float32)

    assert SPACE.points(nothing, FEATURES)[0, :3].tolist() == [0, 0, 0]
    assert np.abs(SPACE.points(huge, FEATURES)).max() <= 2.5 * 1.2 + 1e-6


def test_a_space_is_the_same_after_json(made_up: Examples) -> None:
    space = SegmentSpace.fitted(made_up.matrix, FEATURES, [axis.name for axis in AXES])

    again = SegmentSpace.of(dict(reversed(space.as_dict().items())))

    assert again == space
    assert again.axes == tuple(axis.name for axis in AXES)


def test_an_axis_that_the_facts_do_not_tell_is_left_out_with_its_groups(made_up: Examples) -> None:
    matrix = made_up.matrix.copy()
    matrix[:, FEATURES.index("discount_share_180d")] = np.nan
    matrix[:, FEATURES.index("coupon_purchase_share_180d")] = 0.0

    axes = axes_told(matrix, FEATURES)

    assert {axis.name for axis in AXES} - set(axes) == {"discount", "coupon"}
    left_out = {group.name for group in GROUPS} - {group.name for group in groups_told(axes)}
    assert left_out == {"price_sensitive", "activity_sensitive"}


def test_rules_name_the_groups_that_lie_where_they_say() -> None:
    points = around(RULES, 60)

    held = held_centres(points, RULES, seed=1)

    assert not held.restarted
    assert names_fit(held.centres, RULES)
    assert (nearest(points, held.centres) == np.repeat(np.arange(8), 60)).mean() > 0.99
    assert held.within <= 1.15 * held.free_within


@given(st.permutations(range(8)))
def test_names_do_not_depend_on_the_order_in_which_centres_are_found(order: list[int]) -> None:
    found = RULES[order] + 0.1

    assert named(found, RULES).tolist() == (RULES + 0.1).tolist()


def test_centres_far_from_any_rule_are_found_by_a_free_start_and_named_once() -> None:
    """Twelve groups of members far from the rules, on both sides of the mean."""
    generator = np.random.default_rng(5)
    points = around(generator.choice([-2.4, 2.4], (8, len(AXES))), 80, spread=0.05)

    held = held_centres(points, RULES * 0.01, seed=1)

    assert held.restarted
    assert len(np.unique(nearest(points, held.centres))) == 8


def test_a_group_without_members_stays_where_its_rule_is() -> None:
    points = around(RULES[:7], 50)

    centres = settle(points, RULES, [(RULES, 0.2)])

    np.testing.assert_allclose(centres[7], RULES[7], atol=1e-9)


def test_groups_continue_those_before_also_where_names_are_in_another_order(snapshots: Snapshots) -> None:
    """The same rows again: nobody changes, since every group starts from where it was."""
    matrix = snapshots.at(snapshots.facts.manifest.until_day).matrix[:, model_columns(CONTRACT)]
    axes = axes_told(matrix, FEATURES)
    first = fit_groups(matrix, FEATURES, axes, seed=1)

    class Reversed:
        names = tuple(group.name for group in reversed(first.groups))
        space = first.space
        centres = first.held.centres[::-1]

    again = fit_groups(matrix, FEATURES, axes, before=first, seed=1)
    other = fit_groups(matrix, FEATURES, axes, before=Reversed(), seed=1)

    assert again.notes["space_kept"] == 1
    np.testing.assert_array_equal(again.held.centres, other.held.centres)
    np.testing.assert_allclose(again.held.centres, first.held.centres, atol=1e-4)


def test_a_shop_with_ten_times_the_amounts_gets_new_numbers_and_the_same_groups(snapshots: Snapshots) -> None:
    matrix = snapshots.at(snapshots.facts.manifest.until_day).matrix[:, model_columns(CONTRACT)]
    axes, dearer = axes_told(matrix, FEATURES), matrix.copy()
    dearer[:, FEATURES.index("spend_cents_180d")] *= 10
    first = fit_groups(matrix, FEATURES, axes, seed=1)

    after = fit_groups(dearer, FEATURES, axes, before=first, seed=1)

    assert after.notes["space_kept"] == 0
    np.testing.assert_allclose(after.held.centres, first.held.centres, atol=1e-3)


def test_the_slice_has_eight_groups_whose_names_say_what_they_are(trained: Trained, snapshots: Snapshots) -> None:
    assert isinstance(trained.predictor, SegmentPredictor)
    told = {one["name"]: one for one in trained.predictor.manifest.parameters["profiles"]}

    assert tuple(told) == trained.predictor.names == tuple(group.name for group in GROUPS)
    assert sum(one["members"] for one in told.values()) == len(snapshots.at(segment_days(snapshots.facts)[-1]).member_ids)
    spenders = sorted(told.values(), key=lambda one: one["spend_cents_180d"] or 0)
    assert spenders[-1]["name"] == "loyal_vip"
    assert max(told.values(), key=lambda one: one["days_since_last_purchase"] or 0)["name"] == "silent_to_wake"
    assert max(told.values(), key=lambda one: one["discount_share"] or 0)["name"] == "price_sensitive"
    assert max(told.values(), key=lambda one: one["coupon_purchase_share"] or 0)["name"] == "activity_sensitive"


def test_evidence_is_of_members_and_a_month_that_the_fit_never_saw(trained: Trained) -> None:
    assert trained.evidence is not None
    assert len(trained.evidence.judged) == 3
    for judged in trained.evidence.judged:
        assert held_out(judged.member_ids).all()
        assert max(judged.period.train) + 28 == judged.period.test
        np.testing.assert_allclose(judged.answer.sum(axis=1), 1, atol=1e-5)
    assert trained.metrics["agreement"] > 0.85
    assert trained.metrics["agreement"] > trained.baselines["rules"]["agreement"] + 0.05
    assert trained.metrics["changed_unmoved_share"] < 0.2
    assert 0 < trained.metrics["smallest_share"] < trained.metrics["largest_share"] < 0.6


def test_fitting_again_gives_the_same_bytes(made_up: Examples, predictors: Predictors) -> None:
    again = fit_groups(made_up.matrix, FEATURES, axes_told(made_up.matrix, FEATURES), seed=1)
    predictor = predictors["segments"]
    assert isinstance(predictor, SegmentPredictor)

    assert again.centres.tolist() == predictor.manifest.parameters["centres"]
    assert again.model.to_bytes() == predictor.model.to_bytes()


def test_labels_of_the_facts_are_the_nearest_centres(trained: Trained, snapshots: Snapshots) -> None:
    assert trained.examples is not None
    day = int(trained.examples.days.max())

    eligible, labels = segment_label(trained.predictor.manifest)(snapshots.at(day))

    assert eligible.all()
    assert labels.tolist() == trained.examples.labels[trained.examples.days == day].tolist()


def test_a_member_whose_name_changes_stays_in_the_group(predictors: Predictors, made_up: Examples) -> None:
    """Held-out members are chosen by id alone, and groups by features alone."""
    predictor = predictors["segments"]
    assert isinstance(predictor, SegmentPredictor)
    positions = predictor.assign(made_up.matrix)

    assert positions.tolist() == predictor.score(made_up.matrix).argmax(axis=1).tolist()
    assert (positions == predictor.by_centres(made_up.matrix)).mean() > 0.9
    assert 0.1 < held_out(made_up.member_ids).mean() < 0.3


def test_profiles_say_what_is_known_and_nothing_else(snapshots: Snapshots) -> None:
    rows = snapshots.at(snapshots.facts.manifest.until_day)
    blind = replace(rows, matrix=rows.matrix.copy())
    blind.matrix[:, [f.name for f in CONTRACT.features].index("discount_share_180d")] = np.nan

    told = profiles(blind, GROUPS[:2], np.arange(len(rows.member_ids)) % 2)
    text = profiles_text(told)

    assert [one["discount_share"] for one in told] == [None, None]
    assert sum(one["share"] for one in told) == pytest.approx(1, abs=1e-3)
    assert sum(one["spend_share"] for one in told) == pytest.approx(1, abs=1e-3)
    assert "忠诚VIP占会员50%" in text
    assert text.startswith("| group | 客群 |")


def test_too_few_members_or_days_are_refused_by_name() -> None:
    few = shop([Line(f"m{i}", float(day)) for i in range(12) for day in range(i, 200, 7)])
    short = shop([Line("ann", float(day)) for day in range(30)])

    check = check_model(few, "segments")

    assert "at least 200 members who bought in 180 days: 12 bought" in check.refusal()
    assert "lifecycle_stage" in check.instead
    with pytest.raises(NotEnoughData, match="segments need 112 days of facts; there are 30"):
        segment_days(short)
