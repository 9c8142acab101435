"""Cleaning: for each rule a row it claims and a neighbour it does not; and no row is ever lost or counted twice."""

import json
from datetime import datetime
from typing import Any

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cleaning import RULES, Cleaned, clean
from features.facts import arrow_schema
from features.sources.schema import ITEMS, PURCHASES

GOOD: dict[str, Any] = {
    "order_id": "o1",
    "line_no": 0,
    "member_id": "ann",
    "item_id": "apple",
    "quantity": 1,
    "net_cents": 100,
    "discount_cents": 0,
    "coupon_cents": 0,
    "channel": "store",
    "store_id": "s1",
    "kind": "sale",
    "occurred_at": datetime(2024, 5, 1, 12),  # noqa: DTZ001 # canonical moments are UTC without a zone
    "local_day": 19_844,
    "local_hour": 8,
    "recorded_at": None,
    "superseded_at": None,
}
CONNECTION = ibis.duckdb.connect()
CATALOGUE = CONNECTION.create_table("items", pa.Table.from_pylist([{"item_id": "apple"}], schema=arrow_schema(ITEMS)))
Changes = dict[str, Any]


def cleaned(*changes: Changes) -> Cleaned:
    """What becomes of good rows with these changes; each row is an order of its own unless a change says otherwise."""
    rows = [{**GOOD, "order_id": f"o{i}", **change} for i, change in enumerate(changes)]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(PURCHASES))
    return clean(CONNECTION.create_table("purchases", table, overwrite=True), CATALOGUE)


def reasons(*changes: Changes) -> dict[str, str | None]:
    """Why each row was set aside, by order id; None for those kept."""
    result = cleaned(*changes)
    kept = dict.fromkeys(result.accepted.order_id.to_pyarrow().to_pylist())
    return kept | {row["order_id"]: row["reason"] for row in result.set_aside.to_pyarrow().to_pylist()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


CLAIMED: list[tuple[str, Changes]] = [
    *[
        ("malformed_id", {column: text})
        for column in ("member_id", "item_id")
        for text in ("", "a" * 129, "a{b", "a}b", "a\nb", "a\x00b", "a\u200bb", "a\u202eb", "\ufeffann")
    ],
    ("malformed_id", {"order_id": "{o}"}),
    ("impossible_date", {"occurred_at": moment("1970-01-01")}),
    ("impossible_date", {"occurred_at": moment("1989-12-31T23:59:59")}),
    ("impossible_date", {"occurred_at": moment("2100-01-01T00:00:01")}),
    ("impossible_date", {"occurred_at": moment("9999-12-31")}),
    ("negative_sale", {"net_cents": -1}),
    ("empty_line", {"quantity": 0, "net_cents": 0}),
]
KEPT: list[Changes] = [
    {},
    *[
        {column: text}
        for column in ("member_id", "item_id")
        for text in ("a" * 128, "00123", "NA", "None", "会员一", "a:b*c", "A b")
    ],
    {"member_id": None},
    {"item_id": None},
    {"store_id": None},
    {"occurred_at": moment("1990-01-01")},
    {"occurred_at": moment("2099-12-31T23:59:59")},
    {"net_cents": -100, "kind": "return"},
    {"net_cents": 0},
    {"quantity": 0, "net_cents": 0, "discount_cents": 30},
    {"quantity": 0, "net_cents": 0, "coupon_cents": 30},
    {"quantity": 0, "net_cents": 30},
    {"quantity": None, "net_cents": 0},
    {"item_id": "not in the catalogue"},
]


def test_each_rule_sets_its_rows_aside_and_leaves_their_neighbours() -> None:
    rows = [row for _, change in CLAIMED for row in ({}, change)]  # every other row is a good one

    found = reasons(*rows)

    braces = found.pop("{o}")
    assert braces == "malformed_id"
    expected = {f"o{2 * i + 1}": rule for i, (rule, change) in enumerate(CLAIMED) if "order_id" not in change}
    assert found == expected | {f"o{2 * i}": None for i in range(len(CLAIMED))}


def test_rules_count_what_they_claim() -> None:
    counts = {count.code: count.rows for count in cleaned(*(change for _, change in CLAIMED)).report.rules}

    for rule in {rule for rule, _ in CLAIMED}:
        assert counts[rule] == sum(rule == other for other, _ in CLAIMED), rule


def test_what_looks_odd_but_can_be_is_kept_unchanged() -> None:
    result = cleaned(*KEPT)

    kept = {row["order_id"]: row for row in result.accepted.to_pyarrow().to_pylist()}
    assert kept == {f"o{i}": {**GOOD, "order_id": f"o{i}", **change} for i, change in enumerate(KEPT)}
    assert result.set_aside.count().to_pyarrow().as_py() == 0


def test_the_same_line_again_is_a_duplicate_and_the_next_line_is_not() -> None:
    line = {"order_id": "basket", "line_no": 3}

    report = cleaned(line, line, line, {**line, "line_no": 4}, {**line, "order_id": "another"}).report

    assert (report.accepted, report.duplicates, report.quarantined) == (3, 2, 0)


def test_of_repeated_lines_the_first_stays() -> None:
    line = {"order_id": "basket", "line_no": 3}
    later = {**line, "occurred_at": moment("2024-05-02"), "net_cents": 7}

    assert cleaned(later, line).accepted.net_cents.to_pyarrow().to_pylist() == [100]


def test_notes_count_their_rows_and_keep_them() -> None:
    noted = [
        ("unknown_item", {"item_id": "pear"}, {"item_id": "apple"}),
        ("unknown_item", {"item_id": "Apple"}, {"item_id": None}),
        ("sold_by_measure", {"quantity": None}, {"quantity": 0}),
        ("zero_value", {"net_cents": 0}, {"net_cents": 1}),
        ("zero_value", {"net_cents": 0}, {"net_cents": 0, "kind": "return"}),
    ]

    report = cleaned(*(change for _, claimed, neighbour in noted for change in (claimed, neighbour))).report

    assert report.accepted == report.rows_in == 10
    counts = {count.code: count.rows for count in report.rules if count.rows}
    assert counts == {"unknown_item": 2, "sold_by_measure": 1, "zero_value": 2}


def test_a_row_goes_to_the_first_rule_that_claims_it_and_notes_look_at_accepted_rows_only() -> None:
    broken_twice = {"item_id": "{pear}", "occurred_at": moment("1970-01-01"), "net_cents": -5}

    counts = {count.code: count.rows for count in cleaned(broken_twice, broken_twice).report.rules if count.rows}

    assert counts == {"malformed_id": 2}


def test_every_rule_has_a_row_here_that_it_claims() -> None:
    tried = {rule for rule, _ in CLAIMED} | {"repeated_line", "unknown_item", "sold_by_measure", "zero_value"}

    assert tried == {rule.code for rule in RULES}
    assert all(rule.meaning for rule in RULES)


def test_the_report_is_json_that_says_everything() -> None:
    report = cleaned({}, {"net_cents": -1}, {"order_id": "o0"}).report

    said = json.loads(report.to_json())

    assert {key: said[key] for key in ("rows_in", "accepted", "quarantined", "duplicates")} == {
        "rows_in": 3,
        "accepted": 1,
        "quarantined": 1,
        "duplicates": 1,
    }
    assert {rule["code"]: rule["rows"] for rule in said["rules"] if rule["rows"]} == {"negative_sale": 1, "repeated_line": 1}
    assert [rule["code"] for rule in said["rules"]] == [rule.code for rule in RULES]


odd_rows = st.fixed_dictionaries(
    {},
    optional={
        "order_id": st.sampled_from(("basket", "other", "{o}")),
        "line_no": st.integers(0, 1),
        "member_id": st.sampled_from((None, "ann", "", "a{b}", "a\tb", "a" * 200)),
        "item_id": st.sampled_from((None, "apple", "pear", "")),
        "quantity": st.sampled_from((None, 0, 1, -1)),
        "net_cents": st.sampled_from((-1, 0, 1, 2**60)),
        "coupon_cents": st.sampled_from((-1, 0, 1)),
        "kind": st.sampled_from(("sale", "return")),
        "occurred_at": st.sampled_from([moment(text) for text in ("1970-01-01", "2024-05-01", "2024-05-02", "9999-01-01")]),
    },
)


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(odd_rows, max_size=15))
def test_rows_in_are_accepted_quarantined_or_duplicates(rows: list[Changes]) -> None:
    result = cleaned(*rows)
    report = result.report

    assert report.rows_in == len(rows) == report.accepted + report.quarantined + report.duplicates
    assert result.accepted.count().to_pyarrow().as_py() == report.accepted
    assert result.set_aside.count().to_pyarrow().as_py() == report.quarantined + report.duplicates
    assert {None} | {rule.code for rule in RULES if rule.action != "note"} >= set(
        result.set_aside.reason.to_pyarrow().to_pylist()
    )
    kept = result.accepted.select("order_id", "line_no").to_pyarrow().to_pylist()
    assert len({tuple(line.values()) for line in kept}) == len(kept)
