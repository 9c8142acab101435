"""Rows made the quick way are those of the long way, under any rules; requests parsed quickly are the same requests."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.list_records import RecommendationList, RecommendedItem
from features.rules.compiled import CompiledRules, compile_rules
from features.rules.declared import Exploration, Rules
from features.rules.shelf import Shelf
from serving.candidates import Asked, Below, Member
from serving.list_parsing import QuickRecommendRequest, parse_recommend
from serving.list_schemas import RecommendRequest
from serving.problems import ApiError
from serving.quick_rows import QuickRules, quick_row
from serving.recommending import recommend_members
from tests.rule_oracle import random_items, random_rules, shelf_of
from training.predictors.list_reasons import REASONS

TODAY = 17_532
JSON = "application/json"
STANDING = {"status": "OK", "reason": None, "as_of": "2018-01-01T05:00:00+00:00", "age_seconds": 7}


def slow_row(member: Member, asked: Asked, below: Below, ready: CompiledRules) -> dict[str, Any]:
    """The row of the long way, as it would be read."""
    (row,) = recommend_members([member], asked, below, ready)
    found: dict[str, Any] = json.loads(msgspec.json.encode(row))
    return found


def drawn_item(name: str, generator: np.random.Generator) -> RecommendedItem:
    """An item of any source, with any of what may be known of it."""
    source = str(generator.choice(["due_again", "bought_before", "viewed", "goes_with", "category", "trending", "popular"]))
    times, last = int(generator.integers(1, 5)), TODAY - int(generator.integers(0, 20))
    known = [(None, None, None), (times, last, None), (times, last, round(float(generator.uniform(0.5, 30)), 1))]
    return RecommendedItem(name, float(generator.random()), source, *known[int(generator.integers(0, 3))])


@pytest.mark.parametrize("start", [0, 100, 200])
def test_the_quick_way_makes_the_rows_of_the_long_one(start: int) -> None:
    quickly = 0
    for seed in range(start, start + 100):
        generator = np.random.default_rng(seed)
        items = random_items(generator, 60)
        ids, made = list(items), random_rules(generator, list(items))
        ready = compile_rules(made, shelf_of(items), adult=bool(seed % 2))
        mine = tuple(drawn_item(str(name), generator) for name in [*generator.permutation(ids)[:25], "not on the shelf"])
        lately = {str(name): TODAY - int(generator.integers(0, 30)) for name in generator.choice(ids, 5)}
        own = RecommendationList("r@1", str(STANDING["as_of"]), mine, TODAY, lately)
        context = tuple(map(str, generator.choice(ids, int(generator.integers(0, 3)))))
        some = generator.permutation(ids)[: int(generator.integers(0, 40))]
        scored = [(str(name), float(generator.random())) for name in some]
        groups = [scored[::2], [(str(name), 0.5) for name in generator.permutation(ids)]]
        below = Below(scored if context else (), scored[::-1] if seed % 3 else (), [(name, None) for name in ids[::2]], groups)
        asked = Asked(int(generator.integers(1, 30)), frozenset(map(str, generator.choice(ids, 6))), context)
        quick = QuickRules.of(ready)
        for member in (
            Member('会员"1', own, STANDING, TODAY, live=bool(seed % 2), group=seed % 4 - 1),
            Member("x", None, STANDING | {"status": "COLD", "reason": "no_list"}),
            Member("no", None, STANDING | {"status": "OPTED_OUT", "as_of": None}, impersonal=True),
            Member("y", replace(own, day=None), STANDING, None),
            Member("lost", None, STANDING | {"status": "FALLBACK", "reason": "record_unreadable"}, group=1),
        ):
            found = quick_row(member, asked, below, quick)
            if found is not None:
                assert json.loads(found) == slow_row(member, asked, below, ready), seed
                quickly += 1
            else:
                assert not slow_row(member, asked, below, ready)["items"], "only empty lists go the long way"
    assert quickly > 150


def test_what_is_left_to_chance_or_traced_goes_the_long_way() -> None:
    shelf = Shelf.of_ids(["a", "b"])
    member, below = Member("x", None, STANDING), Below(popular=[("a", None), ("b", None)])
    by_chance = QuickRules.of(compile_rules(Rules("till", exploration=Exploration(0.5, 10)), shelf))
    plain = QuickRules.of(compile_rules(Rules("till"), shelf))
    assert quick_row(member, Asked(1, decision_id="d"), below, by_chance) is None
    assert quick_row(member, Asked(1), below, by_chance) is not None
    assert quick_row(member, Asked(1, dry_run=True), below, plain) is None
    assert quick_row(member, Asked(1, decision_id="d"), below, plain) is not None


def test_every_source_has_a_row_of_its_own() -> None:
    shelf = Shelf.of_ids(list(REASONS))
    ready = compile_rules(Rules("till"), shelf)
    items = tuple(RecommendedItem(source, 0.5, source, 3, TODAY - 4, 6.5) for source in REASONS)
    member = Member("x", RecommendationList("r@1", str(STANDING["as_of"]), items, TODAY), STANDING, TODAY)
    asked = Asked(len(items))
    found = quick_row(member, asked, Below(), QuickRules.of(ready))
    assert found is not None
    assert json.loads(found) == slow_row(member, asked, Below(), ready)


# Requests

names = st.one_of(
    st.text(max_size=6), st.sampled_from(["1", "会员一", "a b", " ", "", "{", "\u200b", "x" * 128, "x" * 129, "s/1"])
)
bodies = st.fixed_dictionaries(
    {"member_ids": st.lists(names, max_size=4)},
    optional={
        "k": st.one_of(st.integers(-1, 52), st.booleans(), st.none(), st.floats(0, 9), st.just("3")),
        "exclude": st.one_of(st.lists(names, max_size=4), st.none()),
        "placement": st.one_of(st.none(), st.sampled_from(["till", "Till", "", "a" * 64, "a" * 65, "a\n", "../x"])),
        "store": st.one_of(st.none(), names),
        "context": st.one_of(st.lists(names, max_size=4), st.just(["a"] * 101)),
        "adult": st.one_of(st.booleans(), st.just(1)),
        "dry_run": st.booleans(),
        "more": st.just(1),
    },
)


@given(content=bodies, ascii_only=st.booleans())
def test_the_quick_parser_takes_what_the_thorough_one_takes(content: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        thorough = RecommendRequest.model_validate(content)
    except ValueError:
        with pytest.raises(ApiError):
            parse_recommend(body, JSON)
        return
    found = parse_recommend(body, JSON)
    for name in RecommendRequest.model_fields:
        assert getattr(found, name) == getattr(thorough, name), name


def test_a_plain_request_is_parsed_quickly_and_defaults_are_the_same() -> None:
    found = parse_recommend(b'{"member_ids":["1","00123"]}', JSON)
    assert isinstance(found, QuickRecommendRequest)
    assert msgspec.structs.asdict(found) == RecommendRequest(member_ids=["1", "00123"]).model_dump()
    assert isinstance(parse_recommend(b'{"member_ids":["1"],"dry_run":true}', JSON), RecommendRequest)
    for twice in (b'{"member_ids":["1"],"k":1,"k":2}', b'{"member_ids":["1"],"k":1,"\\u006b":2}'):
        with pytest.raises(ApiError, match="twice"):
            parse_recommend(twice, JSON)
