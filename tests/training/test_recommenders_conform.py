"""Every recommender, by whatever it answers: the right answer where it can be seen by eye, and the rules of every list."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shops import Line, shop

from features.facts import Facts
from training.lists.als import AlsSettings
from training.lists.catalogues import SourceSettings
from training.lists.cutoffs import Cutoff
from training.lists.ranker import RankerSettings
from training.lists.settings import ListSettings, period_of_today
from training.predictors import SOURCES, Histories, Recommender, load_bundle
from training.predictors.histories import bought_once, no_histories, with_today
from training.predictors.list_features import FEATURES
from training.predictors.list_order import SERVES
from training.predictors.lists import BLOCK
from training.predictors.live_lists import Since, live_list, near_candidates, with_all
from training.predictors.nightly_lists import nightly_blocks
from training.predictors.packed_history import Kept, hash_of, pack, unpack
from training.recommender import Workshop, workshop

MEMBERS, ITEMS = 48, 24
SMALL = ListSettings(
    SourceSettings(AlsSettings(factors=4, alpha=2.0, regularization=0.5), penalty=5.0), RankerSettings(trees=15, depth=3)
)
NOTHING = np.empty(0, dtype=np.int32)


def held_out(member: int, turn: int = 0) -> int:
    """Items of their colour that a member has not bought yet at first; the one of turn 0 they never do."""
    return 2 * ((member // 2 + 4 * turn) % (ITEMS // 2)) + member % 2


def board() -> list[Line]:
    """Even members buy even items and odd members odd ones, every three weeks, and find two new ones of their colour late."""
    lines = [Line(None, 0.0), Line(None, 140.0)]
    for member in range(MEMBERS):
        late = {held_out(member, 1): 86 + member % 24, held_out(member, 2): 114 + member % 24}
        for item in range(member % 2, ITEMS, 2):
            if item != held_out(member):
                days = range((member * 5 + item * 3) % 21, 140, 21) if item not in late else (late[item],)
                lines += [Line(f"m{member:02}", float(day), item=f"i{item:02}") for day in days]
    return lines


@pytest.fixture(scope="module")
def made() -> Workshop:
    """The checkerboard and small settings for it."""
    return replace(workshop(shop(board()), seed=3, engine="xgboost", search=None), settings=SMALL)


@pytest.fixture(scope="module")
def today(made: Workshop) -> Cutoff:
    """Everything at the end of its facts."""
    return made.at(made.facts.manifest.until_day)


@pytest.fixture(scope="module")
def ranked(made: Workshop, today: Cutoff) -> Recommender:
    """The recommender with its ranker."""
    return made.recommender(today, period_of_today(made.facts, horizon_days=made.horizon_days))


@pytest.fixture(params=SERVES)
def recommender(ranked: Recommender, request: pytest.FixtureRequest) -> Recommender:
    """The recommender answering by the ranker, or by a baseline."""
    return ranked.serving(request.param)


def parity(recommender: Recommender, items: np.ndarray) -> set[int]:
    return {int(item[1:]) % 2 for item in recommender.item_ids[items[items >= 0]].tolist()}


def test_lists_of_what_is_new_begin_with_the_item_held_out(ranked: Recommender, today: Cutoff, made: Workshop) -> None:
    lists = ranked.lists(today.histories, k=1, repeats=0.0)

    members = made.behaviour.bought.member_ids[today.members].tolist()
    wanted = [f"i{held_out(int(member[1:])):02}" for member in members]
    assert ranked.item_ids[lists.items[:, 0]].tolist() == wanted
    assert not {"due_again", "bought_before"} & {SOURCES[source] for source in lists.sources.ravel().tolist()}


def test_taste_alone_tells_colours_apart(ranked: Recommender, today: Cutoff) -> None:
    scores = ranked.taste(today.histories) @ ranked.catalogue.factors.T

    for row in range(MEMBERS):
        best = np.argsort(-scores[row])[: ITEMS // 2]
        assert len(parity(ranked, best)) == 1


def test_repeats_alone_are_all_of_the_member_s_colour(ranked: Recommender, today: Cutoff) -> None:
    lists = ranked.serving("own_frequency_decayed").lists(today.histories, k=8, repeats=1.0)

    for row in range(MEMBERS):
        assert parity(ranked, lists.items[row]) == {row % 2}
        assert {SOURCES[source] for source in lists.sources[row].tolist()} <= {"due_again", "bought_before"}


def test_a_newcomer_is_known_by_the_second_purchase(ranked: Recommender, today: Cutoff) -> None:
    odd = np.array([1, 5], dtype=np.int32)
    newcomer = with_today(
        no_histories(1, day=today.day), bought=odd, looked=NOTHING, weights=np.empty(0, np.float32), day=today.day
    )

    lists = ranked.lists(newcomer, k=6, repeats=0.0)

    assert parity(ranked, lists.items[0]) == {1}
    assert not set(odd.tolist()) & set(lists.items[0].tolist())


def test_a_cold_member_gets_what_is_popular_and_nothing_else(recommender: Recommender, today: Cutoff) -> None:
    lists = recommender.lists(no_histories(2, day=today.day), k=8)

    assert recommender.item_ids[lists.items].tolist() == [recommender.popular_items(8)] * 2
    assert {SOURCES[source] for source in lists.sources.ravel().tolist()} == {"popular"}


def test_a_cold_item_has_no_row_and_is_left_out(ranked: Recommender) -> None:
    assert ranked.catalogue.rows_of(np.array(["i03", "never sold", "i07"])).tolist() == [3, -1, 7]


@pytest.mark.parametrize("k", [ITEMS - 1, ITEMS, ITEMS + 1, 1000])
def test_a_list_is_never_longer_than_the_catalogue_and_names_nothing_twice(
    recommender: Recommender, today: Cutoff, k: int
) -> None:
    everything = bought_once([np.arange(ITEMS, dtype=np.int32)], day=today.day)
    for histories in (today.histories, no_histories(1, day=today.day), everything):
        lists = recommender.lists(histories, k=k)
        assert lists.items.shape == lists.sources.shape == lists.scores.shape == (len(histories), min(k, ITEMS))
        for items in lists.items.tolist():
            assert len(set(items)) == len(items)
            assert set(items) <= set(range(ITEMS))


def test_lists_begin_alike_whatever_their_length(recommender: Recommender, today: Cutoff) -> None:
    long = recommender.lists(today.histories, k=20)

    for k in (1, 5, 13):
        assert np.array_equal(recommender.lists(today.histories, k=k).items, long.items[:, :k])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_every_beginning_of_a_list_holds_its_share_of_repeats(recommender: Recommender, today: Cutoff, share: float) -> None:
    lists = recommender.lists(today.histories, k=8, repeats=share)

    for row in range(MEMBERS):
        own = set(today.before[[row]].indices.tolist())
        repeats = np.cumsum([item in own for item in lists.items[row].tolist()])
        assert repeats.tolist() == [int(np.ceil(length * share)) for length in range(1, 9)]


def test_excluding_everything_leaves_nothing(recommender: Recommender, today: Cutoff) -> None:
    candidates = recommender.candidates(today.histories, only=np.zeros(ITEMS, dtype=np.bool_))

    assert len(candidates.items) == 0
    lists = recommender.listed(candidates, recommender.rank(candidates), k=5, top_up=False)
    assert (lists.items == -1).all()


def test_only_what_may_be_offered_is_a_candidate(recommender: Recommender, today: Cutoff) -> None:
    allowed = np.arange(ITEMS) % 3 == 0

    assert set((recommender.candidates(today.histories, only=allowed).items % 3).tolist()) == {0}


def test_a_member_has_the_same_list_alone_and_among_others(recommender: Recommender, today: Cutoff) -> None:
    together = recommender.lists(today.histories, k=9)

    for row in range(0, MEMBERS, 7):
        alone = recommender.lists(today.histories.of(row, row + 1), k=9)
        assert alone.items[0].tolist() == together.items[row].tolist()
        assert alone.sources[0].tolist() == together.sources[row].tolist()


def test_rows_outside_the_catalogue_are_refused(recommender: Recommender, today: Cutoff) -> None:
    beyond = bought_once([np.array([ITEMS], dtype=np.int32)], day=today.day)

    for ask in (recommender.taste, recommender.candidates, lambda histories: recommender.lists(histories, k=3)):
        with pytest.raises(ValueError, match=f"row {ITEMS} of a catalogue of {ITEMS} items"):
            ask(beyond)


@pytest.mark.parametrize("width", [len(FEATURES) - 1, len(FEATURES) + 1, 0])
def test_rows_of_another_width_are_refused(recommender: Recommender, width: int) -> None:
    with pytest.raises(ValueError, match=f"rows of {width} features for a ranker of {len(FEATURES)}"):
        recommender.score(np.zeros((3, width), dtype=np.float32))


def test_members_and_items_are_never_swapped(ranked: Recommender, today: Cutoff) -> None:
    assert MEMBERS != ITEMS
    assert ranked.taste(today.histories).shape[0] == MEMBERS
    assert ranked.catalogue.factors.shape[0] == ITEMS
    assert ranked.item_ids.tolist() == [f"i{item:02}" for item in range(ITEMS)]
    assert today.bought.shape == today.before.shape == (MEMBERS, ITEMS)
    assert len(ranked.candidates(today.histories)) == MEMBERS


def test_saving_and_loading_changes_nothing(recommender: Recommender, today: Cutoff, tmp_path: Path) -> None:
    sha256 = recommender.save(tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", sha256=sha256)

    assert isinstance(loaded, Recommender)
    assert loaded.serves == recommender.serves
    there, here = (one.lists(today.histories, k=17) for one in (loaded, recommender))
    for name in ("items", "sources", "scores"):
        assert getattr(there, name).tobytes() == getattr(here, name).tobytes()
    assert loaded.popular_items(5) == recommender.popular_items(5)


def test_similar_items_are_of_the_same_colour(ranked: Recommender) -> None:
    rows, scores = ranked.similar(np.array([4, 8], dtype=np.int32), k=5)

    assert parity(ranked, rows) == {0}
    assert not {4, 8} & set(rows.tolist())
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert len(ranked.similar(np.array([4]), k=1000)[0]) == ITEMS - 1
    for wrong in ([-1], [ITEMS], []):
        with pytest.raises(ValueError, match="rows 0 to 23"):
            ranked.similar(np.array(wrong, dtype=np.int32), k=3)


def bundles() -> Facts:
    """Pasta and sauce go into one basket, tea and milk into another; which days and members is left to chance."""
    generator, lines = np.random.default_rng(5), [Line(None, 0.0), Line(None, 120.0)]
    for member in range(60):
        for day in generator.choice(118, 6, replace=False).tolist():
            pair = (("pasta", "sauce"), ("tea", "milk"))[int(generator.random() < 0.5)]
            lines += [Line(f"m{member:02}", float(day), item=item, order=f"o{member}-{day}") for item in pair]
    lines += [Line(f"m{member:02}", float(member), item=f"noise{member % 4}") for member in range(60)]
    return shop(lines)


def test_planted_bundles_are_found() -> None:
    made = replace(workshop(bundles(), seed=3, engine="xgboost", search=None), settings=SMALL)
    ranked = made.recommender(made.at(made.facts.manifest.until_day), period_of_today(made.facts, horizon_days=28))

    for item, partner in (("pasta", "sauce"), ("sauce", "pasta"), ("tea", "milk"), ("milk", "tea")):
        rows, _ = ranked.similar(ranked.catalogue.rows_of(np.array([item])), k=1)
        assert ranked.item_ids[rows].tolist() == [partner]


def test_views_without_purchases_are_offered_as_viewed(ranked: Recommender, today: Cutoff) -> None:
    nobody, looked = no_histories(1, day=today.day), np.array([9], dtype=np.int32)
    seen = with_today(nobody, bought=NOTHING, looked=looked, weights=np.ones(1, np.float32), day=today.day)

    candidates = ranked.candidates(seen)

    sources = dict(zip(candidates.items.tolist(), candidates.sources.tolist(), strict=True))
    assert SOURCES[sources[9]] == "viewed"


def test_what_was_just_bought_leaves_the_list_at_once(recommender: Recommender, today: Cutoff) -> None:
    one = today.histories.of(4, 5)
    before = live_list(recommender, one, Since(today.day), k=6).items[0]

    after = live_list(recommender, one, Since(today.day, bought=before[:2]), k=6).items[0]

    assert not set(before[:2].tolist()) & set(after.tolist())
    assert len(set(after.tolist())) == 6
    assert one.last_days.max() < today.day  # the history given is as it was


def test_a_list_of_this_moment_obeys_what_may_be_offered(recommender: Recommender, today: Cutoff) -> None:
    allowed = np.arange(ITEMS) % 4 == 1
    for history in (today.histories.of(7, 8), no_histories(1, day=today.day)):
        items = live_list(recommender, history, Since(today.day + 2), k=ITEMS, only=allowed).items[0]
        assert set(items[items >= 0].tolist()) == set(np.flatnonzero(allowed).tolist())


def test_a_list_of_this_moment_of_an_item_outside_the_catalogue_is_refused(ranked: Recommender, today: Cutoff) -> None:
    strange = Since(today.day, bought=np.array([ITEMS], dtype=np.int32))
    for kept in (None, Kept(np.zeros(1, dtype=np.int32), np.ones(1, dtype=np.uint8))):
        with pytest.raises(ValueError, match=f"names row {ITEMS} of a catalogue of {ITEMS} items"):
            live_list(ranked, today.histories.of(3, 4), strange, k=5, kept=kept)


def test_a_list_of_this_moment_without_news_is_that_of_the_night(recommender: Recommender, today: Cutoff) -> None:
    night = recommender.lists(today.histories.of(3, 4), k=5)

    live = live_list(recommender, today.histories.of(3, 4), Since(today.day), k=5)

    assert live.items.tolist() == night.items.tolist()


def test_candidates_of_the_night_ranked_anew_without_news_are_the_list_of_the_night(
    recommender: Recommender, today: Cutoff
) -> None:
    stamp = hash_of(recommender.catalogue)
    for block in nightly_blocks(recommender, today.histories, k=5):
        night = recommender.lists(block.histories, k=5)
        for name in ("items", "sources", "scores"):
            assert np.array_equal(getattr(block.lists, name), getattr(night, name)), name
        for row in range(len(block.histories)):
            history, kept = unpack(pack(block.histories.of(row, row + 1), stamp, kept=block.kept(row)), stamp)
            live = live_list(recommender, history, Since(history.day), k=5, kept=kept)
            assert np.array_equal(live.items[0], night.items[row])
            assert np.array_equal(live.sources[0], night.sources[row])
            alone = recommender.lists(block.histories.of(row, row + 1), k=5)
            assert np.array_equal(live.scores, alone.scores), "to the bit, where it is worked out for one member"


def test_blocks_made_by_several_threads_are_those_of_one_in_their_order(ranked: Recommender, today: Cutoff) -> None:
    many = today.histories.taken(np.arange(3 * BLOCK + 5) % len(today.histories))
    alone = list(nightly_blocks(ranked, many, k=5))
    for threads in (2, 5):
        together = list(nightly_blocks(ranked, many, k=5, threads=threads))
        assert [len(block.histories) for block in together] == [BLOCK, BLOCK, BLOCK, 5]
        for one, other in zip(alone, together, strict=True):
            assert np.array_equal(one.lists.items, other.lists.items)
            assert np.array_equal(one.lists.scores, other.lists.scores)
            assert np.array_equal(one.candidates.items, other.candidates.items)


def test_kept_candidates_move_at_once_with_what_is_bought_and_looked_at(recommender: Recommender, today: Cutoff) -> None:
    (block,) = nightly_blocks(recommender, today.histories.of(4, 5), k=6)
    one, kept, before = block.histories, block.kept(0), block.lists.items[0]
    known = set(one.items.tolist())
    strange = np.array([item for item in range(ITEMS) if item not in known][:1], dtype=np.int32)

    after = live_list(recommender, one, Since(today.day, bought=before[:2]), k=6, kept=kept).items[0]
    looked = Since(today.day, looked=strange, weights=np.ones(1, np.float32))
    seen = near_candidates(recommender, with_all(one, [looked]), Kept(), [looked], np.ones(ITEMS, np.bool_))
    yesterday = Since(today.day, bought=before[:1])
    later = live_list(recommender, one, yesterday, Since(today.day + 1, bought=before[1:2]), k=6, kept=kept).items[0]

    assert not set(before[:2].tolist()) & set(after.tolist())
    assert len(set(after.tolist())) == 6
    sources = dict(zip(seen.items.tolist(), seen.sources.tolist(), strict=True))
    assert SOURCES[sources[int(strange[0])]] == "viewed"
    assert before[1] not in later
    shown = live_list(recommender, one, looked, k=6, kept=kept)
    assert strange[0] in shown.items[0, :3]
    assert SOURCES[shown.sources[0, shown.items[0].tolist().index(strange[0])]] == "viewed"
    assert len(set(shown.items[0].tolist())) == 6
    near = set(recommender.catalogue.neighbours[strange].ravel().tolist()) - {-1} - known
    assert {item for item in near if SOURCES[sources.get(item, 0)] == "goes_with"}


def test_what_is_renamed_changes_no_list(made: Workshop, ranked: Recommender, today: Cutoff) -> None:
    """Members in another order get the same lists."""
    order = np.random.default_rng(2).permutation(MEMBERS)

    mixed: Histories = today.histories.taken(order)

    assert np.array_equal(ranked.lists(mixed, k=7).items, ranked.lists(today.histories, k=7).items[order])
