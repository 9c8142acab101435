"""Groups of members by what they buy, and the season of a year ago: what these add to popular and trending items."""

from dataclasses import replace

import numpy as np
import pytest
from shops import Line, shop

from training.lists.catalogues import SourceSettings
from training.lists.cutoffs import Cutoff, candidates_of
from training.predictors.buying_groups import buying_groups
from training.predictors.histories import bought_once, no_histories
from training.predictors.list_features import FEATURES
from training.predictors.list_sources import POPULAR, TRENDING, Shelves
from training.recommender import Workshop, workshop

MEMBERS = 160
AISLES = ("bread", "paint")
DAYS = 640


def two_aisles(members: int = MEMBERS) -> list[Line]:
    """Half of the members buy bread, half paint; everybody buys milk. Some buy lanterns, in the tenth month alone."""
    lines = [Line(None, 0.0), Line(None, float(DAYS))]
    for member in range(members):
        name, aisle = f"m{member:03}", AISLES[member % 2]
        for day in range(member % 14, DAYS, 14):
            lines.append(Line(name, float(day), item=f"{aisle}{(day // 14 + member) % 9}"))
            lines.append(Line(name, float(day), item="milk"))
        if member < 60:
            lines.append(Line(name, 280.0 + member % 20, item="lantern"))
    return lines


def made_of(lines: list[Line]) -> Workshop:
    """The shop with an aisle as each item's category, without ALS and EASE, which are not looked at here."""
    seen = workshop(shop(lines), seed=3, engine="xgboost", search=None)
    of_item = [item.rstrip("0123456789") for item in seen.behaviour.bought.item_ids.tolist()]
    names, rows = np.unique(of_item, return_inverse=True)
    known = replace(seen.behaviour.items, kinds=rows.astype(np.int32), categories=rows.astype(np.int32), category_names=names)
    sources = SourceSettings(als=None, penalty=None)
    return replace(seen, behaviour=replace(seen.behaviour, items=known), settings=replace(seen.settings, sources=sources))


@pytest.fixture(scope="module")
def made() -> Workshop:
    """The shop of two aisles."""
    return made_of(two_aisles())


@pytest.fixture(scope="module")
def today(made: Workshop) -> Cutoff:
    """Everything a few days before the second tenth month."""
    return made.at(made.facts.manifest.first_day + DAYS)


def aisles_of(made: Workshop, of: Cutoff) -> np.ndarray:
    """Which aisle each member of a cut-off buys from."""
    ids = made.behaviour.bought.member_ids[of.members]
    return np.array([int(member[1:]) % 2 for member in ids.tolist()])


def test_groups_are_those_who_buy_the_same_kinds_of_things(made: Workshop, today: Cutoff) -> None:
    groups, aisles = buying_groups(today.catalogue, today.histories), aisles_of(made, today)

    assert len(today.catalogue.group_centres) == MEMBERS // 50
    assert not set(groups[aisles == 0].tolist()) & set(groups[aisles == 1].tolist())
    np.testing.assert_allclose(np.linalg.norm(today.catalogue.group_centres, axis=1), 1, rtol=1e-5)


def test_who_is_in_a_group_follows_from_a_history_alone(today: Cutoff) -> None:
    catalogue = today.catalogue
    paint = [row for row, item in enumerate(catalogue.item_ids.tolist()) if item.startswith("paint")]
    newcomer = buying_groups(catalogue, bought_once([np.array(paint[:2], dtype=np.int32)], day=today.day))

    assert newcomer[0] in buying_groups(catalogue, today.histories)
    assert catalogue.group_share[newcomer[0], paint].min() > 0
    assert buying_groups(catalogue, no_histories(2, day=today.day)).tolist() == [-1, -1]


def test_what_sells_in_a_group_is_what_its_members_buy_more_than_others(made: Workshop, today: Cutoff) -> None:
    catalogue, aisles = today.catalogue, aisles_of(made, today)
    groups, shelves = buying_groups(catalogue, today.histories), Shelves.of(today.catalogue)

    for aisle, name in enumerate(AISLES):
        best = catalogue.item_ids[shelves.of_group[int(groups[aisles == aisle][0])][:8]].tolist()
        assert all(item.startswith(name) or item == "milk" for item in best)
    milk = int(np.flatnonzero(catalogue.item_ids == "milk")[0])
    assert np.abs(catalogue.group_share[:, milk]).max() < 0.01
    assert (shelves.of_group[-1] == -1).all()


def test_what_sold_at_this_time_a_year_ago_is_offered_again(today: Cutoff) -> None:
    catalogue = today.catalogue
    lantern = int(np.flatnonzero(catalogue.item_ids == "lantern")[0])
    candidates = candidates_of(today)
    never = today.before[:, [lantern]].toarray().ravel() == 0

    assert catalogue.buyers_28d[lantern] == 0
    assert catalogue.buyers_season[lantern] == 60
    marked = (candidates.items == lantern) & ((candidates.found_by >> TRENDING) & 1 > 0)
    assert set(candidates.owners[marked].tolist()) == set(np.flatnonzero(never).tolist()) != set()
    assert (candidates.features[marked][:, FEATURES.index("season")] > 4).all()


def test_without_a_year_of_facts_no_season_is_made_up(made: Workshop) -> None:
    early = made.at(made.facts.manifest.first_day + 200)
    candidates = candidates_of(early)

    assert not early.catalogue.buyers_season.any()
    assert np.isnan(candidates.features[:, FEATURES.index("season")]).all()
    assert ((candidates.found_by >> POPULAR) & 1 > 0).any()


def test_with_few_members_there_are_no_groups() -> None:
    few = made_of(two_aisles(60))
    of = few.at(few.facts.manifest.first_day + DAYS)

    assert len(of.catalogue.group_centres) == 0
    assert np.isnan(candidates_of(of).features[:, FEATURES.index("group_share")]).all()
