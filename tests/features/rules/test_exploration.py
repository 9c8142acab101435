"""Places left to chance: as often as said, with the probabilities that are logged, and never against a rule."""

import numpy as np
import pytest

from features.rules.compiled import compile_rules
from features.rules.declared import Named, Rules
from features.rules.exploration import Shown, as_filled, explored, generator_of
from features.rules.filling import Filling
from features.rules.shelf import PADDING, Shelf
from tests.rule_oracle import Asked, random_items, random_rules, shelf_of, violations

LISTS, K, POOL, SHARE = 4000, 4, 10, 0.25


def shown(ready: Filling, *, share: float = SHARE, pinned: int = 0, k: int = K) -> Shown:
    generators = [generator_of("decision", row) for row in range(len(ready.taken))]
    return explored(ready, k=k, share=share, pinned=pinned, generators=generators)


def plain(lists: int = LISTS, pool: int = POOL) -> Filling:
    """The same list for everybody: items 0 to 3, and the next ones as pool."""
    shelf = Shelf.of_ids([f"i{number:02}" for number in range(K + POOL)])
    filling = Filling.empty(compile_rules(Rules("r"), shelf), lists=lists, k=K + POOL)
    filling.feed(np.arange(K + pool, dtype=np.int32))
    return filling


def test_every_item_comes_to_every_place_as_often_as_its_logged_probability_says() -> None:
    found = shown(plain())
    assert found.explored.mean() == pytest.approx(SHARE, abs=4 * np.sqrt(SHARE * (1 - SHARE) / LISTS / K))
    for place in range(K):
        for row in range(K + POOL):
            there = found.chosen[:, place] == row
            expected = (1 - SHARE) if row == place else 0 if row < K else SHARE / POOL
            assert there.mean() == pytest.approx(expected, abs=4.5 * np.sqrt(max(expected, 0.001) / LISTS))
            assert np.allclose(found.propensity[there, place], expected)


def test_every_item_comes_into_a_list_as_often_as_its_logged_inclusion_says() -> None:
    found = shown(plain())
    for row in range(K + POOL):
        there = found.chosen == row
        expected = (1 - SHARE) if row < K else SHARE * K / POOL
        assert there.any(axis=1).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(expected / LISTS))
        assert np.allclose(found.inclusion[there], expected)


def test_no_item_stands_twice_and_positions_lead_to_the_items() -> None:
    filling = plain(500)
    found = shown(filling)
    assert all(len(set(row)) == K for row in found.chosen.tolist())
    assert np.array_equal(found.position, found.chosen), "the only feed holds item i at column i"


def test_the_same_decision_draws_the_same_and_another_does_not() -> None:
    assert np.array_equal(shown(plain(50)).chosen, shown(plain(50)).chosen)
    draws = {generator_of(decision, row).integers(2**62) for decision in ("a", "b") for row in range(50)}
    assert len(draws) == 100


def test_a_share_of_nothing_leaves_nothing_to_chance() -> None:
    found, certain = shown(plain(20), share=0.0), as_filled(plain(20), k=K)
    assert np.array_equal(found.chosen, certain.chosen)
    assert (found.propensity == 1).all()
    assert not found.explored.any()


def test_pinned_items_keep_their_places() -> None:
    filling = Filling.empty(plain().compiled, lists=300, k=K + POOL)
    filling.feed(np.array([7, 5], dtype=np.int32))
    filling.feed(np.arange(K + POOL, dtype=np.int32))
    found = shown(filling, pinned=2, share=0.5)
    assert (found.chosen[:, :2] == [7, 5]).all()
    assert (found.propensity[:, :2] == 1).all()
    assert found.explored[:, 2:].any()


@pytest.mark.parametrize("pool", [0, K - 1])
def test_a_pool_too_small_for_the_probabilities_leaves_the_list_as_it_is(pool: int) -> None:
    found = shown(plain(50, pool), share=0.5)
    assert (found.chosen == np.arange(K)).all()
    assert (found.propensity == 1).all()


def test_lists_shorter_than_k_have_no_probability_where_they_have_no_item() -> None:
    filling = Filling.empty(plain(3).compiled, lists=3, k=K + POOL)
    filling.feed(np.array([1, 2], dtype=np.int32))
    found = shown(filling, share=0.5)
    assert (found.chosen[:, 2:] == PADDING).all()
    assert np.isnan(found.propensity[:, 2:]).all()


def test_chance_breaks_no_rule() -> None:
    for seed in range(40):
        generator = np.random.default_rng(seed)
        items = random_items(generator, 60)
        rules = random_rules(generator, list(items))
        rules = Rules(rules.name, category=Named(cap=2), brand=rules.brand, price=rules.price, withdrawn=rules.withdrawn)
        filling = Filling.empty(compile_rules(rules, shelf_of(items)), lists=20, k=K + POOL)
        filling.feed(np.tile(generator.permutation(60).astype(np.int32), (20, 1)))
        for row in shown(filling, share=0.5).chosen:
            listed = filling.compiled.shelf.item_ids[row[row != PADDING]].tolist()
            assert violations(rules, items, listed, Asked(adult=False), k=K) == []
