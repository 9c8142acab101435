"""What lists are made of, each beside a slow computation or a case whose answer can be seen: rhythm, neighbours, EASE, ALS."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from shops import Line, shop
from threadpoolctl import threadpool_limits

from features.errors import NotEnoughData
from training.lists.als import ITERATIONS, AlsSettings, has_collapsed, item_factors, rarities, sound_factors
from training.lists.behaviour import behaviour
from training.lists.linear import ease, leads_of, neighbours_of, strongest, weighted
from training.lists.rhythm import rhythm
from training.lists.windows import window
from training.predictors.catalogue import due_within, expected_gaps
from training.predictors.histories import Histories, bought_once
from training.predictors.list_sources import highest
from training.predictors.taste import SATURATION, Weighing, fold_in
from training.recommender import workshop

MEMBERS, ITEMS = 40, 15


@pytest.fixture(scope="module")
def histories() -> Histories:
    """Forty members with some of fifteen items, some of them several times."""
    generator = np.random.default_rng(4)
    drawn = [generator.integers(0, ITEMS, generator.integers(2, 14)).astype(np.int32) for _ in range(MEMBERS)]
    return bought_once(drawn, day=100)


def dense(histories: Histories) -> np.ndarray:
    return weighted(histories, histories.times, ITEMS).toarray()


def test_neighbours_are_those_of_a_plain_cosine(histories: Histories) -> None:
    rows, similarities = neighbours_of(histories, histories.times, ITEMS, count=6)

    matrix = dense(histories).astype(np.float64)
    cosine = matrix.T @ matrix / np.outer(*[np.linalg.norm(matrix, axis=0)] * 2)
    np.fill_diagonal(cosine, 0)
    np.testing.assert_allclose(similarities, -np.sort(-cosine, axis=1)[:, :6], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosine, rows.astype(np.int64), axis=1), similarities, rtol=1e-5)
    assert not (rows == np.arange(ITEMS)[:, None]).any()


def test_where_there_are_fewer_neighbours_nothing_is_made_up() -> None:
    rows, values = strongest(np.array([[0.0, 2.0, 2.0, 0.0], [0.0, 0.0, -1.0, 0.0]], dtype=np.float32), 3)

    assert rows.tolist() == [[1, 2, -1], [-1, -1, -1]]
    assert values.tolist() == [[2, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize("items", [7, 499, 2000, 2033])
def test_the_highest_of_long_rows_are_those_of_a_sort(items: int) -> None:
    scores = np.random.default_rng(items).permutation(8 * items).reshape(8, items).astype(np.float32)

    found = highest(scores, 9)

    assert found.shape == (8, min(9, items))
    assert np.array_equal(np.sort(found, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :9], axis=1))


def test_ease_is_what_ridge_regression_of_each_item_on_the_others_gives(histories: Histories) -> None:
    """Column j solves a ridge regression of item j on all others (Steck 2019)."""
    linear = ease(histories, histories.times, ITEMS, penalty=7.0)

    matrix = dense(histories).astype(np.float64)
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        side = matrix[:, others]
        expected = np.linalg.solve(side.T @ side + 7.0 * np.eye(ITEMS - 1), side.T @ matrix[:, item])
        np.testing.assert_allclose(linear.effects[others, item], expected, atol=1e-4)
    assert np.diag(linear.effects).tolist() == [0.0] * ITEMS
    np.testing.assert_allclose(linear.scores(weighted(histories, histories.times, ITEMS)), matrix @ linear.effects, rtol=1e-4)


def test_leads_are_the_strongest_effects(histories: Histories) -> None:
    linear = ease(histories, histories.times, ITEMS, penalty=7.0)
    rows, values = leads_of(linear, ITEMS, count=4)

    np.testing.assert_allclose(values, np.maximum(-np.sort(-linear.effects, axis=1)[:, :4], 0), rtol=1e-6)
    assert rows.shape == (ITEMS, 4)


def test_members_are_folded_in_as_implicit_does(histories: Histories) -> None:
    settings = AlsSettings(factors=3, alpha=2.0, regularization=0.5, count="times")
    confidence = weighted(histories, 1 + 2.0 * histories.times, ITEMS)
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=3, alpha=1.0, regularization=0.5, iterations=ITERATIONS, random_state=3, num_threads=1
        )
        model.fit(confidence, show_progress=False)
        theirs = model.recalculate_user(np.arange(MEMBERS), confidence)

    factors = item_factors(histories, ITEMS, settings, seed=3)

    np.testing.assert_allclose(factors, model.item_factors, atol=1e-4)
    found = fold_in(model.item_factors, rarities(histories, ITEMS), histories, settings.weighing)
    np.testing.assert_allclose(found, theirs, atol=1e-4)
    assert item_factors(histories, ITEMS, settings, seed=3).tobytes() == factors.tobytes()


@pytest.mark.parametrize("count", ["times", "slow", "fast", "once"])
@pytest.mark.parametrize("shape", ["linear", "log", "bm25"])
def test_weights_are_what_their_names_say(histories: Histories, count: str, shape: str) -> None:
    rarity = rarities(histories, ITEMS)
    found = Weighing(1.0, 1.0, count, shape).weights(histories, rarity)

    number = np.minimum(histories.times, 1) if count == "once" else getattr(histories, count)
    expected = {
        "linear": number,
        "log": np.log1p(number),
        "bm25": number * (SATURATION + 1) / (number + SATURATION) * rarity[histories.items],
    }
    if count != "once":
        np.testing.assert_allclose(found, expected[shape], rtol=1e-6)
    else:
        assert found.tolist() == number.tolist()


def test_rare_items_weigh_more(histories: Histories) -> None:
    buyers = np.bincount(histories.items, minlength=ITEMS)
    rarity = rarities(histories, ITEMS)

    assert rarity[buyers.argmin()] > rarity[buyers.argmax()]
    assert rarity.mean() == pytest.approx(1, rel=1e-5)


def test_collapsed_factors_are_noticed() -> None:
    generator = np.random.default_rng(1)
    one_direction = np.outer(generator.normal(size=200), generator.normal(size=16)).astype(np.float32)
    healthy = generator.normal(size=(200, 16)).astype(np.float32)

    assert has_collapsed(one_direction)
    assert has_collapsed(one_direction + 1e-3 * healthy)
    assert has_collapsed(np.zeros((50, 8), dtype=np.float32))
    assert has_collapsed(np.where(np.eye(200, 16) > 0, np.inf, healthy).astype(np.float32))
    for scale in (1, 1e-6, 1e6):
        assert not has_collapsed((scale * healthy).astype(np.float32))


def test_where_factors_collapse_there_are_fewer_or_none() -> None:
    alike = bought_once([np.arange(ITEMS, dtype=np.int32)] * 30, day=100)
    settings = AlsSettings(factors=16, alpha=2.0, regularization=0.5)

    with pytest.raises(NotEnoughData, match="16 factors of ALS collapse"):
        item_factors(alike, ITEMS, settings, seed=3)
    assert sound_factors(alike, ITEMS, settings, seed=3).tolist() == [[0.0]] * ITEMS


def weekly_and_monthly() -> list[Line]:
    """Milk every week, soap every four, and a book that nobody buys twice; twenty members, starting on different days."""
    lines = [Line(None, 0.0), Line(None, 150.0)]
    for member in range(20):
        for item, gap in (("milk", 7), ("soap", 28)):
            lines += [Line(f"m{member:02}", float(day), item=item) for day in range(member % 7, 150, gap)]
        lines.append(Line(f"m{member:02}", float(5 * member), item="book"))
    return lines


def test_rhythm_is_what_can_be_seen() -> None:
    facts = shop(weekly_and_monthly())
    seen = behaviour(facts)
    at = window(seen, day=facts.manifest.until_day)
    law = rhythm(seen, at.listed)

    by_item = dict(zip(seen.bought.item_ids[at.listed].tolist(), range(len(at.listed)), strict=True))
    assert law.gaps[by_item["milk"]] == pytest.approx(7, rel=0.15)
    assert law.gaps[by_item["soap"]] == pytest.approx(28, rel=0.35)
    assert law.returning[by_item["milk"]] > 0.8 > 0.4 > law.returning[by_item["book"]]


def test_what_is_overdue_is_due_and_what_was_just_bought_is_not() -> None:
    made = workshop(shop(weekly_and_monthly()), seed=3, engine="xgboost", search=None)
    at = made.at(made.facts.manifest.until_day)
    one = at.histories.of(0, 1)
    milk, soap, book = (int(np.flatnonzero(at.catalogue.item_ids == name)[0]) for name in ("milk", "soap", "book"))

    due = {int(item): chance for item, chance in zip(one.items, due_within(at.catalogue, one, days=7), strict=True)}
    gaps = {int(item): gap for item, gap in zip(one.items, expected_gaps(at.catalogue, one), strict=True)}
    assert gaps[milk] == pytest.approx(7, rel=0.1)
    assert gaps[soap] == pytest.approx(28, rel=0.2)
    assert due[milk] > 0.7 > due[soap] > due[book]
    later = due_within(at.catalogue, one.as_of(one.day + 300), days=7)
    assert later.max() < 0.2  # a silence of forty gaps says that they will not come back
    assert (due_within(at.catalogue, one, days=28) >= due_within(at.catalogue, one, days=7)).all()
    assert sparse.issparse(at.bought)
