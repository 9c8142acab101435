"""Rows of own lists, from stored bytes straight to JSON, are to the byte those of the ways that look at everything."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.list_records import ListStamp, RecommendationList, RecommendedItem
from features.rules.compiled import compile_rules
from features.rules.declared import Exploration, Rules
from features.rules.shelf import Shelf
from serving.candidates import Asked, Below, read_member
from serving.item_texts import KIND_OF, SAYS_ANYTHING, numbers, told, told_of_own
from serving.own_rows import KeptItems, Night, OwnList, Standings, answered_plainly, own_row
from serving.quick_rows import QuickRules, quick_row
from serving.recommending import recommend_members
from tests.rule_oracle import random_items, random_rules, shelf_of
from tests.serving.test_quick_rows import TODAY, drawn_item
from training.predictors.list_reasons import REASONS, Known, sentences

NIGHT = datetime(2018, 1, 1, 5, tzinfo=UTC)
STALE_S = 36 * 3600.0
POPULAR = Below(popular=[("popular", 1.0)])


def drawn_list(generator: np.random.Generator, ids: list[str]) -> RecommendationList:
    """A list of a night, with items that are not on the shelf, or stand twice."""
    names = [*generator.permutation(ids)[:40], "not on the shelf", ids[0]]
    lately = {str(name): TODAY - int(generator.integers(0, 30)) for name in generator.choice(ids, 5)}
    items = tuple(drawn_item(str(name), generator) for name in names)
    return RecommendationList("r@1", NIGHT.isoformat(), items, TODAY if generator.random() < 0.8 else None, lately)


@pytest.mark.parametrize("start", [0, 80, 160])
def test_own_rows_are_those_of_the_other_ways_under_any_rules(start: int) -> None:
    plainly, kept = 0, KeptItems()
    for seed in range(start, start + 80):
        generator = np.random.default_rng(seed)
        items = random_items(generator, 60)
        ids, made = list(items), replace(random_rules(generator, list(items)), pinned=(), exploration=Exploration())
        ready = compile_rules(made, shelf_of(items), adult=bool(seed % 2))
        quick, own = QuickRules.of(ready), drawn_list(generator, ids)
        moment = NIGHT + timedelta(hours=int(generator.integers(0, 60)))
        stamp = None if seed % 3 else ListStamp("r@1", (NIGHT + timedelta(days=1)).isoformat(), TODAY + 1)
        standings = Standings(moment, stamp, stale_after_s=STALE_S)
        for k in (1, 5, 20):
            exclude = [str(name) for name in generator.choice(ids, 6)] if seed % 2 else []
            record = own.to_bytes()
            member = read_member(
                '会员"1', record, refused=False, personal=True, moment=moment, stale_after_s=STALE_S, stamp=stamp
            )
            asked = Asked(k, frozenset(exclude))
            found = own_row('会员"1', record, k, exclude, quick, standings, kept)
            again = own_row('会员"1', record, k, exclude, quick, standings, kept)
            third = own_row('会员"1', bytes(bytearray(record)), k, exclude, quick, standings, kept)
            other = quick_row(member, asked, Below(), quick)
            assert found == again == third
            if found is None:  # the list alone does not fill what was asked: what others buy has to
                assert other is None or len(json.loads(other)["items"]) < k, seed
                continue
            assert found == (member.standing["status"], other), seed
            (thorough,) = recommend_members([member], asked, Below(), ready)
            assert json.loads(found[1]) == json.loads(msgspec.json.encode(thorough)), seed
            plainly += 1
    assert plainly > 60


def row_of(record: bytes, k: int = 2, **more: Any) -> bytes | None:
    """The row of a list on a shelf that has all that tests name."""
    shelf = Shelf.of_ids([*"abcdef", *REASONS])
    quick = more.pop("quick", None) or QuickRules.of(compile_rules(Rules("till"), shelf))
    standings = more.pop("standings", None) or Standings(NIGHT, None, stale_after_s=STALE_S)
    found = own_row("m", record, k, more.pop("exclude", ()), quick, standings, more.pop("kept", None))
    return None if found is None else found[1]


def stored(*ids: str, **more: Any) -> RecommendationList:
    """A list of items bought before."""
    items = tuple(RecommendedItem(name, 0.5, "bought_before", 3, TODAY - 4) for name in ids)
    return RecommendationList("r@1", NIGHT.isoformat(), items, TODAY, **more)


def test_what_cannot_be_read_is_left_to_those_who_say_so() -> None:
    good = stored("a", "b")
    assert row_of(good.to_bytes()) is not None
    strange = replace(good, items=(*good.items, RecommendedItem("c", 0.1, "of a later version")))
    timeless = replace(good, as_of="2018-01-01T05:00:00")
    for record in (b"", b"x" * 16, good.to_bytes()[:-1], strange.to_bytes(), timeless.to_bytes(), b"\xff" * 40):
        assert row_of(record) is None
    assert row_of(good.to_bytes(), 3) is None, "it is too short"
    assert row_of(good.to_bytes(), exclude=["a"]) is None


def test_rules_that_do_more_than_take_away_are_not_answered_plainly() -> None:
    assert answered_plainly(Rules("till"))
    assert not answered_plainly(Rules("till", pinned=("a",)))
    assert not answered_plainly(Rules("till", exploration=Exploration(0.1, 5)))


def test_what_is_kept_is_found_by_what_is_stored_and_all_else_that_it_depends_on() -> None:
    kept, one = KeptItems(), stored("a", "b", "c")
    quick = QuickRules.of(compile_rules(Rules("till"), Shelf.of_ids([*"abcdef"])))
    barred = QuickRules.of(compile_rules(Rules("till", withdrawn=("a",)), Shelf.of_ids([*"abcdef"])))
    later = Standings(NIGHT + timedelta(days=1), None, stale_after_s=STALE_S)
    first = row_of(one.to_bytes(), quick=quick, kept=kept)
    cases: list[dict[str, Any]] = [{"k": 1}, {"quick": barred}, {"standings": later}, {"exclude": ["a"]}]
    for case in cases:
        for _ in range(3):
            assert row_of(one.to_bytes(), **{"quick": quick, **case}, kept=kept) == row_of(
                one.to_bytes(), **{"quick": quick, **case}
            ), case
        assert row_of(one.to_bytes(), quick=quick, kept=kept) == first
    other = stored("b", "c", "d")
    assert row_of(other.to_bytes(), quick=quick, kept=kept) == row_of(other.to_bytes(), quick=quick)


def test_no_more_is_kept_than_there_is_room_for_and_what_is_used_stays() -> None:
    kept, what = KeptItems(40_000, 100), (Night("r@1", "", 1), 1, 1, 1, b"x" * 500)
    for _ in range(2):
        kept.offer(b"u" * 1000, what)
    for number in range(500):
        for _ in range(2):
            kept.offer(b"%04d" % number * 250, what)
        assert kept.get(b"%04d" % number * 250) == kept.get(b"u" * 1000) == what
        held = [*kept._young, *kept._old]
        assert sum(map(len, held)) + 900 * len(held) <= 40_000
        assert len(kept._noticed) + len(kept._noticed_before) <= 100
    assert kept.get(b"0000" * 250) is None


def test_a_list_is_kept_once_it_comes_a_second_time() -> None:
    kept, what = KeptItems(noticed=10), (Night("r@1", "", 1), 1, 1, 1, b"x")
    kept.offer(b"once", what)
    assert kept.get(b"once") is None
    for number in range(20):
        kept.offer(b"%d" % number, what)
    kept.offer(b"once", what)
    assert kept.get(b"once") is None, "too many came between"
    kept.offer(b"once", what)
    assert kept.get(b"once") == what


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5))
def test_numbers_are_written_as_python_writes_them(scores: list[float | None]) -> None:
    assert numbers(scores) == [b"null" if score is None else repr(score).encode() for score in scores]


@pytest.mark.parametrize("source", REASONS)
def test_what_is_told_of_own_items_leaves_out_nothing_that_is_said(source: str) -> None:
    assert KIND_OF[source] != SAYS_ANYTHING, "a kind of sentence that the quick ways have no case for is slow"
    for times in (None, 1, 4):
        for ago in (None, 0, 1, 30):
            for gap in (None, 0.2, 1.5, 2.5, 12.4):
                for category in (None, "乳品"):
                    code, english, chinese = sentences(source, Known(times, ago, gap, category))
                    found = json.loads(b'{"":0' + told_of_own(source, times, ago, gap, category))
                    assert found["reason"] == {"code": code, "en": english, "zh": chinese}
                    assert found["source"] == source
    assert b"often bought together with a " not in told(source)


def test_a_list_is_read_as_it_is_written() -> None:
    written = stored("a", "b", lately={"c": TODAY}, group=3)
    read = msgspec.json.decode(written.to_bytes()[16:], type=OwnList)
    assert (read.model, read.as_of, read.day, read.lately, read.group) == ("r@1", NIGHT.isoformat(), TODAY, {"c": TODAY}, 3)
    assert [tuple(map(str, msgspec.to_builtins(item))) for item in read.items] == [
        tuple(map(str, msgspec.to_builtins(item))) for item in written.items
    ]
