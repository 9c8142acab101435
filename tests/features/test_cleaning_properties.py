"""Whatever a till can write: the cleaning equals a slow one in plain Python, loses no row, and accepts its own again."""

from collections import Counter
from typing import Any

import cleaning_oracle as oracle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parity.random_shops import SHOPS
from purchase_rows import GOOD, Row, accepted, after, at, catalogue, purchases

from features.cleaning import RULES, CleaningReport, clean, item_spellings, merged

SHELF: list[Row] = [
    {"item_id": "apple", "cost_cents": 90},
    {"item_id": "fuel", "sold_by_measure": True},
    {"item_id": "fig", "sold_by_measure": False},
    {"item_id": "FIG"},
]
MINUTES = (0, 0, 0.5, 1, 1.5, 30, 60, 60.5, 90, 4000)
OWNERS = {"o1": "ann", "o2": "ann", "o3": "ann", "o4": "bob", "o5": None, "o6": None}

honest = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(tuple(OWNERS)),
        "line_no": st.integers(0, 2),
        "item_id": st.sampled_from(("apple", "apple", "APPLE", "pear", "Pear", "fuel", "FiG", None)),
        "quantity": st.sampled_from((1, 1, 1, 2, 0, None)),
        "net_cents": st.sampled_from((100, 100, 100, 70, 0)),
        "occurred_at": st.sampled_from([after(minutes=minutes) for minutes in MINUTES]),
        "kind": st.sampled_from(("sale", "sale", "return")),
        "recorded_at": st.sampled_from((None, None, None, after(minutes=1), after(days=3))),
        "file": st.sampled_from(("1.csv", "2.csv")),
    }
).map(lambda row: {**row, "member_id": OWNERS[row["order_id"]]})
broken = st.fixed_dictionaries(
    {},
    optional={
        "order_id": st.sampled_from(("o1", "{o}", " ")),
        "member_id": st.sampled_from((None, "ann", "bob", "", "a\tb", "a" * 200)),
        "item_id": st.sampled_from((None, "", "\u200b", "kiwi")),
        "quantity": st.sampled_from((None, 0, -1)),
        "net_cents": st.sampled_from((-100, -1, 0, 2**60, -(2**63))),
        "discount_cents": st.sampled_from((0, 1, 2**60)),
        "coupon_cents": st.sampled_from((-1, 0, 1)),
        "occurred_at": st.sampled_from([at(day) for day in ("1970-01-01", "2024-05-01T16:00", "2100-01-01", "9999-01-01")]),
        "local_hour": st.just(0),
        "superseded_at": st.just(after(days=1)),
    },
)


def as_rows(drawn: list[Row]) -> list[Row]:
    """Whole rows, each with a shop of its own, by which one can tell them apart; returns have amounts below 0."""
    rows = [{**GOOD, **row, "store_id": f"s{i:03}"} for i, row in enumerate(drawn)]
    return [
        {**row, "net_cents": -row["net_cents"]} if row["kind"] == "return" and row["net_cents"] > 0 else row for row in rows
    ]


def numbered(rows: list[Row]) -> list[Row]:
    """The rows as a source without line numbers has them: counted within each order and file."""
    seen: Counter[Any] = Counter()
    for row in rows:
        row["line_no"] = seen[row["order_id"], row["file"]]
        seen[row["order_id"], row["file"]] += 1
    return rows


clean_rows = st.lists(honest, max_size=25).map(as_rows)
dirty_rows = st.lists(st.one_of(honest, honest, st.tuples(honest, broken).map(lambda both: both[0] | both[1])), max_size=25)


def canonical(rows: list[Row]) -> list[Row]:
    """Rows without their file, by shop."""
    return sorted(({name: row[name] for name in GOOD} for row in rows), key=lambda row: row["store_id"])


@SHOPS
@pytest.mark.parametrize("by_content", [False, True], ids=["numbered", "unnumbered"])
@given(rows=dirty_rows.map(as_rows))
@example(rows=[])
def test_the_cleaning_is_the_one_in_plain_python(by_content: bool, rows: list[Row]) -> None:
    rows = numbered(rows) if by_content else rows
    expected = oracle.clean(rows, SHELF, by_content=by_content)

    result = clean(purchases(rows), catalogue(*SHELF), line_key="content" if by_content else "number")

    set_aside = {row["store_id"]: row["reason"] for row in result.set_aside.to_pyarrow().to_pylist()}
    assert set_aside == {
        row["store_id"]: reason for row, reason in zip(rows, expected.reasons, strict=True) if reason is not None
    }
    assert canonical(accepted(result)) == canonical(expected.kept)
    counted = {count.code: count.rows for count in result.report.rules if count.rows}
    assert counted == dict(Counter(set_aside.values()) + expected.notes)


@SHOPS
@given(rows=dirty_rows.map(as_rows))
def test_rows_in_are_accepted_quarantined_or_duplicates(rows: list[Row]) -> None:
    result = clean(purchases(rows), catalogue(*SHELF))
    report = result.report

    assert report.rows_in == len(rows) == report.accepted + report.quarantined + report.duplicates
    assert result.accepted.count().to_pyarrow().as_py() == report.accepted
    aside = canonical(result.set_aside.to_pyarrow().to_pylist())
    assert len(aside) == report.quarantined + report.duplicates
    came = {row["store_id"]: row for row in canonical(rows)}
    unchanged = [{**row, "superseded_at": came[row["store_id"]]["superseded_at"]} for row in aside]
    assert unchanged == [came[row["store_id"]] for row in aside]
    keys = [(row["order_id"], row["line_no"], row["recorded_at"]) for row in accepted(result)]
    assert len(set(keys)) == len(keys)


@SHOPS
@given(rows=clean_rows)
def test_what_was_accepted_is_accepted_again_unchanged(rows: list[Row]) -> None:
    once = accepted(clean(purchases(rows), catalogue(*SHELF)))

    twice = clean(purchases(once), catalogue(*SHELF))

    assert canonical(accepted(twice)) == canonical(once)


@SHOPS
@given(rows=dirty_rows.map(as_rows), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(rows: list[Row], order: Any) -> None:
    shuffled = order.sample(rows, len(rows))

    first, second = (clean(purchases(given), catalogue(*SHELF)) for given in (rows, shuffled))

    assert first.report == second.report


@SHOPS
@given(rows=clean_rows)
def test_members_cleaned_one_by_one_give_what_all_give_together(rows: list[Row]) -> None:
    shelf = catalogue(*SHELF)
    spellings = item_spellings(purchases(rows), shelf)
    whole = clean(purchases(rows), shelf)
    expected = canonical(accepted(whole))

    kept: list[Row] = []
    reports: list[CleaningReport] = []
    for member in ("ann", "bob", None):
        part = clean(purchases([row for row in rows if row["member_id"] == member]), shelf, spellings=spellings)
        kept += accepted(part)
        reports.append(part.report)

    assert canonical(kept) == expected
    assert merged(reports) == whole.report


def test_every_rule_finds_what_the_one_in_plain_python_finds() -> None:
    """One shop with something for every rule, so that none is compared in name only."""
    lines: list[Row] = [
        {"order_id": "{", "occurred_at": after()},
        {"order_id": "a", "occurred_at": at("1970-01-01")},
        {"order_id": "b", "net_cents": -1},
        {"order_id": "c", "quantity": 0, "net_cents": 0},
        {"order_id": "d"},
        {"order_id": "d"},
        {"order_id": "e"},
        {"order_id": "e", "line_no": 1, "kind": "return", "net_cents": -100, "item_id": "pear", "occurred_at": after(days=-1)},
        {"order_id": "f", "item_id": "soap"},
        {"order_id": "f", "line_no": 1, "item_id": "soap", "kind": "return", "net_cents": -100},
        {"order_id": "g", "item_id": "APPLE", "net_cents": 0, "occurred_at": after(days=1)},
        {"order_id": "h", "item_id": "fuel", "net_cents": 2**40, "occurred_at": after(days=2)},
    ]
    rows = as_rows([{"file": "", **line} for line in lines])

    found = oracle.clean(rows, SHELF)

    assert {reason for reason in found.reasons if reason} | set(found.notes) == {rule.code for rule in RULES}
    report = clean(purchases(rows), catalogue(*SHELF)).report
    assert {count.code: count.rows for count in report.rules} == Counter(r for r in found.reasons if r) + found.notes
