"""Rules that hold rows against each other: for each an example, and beside it what looks alike and is not."""

from typing import Any

import pytest
from purchase_rows import Row, accepted, after, at, catalogue, cleaned, counts, purchases, reasons, rows_of

from features.cleaning import Cleaned, Policy, clean

SALE: Row = {"order_id": "sold", "occurred_at": after()}
BACK: Row = {"order_id": "back", "kind": "return", "net_cents": -100, "occurred_at": after(minutes=30)}


def aside(result: Cleaned) -> list[tuple[str, int, str]]:
    """Order, line and reason of each row set aside, sorted."""
    return sorted((row["order_id"], row["line_no"], row["reason"]) for row in result.set_aside.to_pyarrow().to_pylist())


# Lines said twice


def test_the_same_line_again_is_a_duplicate_and_the_next_line_is_not() -> None:
    line = {"order_id": "basket", "line_no": 3}

    report = cleaned(line, line, line, {**line, "line_no": 4}, {**line, "order_id": "another"}).report

    assert (report.accepted, report.duplicates, report.quarantined) == (3, 2, 0)


def test_of_repeated_lines_the_first_stays() -> None:
    line = {"order_id": "basket", "line_no": 3, "occurred_at": at("2024-05-01")}
    later = {**line, "occurred_at": at("2024-05-02"), "net_cents": 7}

    assert [row["net_cents"] for row in accepted(cleaned(later, line))] == [100]


def test_a_line_recorded_anew_is_a_version_and_replaces_the_one_before() -> None:
    line = {"order_id": "basket", "occurred_at": after()}
    third = {**line, "net_cents": 300, "recorded_at": after(days=9)}
    second = {**line, "net_cents": 200, "recorded_at": after(days=2)}

    result = cleaned(third, line, second, second)

    known = {row["net_cents"]: row["superseded_at"] for row in accepted(result)}
    assert known == {100: after(days=2), 200: after(days=9), 300: None}
    assert counts(result) == {"repeated_line": 1}


def test_a_correction_to_nothing_voids_the_line() -> None:
    line = {"order_id": "basket", "occurred_at": after()}
    void = {**line, "quantity": 0, "net_cents": 0, "recorded_at": after(days=2)}

    result = cleaned(line, void)

    assert [(row["net_cents"], row["superseded_at"]) for row in accepted(result)] == [(100, after(days=2))]
    assert counts(result) == {"empty_line": 1}


def test_a_correction_that_is_wrong_itself_replaces_nothing() -> None:
    line = {"order_id": "basket", "occurred_at": after()}
    wrong = {**line, "net_cents": -1, "recorded_at": after(days=2)}

    assert [row["superseded_at"] for row in accepted(cleaned(line, wrong))] == [None]


def test_a_replacement_that_the_source_knows_of_stays_if_it_is_sooner() -> None:
    line = {"order_id": "basket", "occurred_at": after(), "superseded_at": after(days=1)}
    correction = {**line, "net_cents": 7, "recorded_at": after(days=2), "superseded_at": None}

    assert [row["superseded_at"] for row in accepted(cleaned(line, correction))] == [after(days=1), None]


TWO_APPLES = [{"order_id": "basket", "line_no": i, "occurred_at": after()} for i in range(2)]


def by_content(*changes: Row) -> Cleaned:
    return cleaned(*changes, line_key="content")


def test_without_line_numbers_identical_lines_of_one_export_are_as_many_goods() -> None:
    assert by_content(*TWO_APPLES).report.accepted == 2
    assert by_content(*({**line, "file": "may.csv"} for line in TWO_APPLES)).report.accepted == 2


def test_without_line_numbers_the_same_lines_of_another_export_are_duplicates() -> None:
    may = [{**line, "file": "may.csv"} for line in TWO_APPLES]
    june = [{**TWO_APPLES[0], "line_no": i, "file": "june.csv"} for i in range(3)]

    result = by_content(*may, *june)

    assert result.report.accepted == 3  # the larger of both numbers of apples
    assert counts(result) == {"repeated_line": 2}


def test_a_new_line_of_a_known_order_gets_a_number_of_its_own() -> None:
    may = {**TWO_APPLES[0], "file": "1.csv"}
    june = [{**may, "file": "2.csv"}, {**may, "line_no": 1, "file": "2.csv", "item_id": "soap"}]
    other = {"order_id": "other", "line_no": 7, "file": "1.csv"}
    pear = {**may, "line_no": 1, "item_id": "pear"}

    result = by_content(other, may, pear, *june)

    lines = {(row["order_id"], row["line_no"]): row["item_id"] for row in accepted(result)}
    assert lines == {("basket", 0): "apple", ("basket", 1): "pear", ("basket", 2): "soap", ("other", 7): "apple"}


# Sales taken back


def test_a_sale_and_its_return_within_the_hour_are_both_set_aside() -> None:
    assert set(reasons(cleaned(SALE, BACK)).values()) == {"cancelled"}


@pytest.mark.parametrize(
    "change",
    [
        {"occurred_at": after(minutes=60, microseconds=1)},
        {"occurred_at": after(seconds=-1)},
        {"net_cents": -99},
        {"member_id": "bob"},
        {"item_id": "pear"},
        {"item_id": None},
        {"order_id": "sold", "item_id": "pear"},  # an exchange on one receipt
        {"order_id": "sold", "member_id": None},
    ],
)
def test_what_is_no_return_of_the_sale_stays(change: Row) -> None:
    result = cleaned(SALE, {**BACK, "line_no": 1, **change})

    assert result.report.accepted == 2


@pytest.mark.parametrize(
    "change",
    [
        {"occurred_at": after(minutes=60)},
        {"occurred_at": after()},
        {"order_id": "sold", "item_id": None},  # the return names the order and no item
    ],
)
def test_what_is_a_return_of_the_sale_takes_it_back(change: Row) -> None:
    assert cleaned(SALE, {**BACK, "line_no": 1, **change}).report.quarantined == 2


def test_an_anonymous_return_takes_back_the_sale_of_its_own_order_only() -> None:
    nobody = {"member_id": None}

    assert cleaned({**SALE, **nobody}, {**BACK, **nobody}).report.quarantined == 0
    assert cleaned({**SALE, **nobody}, {**BACK, **nobody, "order_id": "sold", "line_no": 1}).report.quarantined == 2


def test_one_return_takes_back_one_sale_the_latest() -> None:
    sales = [{**SALE, "order_id": f"sold {minute}", "occurred_at": after(minutes=minute)} for minute in (0, 10, 20)]

    assert aside(cleaned(*sales, BACK)) == [("back", 0, "cancelled"), ("sold 20", 0, "cancelled")]


def test_the_sale_of_the_returns_own_order_comes_first() -> None:
    other = {**SALE, "order_id": "other", "occurred_at": after(minutes=29)}

    found = aside(cleaned(SALE, other, {**BACK, "order_id": "sold", "line_no": 1}))

    assert found == [("sold", 0, "cancelled"), ("sold", 1, "cancelled")]


def test_of_two_returns_of_one_sale_the_second_stays() -> None:
    again = {**BACK, "order_id": "back again", "occurred_at": after(minutes=40)}

    result = cleaned(SALE, BACK, again)

    assert [row["order_id"] for row in accepted(result)] == ["back again"]
    assert counts(result) == {"cancelled": 2, "return_without_sale": 1}


def test_a_sale_that_was_corrected_is_taken_back_at_its_corrected_amount() -> None:
    corrected = {**SALE, "net_cents": 90, "recorded_at": after(minutes=5)}

    result = cleaned(SALE, corrected, {**BACK, "net_cents": -90})

    assert [(row["net_cents"], row["superseded_at"]) for row in accepted(result)] == [(100, after(minutes=5))]


# Orders sent twice


def order(name: str, seconds: float, *lines: Row, **change: Any) -> list[Row]:
    """The lines of an order that many seconds after noon."""
    when = after(seconds=seconds)
    return [{"order_id": name, "line_no": i, "occurred_at": when, **change, **line} for i, line in enumerate(lines)]


BASKET: tuple[Row, ...] = ({"item_id": "apple"}, {"item_id": "pear", "net_cents": 250, "quantity": 2})


def test_the_same_order_within_a_minute_is_a_duplicate() -> None:
    result = cleaned(*order("b", 60, *reversed(BASKET)), *order("a", 0, *BASKET))

    assert aside(result) == [("b", 0, "near_duplicate_order"), ("b", 1, "near_duplicate_order")]
    assert (result.report.accepted, result.report.duplicates) == (2, 2)


@pytest.mark.parametrize(
    "second",
    [
        order("b", 60.000001, *BASKET),
        order("b", 30, *BASKET, member_id="bob"),
        order("b", 30, *BASKET, {"item_id": "soap"}),
        order("b", 30, BASKET[0]),
        order("b", 30, {"item_id": "apple", "net_cents": 250}, {"item_id": "pear", "net_cents": 100, "quantity": 2}),
        order("b", 30, BASKET[0], {**BASKET[1], "discount_cents": 1}),
    ],
)
def test_another_order_is_no_duplicate(second: list[Row]) -> None:
    assert cleaned(*order("a", 0, *BASKET), *second).report.accepted == 2 + len(second)


def test_orders_of_strangers_are_never_the_same() -> None:
    assert cleaned(*order("a", 0, *BASKET, member_id=None), *order("b", 1, *BASKET, member_id=None)).report.accepted == 4


def test_of_equal_moments_the_smaller_order_id_stays() -> None:
    assert aside(cleaned(*order("b", 0, BASKET[0]), *order("a", 0, BASKET[0]))) == [("b", 0, "near_duplicate_order")]


def test_another_order_in_between_hides_nothing() -> None:
    between = order("b", 20, {"item_id": "soap"})

    assert aside(cleaned(*order("a", 0, BASKET[0]), *between, *order("c", 40, BASKET[0]))) == [("c", 0, "near_duplicate_order")]


def test_orders_of_which_only_the_day_is_known_are_no_duplicates() -> None:
    midnight = {"occurred_at": at("2024-05-01T18:30"), "local_hour": 0}  # in India

    assert cleaned(*order("a", 0, *BASKET), *order("b", 0, *BASKET)).report.duplicates == 2
    assert cleaned(*order("a", 0, {**BASKET[0], **midnight}), *order("b", 0, {**BASKET[0], **midnight})).report.duplicates == 0


def test_of_an_order_sent_twice_and_taken_back_once_the_other_stays() -> None:
    result = cleaned(*order("a", 0, BASKET[0]), *order("b", 20, BASKET[0]), BACK)

    assert [row["order_id"] for row in accepted(result)] == ["a"]
    assert counts(result) == {"cancelled": 2}


# Returns


def test_a_return_is_noted_if_no_earlier_sale_of_that_member_and_item_is_known() -> None:
    late = {**BACK, "occurred_at": after(days=5), "net_cents": -40}

    assert "return_without_sale" not in counts(cleaned(SALE, late))
    for change in ({"member_id": "bob"}, {"item_id": "pear"}, {"item_id": None}, {"occurred_at": after(seconds=-1)}):
        result = cleaned(SALE, {**late, **change})
        assert counts(result)["return_without_sale"] == 1, change
        assert result.report.accepted == 2


def test_a_stranger_s_return_is_not_held_against_sales() -> None:
    assert "return_without_sale" not in counts(cleaned({**BACK, "member_id": None}))


def test_a_return_may_be_of_a_sale_that_was_taken_in_before() -> None:
    sold = clean(purchases(rows_of(SALE)), catalogue()).accepted.cache()

    assert "return_without_sale" not in counts(cleaned({**BACK, "occurred_at": after(days=5)}, earlier=sold))
    assert counts(cleaned({**BACK, "occurred_at": after(days=-5)}, earlier=sold))["return_without_sale"] == 1


# What a shop wants otherwise


def test_a_rule_can_take_rows_out_that_it_only_noted_and_note_what_it_took_out() -> None:
    strict = Policy(severity={"return_without_sale": "quarantine", "zero_value": "duplicate", "cancelled": "note"})
    rows = (SALE, BACK, {**BACK, "order_id": "b", "item_id": "pear"}, {"order_id": "free", "net_cents": 0})

    result = cleaned(*rows, policy=strict)

    assert reasons(result) == {"sold": None, "back": None, "b": "return_without_sale", "free": "zero_value"}
    assert {"cancelled": 2, "return_without_sale": 1, "zero_value": 1}.items() <= counts(result).items()
    assert {count.code: count.action for count in result.report.rules}["cancelled"] == "note"


def test_a_rule_that_is_off_is_not_in_the_report() -> None:
    off = Policy(severity={"cancelled": "off", "case_only_item_id": "off", "sold_by_measure": "off"})

    result = cleaned({**SALE, "item_id": "APPLE"}, {**BACK, "item_id": "APPLE"}, policy=off)

    assert [row["item_id"] for row in accepted(result)] == ["APPLE", "APPLE"]
    assert set(off.severity).isdisjoint(count.code for count in result.report.rules)
    assert counts(result) == {"unknown_item": 2}


def test_thresholds_move_the_edges() -> None:
    wide = Policy(near_duplicate_seconds=90, cancel_minutes=61)

    assert cleaned(*order("a", 0, *BASKET), *order("b", 90, *BASKET), policy=wide).report.duplicates == 2
    assert cleaned(SALE, {**BACK, "occurred_at": after(minutes=61)}, policy=wide).report.quarantined == 2
