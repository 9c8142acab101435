"""A shop's files as they come: signs, headers, packing, rows that are none, files that are broken, and columns that moved."""

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from mapped_shops import PURCHASES, staged, written

from features.errors import SchemaMismatch, SourceError
from features.facts import Facts
from features.sources import staging as staging_module
from features.sources.mapped import import_mapped
from features.sources.mapping import read_mapping
from features.sources.staging import ENOUGH_ROWS, Staging

LINES = "card,total,at\n007,1.50,2024-05-01\nNA,2,2024-05-02\n"
TWO = [("007", 150), ("NA", 200)]


def sales(folder: Path, content: str | bytes, options: str = "", name: str = "sales.csv") -> list[dict[str, Any]]:
    """The purchases of one file read with these options."""
    mapping = PURCHASES.replace('files = "sales.csv"', f'files = "{name}"\n{options}')
    return staged(folder, mapping, {name: content})["purchases"]


def members_and_cents(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["member_id"], row["net_cents"]) for row in rows if row["reason"] is None]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (LINES, ""),
        (LINES.replace(",", "\t"), 'delimiter = "tab"'),
        (LINES.replace(",", "|"), 'delimiter = "|"'),
        (LINES.replace(",", "~~"), 'delimiter = "~~"'),
        (" card   total \t at\n 007  1.50   2024-05-01 \n\nNA\t2 2024-05-02\n", 'delimiter = "whitespace"'),
        ("007 1.50 2024-05-01\nNA 2 2024-05-02", 'delimiter = "whitespace"\ncolumns = ["card", "total", "at"]'),
        (LINES.split("\n", 1)[1], 'columns = ["card", "total", "at"]'),
        ("Sales of the week\n\n" + LINES, "skip = 2"),
        (LINES.replace("007", "'007'"), 'quote = "\'"'),
        (LINES.replace("\n", "\r\n"), ""),
        (LINES.replace("\n", "\r"), ""),
        ("\ufeff" + LINES, ""),
        (LINES.replace("card,total,at", ' card ,"total", at'), ""),
        (LINES.encode("utf-16"), 'encoding = "utf-16"'),
    ],
)
def test_text_files_of_many_kinds_say_the_same(tmp_path: Path, content: str | bytes, options: str) -> None:
    assert members_and_cents(sales(tmp_path, content, options)) == TWO


@pytest.mark.parametrize("name", ["sales.csv.gz", "sales.csv.zst", "sales.jsonl.gz", "sales.parquet.gz", "sales.parquet"])
def test_packed_files_say_the_same(tmp_path: Path, name: str) -> None:
    table = pa.table({"card": ["007", "NA"], "total": ["1.50", "2"], "at": ["2024-05-01", "2024-05-02"]})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    plain = {
        "csv": LINES.encode(),
        "jsonl": "\n".join(json.dumps(row) for row in table.to_pylist()).encode(),
        "parquet": sink.getvalue().to_pybytes(),
    }[name.split(".")[1]]
    packed = gzip.compress(plain) if name.endswith(".gz") else pa.Codec("zstd").compress(plain).to_pybytes()

    assert members_and_cents(sales(tmp_path, packed if name.count(".") == 2 else plain, name=name)) == TWO


def test_json_lines_keep_long_numbers_and_reach_one_level_further_in(tmp_path: Path) -> None:
    lines = [
        {"who": {"card": 12345678901234567}, "total": 1.10, "at": "2024-05-01", "At": "x"},
        {"who": {"card": 123456789012345678901234}, "total": "2", "at": "2024-05-02"},
        {"who": {"card": None}, "total": 3, "at": "2024-05-03"},
    ]
    content = "\n".join(map(json.dumps, lines)) + "\nbroken {\n[1, 2]\n"
    mapping = PURCHASES.replace("sales.csv", "sales.jsonl").replace('"card"', '"who.card"')
    rows = staged(tmp_path, mapping, {"sales.jsonl": content})["purchases"]

    assert members_and_cents(rows) == [("12345678901234567", 110), ("123456789012345678901234", 200), (None, 300)]
    assert [row["reason"] for row in rows if row["reason"]] == ["unreadable_row", "unreadable_row"]


def test_rows_with_too_few_or_too_many_columns_are_set_aside(tmp_path: Path) -> None:
    ragged = 'b,2\nc,3,2024-05-03,x\nd,"4"4,2024-05-04\n"e\ne",5,2024-05-05\n'
    rows = sales(tmp_path, LINES + ragged)

    assert members_and_cents(rows) == [*TWO, ("e\ne", 500)]
    assert [row["reason"] for row in rows if row["reason"]] == ["unreadable_row"] * 3


def test_rows_of_blanks_with_too_few_columns_are_set_aside(tmp_path: Path) -> None:
    rows = sales(tmp_path, "card total at\n007 1.50 2024-05-01\nb 2\n", 'delimiter = "whitespace"')

    assert [row["reason"] for row in rows] == [None, "unreadable_row"]


def test_a_name_that_stands_twice_is_told_apart(tmp_path: Path) -> None:
    rows = sales(tmp_path, "card,total,at,Total\n007,1,2024-05-01,9\n")

    assert members_and_cents(rows) == [("007", 100)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("sales.csv", "", "sales.csv has no columns"),
        ("sales.csv", LINES.replace("007", "会员一").encode("gbk"), "sales.csv is not in UTF-8"),
        ("sales.csv.gz", gzip.compress((LINES + "x,1,2024-05-01\n" * 50_000).encode())[:200], "sales.csv.gz"),
        ("sales.parquet", b"PAR1 cut off", "sales.parquet cannot be read"),
        ("sales.jsonl", "[1, 2]\n", "sales.jsonl has no JSON objects"),
        ("sales.csv", "card;total;at\n" + "a;1;2024-05-01\n" * 20, "no such column"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        sales(tmp_path, content, name=name)


def test_broken_files_are_skipped_and_counted_where_the_mapping_says_so(tmp_path: Path) -> None:
    whole = gzip.compress((LINES + "x,1,2024-05-01\n" * 50_000).encode())
    mapping = 'on_bad_file = "skip"\n' + PURCHASES.replace("sales.csv", "*.gz")
    files = {
        "shop.toml": "",
        "a.csv.gz": gzip.compress(LINES.encode()),
        "b.csv.gz": whole[: len(whole) // 2],
        "c.csv.gz": b"no gzip",
    }
    header = 'source = "shop"\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\n'
    found = staged(tmp_path, header + mapping, files)

    assert members_and_cents(found["purchases"]) == TWO
    assert {skipped["file"] for skipped in found["skipped"]} == {"b.csv.gz", "c.csv.gz"}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    shop = read_mapping(written(tmp_path, PURCHASES, {"sales.csv": LINES}))
    with duckdb.connect() as duck:
        staging = Staging(duck, shop, tmp_path)
        hashes = staging.hashes()
        (tmp_path / "sales.csv").write_text(LINES + "b,3,2024-05-03\n")
        with pytest.raises(SourceError, match=r"sales\.csv changed while it was read"):
            staging.stage("purchases", shop.tables["purchases"].files, hashes["purchases"])

        assert duck.execute("SELECT count(*) FROM staged_purchases").fetchone() == (0,)


def test_every_difference_is_told_at_once_and_nothing_is_published(tmp_path: Path) -> None:
    mapping = PURCHASES + '\n[items]\nfiles = "items.parquet"\nitem_id = "sku"\nprice = "price"\nbrand = "maker"\n'
    good = pa.table({"sku": ["1"], "price": [1.0], "maker": ["m"]})
    pyarrow.parquet.write_table(good, tmp_path / "items.parquet")
    before = import_mapped(tmp_path / "facts", written(tmp_path, mapping, {"sales.csv": LINES})).manifest

    pyarrow.parquet.write_table(pa.table({"sku": ["1"], "price": [True], "Marke": ["m"]}), tmp_path / "items.parquet")
    (tmp_path / "sales.csv").write_text("card_no,total,sold_at\n007,1,2024-05-01\n")
    with pytest.raises(SchemaMismatch) as raised:
        import_mapped(tmp_path / "facts", tmp_path / "shop.toml")

    told = [[cell.strip() for cell in line.split("|")] for line in str(raised.value).splitlines()[1:]]
    assert told == [
        ["field", "expected", "found", "nearest", "file"],
        ["purchases.member_id", "card", "no such column", "card_no", "sales.csv"],
        ["purchases.occurred_at", "at", "no such column", "-", "sales.csv"],
        ["items.brand", "maker", "no such column", "Marke", "items.parquet"],
        ["items.price", "price as amount", "boolean", "-", "items.parquet"],
    ]
    assert Facts.open(tmp_path / "facts").manifest == before


def test_a_column_of_which_nothing_can_be_read_is_a_difference(tmp_path: Path) -> None:
    lines = "".join(f"a,{number},{number}.5.2024\n" for number in range(1, ENOUGH_ROWS + 1))
    with pytest.raises(SchemaMismatch, match=r"purchases\.occurred_at \| at as moment \| nothing that can be read as such"):
        sales(tmp_path, "card,total,at\n" + lines)


def test_the_wrong_delimiter_is_suspected(tmp_path: Path) -> None:
    content = "card total at\n" + "007,1.50,2024-05-01\n" * ENOUGH_ROWS
    with pytest.raises(SourceError, match="not one row has the columns of the first") as raised:
        sales(tmp_path, content, 'delimiter = "whitespace"')

    assert "delimiter" in raised.value.remedy


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('encoding = "klingon"', "encoding 'klingon' is unknown"),
        ('delimiter = ""', "delimiter is one to four characters"),
        ('decimal = "x"', "is not one of"),
        ("skip = -1", "whole number from 0"),
        ("columns = [1]", "a text or a list of texts"),
        ('quantity = { column = "q", zone = "Mars/Base" }', "'Mars/Base' is unknown"),
        ("quantity = { constant = [1] }", "constant is a text, a number"),
        ('discount = { column = "total", format = "%Q" }', ""),
        ('identifiers = "tel"', "is to be a section"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, line: str, told: str) -> None:
    if told:
        with pytest.raises(SourceError, match=told):
            sales(tmp_path, LINES, line)
    else:
        assert sales(tmp_path, LINES, line)  # a format means nothing for an amount


@pytest.mark.parametrize("pattern", ["%Q", "%"])
def test_a_pattern_that_is_none_is_no_traceback(tmp_path: Path, pattern: str) -> None:
    mapping = PURCHASES.replace('"at"', f'{{ column = "at", format = "{pattern}" }}')
    with pytest.raises(SourceError):
        staged(tmp_path, mapping, {"sales.csv": LINES})


def test_memory_is_bounded_and_what_does_not_fit_goes_to_the_scratch_folder(tmp_path: Path) -> None:
    with duckdb.connect() as duck:
        Staging(duck, read_mapping(written(tmp_path, PURCHASES, {"sales.csv": LINES})), tmp_path)
        limit, folder = duck.execute("SELECT current_setting('memory_limit'), current_setting('temp_directory')").fetchall()[0]

    assert limit == "2.7 GiB"
    assert staging_module.MEMORY == "3GB"
    assert folder == str(tmp_path / "spill")
