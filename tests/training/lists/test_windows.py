"""Histories as of a day: a naive count beside them, the future left out, and a purchase added as training would have it."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from shops import Event, Line, moment_of, shop

from features.days import day_number
from features.errors import CorruptRecord, NotEnoughData
from training.interactions import MIN_BUYERS
from training.lists.behaviour import LOOKS, Behaviour, behaviour, behaviour_with
from training.lists.windows import Window, already, bought_in, bought_next, catalogue_positions, histories_of, window
from training.predictors.histories import (
    ENTRY_FIELDS,
    FAST_DAYS,
    MEMBER_FIELDS,
    SLOW_DAYS,
    Histories,
    no_histories,
    with_today,
)
from training.predictors.packed_history import Kept, fingerprints, pack, unpack

DAYS = 70
HASH = b"12345678"


def random_lines() -> list[Line]:
    """Sales and returns of known and unknown members and items, some twice a day, in two stores."""
    generator = np.random.default_rng(6)
    lines = [Line("till", 0.0, item="rare"), Line("till", DAYS, item="rare")]
    for _ in range(1500):
        member = f"m{generator.integers(0, 30):02}" if generator.random() > 0.05 else None
        item = f"i{int(generator.exponential(4)):02}"
        kind = "return" if generator.random() < 0.1 else "sale"
        store = f"s{generator.integers(0, 2)}"
        lines.append(Line(member, float(generator.integers(0, 2 * DAYS)) / 2, item=item, kind=kind, store=store))
    return lines


def looks() -> list[Event]:
    """Views and carts, some of items that the member never buys."""
    generator = np.random.default_rng(8)
    kinds = generator.choice(["view", "cart", "visit"], 200).tolist()
    drawn = generator.integers(0, [[30], [DAYS], [12]], (3, 200)).T.tolist()
    return [Event(f"m{m:02}", float(day), kind, f"i{item:02}") for kind, (m, day, item) in zip(kinds, drawn, strict=True)]


@pytest.fixture(scope="module")
def seen() -> Behaviour:
    """What the shop remembers."""
    return behaviour(shop(random_lines(), events=looks()))


@pytest.fixture(scope="module")
def first_day() -> int:
    """Local day of the first line."""
    return day_number(moment_of(0.0).date())


def by_name(seen: Behaviour, of: Window) -> dict[tuple[str, str], dict[str, float]]:
    histories = of.histories
    return {
        (str(seen.bought.member_ids[of.members[owner]]), str(seen.bought.item_ids[of.listed[item]])): {
            name: float(getattr(histories, name)[entry]) for name in ENTRY_FIELDS if name != "items"
        }
        for entry, (owner, item) in enumerate(zip(histories.owners.tolist(), histories.items.tolist(), strict=True))
    }


class Sold(NamedTuple):
    """A sale of the random shop, with the days on which it was made and came back, None if it was kept."""

    member: str
    item: str
    day: int
    back: int | None


def sold() -> list[Sold]:
    """Every known sale; a return takes back the latest that is still there, of the same moment too."""
    there: dict[tuple[str, str], list[int]] = {}
    found: list[Sold] = []
    for line in sorted(random_lines(), key=lambda line: (line.at, line.kind == "return")):
        if line.member is None:
            continue
        kept, day = there.setdefault((line.member, line.item), []), day_number(moment_of(line.at).date())
        if line.kind == "sale":
            kept.append(len(found))
            found.append(Sold(line.member, line.item, day, None))
        elif kept:
            last = kept.pop()
            found[last] = found[last]._replace(back=day)
    return found


def kept_in(first: int, until: int) -> list[Sold]:
    """What was sold on the days [first, until) and not brought back on them."""
    return [sale for sale in sold() if first <= sale.day < until and (sale.back is None or sale.back >= until)]


def naive(day: int) -> dict[tuple[str, str], set[int]]:
    """Days before a day on which each member bought, and by then kept, each item that enough had bought or looked at."""
    days: dict[tuple[str, str], set[int]] = {}
    for sale in kept_in(0, day):
        days.setdefault((sale.member, sale.item), set()).add(sale.day)
    known = set(days)
    for look in looks():
        if look.kind in LOOKS and look.item is not None and day_number(moment_of(look.at).date()) < day:
            known.add((str(look.member), look.item))
    members = Counter(item for _, item in known)
    return {pair: when for pair, when in days.items() if members[pair[1]] >= MIN_BUYERS}


@pytest.mark.parametrize("offset", [40, DAYS, DAYS + 1])
def test_histories_equal_a_naive_count(seen: Behaviour, first_day: int, offset: int) -> None:
    day = first_day + offset
    found = by_name(seen, window(seen, day=day))

    expected = naive(day)
    assert {pair for pair, entry in found.items() if entry["times"]} == expected.keys() != set()
    for pair, days in expected.items():
        entry = found[pair]
        assert (entry["times"], entry["first_days"], entry["last_days"]) == (len(days), min(days), max(days))
        for name, half_life in (("fast", FAST_DAYS), ("slow", SLOW_DAYS)):
            assert entry[name] == pytest.approx(sum(0.5 ** ((day - when) / half_life) for when in days), rel=1e-5)


def test_histories_read_a_bucket_at_a_time_are_those_of_everything(seen: Behaviour, first_day: int) -> None:
    """Also what nobody else of the bucket bought, and looks at it."""
    facts, day = shop(random_lines(), events=looks(), buckets=8), first_day + 60
    whole = window(seen, day=day)
    ids, item_ids = seen.bought.member_ids[whole.members], seen.bought.item_ids[whole.listed]
    place_of, every = {name: row for row, name in enumerate(ids.tolist())}, np.arange(len(item_ids))
    met = 0
    for bucket in facts.buckets:
        with facts.within(bucket):
            part = behaviour_with(facts, item_ids)
        mine = [name for name in part.bought.member_ids.tolist() if name in place_of]
        at = np.searchsorted(part.bought.member_ids, np.array(mine, dtype=np.str_))
        found = histories_of(part.until(day), at, every, day=day)
        expected = whole.histories.taken(np.array([place_of[name] for name in mine], dtype=np.int64))
        stores = [part.visits.store_ids[found.stores], seen.visits.store_ids[expected.stores]]
        assert same(replace(found, stores=expected.stores), expected)
        assert np.array_equal(*stores)
        met += len(mine)
    assert met == len(ids)


def test_looks_count_by_kind_and_fade(seen: Behaviour, first_day: int) -> None:
    day = first_day + 60
    found = by_name(seen, window(seen, day=day))
    expected: dict[tuple[str, str], float] = {}
    for look in {(e.member, e.item, e.kind, day_number(moment_of(e.at).date())) for e in looks()}:
        if look[2] in LOOKS and look[3] < day:
            pair = str(look[0]), str(look[1])
            expected[pair] = expected.get(pair, 0.0) + LOOKS[look[2]] * 0.5 ** ((day - look[3]) / FAST_DAYS)

    looked = {pair: entry["interest"] for pair, entry in found.items() if entry["interest"] > 0}
    assert any(found[pair]["times"] == 0 for pair in looked)
    for pair, interest in looked.items():
        assert interest == pytest.approx(expected[pair], rel=1e-5)


def test_cutting_the_future_off_changes_no_history(seen: Behaviour, first_day: int) -> None:
    day = first_day + 45
    whole, cut = window(seen, day=day), window(seen.until(day), day=day)

    for name in ("starts", *ENTRY_FIELDS, *MEMBER_FIELDS):
        assert np.array_equal(getattr(whole.histories, name), getattr(cut.histories, name)), name


def test_what_follows_is_what_was_bought_then(seen: Behaviour, first_day: int) -> None:
    at = window(seen, day=first_day + 40)
    after, basket, before = bought_in(seen, at, days=20), bought_next(seen, at, days=20), already(at)

    assert {sale.back is None for sale in sold()} == {True, False}
    for row, member in enumerate(seen.bought.member_ids[at.members].tolist()):
        known = set(seen.bought.item_ids[at.listed].tolist())
        later = [sale for sale in kept_in(at.day, at.day + 20) if sale.member == member]
        inside = [(sale.day, sale.item) for sale in later if sale.item in known]
        assert named(seen, at, after[[row]].indices) == {item for _, item in inside}
        assert named(seen, at, basket[[row]].indices) == {item for when, item in inside if when == min(inside)[0]}
        assert (
            named(seen, at, before[[row]].indices)
            == {sale.item for sale in kept_in(0, at.day) if sale.member == member} & known
        )


def named(seen: Behaviour, at: Window, rows: np.ndarray) -> set[str]:
    return set(seen.bought.item_ids[at.listed[rows]].tolist())


def test_a_shop_without_enough_buyers_is_refused() -> None:
    lines = [Line(f"m{n}", float(n), item=f"i{n}") for n in range(MIN_BUYERS)]

    with pytest.raises(NotEnoughData, match=f"bought or looked at by {MIN_BUYERS} members"):
        window(behaviour(shop(lines)), day=day_number(moment_of(30.0).date()))


@pytest.mark.parametrize("row", [0, 7, 19])
def test_a_day_added_is_what_training_sees_the_next_morning(seen: Behaviour, first_day: int, row: int) -> None:
    """The history of the midnight before, with the day's purchases and looks added, is that of the midnight after."""
    day = first_day + 52
    at = window(seen, day=day)
    member = at.members[[row]]
    expected = histories_of(seen.until(day + 1), member, at.listed, day=day + 1)
    bought, looked = seen.bought, seen.looks
    assert not ((bought.members == member[0]) & (bought.undone == day)).any(), "returns are known the next night"
    today = (bought.members == member[0]) & (bought.days == day) & np.isin(bought.items, at.listed)
    seen_today = (looked.members == member[0]) & (looked.days == day) & np.isin(looked.items, at.listed)

    found = with_today(
        at.histories.of(row, row + 1),
        bought=np.searchsorted(at.listed, bought.items[today]).astype(np.int32),
        looked=np.searchsorted(at.listed, looked.items[seen_today]).astype(np.int32),
        weights=looked.weights[seen_today],
        day=day,
    ).as_of(day + 1)

    assert found.items.tolist() == expected.items.tolist()
    for name in ("times", "first_days", "last_days", "fast", "slow", "interest", "trips", "pace"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=2e-5, err_msg=name)


def test_the_same_purchase_twice_a_day_counts_once() -> None:
    nobody, none = no_histories(1, day=10), np.empty(0, dtype=np.float32)
    empty = np.empty(0, dtype=np.int32)
    once = with_today(nobody, bought=np.array([4, 2, 4], np.int32), looked=empty, weights=none, day=12)
    twice = with_today(once, bought=np.array([4], np.int32), looked=empty, weights=none, day=12)

    for found in (once, twice):
        assert found.items.tolist() == [2, 4]
        assert found.times.tolist() == [1, 1]
        assert found.trips.tolist() == [1]
        assert found.first_days.tolist() == found.last_days.tolist() == [12, 12]


def test_adding_a_day_leaves_the_history_alone_and_refuses_what_it_cannot_know(seen: Behaviour, first_day: int) -> None:
    at = window(seen, day=first_day + 40)
    one, none = at.histories.of(0, 1), np.empty(0, dtype=np.float32)
    before = pack(one, HASH)
    with_today(one, bought=one.items[:3], looked=one.items[:0], weights=none, day=at.day + 3)

    assert pack(one, HASH) == before
    with pytest.raises(ValueError, match="earlier day"):
        one.as_of(at.day - 1)
    with pytest.raises(ValueError, match="leave out items"):
        with_today(one, bought=np.array([-1], np.int32), looked=one.items[:0], weights=none, day=at.day)
    with pytest.raises(ValueError, match="not to 2"):
        with_today(at.histories.of(0, 2), bought=one.items[:0], looked=one.items[:0], weights=none, day=at.day)


def test_members_taken_in_another_order_keep_what_is_theirs(seen: Behaviour, first_day: int) -> None:
    histories = window(seen, day=first_day + 40).histories
    mixed = histories.taken(np.array([4, -1, 0, 4]))

    assert same(mixed.of(0, 1), histories.of(4, 5))
    assert same(mixed.of(2, 3), histories.of(0, 1))
    assert same(mixed.of(3, 4), histories.of(4, 5))
    assert same(mixed.of(1, 2), no_histories(1, day=histories.day))
    assert len(no_histories(2, day=3).taken(np.array([-1, 0, 1]))) == 3


def same(one: Histories, other: Histories) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("starts", *ENTRY_FIELDS, *MEMBER_FIELDS))


def test_a_packed_history_comes_back_to_the_bit_with_its_candidates(seen: Behaviour, first_day: int) -> None:
    one = window(seen, day=first_day + 40).histories.of(3, 4)
    kept = Kept(np.array([4, 1, 7], dtype=np.int32), np.array([3, 8, 64], dtype=np.uint8))
    bought, nothing = np.array([2], dtype=np.int32), np.empty(0, dtype=np.int32)
    seen_too = with_today(one, bought=bought, looked=bought + 3, weights=np.ones(1, np.float32), day=one.day)
    wide = replace(one, items=one.items + 70_000)
    for history, size in ((one, 16), (seen_too, 20), (wide, 18)):
        record = pack(history, HASH, kept=kept, fingerprint=b"f" * 16)
        assert len(record) == 16 + 32 + size * len(history.items) + (5 if history is wide else 3) * 3
        assert record[:16] == b"f" * 16
        found, candidates = unpack(record, HASH)
        assert same(found, history)
        assert found.day == history.day
        assert np.array_equal(candidates.items, kept.items)
        assert np.array_equal(candidates.found_by, kept.found_by)
    assert len(unpack(pack(one, HASH), HASH)[1].items) == len(nothing)


def test_days_that_pass_change_no_fingerprint_and_everything_else_does(seen: Behaviour, first_day: int) -> None:
    today = window(seen, day=first_day + 40).histories

    def prints(histories: Histories, model: str = "m@1", stamp: bytes = HASH) -> list[bytes]:
        return fingerprints(histories, catalogue_hash=stamp, model=model)

    before = prints(today)
    assert len(set(before)) == len(before) == len(today)
    assert all(len(each) == 16 for each in before)
    assert prints(today.as_of(today.day + 90)) == before
    assert prints(today.of(2, 5)) == before[2:5]
    for other in (prints(today, model="m@2"), prints(today, stamp=b"other!!!")):
        assert not set(other) & set(before)
    one, item, nothing = today.of(3, 4), np.array([0], dtype=np.int32), np.empty(0, dtype=np.int32)
    look = {"looked": item, "weights": np.full(1, 0.2, np.float32)}
    grown = [
        with_today(one, bought=item, looked=nothing, weights=np.empty(0, np.float32), day=one.day),
        with_today(one, bought=nothing, day=one.day, **look),
        with_today(one, bought=nothing, day=one.day + 1, **look),
        replace(one, stores=one.stores + 1),
    ]
    assert len({before[3], *(prints(each)[0] for each in grown)}) == 5
    looked_at = grown[1]
    assert prints(looked_at.as_of(one.day + 30)) == prints(looked_at)


def test_records_of_another_catalogue_or_cut_short_are_refused(seen: Behaviour, first_day: int) -> None:
    record = pack(window(seen, day=first_day + 40).histories.of(3, 4), HASH)

    for wrong in (record[:-1], record + b"0", record[:10], b""):
        with pytest.raises(CorruptRecord):
            unpack(wrong, HASH)
    with pytest.raises(CorruptRecord, match="another catalogue"):
        unpack(record, b"87654321")
    with pytest.raises(ValueError, match="not 2"):
        pack(replace(no_histories(2, day=1)), HASH)


def test_items_that_the_facts_no_longer_know_are_passed_over(seen: Behaviour) -> None:
    known = seen.bought.item_ids[[1, 3, 4]]
    catalogue = SimpleNamespace(item_ids=np.sort(np.append(known, ["a-gone", "i01-gone", "z-gone"])))

    rows, positions = catalogue_positions(seen, catalogue)  # type: ignore[arg-type] # it is asked for its ids alone

    assert catalogue.item_ids[rows].tolist() == known.tolist()
    assert positions.tolist() == [1, 3, 4]


def test_what_ten_members_looked_at_joins_the_catalogue_and_who_only_looks_has_a_history() -> None:
    buyers = [Line(f"m{n}", float(n), item="hat") for n in range(MIN_BUYERS)] + [Line(None, 60.0, item="hat")]
    views = [Event(f"v{n}", 20.0, item="scarf") for n in range(MIN_BUYERS - 1)] + [Event("m0", 30.0, "cart", item="scarf")]
    facts = shop(buyers, events=[*views, Event("v0", 20.0, item="rare")])
    day = day_number(moment_of(0.0).date())
    seen = behaviour(facts)

    assert [seen.bought.item_ids[window(seen, day=day + after).listed].tolist() for after in (30, 31)] == [
        ["hat"], ["hat", "scarf"],
    ]  # fmt: skip
    at = window(seen, day=day + 40)
    assert seen.bought.member_ids[at.members].tolist() == sorted(f"m{n}" for n in range(MIN_BUYERS))
    ids = seen.bought.item_ids[at.listed]
    some = behaviour_with(facts, ids)
    (who,) = np.flatnonzero(some.bought.member_ids == "v0")
    visitor = histories_of(some.until(day + 40), np.array([who]), np.arange(len(ids)), day=day + 40)
    assert (ids[visitor.items].tolist(), visitor.times.tolist(), visitor.trips.tolist()) == (["scarf"], [0.0], [0.0])
    assert visitor.interest[0] == pytest.approx(LOOKS["view"] * 0.5 ** (20 / FAST_DAYS), rel=1e-6)
