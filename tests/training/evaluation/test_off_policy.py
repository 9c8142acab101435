"""IPS and SNIPS find what other lists would have brought: on the simulator, which knows what everybody would have bought."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from features.errors import NotEnoughData
from features.rules.compiled import compile_rules
from features.rules.declared import Rules
from features.rules.exploration import explored, generator_of
from features.rules.filling import Filling
from features.rules.shelf import Shelf
from features.sources.simulator import simulated_tables
from training.evaluation.off_policy import LoggedPlaces, policy_value

K, POOL, SHARE, ASKED = 3, 9, 0.3, 15


class Shop:
    """Members with their true tastes, and whether each bought of each of the twelve best-selling categories."""

    def __init__(self) -> None:
        tables = simulated_tables(members=1000, days=120, seed=3, events_per_line=0.0)
        category_of = dict(zip(*(tables["items"].column(name).to_pylist() for name in ("item_id", "category")), strict=True))
        bought = zip(*(tables["purchases"].column(name).to_pylist() for name in ("member_id", "item_id")), strict=True)
        pairs = {(member, category_of[item]) for member, item in bought if member is not None}
        sold = [category for _, category in pairs]
        self.categories = sorted(set(sold), key=sold.count, reverse=True)[: K + POOL]
        truth = tables["truth_members"]
        self.members = truth.column("member_id").to_pylist()
        self.bought = np.array([[(member, c) in pairs for c in self.categories] for member in self.members])
        favourites = zip(*(truth.column(f"favourite_category_{n}").to_pylist() for n in (1, 2, 3)), strict=True)
        self.tastes = [[self.categories.index(c) for c in own if c in self.categories] for own in favourites]

    def ideal(self) -> NDArray[np.int64]:
        """The lists of a policy that knows the tastes: favourites first, then what sells best."""
        lists = [[*own, *(c for c in range(K + POOL) if c not in own)][:K] for own in self.tastes]
        return np.array(lists)

    def logged(self, target: NDArray[np.int64], *, asked: int = ASKED) -> LoggedPlaces:
        """What was seen of everybody, asked so many times, while best-sellers were shown and a share was left to chance."""
        shelf = Shelf.of_ids(self.categories)
        filling = Filling.empty(compile_rules(Rules("r"), shelf), lists=len(self.members) * asked, k=K + POOL)
        filling.feed(np.arange(K + POOL, dtype=np.int32))
        generators = [generator_of("log", row) for row in range(len(self.members) * asked)]
        shown = explored(filling, k=K, share=SHARE, pinned=0, generators=generators)
        who = np.tile(np.arange(len(self.members)), asked)
        return LoggedPlaces(
            np.repeat(who, K).astype(np.str_),
            shown.inclusion.ravel(),
            (shown.chosen[:, :, None] == target[who][:, None, :]).any(axis=2).ravel().astype(np.float64),
            self.bought[who[:, None], shown.chosen].ravel().astype(np.float64),
        )

    def value(self, target: NDArray[np.int64]) -> float:
        """What a policy's lists bring per place, known because the simulator tells what everybody bought."""
        return float(np.take_along_axis(self.bought, target, axis=1).mean())


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_the_value_of_lists_that_were_hardly_ever_shown_is_found(shop: Shop) -> None:
    target = shop.ideal()
    truth, shown = shop.value(target), shop.value(np.tile(np.arange(K), (len(shop.members), 1)))
    found = policy_value(shop.logged(target), seed=1, draws=200)

    assert truth > shown + 0.02, "knowing the tastes must be worth something"
    assert found.logged < truth - 0.02, "the log alone does not tell"
    for estimate in (found.ips, found.snips):
        assert estimate.low <= truth <= estimate.high
        assert estimate.value == pytest.approx(truth, abs=0.03)
    assert found.mean_weight == pytest.approx(1, abs=0.06)
    assert found.snips.high - found.snips.low < 0.15


def test_the_policy_that_was_logged_has_the_value_of_the_log(shop: Shop) -> None:
    base = np.tile(np.arange(K), (len(shop.members), 1))
    logged = shop.logged(base)
    found = policy_value(logged, draws=50)
    assert found.snips.value == pytest.approx(shop.value(base), abs=0.02)

    itself = policy_value(replace(logged, target=logged.propensity), draws=50)
    assert itself.ips.value == itself.snips.value == pytest.approx(itself.logged)
    assert itself.effective_rows == len(logged.reward)


def test_wrong_probabilities_show_in_the_mean_weight(shop: Shop) -> None:
    logged = shop.logged(shop.ideal())
    wrong = replace(logged, propensity=np.full(len(logged.reward), 1 / (K + POOL)))
    assert abs(policy_value(wrong, draws=20).mean_weight - 1) > 0.3


def test_by_hand() -> None:
    rows = LoggedPlaces(
        np.array([f"l{i}" for i in range(80)]), np.tile([0.5, 0.25], 40), np.tile([1.0, 0.5], 40), np.tile([1.0, 0.0], 40)
    )
    found = policy_value(rows, draws=20)
    assert found.ips.value == pytest.approx(1.0)  # (2 x 1 + 2 x 0) / 2
    assert found.snips.value == pytest.approx(0.5)  # 2 / 4


def test_a_policy_that_was_never_shown_cannot_be_judged(shop: Shop) -> None:
    logged = shop.logged(shop.ideal(), asked=1)
    with pytest.raises(NotEnoughData, match="0 rows; 30 are needed"):
        policy_value(replace(logged, target=np.zeros(len(logged.reward))))


@pytest.mark.parametrize(
    "change", [{"propensity": np.zeros(2)}, {"target": np.full(2, 1.5)}, {"reward": np.full(2, np.nan)}, {"target": np.ones(3)}]
)
def test_columns_that_are_no_log_are_refused(change: dict[str, NDArray[np.float64]]) -> None:
    good = LoggedPlaces(np.array(["a", "b"]), np.ones(2), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"lengths|propensity|target"):
        replace(good, **change)
