"""Importing again: new files are added, known ones not read, and a changed mapping reads everything anew."""

from pathlib import Path

import pytest
from mapped_shops import PURCHASES, written

from features.errors import SourceError
from features.facts import Facts
from features.sources.mapped import MappedImport, import_mapped

MAPPING = (
    PURCHASES.replace("sales.csv", "sales-*.csv")
    + 'item_id = "sku"\nquantity = "qty"\n\n[items]\nfiles = "items.csv"\nitem_id = "sku"\nsold_by_measure = "loose"\n'
)
MAY = "card,total,at,sku,qty\n007,1.50,2024-05-01,a,1\n8,2,2024-05-02,b,3\n"
JUNE = "card,total,at,sku,qty\n007,2.50,2024-06-01,a,2\n9,2,2024-06-02,b,3\n"
ITEMS = "sku,loose\na,no\nb,yes\n"


def imported(folder: Path, mapping: str = MAPPING, **files: str) -> MappedImport:
    names = {f"{name.replace('_', '-')}.csv": content for name, content in files.items()}
    return import_mapped(folder / "facts", written(folder, mapping, names))


def sales(folder: Path) -> set[tuple[str, int, int | None]]:
    rows = Facts.open(folder / "facts").query("SELECT member_id, net_cents, quantity FROM purchases").to_pylist()
    return {(row["member_id"], row["net_cents"], row["quantity"]) for row in rows}


def test_new_files_are_added_and_known_ones_are_not_read(tmp_path: Path) -> None:
    first = imported(tmp_path, sales_may=MAY, items=ITEMS)
    nothing = imported(tmp_path)
    second = imported(tmp_path, sales_june=JUNE)

    assert (nothing.report, nothing.files, nothing.manifest) == (None, (), first.manifest)
    assert second.files == ("sales-june.csv", "items.csv")
    assert second.report is not None
    assert second.report.rows_in == 2
    assert sales(tmp_path) == {("007", 150, 1), ("8", 200, None), ("007", 250, 2), ("9", 200, None)}


def test_a_longer_export_of_the_same_days_adds_only_what_is_new(tmp_path: Path) -> None:
    imported(tmp_path, sales_may=MAY, items=ITEMS)
    again = imported(tmp_path, sales_may=MAY + "7,9,2024-05-03,a,1\n")

    assert again.report is not None
    assert (again.report.rows_in, again.report.accepted, again.report.duplicates) == (3, 1, 2)
    assert len(sales(tmp_path)) == 3


def test_a_changed_mapping_reads_everything_anew(tmp_path: Path) -> None:
    imported(tmp_path, sales_may=MAY, sales_june=JUNE, items=ITEMS)
    changed = imported(tmp_path, MAPPING + 'category = "loose"\n')

    assert len(changed.files) == 3
    assert changed.manifest.rows["purchases"] == 4


def test_in_two_steps_or_at_once_the_rows_are_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    imported(one, sales_may=MAY, sales_june=JUNE, items=ITEMS)
    imported(two, sales_may=MAY, items=ITEMS)
    imported(two, sales_june=JUNE)

    assert sales(one) == sales(two)


def test_a_new_file_that_does_not_fit_leaves_the_facts_as_they_were(tmp_path: Path) -> None:
    before = imported(tmp_path, sales_may=MAY, items=ITEMS).manifest
    with pytest.raises(SourceError, match="no such column"):
        imported(tmp_path, sales_june=JUNE.replace("total", "sum"))

    assert Facts.open(tmp_path / "facts").manifest == before
