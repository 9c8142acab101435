"""The worked examples of docs/import.md, as they stand there: CDNOW, and Complete Journey as its own adapter has it."""

import re
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from example_shops import PAGE, cdnow_file, example, export
from mapped_shops import staged

from features.facts import Facts
from features.sources.complete_journey import canonical
from features.sources.mapped import import_mapped
from features.sources.mapping import read_mapping
from features.sources.staging import Staging

HOUSEHOLDS = 100


def test_cdnow_by_its_mapping_is_what_a_plain_reading_finds(tmp_path: Path) -> None:
    shutil.copy(cdnow_file(), tmp_path)
    (tmp_path / "shop.toml").write_text(example("CDNOW", "toml"))
    lines = [line.split() for line in cdnow_file().read_text().splitlines()[1:]]

    imported = import_mapped(tmp_path / "facts", tmp_path / "shop.toml")
    facts = Facts.open(tmp_path / "facts")
    found = facts.tables["purchases"].to_pyarrow()

    assert imported.report is not None
    assert (imported.report.rows_in, len({line[0] for line in lines})) == (69_659, 23_570)
    assert imported.report.quarantined == 0
    assert len(set(found["member_id"].to_pylist())) == 23_570
    cents = Counter((line[0], round(float(line[3]) * 100)) for line in lines)
    assert Counter(zip(found["member_id"].to_pylist(), found["net_cents"].to_pylist(), strict=True)) == cents


def compare(folder: Path, households: int | None) -> None:
    """Every canonical table by the mapping against the adapter's, row for row."""
    raw = export(folder, households)
    (folder / "shop.toml").write_text(example("Complete Journey", "toml"))
    shop = read_mapping(folder / "shop.toml")
    with duckdb.connect() as duck:
        staging = Staging(duck, shop, folder)
        hashes = staging.hashes()
        for name in staging.shapes:
            staging.stage(name, list(hashes[name]), hashes[name])
            assert staging.gaps(name) == staging.reasons(name) == ()
        staging.finish()
        for schema, frame in canonical(raw).items():
            duck.register("expected", pa.Table.from_pandas(frame, preserve_index=False))
            columns = ", ".join(
                f'CAST("{name}" AS TIMESTAMP)' if name == "occurred_at" else f'"{name}"' for name in frame.columns
            )
            for one, other in (("expected", f"read_{schema.name}"), (f"read_{schema.name}", "expected")):
                missing = duck.sql(f"SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other}").fetchall()
                assert missing == [], f"{schema.name}: in {one} only"
            assert len(frame) > 0


def test_complete_journey_by_its_mapping_is_what_its_adapter_makes(tmp_path: Path) -> None:
    compare(tmp_path, HOUSEHOLDS)


@pytest.mark.slow
def test_all_of_complete_journey_by_its_mapping_is_what_its_adapter_makes(tmp_path: Path) -> None:
    compare(tmp_path, None)


def test_the_ordinary_shop_of_the_page_is_a_mapping(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(source.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    (tmp_path / "sales").mkdir()
    files = {
        "sales/a.csv": "ticket,card,sku,qty,total,sold_at\n1,007,s,2,3.50,2024-05-01 10:00\n",
        "catalogue.csv": "sku,family\ns,pears\n",
    }
    rows = staged(tmp_path, found[1], files)

    assert (rows["purchases"][0]["net_cents"], rows["items"][0]["category"]) == (350, "pears")
