"""Cleaning: for each rule a row it claims and a neighbour it does not; and no row is ever lost or counted twice."""

import gc
import json

import pytest
from purchase_rows import (
    CONNECTION,
    NOON,
    Row,
    accepted,
    after,
    at,
    catalogue,
    cleaned,
    counts,
    purchases,
    reasons,
    rows_of,
)

from features.cleaning import ID_PATTERN, RULES, RuleCount, clean, item_spellings, merged
from features.cleaning_rules import LAST_DAY

CLAIMED: list[tuple[str, Row]] = [
    *[
        ("malformed_id", {column: text})
        for column in ("member_id", "item_id")
        for text in ("", "a" * 129, "a{b", "a}b", "a\nb", "a\x00b", "a\u200bb", "a\u202eb", "\ufeffann")
    ],
    ("malformed_id", {"order_id": "{o}"}),
    ("impossible_date", {"occurred_at": at("1970-01-01")}),
    ("impossible_date", {"occurred_at": at("1989-12-31T23:59:59")}),
    ("impossible_date", {"occurred_at": at("2100-01-01T00:00:01")}),
    ("impossible_date", {"occurred_at": at("9999-12-31")}),
    ("negative_sale", {"net_cents": -1}),
    ("empty_line", {"quantity": 0, "net_cents": 0}),
]
KEPT: list[Row] = [
    {},
    *[
        {column: text}
        for column in ("member_id", "item_id")
        for text in ("a" * 128, "00123", "NA", "None", "会员一", "a:b*c", "A b")
    ],
    {"member_id": None},
    {"item_id": None},
    {"store_id": None},
    {"occurred_at": at("1990-01-01")},
    {"occurred_at": at("2099-12-31T23:59:59")},
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

    found = reasons(cleaned(*rows))

    braces = found.pop("{o}")
    assert braces == "malformed_id"
    expected = {f"o{2 * i + 1}": rule for i, (rule, change) in enumerate(CLAIMED) if "order_id" not in change}
    assert found == expected | {f"o{2 * i}": None for i in range(len(CLAIMED))}


def test_rules_count_what_they_claim() -> None:
    claimed = counts(cleaned(*(change for _, change in CLAIMED)))

    for rule in {rule for rule, _ in CLAIMED}:
        assert claimed[rule] == sum(rule == other for other, _ in CLAIMED), rule


def test_what_looks_odd_but_can_be_is_kept_unchanged() -> None:
    result = cleaned(*KEPT)

    assert accepted(result) == rows_of(*KEPT)
    assert result.set_aside.count().to_pyarrow().as_py() == 0


NOTED: list[tuple[str, Row, Row]] = [
    ("unknown_item", {"item_id": "pear"}, {"item_id": "apple"}),
    ("unknown_item", {"item_id": "plum"}, {"item_id": None}),
    ("case_only_item_id", {"item_id": "APPLE"}, {"item_id": "apple"}),
    ("sold_by_measure", {"quantity": None}, {"quantity": 0}),
    ("sold_by_measure", {"item_id": "fuel", "quantity": 89_638}, {"quantity": 89_638}),
    ("zero_value", {"net_cents": 0}, {"net_cents": 1}),
    ("zero_value", {"net_cents": 0}, {"net_cents": 0, "kind": "return", "member_id": None}),
    ("below_cost", {"item_id": "dear", "net_cents": 499}, {"item_id": "dear", "net_cents": 500}),
    ("below_cost", {"item_id": "dear", "net_cents": 999, "quantity": 2}, {"item_id": "dear", "net_cents": 1000, "quantity": 2}),
    ("huge_amount", {"net_cents": 10_000_001}, {"net_cents": 10_000_000}),
    ("huge_amount", {"discount_cents": 2**62}, {"discount_cents": 10_000_000}),
    ("huge_amount", {"coupon_cents": -(2**63)}, {"coupon_cents": 0}),
]
SHELF: tuple[Row, ...] = (
    {"item_id": "apple"},
    {"item_id": "fuel", "sold_by_measure": True},
    {"item_id": "dear", "cost_cents": 500, "sold_by_measure": False},
)


@pytest.mark.parametrize(("rule", "noted", "neighbour"), NOTED)
def test_a_note_counts_its_row_and_keeps_it_and_not_its_neighbour(rule: str, noted: Row, neighbour: Row) -> None:
    with_note, without = cleaned(noted, items=SHELF), cleaned(neighbour, items=SHELF)

    assert counts(with_note).get(rule) == 1
    assert rule not in counts(without)
    assert with_note.report.accepted == without.report.accepted == 1


def test_a_returned_or_weighed_piece_is_never_below_cost() -> None:
    returned = {"item_id": "dear", "kind": "return", "net_cents": -1}
    weighed = {"item_id": "dear", "quantity": None, "net_cents": 1}
    unpriced = {"item_id": "apple", "net_cents": 1}

    assert "below_cost" not in counts(cleaned(returned, weighed, unpriced, items=SHELF))


def test_goods_sold_by_measure_lose_their_quantity() -> None:
    rows = accepted(cleaned({"item_id": "fuel", "quantity": 89_638}, {"quantity": 3}, items=SHELF))

    assert [row["quantity"] for row in rows] == [None, 3]


def test_a_quantity_with_a_fraction_is_a_weight() -> None:
    whole = purchases(rows_of({"quantity": 1}, {"quantity": 385}, {"quantity": 2}))
    weighed = whole.mutate(quantity=(whole.quantity == 385).ifelse(0.385, whole.quantity.cast("float64")))

    result = clean(weighed, catalogue({"item_id": "apple"}))

    assert [row["quantity"] for row in accepted(result)] == [1, None, 2]
    assert counts(result) == {"sold_by_measure": 1}


def test_item_ids_that_differ_in_capitals_are_taken_as_one() -> None:
    sold = ["Pear", "PEAR", "PEAR", "apple", "ApplE", "Kiwi", "kiwi", "fig", "FiG", None]
    shelf: tuple[Row, ...] = ({"item_id": "apple"}, {"item_id": "fig"}, {"item_id": "FIG"})

    result = cleaned(*({"item_id": item} for item in sold), items=shelf)

    taken = [row["item_id"] for row in accepted(result)]
    # PEAR is more frequent; apple is the catalogue's; Kiwi is the smaller; fig and FIG are two items, and FiG could be either.
    assert taken == ["PEAR", "PEAR", "PEAR", "apple", "apple", "Kiwi", "Kiwi", "fig", "FiG", None]
    assert counts(result)["case_only_item_id"] == 3


def test_a_row_set_aside_keeps_the_spelling_and_quantity_it_came_with() -> None:
    result = cleaned({"item_id": "APPLE", "net_cents": -5}, {"item_id": "fuel", "net_cents": -5, "quantity": 7}, items=SHELF)

    assert [(row["item_id"], row["quantity"]) for row in result.set_aside.to_pyarrow().to_pylist()] == [
        ("APPLE", 1),
        ("fuel", 7),
    ]


def test_a_purchase_after_the_import_is_impossible_only_if_its_moment_is_told() -> None:
    moments = [NOON, after(microseconds=1), at(LAST_DAY)]
    rows = [{"occurred_at": moment, "net_cents": i} for i, moment in enumerate(moments, 1)]

    assert set(reasons(cleaned(*rows)).values()) == {None}
    assert list(reasons(cleaned(*rows, latest=NOON)).values()) == [None, "impossible_date", "impossible_date"]


def test_a_repeated_catalogue_entry_doubles_no_purchase() -> None:
    result = cleaned({}, {"item_id": "APPLE"}, items=({"item_id": "apple", "cost_cents": 5}, {"item_id": "apple"}))

    assert result.report.accepted == result.report.rows_in == 2


def test_a_row_goes_to_the_first_rule_that_claims_it_and_notes_look_at_accepted_rows_only() -> None:
    broken_twice = {"item_id": "{pear}", "occurred_at": at("1970-01-01"), "net_cents": -5}

    assert counts(cleaned(broken_twice, broken_twice)) == {"malformed_id": 2}


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


def test_reports_of_parts_add_up_to_that_of_the_whole() -> None:
    rows = [
        {},
        {"net_cents": -1},
        {"order_id": "o0"},
        {"item_id": "APPLE"},
        {"kind": "return", "net_cents": -9, "item_id": "pear"},
    ]
    parts = [cleaned(*rows[:3]).report, cleaned(*rows[3:]).report]

    assert merged(parts) == cleaned(*({"order_id": f"o{i}", **row} for i, row in enumerate(rows))).report
    assert (merged([]).rows_in, merged([]).rules) == (0, ())


def test_parts_cleaned_one_by_one_need_the_spellings_of_the_whole() -> None:
    rows = rows_of({"item_id": "Pear"}, {"item_id": "PEAR", "member_id": "bob"}, {"item_id": "PEAR", "member_id": "bob"})
    shelf = catalogue({"item_id": "apple"})
    spellings = item_spellings(purchases(rows), shelf)

    alone = clean(purchases(rows[:1]), shelf, spellings=spellings)

    assert accepted(alone)[0]["item_id"] == "PEAR"


def test_rows_that_could_not_be_read_count_as_quarantined() -> None:
    report = cleaned({}, unreadable=(RuleCount("unreadable_net", "quarantine", 4, "net missing or unreadable"),)).report

    assert (report.rows_in, report.accepted, report.quarantined) == (5, 1, 4)
    assert report.rules[0].code == "unreadable_net"


def test_no_rows_give_an_empty_report() -> None:
    report = cleaned().report

    assert (report.rows_in, report.accepted, report.quarantined_share) == (0, 0, 0.0)
    assert {count.rows for count in report.rules} == {0}


def test_what_is_malformed_does_not_fit_the_pattern_of_identifiers() -> None:
    texts = ["", " ", "a", "a" * 128, "a" * 129, "{", "a}b", "\t", "é" * 128, "é" * 129, "\u200b", "\ue000", "会员", "\u00a0x"]
    found = reasons(cleaned(*({"member_id": text} for text in texts)))
    fits = CONNECTION.con.execute(f"SELECT regexp_matches(t, '{ID_PATTERN}') FROM unnest(?) u(t)", [texts]).fetchall()

    assert [found[f"o{i}"] == "malformed_id" for i in range(len(texts))] == [
        not fit or not text.strip(" ") for (fit,), text in zip(fits, texts, strict=True)
    ]


def test_cleaning_leaves_no_tables_behind() -> None:
    cleaned({}, {"net_cents": -1}, {"kind": "return", "net_cents": -100})
    gc.collect()

    left = CONNECTION.con.execute(
        "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    )
    assert [name for (name,) in left.fetchall() if name.startswith("cleaning_")] == []
