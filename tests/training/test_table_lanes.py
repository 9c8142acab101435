"""Rows of eight reasons: every reason of every group has one place, and most groups have one row."""

import numpy as np
import pytest

from training.predictors.table_lanes import HEIGHT, MOST_SETS, WIDTH, lanes_of


def asked(groups: int, reasons: int, *, most: int, seed: int = 1) -> np.ndarray:
    """Groups that ask up to so many reasons each, some of them more often than others."""
    generator = np.random.default_rng(seed)
    often = generator.random(reasons) + 0.2
    found = np.zeros((groups, reasons), dtype=np.bool_)
    for row in found:
        row[generator.choice(reasons, generator.integers(1, most + 1), replace=False, p=often / often.sum())] = True
    return found


@pytest.mark.parametrize(("groups", "reasons", "most"), [(1, 1, 1), (40, 5, 5), (500, 16, 8), (900, 48, 8), (300, 700, 4)])
def test_every_reason_of_a_group_stands_in_one_place(groups: int, reasons: int, most: int) -> None:
    wanted = asked(groups, reasons, most=most)
    lanes = lanes_of(wanted)
    number = len(lanes.reasons)
    found = np.zeros(wanted.shape, dtype=np.int64)
    for place, (group, own) in enumerate(zip(lanes.group, lanes.own, strict=True)):
        found[group, lanes.reasons[place % number][own]] += 1

    assert lanes.group.shape == (HEIGHT * number,)
    assert lanes.own.shape == (HEIGHT * number, WIDTH)
    assert found.tolist() == wanted.astype(np.int64).tolist()
    assert not lanes.own[lanes.group < 0].any()
    assert (lanes.reasons[np.tile(np.arange(number), HEIGHT)][lanes.own] >= 0).all()


def test_a_set_holds_no_reason_twice() -> None:
    for columns in lanes_of(asked(500, 16, most=8)).reasons:
        known = columns[columns >= 0]
        assert len(set(known.tolist())) == len(known)


def test_up_to_eight_reasons_need_one_row_a_group() -> None:
    lanes = lanes_of(asked(100, WIDTH, most=WIDTH))

    assert sorted(lanes.group[lanes.group >= 0].tolist()) == list(range(100))


def test_few_groups_need_a_second_row() -> None:
    """A set for each combination would take thousands; the few dozens chosen are enough for most."""
    lanes = lanes_of(asked(3000, 16, most=6))
    used = int((lanes.group >= 0).sum())

    assert used < 1.2 * 3000
    assert len(lanes.group) < used + (MOST_SETS + 1) * HEIGHT


def test_nothing_asked_is_one_empty_lane() -> None:
    lanes = lanes_of(np.zeros((0, 16), dtype=np.bool_))

    assert lanes.group.tolist() == [-1] * HEIGHT
    assert not lanes.own.any()
