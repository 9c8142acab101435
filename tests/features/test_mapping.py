"""A shop's own files by a mapping: what is read how, what is set aside, and what a wrong mapping is told."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from features.errors import SourceError
from features.facts import Facts
from features.sources.mapped import MappedImport, import_mapped

HEAD = 'source = "shop"\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\n'
PLAIN = """
[purchases]
files = "*.csv"
order_id = "ticket"
member_id = "card"
item_id = "sku"
net = "total"
occurred_at = "at"
"""


def import_from(folder: Path, mapping: str, files: dict[str, str | bytes]) -> MappedImport:
    """Write files and a mapping, and import them."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "shop.toml").write_text(
        f"{HEAD}{mapping}\n[cleaning]\nmax_quarantine_share = 1.0\n"
    )  # of two rows one may be bad
    return import_mapped(folder / "facts", folder / "shop.toml")


def purchases(folder: Path) -> list[dict[str, Any]]:
    """Accepted purchases in a fixed order."""
    table = Facts.open(folder / "facts").tables["purchases"]
    rows: list[dict[str, Any]] = table.order_by("order_id", "line_no").to_pyarrow().to_pylist()
    return rows


def one_line(total: str = "1.00", at: str = "2024-05-01 10:00:00", card: str = "c1", sku: str = "s1") -> str:
    """A CSV with one purchase."""
    return f'ticket,card,sku,total,at\nt1,{card},{sku},"{total}",{at}\n'


def test_amounts_days_and_hours_are_those_of_the_shop(tmp_path: Path) -> None:
    import_from(tmp_path, PLAIN, {"a.csv": one_line("12.345", "2024-05-01 00:30:00")})

    row = purchases(tmp_path)[0]

    assert row["net_cents"] == 1234  # half to even
    assert row["occurred_at"] == datetime(2024, 4, 30, 22, 30)  # noqa: DTZ001 # facts are naive UTC
    assert (row["local_day"], row["local_hour"]) == (19844, 0)  # 1 May 2024 in Paris


@pytest.mark.parametrize("identifier", ["00123", "NA", "None", "null", "12345678901234567", "会员一"])
def test_identifiers_stay_what_they_are(tmp_path: Path, identifier: str) -> None:
    import_from(tmp_path, PLAIN, {"a.csv": one_line(card=identifier)})

    assert purchases(tmp_path)[0]["member_id"] == identifier


def test_a_blank_identifier_is_no_member(tmp_path: Path) -> None:
    import_from(tmp_path, PLAIN, {"a.csv": one_line(card="   ")})

    assert purchases(tmp_path)[0]["member_id"] is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-05-01 10:00:00", datetime(2024, 5, 1, 8)),  # noqa: DTZ001
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10)),  # noqa: DTZ001
        ("2024-05-01T10:00:00-05:00", datetime(2024, 5, 1, 15)),  # noqa: DTZ001
        ("2024-05-01", datetime(2024, 4, 30, 22)),  # noqa: DTZ001
    ],
)
def test_moments_with_and_without_a_zone(tmp_path: Path, written: str, expected: datetime) -> None:
    import_from(tmp_path, PLAIN, {"a.csv": one_line(at=written)})

    assert purchases(tmp_path)[0]["occurred_at"] == expected


def test_excel_days_and_several_formats(tmp_path: Path) -> None:
    mapping = PLAIN.replace('"at"', '{ column = "at", format = ["%d/%m/%Y %H:%M", "excel"] }')
    lines = "ticket,card,sku,total,at\nt1,c,s,1,31/12/2024 10:00\nt2,c,s,1,45413.5\n"
    import_from(tmp_path, mapping, {"a.csv": lines})

    assert [row["local_day"] for row in purchases(tmp_path)] == [20088, 19844]
    assert [row["local_hour"] for row in purchases(tmp_path)] == [10, 12]


@pytest.mark.parametrize(
    ("column", "written", "reason"),
    [("total", "twelve", "unreadable_net"), ("total", "", "unreadable_net"), ("at", "yesterday", "unreadable_occurred_at")],
)
def test_what_cannot_be_read_is_set_aside_with_its_reason(tmp_path: Path, column: str, written: str, reason: str) -> None:
    good, bad = one_line(), one_line(**{column: written}).splitlines()[1].replace("t1", "t2")
    found = import_from(tmp_path, PLAIN, {"a.csv": good + bad + "\n"})

    report = found.report
    set_aside = pyarrow.parquet.read_table(tmp_path / "facts" / "quarantine.parquet").to_pylist()

    assert (report.rows_in, report.accepted, report.quarantined) == (2, 1, 1)
    assert [row["reason"] for row in set_aside] == [reason]


@pytest.mark.parametrize("year", ["1970", "9999"])
def test_years_outside_any_books_are_quarantined(tmp_path: Path, year: str) -> None:
    found = import_from(tmp_path, PLAIN, {"a.csv": one_line() + f"t2,c1,s1,1,{year}-01-02 00:00:00\n"})

    assert {count.code: count.rows for count in found.report.rules}["impossible_date"] == 1


@pytest.mark.parametrize(("encoding", "named"), [("gbk", "gbk"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16")])
def test_other_encodings(tmp_path: Path, encoding: str, named: str) -> None:
    mapping = PLAIN.replace("order_id", f'encoding = "{named}"\norder_id')
    import_from(tmp_path, mapping, {"a.csv": one_line(card="会员一").encode(encoding)})

    assert purchases(tmp_path)[0]["member_id"] == "会员一"


def test_the_wrong_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.csv"):
        import_from(tmp_path, PLAIN, {"a.csv": one_line(card="会员一").encode("gbk")})


def test_gzip_json_lines_and_parquet_give_the_same_facts(tmp_path: Path) -> None:
    row = {"ticket": "t1", "card": "00123", "sku": "s1", "total": "1.50", "at": "2024-05-01 10:00:00"}
    parquet = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pa.table({name: [value] for name, value in row.items()}), parquet)
    csv = gzip.compress((",".join(row) + "\n" + ",".join(row.values()) + "\n").encode())
    contents = {"a.csv.gz": csv, "a.jsonl": json.dumps(row), "a.parquet": parquet.read_bytes()}
    found = []
    for name, content in contents.items():
        folder = tmp_path / name
        folder.mkdir()
        found.append(import_from(folder, PLAIN.replace("*.csv", name), {name: content}).manifest.hash)

    assert len(set(found)) == 1


def test_importing_again_changes_nothing_and_new_files_are_taken_along(tmp_path: Path) -> None:
    first = import_from(tmp_path, PLAIN, {"a.csv": one_line()}).manifest
    again = import_from(tmp_path, PLAIN, {}).manifest
    more = import_from(tmp_path, PLAIN, {"b.csv": one_line(at="2024-05-02 10:00:00").replace("t1", "t2")}).manifest

    assert first == again
    assert (first.rows["purchases"], more.rows["purchases"]) == (1, 2)


def test_a_line_in_two_exports_counts_once(tmp_path: Path) -> None:
    found = import_from(tmp_path, PLAIN, {"a.csv": one_line(), "b.csv": one_line()})

    assert (found.report.accepted, found.report.duplicates) == (1, 1)


def test_decimal_comma_expressions_values_and_returns(tmp_path: Path) -> None:
    mapping = """
[purchases]
files = "*.csv"
delimiter = ";"
decimal = ","
net = { expression = "qty * price" }
quantity = "qty"
channel = { column = "till", values = { WWW = "web" } }
occurred_at = "at"
"""
    import_from(tmp_path, mapping, {"a.csv": "qty;price;till;at\n2;1.234,50;WWW;2024-05-01\n-1;3,00;7;2024-05-02\n"})

    found = sorted(purchases(tmp_path), key=lambda row: row["local_day"])

    assert [row["net_cents"] for row in found] == [246_900, -300]
    assert [row["kind"] for row in found] == ["sale", "return"]
    assert [row["channel"] for row in found] == ["web", "other"]
    assert found[0]["order_id"] != found[1]["order_id"]


@pytest.mark.parametrize(
    ("mapping", "message", "remedy"),
    [
        (PLAIN.replace("net", "nett"), "'nett' is unknown", "did you mean net"),
        (
            PLAIN.replace("total", "totals"),
            "purchases.net | totals   | no such column | total   | a.csv",
            "[purchases] has at, card",
        ),
        (PLAIN.replace("*.csv", "*.xls"), "nothing matches", "looked below"),
        (PLAIN.replace('occurred_at = "at"\n', ""), "does not say where occurred_at comes from", ""),
        ("[items]\n", "no [purchases]", ""),
        (PLAIN.replace('"total"', '{ expression = "read_text(at)" }'), "uses", "may be used"),
        (PLAIN.replace('"total"', "{ constant = 1, column = 'a' }"), "exactly one", ""),
    ],
)
def test_a_wrong_mapping_is_told_what_is_wrong(tmp_path: Path, mapping: str, message: str, remedy: str) -> None:
    with pytest.raises(SourceError) as raised:
        import_from(tmp_path, mapping, {"a.csv": one_line()})

    assert message in str(raised.value)
    assert remedy in raised.value.remedy


def test_a_truncated_parquet_file_leaves_the_facts_as_they_were(tmp_path: Path) -> None:
    before = import_from(tmp_path, PLAIN, {"a.csv": one_line()}).manifest
    with pytest.raises(SourceError, match=r"p\.parquet cannot be read"):
        import_from(tmp_path, PLAIN.replace("*.csv", "p.parquet"), {"p.parquet": b"PAR1 truncated"})

    assert Facts.open(tmp_path / "facts").manifest == before


def test_a_catalogue_that_names_an_item_twice_doubles_no_purchase(tmp_path: Path) -> None:
    mapping = PLAIN + '\n[items]\nfiles = "items.txt"\nitem_id = "sku"\ncategory = "family"\n'
    found = import_from(tmp_path, mapping, {"a.csv": one_line(), "items.txt": "sku,family\ns1,pears\ns1,apples\n"})

    assert (found.manifest.rows["items"], found.manifest.rows["purchases"]) == (1, 1)
