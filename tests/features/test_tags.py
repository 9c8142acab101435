"""Tags: a dictionary that can be read, rules that say nothing of the unknown, and bulk evaluation against a naive reading."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, timedelta

import numpy as np
import pyarrow as pa
import pytest
from shops import START, ZONE, Line, moment_of, purchases_table

from features.bitmaps import TagTable, count, positions_in
from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.days import day_number
from features.expressions import NUMPY, evaluate
from features.fact_tables import arrow_schema
from features.facts import Facts
from features.published_tags import new_index
from features.sources.schema import EVENTS, ITEMS, MEMBERS
from features.tag_families.declaring import FAMILIES, Topic, leaves
from features.tag_families.latent_need import TOPICS as NEEDS
from features.tagging import evaluate_tags
from features.tags import CATALOGUE_COLUMNS, PATTERNS, TAGS, bought, favourite, group_of, slug
from features.topics import is_sensitive, topics_of

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def members_of(table: TagTable, tag: str) -> set[str]:
    """Ids of the members with a tag."""
    return set(table.index.ids[positions_in(table.tags[tag])].tolist())


@pytest.fixture(scope="module")
def table(facts: Facts, rows: FeatureRows) -> TagTable:
    """Every tag of a slice of Complete Journey."""
    return evaluate_tags(facts, rows, new_index())


# The dictionary


def test_there_are_three_hundred_tags_in_six_families() -> None:
    families = Counter(tag.family for tag in TAGS.values())

    assert len(TAGS) >= 300
    assert set(families) == set(FAMILIES)
    assert min(families.values()) >= 10
    assert {pattern.family for pattern in PATTERNS} <= set(FAMILIES)


def test_a_tag_says_what_it_means_and_what_it_is_for() -> None:
    for tag in TAGS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_:]*(=[a-z0-9_]+)?", tag.name)
        assert len(tag.meaning) >= 8, tag.name
        assert CHINESE.search(tag.chinese), tag.name
        assert len(tag.use) >= 7, tag.name


def test_no_tag_has_the_name_of_a_feature_or_two_meanings() -> None:
    names = {*TAGS, *(group_of(name) or name for name in TAGS)}

    assert names & set(CONTRACT.feature_names) == set()
    doubled = [rule for rule, times in Counter(str(tag.rule) for tag in TAGS.values()).items() if times > 1]
    assert doubled == []


def test_the_unknown_has_no_tag_but_those_that_ask_for_it() -> None:
    unknown = {str(leaf): np.array([np.nan]) for tag in TAGS.values() for leaf in leaves(tag.rule)}
    unknown |= {name: np.array([value]) for name, value in CONTRACT.threshold_values({}).items()}
    unknown |= {"day": np.array([19_000.0]), "month": np.array([6.0])}

    held = {tag.name for tag in TAGS.values() if evaluate(tag.rule, unknown, NUMPY)[0]}

    assert held == {"birth_month_unknown", "registration_unknown", "consent=unknown"}


# Goods and words


def entry(text: str) -> Mapping[str, str | None]:
    department, category, subcategory = text.split("|")
    return {"department": department or None, "category": category or None, "subcategory": subcategory or None}


@pytest.mark.parametrize(
    ("text", "topics", "others"),
    [
        ("DRUG GM|DIAPERS & DISPOSABLES|BABY DIAPERS", {"baby", "nappies"}, {"infant_formula", "dog"}),
        ("母婴|奶粉|婴儿奶粉三段", {"baby", "infant_formula"}, {"nappies"}),
        ("PRODUCE|CARROTS|BABY CARROTS", {"fresh_food"}, {"baby"}),
        ("MEAT-PCKGD|HOT DOGS|PREMIUM - BEEF", {"barbecue", "meat"}, {"dog"}),
        ("GROCERY|CAT LITTER|SCOOP LITTER", {"cat"}, {"dog"}),
        ("宠物|宠物食品|狗粮", {"dog", "pets"}, {"cat"}),
        ("家电|空调|", {"cooling"}, {"heating"}),
        ("GROCERY|ICE CREAM/MILK/SHERBTS|PREMIUM", {"hot_weather"}, {"cooling"}),
        ("||", set(), {"baby"}),
        ("EDUCATION|CATEGORY|PETITE", set(), {"cat", "pets", "dog"}),
    ],
)
def test_goods_are_recognised_by_whole_words(text: str, topics: set[str], others: set[str]) -> None:
    from features.tags import TOPICS

    found = set(topics_of(entry(text), TOPICS))

    assert topics <= found
    assert found & others == set()


@pytest.mark.parametrize(
    "category",
    ["FAMILY PLANNING", "ADULT INCONTINENCE", "PHARMACY", "VITAMINS", "HISPANIC", "医疗器械", "Kosher foods", "孕妇装"],
)
def test_sensitive_categories_make_no_tag(category: str) -> None:
    assert is_sensitive(category)


@pytest.mark.parametrize("category", ["CHEESE", "BABY FOODS", "奶粉", "YOGURT", "PET CARE SUPPLIES", "INFLUENCER GIFTS"])
def test_other_categories_do(category: str) -> None:
    assert not is_sensitive(category)


@pytest.mark.parametrize("topic", NEEDS, ids=lambda topic: topic.name)
def test_no_need_is_sensitive(topic: Topic) -> None:
    assert [word for word in topic.words if is_sensitive(word)] == []


def test_words_are_told_apart_by_topic() -> None:
    assert len({topic.name for topic in NEEDS}) == len(NEEDS)
    assert all(topic.words for topic in NEEDS)


# Evaluation, against features and a naive reading of the facts


def test_tags_over_features_say_what_the_features_say(rows: FeatureRows, table: TagTable) -> None:
    def where(holds: np.ndarray) -> set[str]:
        return set(rows.member_ids[holds].tolist())

    stage, tier = rows.column("lifecycle_stage"), rows.column("rfm_tier")
    assert members_of(table, "stage=at_risk") == where(stage == 3)
    assert members_of(table, "tier=diamond") == where(tier == 2)
    assert members_of(table, "silent_30d") == where(rows.column("days_since_last_purchase") >= 30)
    assert members_of(table, "gold_silent_30d") == where((tier == 1) & (rows.column("days_since_last_purchase") >= 30))
    weekend = rows.column("saturday_share_180d") + rows.column("sunday_share_180d")
    assert members_of(table, "weekend=mostly") == where(
        (weekend >= 0.5) & (weekend < 0.9) & (rows.column("purchases_180d") >= 3)
    )
    spend = rows.column("spend_cents_365d")
    assert min(spend[np.isin(rows.member_ids, list(members_of(table, "spend_365d=highest")))]) > np.quantile(spend, 0.79)


@pytest.mark.parametrize("group", sorted({group for name in TAGS if (group := group_of(name))}))
def test_nobody_has_two_values_of_one_tag(group: str, table: TagTable) -> None:
    values = [positions_in(bitmap) for name, bitmap in table.tags.items() if group_of(name) == group]

    assert max(Counter(np.concatenate(values).tolist()).values(), default=0) <= 1


def test_categories_bought_equal_a_naive_reading(facts: Facts, rows: FeatureRows, table: TagTable) -> None:
    lines = facts.query("SELECT * FROM purchases JOIN items USING (item_id) WHERE kind = 'sale'").to_pylist()
    last: dict[tuple[str, str, str], int] = {}
    spend: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in lines:
        if line["member_id"] is not None and line["local_day"] >= rows.day - 180:
            for column in CATALOGUE_COLUMNS:
                if line[column] and not is_sensitive(line[column]):
                    key = (column, slug(line[column]), line["member_id"])
                    last[key] = max(last.get(key, 0), line["local_day"])
                    spend[column, line["member_id"]][slug(line[column])] += line["net_cents"]
    for days in (30, 90, 180):
        expected = defaultdict(set)
        for (column, name, member), day in last.items():
            if day >= rows.day - days:
                expected[bought(column, name, days)].add(member)
        made = [name for name in table.tags if name.startswith("bought:") and name.endswith(f"_{days}d")]
        assert len(made) > 100
        assert {name: members_of(table, name) for name in made} == {name: expected[name] for name in made}
    for (column, member), cents in spend.items():
        best = min(cents, key=lambda name: (-cents[name], name))
        if column == "department" and cents[best] > 0:
            assert member in members_of(table, favourite(column, best))


def test_nobody_is_tagged_who_is_not_there(table: TagTable) -> None:
    for bitmap in table.tags.values():
        assert count(bitmap & ~table.population) == 0


# A shop small enough to see


def small_shop() -> Facts:
    """Ann buys nappies now and a year ago looks; Bob looks at them only; Cid never bought; Dee registers tomorrow."""
    goods = [("huggies", "Baby care", "Nappies", "Huggies"), ("beans", "Coffee", "Whole beans", "Roaster")]
    items = [{"item_id": i, "department": "Shop", "category": c, "subcategory": s, "brand": b} for i, c, s, b in goods]
    today = day_number(START.date()) + 100
    members = [
        {
            "member_id": "ann",
            "registered_day": today - 400,
            "birth_month": 4,
            "region": "North  West",
            "marketing_consent": True,
        },
        {"member_id": "bob", "registered_day": today - 20, "birth_month": 5, "marketing_consent": False},
        {"member_id": "cid", "registered_day": today - 3},
        {"member_id": "dee", "registered_day": today + 1},
    ]
    sales = [Line("ann", 20, item="huggies"), Line("ann", 95, item="huggies"), Line("bob", 50, item="beans")]
    views = [("e1", "bob", "huggies", 96.0), ("e2", "ann", "beans", 60.0), ("e3", "bob", "beans", 100.5)]
    events = [
        {
            "event_id": event,
            "member_id": member,
            "event_type": "view",
            "item_id": item,
            "channel": "app",
            "occurred_at": moment_of(at).astimezone(UTC).replace(tzinfo=None),
            "local_day": day_number(moment_of(at).date()),
            "local_hour": 12,
        }
        for event, member, item, at in views
    ]
    tables = {
        "purchases": purchases_table(sales),
        "items": pa.Table.from_pylist(items, schema=arrow_schema(ITEMS)),
        "members": pa.Table.from_pylist(members, schema=arrow_schema(MEMBERS)),
        "events": pa.Table.from_pylist(events, schema=arrow_schema(EVENTS)),
    }
    return Facts.in_memory(tables, time_zone=ZONE)


@pytest.fixture(scope="module")
def small() -> TagTable:
    """Tags of the small shop on the hundredth day."""
    facts = small_shop()
    return evaluate_tags(facts, build(facts, as_of=facts.midnight(day_number(START.date()) + 100)), new_index())


@pytest.mark.parametrize(
    ("tag", "members"),
    [
        ("need:baby_now", {"ann"}),
        ("need:baby_steady", {"ann"}),
        ("need:baby_fading", set()),
        ("need:baby_looking", {"bob"}),
        ("need:coffee_looking", set()),
        ("bought:baby_care_30d", {"ann"}),
        ("bought:coffee_30d", set()),
        ("bought:coffee_90d", {"bob"}),
        ("bought:brand:huggies_90d", {"ann"}),
        ("viewed:baby_care_7d", {"bob"}),
        ("viewed:coffee_30d", set()),
        ("favourite_category=coffee", {"bob"}),
        ("region=north_west", {"ann"}),
        ("consent=yes", {"ann"}),
        ("consent=no", {"bob"}),
        ("consent=unknown", {"cid"}),
        ("birthday_this_month", {"ann"}),
        ("birthday_next_month", {"bob"}),
        ("membership=first_week", {"cid"}),
        ("registered_not_bought_7d", {"cid"}),
        ("silent_45d", {"bob"}),
    ],
)
def test_members_of_the_small_shop(tag: str, members: set[str], small: TagTable) -> None:
    assert members_of(small, tag) == members


def test_a_member_who_registers_later_is_not_there_yet(small: TagTable) -> None:
    assert small.index.ids.tolist() == ["ann", "bob", "cid"]


def test_what_was_recorded_later_is_not_known_yet() -> None:
    facts = small_shop()
    late = purchases_table([Line("bob", 99, item="huggies")])
    known = pa.array([moment_of(101).astimezone(UTC).replace(tzinfo=None)], pa.timestamp("us"))
    late = late.set_column(late.column_names.index("recorded_at"), "recorded_at", known)
    tables = {name: facts.tables[name].to_pyarrow() for name in ("purchases", "items", "members", "events")}
    both = Facts.in_memory({**tables, "purchases": pa.concat_tables([tables["purchases"], late])}, time_zone=ZONE)
    as_of = both.midnight(day_number(START.date()) + 100)

    table = evaluate_tags(both, build(both, as_of=as_of), new_index())
    later = evaluate_tags(both, build(both, as_of=as_of + timedelta(days=3)), new_index())

    assert members_of(table, "need:nappies_now") == {"ann"}
    assert members_of(later, "need:nappies_now") == {"ann", "bob"}


def test_members_keep_their_place_and_new_ones_are_appended() -> None:
    facts = small_shop()
    days = [day_number(START.date()) + offset for offset in (90, 100, 102)]
    index = new_index()
    seen = []
    for day in days:
        table = evaluate_tags(facts, build(facts, as_of=facts.midnight(day)), index)
        index = table.index
        seen.append(index.ids.tolist())

    assert seen == [["ann", "bob"], ["ann", "bob", "cid"], ["ann", "bob", "cid", "dee"]]
    earlier = evaluate_tags(facts, build(facts, as_of=facts.midnight(days[0])), index)
    assert earlier.index.ids.tolist() == seen[-1]
    assert positions_in(earlier.population).tolist() == [0, 1]
    assert members_of(earlier, "birth_month_unknown") == set()
