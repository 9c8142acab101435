"""Audiences: the language and its errors; tags in Redis and features on disk against sets made member by member."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.audience import Population, choose, features_needed, matching, tags_needed, vocabulary_of
from features.audience_language import (
    All,
    Compared,
    Either,
    Not,
    Selection,
    Tagged,
    Vocabulary,
    leaves_of,
    parse,
)
from features.bitmaps import TagTable, positions_in
from features.errors import AudienceUnreadable
from features.member_index import MemberIndex
from features.tag_store import TagStamp, TagStore

WORDS = Vocabulary(
    {"tier=regular", "tier=gold", "tier=diamond", "stage=at_risk", "bought:dairy_30d", "bought:ice_cream_(pints)_30d", "and"},
    {"spend_cents_90d": (), "days_since_last_purchase": (), "lifecycle_stage": ("new", "growing")},
)
GOLD, DIAMOND, RISK, DAIRY = Tagged("tier=gold"), Tagged("tier=diamond"), Tagged("stage=at_risk"), Tagged("bought:dairy_30d")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("tier=diamond and stage=at_risk and not bought:dairy_30d", All((DIAMOND, RISK, Not(DAIRY)))),
        ("tier = gold", GOLD),
        ("tier=Gold", GOLD),
        ("'tier=gold'", GOLD),
        ("tier=gold or tier=diamond and stage=at_risk", Either((GOLD, All((DIAMOND, RISK))))),
        ("(tier=gold or tier=diamond) and stage=at_risk", All((Either((GOLD, DIAMOND)), RISK))),
        ("NOT tier=gold AND bought:dairy_30d", All((Not(GOLD), DAIRY))),
        ("not not tier=gold", Not(Not(GOLD))),
        ("tier in (gold, diamond)", Either((GOLD, DIAMOND))),
        ("tier in (gold)", GOLD),
        ("tier not in (gold, diamond)", Not(Either((GOLD, DIAMOND)))),
        ("tier != gold", Not(GOLD)),
        ('"bought:ice cream (pints)_30d" or "and"', None),
        ('"bought:ice_cream_(pints)_30d" or "and"', Either((Tagged("bought:ice_cream_(pints)_30d"), Tagged("and")))),
        ("days_since_last_purchase > 30", Compared("days_since_last_purchase", ">", 30.0)),
        ("days_since_last_purchase<=3e1", Compared("days_since_last_purchase", "<=", 30.0)),
        (
            "spend_cents_90d between -5 and 5000.5",
            All((Compared("spend_cents_90d", ">=", -5.0), Compared("spend_cents_90d", "<=", 5000.5))),
        ),
        ("spend_cents_90d = 5", Compared("spend_cents_90d", "=", 5.0)),
        ("lifecycle_stage = growing", Compared("lifecycle_stage", "=", 1.0)),
        ("lifecycle_stage != new", Compared("lifecycle_stage", "!=", 0.0)),
    ],
)
def test_an_audience_is_read_as_it_is_meant(text: str, tree: Selection | None) -> None:
    if tree is None:
        with pytest.raises(AudienceUnreadable):
            parse(text, WORDS)
    else:
        assert parse(text, WORDS) == tree


@pytest.mark.parametrize(
    ("text", "at", "says", "remedy"),
    [
        ("teir=gold", 0, "no tag or feature is named 'teir'", "did you mean tier?"),
        ("tier=gold and tier=diamand", 19, "tier has no value 'diamand'", "tier=diamond"),
        ("bougt:dairy_30d", 0, "no tag or feature", "bought:dairy_30d"),
        ("not dais_since_last_purchase > 3", 4, "no tag or feature", "days_since_last_purchase"),
        ("xyzzy", 0, "no tag or feature", "docs/tags.md"),
        ("tier", 0, "'tier' has values", "diamond"),
        ("spend_cents_90d", 0, "is a feature", "spend_cents_90d > 0"),
        ("bought:dairy_30d > 3", 0, "is a tag", "grammar"),
        ("spend_cents_90d > many", 18, "'many' is no number", "digits"),
        ("spend_cents_90d > nan", 18, "'nan' is no number", "digits"),
        ("spend_cents_90d > 1e999", 18, "no number", "digits"),
        ("lifecycle_stage = old", 18, "has no value 'old'", "new or growing"),
        ("", 0, "the audience ends where a tag", "grammar"),
        ("tier=gold and", 13, "the audience ends", "grammar"),
        ("(tier=gold", 10, "a closing parenthesis is expected", "grammar"),
        ("tier=gold tier=diamond", 10, "and, or, or the end is expected", "grammar"),
        ("tier=gold)", 9, "and, or, or the end is expected", "grammar"),
        ("tier in gold", 8, "an opening parenthesis is expected", "grammar"),
        ("tier in (gold diamond)", 14, "a comma or a closing parenthesis", "grammar"),
        ("tier not gold", 9, "in or between is expected", "grammar"),
        ("spend_cents_90d between 1 or 2", 26, "and is expected", "grammar"),
        ("'tier=gold", 0, "a quote without its end", "grammar"),
        ("tier=gold ! stage=at_risk", 10, "has no meaning here", "grammar"),
        ("(" * 200 + "tier=gold" + ")" * 200, 100, "more than 100 levels", "grammar"),
        ("not " * 200 + "tier=gold", 400, "more than 100 levels", "grammar"),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_place_and_a_remedy(text: str, at: int, says: str, remedy: str) -> None:
    with pytest.raises(AudienceUnreadable) as refused:
        parse(text, WORDS)

    first, shown, mark = str(refused.value).split("\n")
    assert says in first
    assert f"at character {at + 1}" in first
    assert shown[mark.index("^") :] == text[at : at + 60][: len(shown) - mark.index("^")]
    assert remedy in refused.value.remedy


def test_an_audience_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(AudienceUnreadable, match="characters"):
        parse("tier=gold or " * 100_000, WORDS)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(AudienceUnreadable):
        assert list(leaves_of(parse(text, WORDS)))


# Three evaluations that must agree: tags from Redis, tags of the table, and sets made member by member

SIZE = 61
TAGS = ("tier=gold", "tier=regular", "stage=new", "bought:dairy_30d", "everybody", "nobody", "need:baby now")
FEATURES = ("spend_cents_90d", "discount_share_180d")
SHARES = (0.1, 0.3, np.nan)


def random_table() -> tuple[TagTable, Mapping[str, np.ndarray]]:
    """61 positions, of which some have no member; features with gaps."""
    random = np.random.default_rng(7)
    ids = np.array([f"m{i:02}" for i in range(SIZE)])
    there = random.random(SIZE) < 0.8
    bits = {name: (random.random(SIZE) < 0.4) & there for name in TAGS}
    bits["everybody"], bits["nobody"] = there, there & False
    bits["consent=no"] = (random.random(SIZE) < 0.2) & there
    bits["consent=unknown"] = (random.random(SIZE) < 0.3) & there & ~bits["consent=no"]
    features = {
        "spend_cents_90d": random.choice([np.nan, 0, 100, 5000], SIZE).astype(np.float32),
        "discount_share_180d": random.choice(SHARES, SIZE).astype(np.float32),
    }
    packed = {name: np.packbits(values) for name, values in bits.items()}
    as_of = datetime(2018, 1, 1, 5, tzinfo=UTC)
    return TagTable(MemberIndex("index", ids), as_of, "f" * 64, np.packbits(there), packed), features


TABLE, COLUMNS = random_table()
LIVE = set(positions_in(TABLE.population).tolist())

tests = st.one_of(
    st.sampled_from(TAGS).map(Tagged),
    st.builds(
        Compared,
        st.just("spend_cents_90d"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([0.0, 100.0, 99.5]),
    ),
    st.builds(
        Compared,
        st.just("discount_share_180d"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([0.1, 0.3]),
    ),
)
selections = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=12,
)


def written(selection: Selection) -> str:
    """A selection in the words of the language."""
    if isinstance(selection, Tagged):
        return f'"{selection.tag}"'
    if isinstance(selection, Compared):
        return f"{selection.feature} {selection.sign} {selection.number}"
    if isinstance(selection, Not):
        return f"not ({written(selection.operand)})"
    word = " and " if isinstance(selection, All) else " or "
    return "(" + word.join(written(operand) for operand in selection.operands) + ")"


def by_hand(selection: Selection) -> set[int]:
    """The positions of a selection, from sets and single numbers."""
    if isinstance(selection, Tagged):
        return {p for p in LIVE if TABLE.tags[selection.tag][p // 8] >> (7 - p % 8) & 1}
    if isinstance(selection, Compared):
        found = set()
        for position in LIVE:
            value = float(COLUMNS[selection.feature][position])
            small, same = value < selection.number - 1e-4, abs(value - selection.number) < 1e-4
            if value == value:
                signs = {"=": same, "!=": not same, "<": small, "<=": small or same, ">": not (small or same), ">=": not small}
                found |= {position} if signs[selection.sign] else set()
        return found
    if isinstance(selection, Not):
        return LIVE - by_hand(selection.operand)
    parts = [by_hand(operand) for operand in selection.operands]
    return set.intersection(*parts) if isinstance(selection, All) else set.union(*parts)


@pytest.fixture(scope="module")
def published(store_url: str) -> TagStore:
    """The random table in Redis."""
    store = TagStore(store_url, prefix="test-audience")
    store.publish_tags(TABLE, generation="one", contract="c")
    return store


@given(selections)
def test_redis_the_table_and_single_members_agree(published: TagStore, selection: Selection) -> None:
    text, words = written(selection), vocabulary_of(TABLE.tags)
    read: list[Selection] = []

    def wanted(stamp: TagStamp) -> list[str]:
        read.append(parse(text, vocabulary_of(stamp.counts)))
        return tags_needed(read[-1])

    stored = published.read_tags(wanted)
    online = matching(read[-1], Population(stored.population, stored.tags, COLUMNS))
    offline = matching(parse(text, words), Population(TABLE.population, TABLE.tags, COLUMNS))

    expected = by_hand(selection)
    if not features_needed(read[-1]):
        by_server = published.choose(lambda stamp: read[-1], include_opted_out=True)[1]
        default = published.choose(lambda stamp: read[-1])[1]
        assert set(positions_in(by_server.members).tolist()) == expected
        assert set(positions_in(default.members).tolist()) == expected - by_hand(Tagged("consent=no"))
        assert default.opted_out == by_server.opted_out == len(expected & by_hand(Tagged("consent=no")))
        assert default.consent_unknown == len((expected - by_hand(Tagged("consent=no"))) & by_hand(Tagged("consent=unknown")))
    assert set(positions_in(online).tolist()) == set(positions_in(offline).tolist()) == expected
    assert published.read_ids(stored.stamp, online) == [f"m{position:02}" for position in sorted(expected)]
    assert set(features_needed(read[-1])) <= set(FEATURES)


def test_those_who_refused_are_left_out_and_counted() -> None:
    population = Population(TABLE.population, TABLE.tags)
    refused = by_hand(Tagged("consent=no"))

    default = choose(Tagged("tier=gold"), population)
    analysis = choose(Tagged("tier=gold"), population, include_opted_out=True)

    gold = by_hand(Tagged("tier=gold"))
    assert refused & gold
    assert set(positions_in(default.members).tolist()) == gold - refused
    assert default.opted_out == analysis.opted_out == len(gold & refused)
    assert analysis.count == len(gold)


def test_not_chooses_nobody_who_is_not_there() -> None:
    everybody = matching(Not(Tagged("nobody")), Population(TABLE.population, TABLE.tags))

    assert set(positions_in(everybody).tolist()) == LIVE
    assert len(LIVE) < SIZE


def test_a_tag_nobody_has_takes_no_key(published: TagStore, store_url: str) -> None:
    import redis

    with redis.Redis.from_url(store_url) as client:
        assert client.exists("test-audience:tags:one:tier=gold") == 1
        assert client.exists("test-audience:tags:one:nobody") == 0


def test_a_question_leaves_no_key(published: TagStore, store_url: str) -> None:
    import redis

    published.choose(lambda stamp: Not(Either((Tagged("nobody"), Tagged("tier=gold")))))

    with redis.Redis.from_url(store_url) as client:
        assert list(client.scan_iter(match="test-audience:tags:asked:*")) == []
