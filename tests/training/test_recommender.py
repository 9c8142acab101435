"""Lists: a shop whose right answer can be seen by eye, `implicit` as oracle, and the rules of every list."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from shops import Line, moment_of, shop
from threadpoolctl import threadpool_limits

from features.days import day_number
from features.errors import NotEnoughData
from features.facts import Facts
from training.interactions import MIN_BUYERS, Interactions, PurchaseDays, bought_after, interactions, purchase_days
from training.predictors import SOURCES, Recommender, load_bundle
from training.recommender import ITERATIONS, AlsSettings, fit, has_collapsed, judge, top, train_recommender, with_share
from training.registry import load, resolve

MEMBERS, ITEMS = 40, 24
SETTINGS = AlsSettings(factors=2, alpha=2.0, regularization=0.5, half_life_days=60.0)


def held_out(member: int) -> int:
    """The one item of their colour that a member has not bought yet."""
    return 2 * (member // 2 % (ITEMS // 2)) + member % 2


def board() -> list[Line]:
    """Even members buy even items, odd members odd items; items of low number were bought by more members of late."""
    lines = [Line(None, 0.0), Line(None, 99.0)]
    for member in range(MEMBERS):
        for item in range(member % 2, ITEMS, 2):
            if item != held_out(member):
                recent = member >= 2 * item // 3
                lines.append(Line(f"m{member:02}", 90.0 if recent else 60.0, item=f"i{item:02}"))
    return lines


@pytest.fixture(scope="module")
def checkerboard() -> Facts:
    """The checkerboard."""
    return shop(board())


@pytest.fixture(scope="module")
def bought(checkerboard: Facts) -> PurchaseDays:
    """Its purchases."""
    return purchase_days(checkerboard)


@pytest.fixture(scope="module")
def window(checkerboard: Facts, bought: PurchaseDays) -> Interactions:
    """Its matrix as of the end of the facts."""
    return interactions(bought, day=checkerboard.manifest.until_day, half_life_days=SETTINGS.half_life_days)


@pytest.fixture(scope="module")
def fitted(checkerboard: Facts, window: Interactions) -> Recommender:
    """ALS on the checkerboard."""
    return fit(window, SETTINGS, facts=checkerboard, seed=3)


def row_of(window: Interactions, member: int) -> int:
    return window.member_ids.tolist().index(f"m{member:02}")


def column_of(window: Interactions, item: int) -> int:
    return window.item_ids.tolist().index(f"i{item:02}")


@pytest.mark.parametrize("member", range(0, MEMBERS, 3))
def test_the_item_held_out_is_the_first_new_one(fitted: Recommender, window: Interactions, member: int) -> None:
    ranked = with_share(fitted, 0.5).rank(window.weights[[row_of(window, member)]], k=2)

    first, second = window.item_ids[ranked.items[0]].tolist()
    assert [SOURCES[source] for source in ranked.sources[0]] == ["bought_before", "similar_taste"]
    assert int(first[1:]) % 2 == member % 2
    assert second == f"i{held_out(member):02}"


def test_taste_alone_ranks_all_of_the_right_colour_first(fitted: Recommender, window: Interactions) -> None:
    best = top(fitted.taste(window.weights), ITEMS // 2)

    for row, member in enumerate(window.member_ids.tolist()):
        assert {int(window.item_ids[item][1:]) % 2 for item in best[row]} == {int(member[1:]) % 2}


def test_a_newcomer_is_known_by_what_they_bought(fitted: Recommender, window: Interactions) -> None:
    weights = sparse.csr_matrix(([1.0], ([0], [column_of(window, 7)])), shape=(1, ITEMS), dtype=np.float32)

    ranked = with_share(fitted, 0.25).rank(weights, k=6)

    assert ranked.items[0, 0] == column_of(window, 7)
    assert all(int(item[1:]) % 2 == 1 for item in window.item_ids[ranked.items[0]])


def test_a_member_without_history_gets_what_is_popular_and_nothing_else(fitted: Recommender) -> None:
    ranked = with_share(fitted, 0.5).rank(sparse.csr_matrix((2, ITEMS), dtype=np.float32), k=8)

    by_popularity = sorted(range(ITEMS), key=lambda item: (-fitted.popularity[item], item))
    assert len(set(fitted.popularity.tolist())) > 3
    assert ranked.items.tolist() == [by_popularity[:8]] * 2
    assert {SOURCES[source] for source in ranked.sources.ravel()} == {"popular"}
    assert fitted.fold_in(sparse.csr_matrix((2, ITEMS), dtype=np.float32)).tolist() == [[0.0] * 2] * 2
    assert fitted.popular_items(3) == fitted.item_ids[by_popularity[:3]].tolist()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("k", [ITEMS - 1, ITEMS, ITEMS + 1, 1000])
def test_a_list_is_never_longer_than_the_catalogue_and_names_nothing_twice(
    fitted: Recommender, window: Interactions, share: float, k: int
) -> None:
    nobody = sparse.csr_matrix((1, ITEMS), dtype=np.float32)
    everything = sparse.csr_matrix(np.ones((1, ITEMS), dtype=np.float32))
    ranked = with_share(fitted, share).rank(sparse.vstack([window.weights, nobody, everything]).tocsr(), k=k)

    assert ranked.items.shape == ranked.sources.shape == (MEMBERS + 2, min(k, ITEMS))
    for items in ranked.items.tolist():
        assert len(set(items)) == len(items)
        assert set(items) <= set(range(ITEMS))


def test_lists_begin_alike_whatever_their_length(fitted: Recommender, window: Interactions) -> None:
    recommender = with_share(fitted, 0.5)
    long = recommender.rank(window.weights, k=20)

    for k in (1, 5, 13):
        assert np.array_equal(recommender.rank(window.weights, k=k).items, long.items[:, :k])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
def test_every_beginning_of_a_list_holds_its_share_of_repeats(fitted: Recommender, window: Interactions, share: float) -> None:
    ranked = with_share(fitted, share).rank(window.weights, k=11)

    for row in range(MEMBERS):
        own = set(window.weights[row].indices.tolist())
        for length in range(1, 12):
            repeats = sum(item in own for item in ranked.items[row, :length].tolist())
            assert repeats == math.ceil(length * share)
        assert [item in own for item in ranked.items[row].tolist()] == (ranked.sources[row] == 0).tolist()


def test_without_a_share_repeats_come_only_when_nothing_new_is_left(fitted: Recommender, window: Interactions) -> None:
    ranked = with_share(fitted, 0.0).rank(window.weights[:1], k=ITEMS)
    own = set(window.weights[0].indices.tolist())

    assert [item in own for item in ranked.items[0].tolist()] == [False] * (ITEMS - len(own)) + [True] * len(own)


def test_own_items_come_in_the_order_of_their_weights(fitted: Recommender) -> None:
    weights = np.zeros((1, ITEMS), dtype=np.float32)
    weights[0, [2, 9, 4, 17]] = [0.5, 3.0, 0.5, 1.0]

    ranked = with_share(fitted, 1.0).rank(sparse.csr_matrix(weights), k=4)

    assert ranked.items[0].tolist() == [9, 17, 2, 4]


def test_a_member_has_the_same_list_alone_and_among_others(fitted: Recommender, window: Interactions) -> None:
    recommender = with_share(fitted, 0.5)
    together = recommender.rank(window.weights, k=9)

    for row in range(0, MEMBERS, 7):
        alone = recommender.rank(window.weights[[row]], k=9)
        assert alone.items[0].tolist() == together.items[row].tolist()
        assert alone.sources[0].tolist() == together.sources[row].tolist()


@pytest.mark.parametrize("columns", [ITEMS - 1, ITEMS + 1, MEMBERS, 0])
def test_weights_of_another_width_are_refused(fitted: Recommender, columns: int) -> None:
    weights = sparse.csr_matrix((3, columns), dtype=np.float32)

    for ask in (fitted.fold_in, fitted.taste, lambda w: fitted.rank(w, k=3)):
        with pytest.raises(ValueError, match=f"weights have {columns} columns for a catalogue of {ITEMS} items"):
            ask(weights)


def test_members_and_items_are_never_swapped(fitted: Recommender, window: Interactions) -> None:
    assert window.weights.shape == (MEMBERS, ITEMS)
    assert fitted.factors.shape == (ITEMS, SETTINGS.factors)
    assert fitted.item_ids.tolist() == [f"i{item:02}" for item in range(ITEMS)]
    assert fitted.popularity.shape == (ITEMS,)
    assert fitted.taste(window.weights).shape == (MEMBERS, ITEMS)
    assert fitted.golden.shape[1] == ITEMS
    with pytest.raises(ValueError, match="columns"):
        fitted.taste(window.weights.T.tocsr())


def by_implicit(window: Interactions) -> tuple[AlternatingLeastSquares, sparse.csr_matrix]:
    """`implicit` itself on confidences written out one by one."""
    confidence = sparse.lil_matrix(window.weights.shape, dtype=np.float32)
    for row, column in zip(*window.weights.nonzero(), strict=True):
        confidence[row, column] = 1 + SETTINGS.alpha * window.weights[row, column]
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=SETTINGS.factors,
            alpha=1.0,
            regularization=SETTINGS.regularization,
            iterations=ITERATIONS,
            random_state=3,
            num_threads=1,
        )
        model.fit(confidence.tocsr(), show_progress=False)
    return model, confidence.tocsr()


def test_members_are_folded_in_as_implicit_does(fitted: Recommender, window: Interactions) -> None:
    model, confidence = by_implicit(window)

    with threadpool_limits(limits=1, user_api="blas"):
        theirs = model.recalculate_user(np.arange(MEMBERS), confidence)

    np.testing.assert_allclose(fitted.factors, model.item_factors, atol=1e-5)
    np.testing.assert_allclose(fitted.fold_in(window.weights), theirs, atol=1e-4)


def test_folded_in_members_are_close_to_those_learned_with_the_items(fitted: Recommender, window: Interactions) -> None:
    model, _ = by_implicit(window)
    ours, learned = fitted.fold_in(window.weights), model.user_factors

    cosine = (ours * learned).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(learned, axis=1)
    assert cosine.min() > 0.999


def test_the_same_seed_gives_the_same_factors(checkerboard: Facts, fitted: Recommender, window: Interactions) -> None:
    assert fit(window, SETTINGS, facts=checkerboard, seed=3).factors.tobytes() == fitted.factors.tobytes()
    assert fit(window, SETTINGS, facts=checkerboard, seed=4).factors.tobytes() != fitted.factors.tobytes()


def test_fitting_leaves_the_weights_alone(checkerboard: Facts, window: Interactions) -> None:
    before = window.weights.copy()
    fit(window, SETTINGS, facts=checkerboard, seed=3)

    assert (window.weights != before).nnz == 0


def test_saving_and_loading_changes_nothing(fitted: Recommender, window: Interactions, tmp_path: Path) -> None:
    recommender = with_share(fitted, 0.75)
    sha256 = recommender.save(tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", sha256=sha256)

    assert isinstance(loaded, Recommender)
    assert loaded.item_ids.tolist() == recommender.item_ids.tolist()
    assert loaded.taste(window.weights).tobytes() == recommender.taste(window.weights).tobytes()
    there, here = loaded.rank(window.weights, k=17), recommender.rank(window.weights, k=17)
    assert there.items.tobytes() == here.items.tobytes()
    assert there.sources.tobytes() == here.sources.tobytes()
    assert loaded.popular_items(5) == recommender.popular_items(5)


def test_collapsed_factors_are_noticed() -> None:
    generator = np.random.default_rng(1)
    one_direction = np.outer(generator.normal(size=200), generator.normal(size=16)).astype(np.float32)
    healthy = generator.normal(size=(200, 16)).astype(np.float32)

    assert has_collapsed(one_direction)
    assert has_collapsed(one_direction + 1e-3 * healthy)
    assert not has_collapsed(healthy)
    assert not has_collapsed(1e-6 * healthy)
    assert not has_collapsed(1e6 * healthy)


def test_factors_that_are_zero_or_no_numbers_have_collapsed() -> None:
    assert has_collapsed(np.zeros((50, 8), dtype=np.float32))
    healthy = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    assert has_collapsed(healthy * [1, 1, 0, 0, 0, 0, 0, 0])
    assert has_collapsed(np.where(np.eye(50, 8) > 0, np.inf, healthy).astype(np.float32))


def random_lines() -> list[Line]:
    """Sales and returns of known and unknown members and items, some twice a day."""
    generator = np.random.default_rng(6)
    lines = [Line("till", 0.0, item="rare"), Line("till", 70.0, item="rare")]
    for _ in range(1500):
        member = f"m{generator.integers(0, 30):02}" if generator.random() > 0.05 else None
        item = f"i{int(generator.exponential(4)):02}"
        kind = "return" if generator.random() < 0.1 else "sale"
        lines.append(Line(member, float(generator.integers(0, 140)) / 2, item=item, kind=kind))
    return lines


def naive_weights(lines: list[Line], day: int, half_life: float) -> dict[tuple[str, str], float]:
    """Weight by member and item, for items with enough buyers."""
    days = {(x.member, x.item, day_number(moment_of(x.at).date())) for x in lines if x.member is not None and x.kind == "sale"}
    weights: dict[tuple[str, str], float] = {}
    for member, item, when in days:
        if when < day:
            weights[member, item] = weights.get((member, item), 0.0) + 0.5 ** ((day - when) / half_life)
    buyers: dict[str, set[str]] = {}
    for member, item in weights:
        buyers.setdefault(item, set()).add(member)
    return {pair: weight for pair, weight in weights.items() if len(buyers[pair[1]]) >= MIN_BUYERS}


@pytest.mark.parametrize(("offset", "half_life"), [(40, 45.0), (60, 7.0), (71, 1e9)])
def test_weights_equal_a_naive_count(offset: int, half_life: float) -> None:
    lines = random_lines()
    facts = shop(lines)
    day = facts.manifest.first_day + offset

    window = interactions(purchase_days(facts), day=day, half_life_days=half_life)

    expected = naive_weights(lines, day, half_life)
    dense = window.weights.toarray()
    found = {
        (str(window.member_ids[row]), str(window.item_ids[column])): dense[row, column]
        for row, column in np.argwhere(dense > 0)
    }
    assert found.keys() == expected.keys() != set()
    np.testing.assert_allclose([found[pair] for pair in expected], list(expected.values()), rtol=1e-5)
    assert window.item_ids.tolist() == sorted({item for _, item in expected})
    assert window.member_ids.tolist() == sorted(window.member_ids.tolist())
    assert {"rare", "i20"} & set(window.item_ids.tolist()) == set()


def test_recent_buyers_equal_a_naive_count() -> None:
    lines = random_lines()
    facts = shop(lines)
    day = facts.manifest.first_day + 60
    window = interactions(purchase_days(facts), day=day, half_life_days=45.0)

    for item, buyers in zip(window.item_ids.tolist(), window.recent_buyers.tolist(), strict=True):
        expected = {
            x.member
            for x in lines
            if x.item == item and x.member and x.kind == "sale" and day - 28 <= day_number(moment_of(x.at).date()) < day
        }
        assert buyers == len(expected)


def test_a_buyer_is_recent_for_twenty_eight_days() -> None:
    lines = [Line(f"m{i}", float(10 + i // 6), item="tea") for i in range(12)]  # six on day 10, six on day 11
    facts = shop([Line(None, 0.0), *lines, Line(None, 60.0)])
    bought, first = purchase_days(facts), facts.manifest.first_day

    found = [interactions(bought, day=first + day, half_life_days=45.0).recent_buyers.tolist() for day in (12, 38, 39, 40)]

    assert found == [[12], [12], [6], [0]]


def test_what_was_bought_after_equals_a_naive_count() -> None:
    lines = random_lines()
    facts = shop(lines)
    day = facts.manifest.first_day + 50
    bought = purchase_days(facts)
    window = interactions(bought, day=day, half_life_days=45.0)

    truth = bought_after(bought, window, day=day, days=7)

    listed = set(window.item_ids.tolist())
    for member, columns in zip(window.member_ids.tolist(), truth, strict=True):
        expected = {
            x.item
            for x in lines
            if x.member == member and x.kind == "sale" and day <= day_number(moment_of(x.at).date()) < day + 7
        }
        assert {str(window.item_ids[column]) for column in columns} == expected & listed


def test_an_item_needs_ten_buyers_and_not_ten_purchases() -> None:
    lines = [Line(f"m{i}", 1.0, item="nine") for i in range(MIN_BUYERS - 1)] + [
        Line("m0", float(day), item="nine") for day in range(30)
    ]
    lines += [Line(f"m{i}", 1.0, item="ten") for i in range(MIN_BUYERS)] + [Line("till", 40.0, item="ten")]
    facts = shop(lines)
    bought = purchase_days(facts)

    assert interactions(bought, day=facts.manifest.until_day, half_life_days=45.0).item_ids.tolist() == ["ten"]
    with pytest.raises(NotEnoughData, match=f"no item was bought by {MIN_BUYERS} members"):
        interactions(bought, day=facts.manifest.first_day + 1, half_life_days=45.0)


def test_the_right_list_finds_everything_and_own_items_alone_find_nothing(fitted: Recommender) -> None:
    last = 110.0  # in the weeks after day 100 of the checkerboard everyone buys the item that was held out
    later = shop(board() + [Line(f"m{member:02}", last, item=f"i{held_out(member):02}") for member in range(MEMBERS)])
    day = later.manifest.first_day + 100

    bought = purchase_days(later)
    recalls = judge(with_share(fitted, 0.5), bought, day=day)

    assert recalls["list"] == 1
    assert recalls["als"] == 1
    assert recalls["own_frequency_decayed"] == recalls["own_frequency"] == 0
    popular = {int(item[1:]) for item in fitted.popular_items(20)}
    assert recalls["popularity"] == pytest.approx(np.mean([held_out(member) in popular for member in range(MEMBERS)]))


def test_a_history_that_is_too_short_is_refused_with_its_length() -> None:
    with pytest.raises(NotEnoughData, match="lists need 140 days of purchases; there are 100, from 2024-01-01"):
        train_recommender(shop(board()))


def test_tastes_too_few_for_the_factors_are_refused() -> None:
    lines = [Line(None, 0.0), Line(None, 199.0)]
    for member in range(30):
        lines += [Line(f"m{member:02}", float(day), item=f"i{item}") for day in range(5, 199, 24) for item in range(3)]

    with pytest.raises(NotEnoughData, match="factors of ALS collapse at every setting"):
        train_recommender(shop(lines))


def test_a_recommender_of_the_slice_is_healthy(mlruns: Path) -> None:
    recommender: Any = load(resolve(mlruns, "recommender"))
    generator = np.random.default_rng(2)
    items = len(recommender.item_ids)
    weights = sparse.random(60, items, density=20 / items, random_state=generator, dtype=np.float32, format="csr")

    new = replace(recommender, manifest=with_share(recommender, 0.0).manifest).rank(weights, k=10).items

    assert not has_collapsed(recommender.factors)
    assert len({tuple(sorted(row)) for row in new.tolist()}) > 50  # members differ, and so do their lists
    assert len(np.unique(new)) > 60
