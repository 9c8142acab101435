"""Single fields of a mapping: what each form reads, what it refuses to guess, and Parquet that has its types already."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped_shops import PURCHASES, one_sale, staged

from features.errors import SourceError


def amount(folder: Path, written: str, *, decimal: str = ".", unit: str = "units") -> dict[str, Any]:
    rule = f'net = {{ column = "n", unit = "{unit}" }}'
    return one_sale(folder, rule, "n", f'"{written}"', f'decimal = "{decimal}"')


@pytest.mark.parametrize(
    ("written", "decimal", "cents"),
    [
        ("12.34", ".", 1234),
        ("12.345", ".", 1234),  # half to even
        ("12.355", ".", 1236),
        ("-3", ".", -300),
        ("1,234.50", ".", 123_450),
        ("12,34,567.5", ".", 123_456_750),  # Indian groups
        ("1'234.50", ".", 123_450),
        ("€ 12.50", ".", 1250),
        ("12.50 EUR", ".", 1250),
        ("USD 12.50", ".", 1250),
        ("¥1,200", ".", 120_000),
        ("(12.50)", ".", -1250),
        ("12.50-", ".", -1250),
        ("1e2", ".", 10_000),
        ("1.234,50", ",", 123_450),
        ("1\u202f234,50", ",", 123_450),
        ("12,5", ",", 1250),
        ("7", ",", 700),
        ("98765432109876.54", ".", 9_876_543_210_987_654),
    ],
)
def test_amounts_as_shops_write_them(tmp_path: Path, written: str, decimal: str, cents: int) -> None:
    row = amount(tmp_path, written, decimal=decimal)

    assert (row["net_cents"], row["reason"]) == (cents, None)


@pytest.mark.parametrize(
    ("written", "decimal"),
    [
        ("1,5", "."),
        ("1.5", ","),
        ("1.2.3", "."),
        ("twelve", "."),
        ("12x34", "."),
        ("-", "."),
        ("NaN", "."),
        ("1e400", "."),
        ("", "."),
    ],
)
def test_amounts_that_would_have_to_be_guessed_are_set_aside(tmp_path: Path, written: str, decimal: str) -> None:
    assert amount(tmp_path, written, decimal=decimal)["reason"] == "unreadable_net"


@settings(max_examples=25)
@given(cents=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30), comma=st.booleans(), thousands=st.booleans())
def test_amounts_come_back_whatever_their_signs(
    tmp_path_factory: pytest.TempPathFactory, cents: list[int], comma: bool, thousands: bool
) -> None:
    written = [f"{Decimal(n) / 100:{',' if thousands else ''}.2f}" for n in cents]
    if comma:
        written = [text.translate(str.maketrans(",.", ".,")) for text in written]
    mapping = PURCHASES.replace('net = "total"', f'decimal = "{"," if comma else "."}"\ndelimiter = ";"\nnet = "total"')
    lines = "".join(f"c;{text};2024-05-01\n" for text in written)
    rows = staged(tmp_path_factory.mktemp("shop"), mapping, {"sales.csv": "card;total;at\n" + lines})["purchases"]

    assert [row["net_cents"] for row in rows] == cents


def test_money_in_cents_and_blank_discounts(tmp_path: Path) -> None:
    fields = 'net = { column = "n", unit = "cents" }\ndiscount = "d"\ncoupon = { expression = "a + b" }'
    row = one_sale(tmp_path, fields, "n;d;a;b", "1234;;1.10;2.20")

    assert (row["net_cents"], row["discount_cents"], row["coupon_cents"]) == (1234, 0, 330)


def test_purchases_without_amounts_have_none(tmp_path: Path) -> None:
    row = one_sale(tmp_path, 'member_id = "c"\nquantity = "q"', "c;q", "7;2")

    assert (row["net_cents"], row["quantity"], row["kind"], row["reason"]) == (0, 2, "sale", None)


@pytest.mark.parametrize(
    ("written", "expected", "reason"),
    [
        ("3", 3, None),
        ("3.0", 3, None),
        ("0.752", None, None),
        ("-2", -2, None),
        ("two", None, "unreadable_quantity"),
        ("", None, None),
    ],
)
def test_quantities_that_are_weights_are_no_pieces(
    tmp_path: Path, written: str, expected: int | None, reason: str | None
) -> None:
    row = one_sale(tmp_path, 'quantity = "q"', "q;x", f"{written};")

    assert (row["quantity"], row["reason"]) == (expected, reason)


def test_goods_sold_by_measure_have_no_pieces_whatever_the_quantity_says(tmp_path: Path) -> None:
    mapping = (
        PURCHASES
        + 'item_id = "sku"\nquantity = "qty"\n[items]\nfiles = "items.csv"\nitem_id = "sku"\ncategory = "family"\n'
        + "sold_by_measure = { expression = \"coalesce(family, '') || ' ' || coalesce(name, '')\", matches = \"FUEL|GAS\" }\n"
    )
    files = {
        "sales.csv": "card,total,at,sku,qty\nc,1,2024-05-01,007,89638\nc,1,2024-05-01,8,2\nc,1,2024-05-01,,4\n",
        "items.csv": "sku,family,name\n007,,SUPER GAS\n8,PEARS,\n9,,\n",
    }
    found = staged(tmp_path, mapping, files)

    assert [row["quantity"] for row in found["purchases"]] == [None, 2, 4]
    assert {row["item_id"]: row["sold_by_measure"] for row in found["items"]} == {"007": True, "8": False, "9": False}


@pytest.mark.parametrize(
    ("written", "rule", "expected"),
    [
        ("2024-05-01 10:00", "", datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("2024-05-01T10:00:00+08", "", datetime(2024, 5, 1, 2, tzinfo=UTC)),
        ("2024-05-01 10:00:00 UTC", "", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00:00.250Z", "", datetime(2024, 5, 1, 10, microsecond=250_000, tzinfo=UTC)),
        ("2024-05-01", ', zone = "UTC"', datetime(2024, 5, 1, tzinfo=UTC)),
        ("01.05.2024 10:00", ', format = "%d.%m.%Y %H:%M"', datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("01.05.2024 10:00 +0900", ', format = "%d.%m.%Y %H:%M %z"', datetime(2024, 5, 1, 1, tzinfo=UTC)),
        ("1714557600", ', format = "unix"', datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("1714557600123", ', format = "unix_ms"', datetime(2024, 5, 1, 10, microsecond=123_000, tzinfo=UTC)),
        ("45413.5", ', format = "excel"', datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("1970-01-01 01:00", "", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-30 10:00", "", datetime(9999, 12, 30, 9, tzinfo=UTC)),
        ("2024-03-31 02:30", "", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),  # the hour that spring skips
    ],
)
def test_moments_as_shops_write_them(tmp_path: Path, written: str, rule: str, expected: datetime) -> None:
    row = one_sale(tmp_path, f'occurred_at = {{ column = "at"{rule} }}', "at;x", f"{written};")
    local = expected.astimezone(ZoneInfo("Europe/Paris"))

    assert row["reason"] is None
    assert row["occurred_at"].replace(tzinfo=UTC) == expected
    assert (row["local_day"], row["local_hour"]) == ((local.date() - date(1970, 1, 1)).days, local.hour)


@pytest.mark.parametrize(
    "written",
    ["2024-05-01 10:00 PM", "infinity", "epoch", "2024-13-01", "10000-01-01", "0000-00-00", "2024-05", "1714557600", "now"],
)
def test_what_is_no_moment_without_a_guess_is_set_aside(tmp_path: Path, written: str) -> None:
    assert one_sale(tmp_path, 'occurred_at = "at"', "at;x", f"{written};")["reason"] == "unreadable_occurred_at"


def test_yes_and_no_in_several_tongues_and_nothing_else(tmp_path: Path) -> None:
    words = ["yes", "Nein", "是", "0", "TRUE", "", "maybe"]
    mapping = PURCHASES + '\n[members]\nfiles = "members.csv"\nmember_id = "id"\nmarketing_consent = "ok"\n'
    lines = "".join(f"{number},{word}\n" for number, word in enumerate(words))
    found = staged(tmp_path, mapping, {"sales.csv": "card,total,at\n1,1,2024-05-01\n", "members.csv": "id,ok\n" + lines})

    assert [row["marketing_consent"] for row in found["members"]] == [True, False, True, False, True, None, None]
    assert found["gaps"] == [{"code": "members_unreadable_marketing_consent", "rows": 1}]


@pytest.mark.parametrize(
    ("written", "rule", "expected"),
    [("3", "", 3), ("1985-07-30", "", 7), ("30.07.85", ', format = "%d.%m.%y"', 7), ("13", "", None), ("", "", None)],
)
def test_months_of_birth_from_numbers_and_dates(tmp_path: Path, written: str, rule: str, expected: int | None) -> None:
    mapping = PURCHASES + f'\n[members]\nfiles = "members.csv"\nmember_id = "id"\nbirth_month = {{ column = "born"{rule} }}\n'
    found = staged(tmp_path, mapping, {"sales.csv": "card,total,at\n", "members.csv": f"id,born\n7,{written}\n"})

    assert found["members"][0]["birth_month"] == expected


def parquet(folder: Path, columns: dict[str, pa.Array], fields: str, **files: str) -> list[dict[str, Any]]:
    """Purchases of a Parquet file of these columns."""
    pyarrow.parquet.write_table(pa.table(columns), folder / "sales.parquet")
    mapping = f'[purchases]\nfiles = "sales.parquet"\n{fields}\n'
    return staged(folder, mapping, files)["purchases"]


def test_parquet_with_types_gives_what_its_text_would(tmp_path: Path) -> None:
    columns = {
        "card": pa.array([123, None, 7], pa.int64()),
        "total": pa.array([Decimal("1.50"), Decimal("-2.25"), None], pa.decimal128(9, 2)),
        "qty": pa.array([1.0, 0.75, float("nan")], pa.float64()),
        "at": pa.array([datetime(2024, 5, 1, 10, tzinfo=UTC)] * 3, pa.timestamp("ns", "Asia/Tokyo")),
        "own": pa.array([1, 2, 3], pa.uint8()),
    }
    rows = parquet(
        tmp_path, columns, 'member_id = "card"\nnet = "total"\nquantity = "qty"\nstore_id = "own"\noccurred_at = "at"'
    )

    assert [row["member_id"] for row in rows] == ["123", None, "7"]
    assert [row["net_cents"] for row in rows] == [150, -225, None]
    assert [row["quantity"] for row in rows] == [1, None, None]
    assert [row["reason"] for row in rows] == [None, None, "unreadable_net"]
    assert {row["occurred_at"] for row in rows} == {datetime(2024, 5, 1, 10)}  # noqa: DTZ001 # facts are naive UTC
    assert [row["local_hour"] for row in rows] == [12, 12, 12]


@pytest.mark.parametrize(
    ("kind", "zone", "hour"), [(pa.timestamp("us"), "", 8), (pa.timestamp("ms"), "UTC", 10), (pa.date32(), "", 22)]
)
def test_naive_parquet_moments_are_of_the_zone_that_is_named(tmp_path: Path, kind: pa.DataType, zone: str, hour: int) -> None:
    at = pa.array([datetime(2024, 5, 1, 10)], pa.timestamp("us")).cast(kind, safe=False)  # noqa: DTZ001 # that is the point
    rows = parquet(
        tmp_path, {"at": at}, f'occurred_at = {{ column = "at", zone = "{zone}" }}' if zone else 'occurred_at = "at"'
    )

    assert rows[0]["occurred_at"].hour == hour


def test_ids_kept_as_floating_point_keep_their_digits_or_are_set_aside(tmp_path: Path) -> None:
    card = pa.array([12345.0, None, 2.0**53, 1.5], pa.float64())
    at = pa.array(["2024-05-01"] * 4)
    rows = parquet(tmp_path, {"card": card, "at": at}, 'member_id = "card"\noccurred_at = "at"')

    assert [row["member_id"] for row in rows] == ["12345", None, None, "1.5"]
    assert [row["reason"] for row in rows] == [None, None, "unreadable_member_id", None]


@pytest.mark.parametrize("expression", ["read_text(at)", "(SELECT 1)", "a; DROP TABLE x", "getenv('HOME')", "*", "a IN (1, 2)"])
def test_expressions_do_arithmetic_and_nothing_else(tmp_path: Path, expression: str) -> None:
    with pytest.raises(SourceError, match="expression"):
        one_sale(tmp_path, f'net = {{ expression = "{expression}" }}', "a;b", "1;2")


def test_an_expression_joins_day_and_time(tmp_path: Path) -> None:
    rule = 'occurred_at = { expression = "day || \' \' || time", format = "%d.%m.%Y %H:%M" }'
    row = one_sale(tmp_path, rule, "day;time", "01.05.2024;23:30")

    assert (row["local_day"], row["local_hour"]) == (19844, 23)
