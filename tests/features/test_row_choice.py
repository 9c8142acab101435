"""`only` and `without`: one file for several tables, lines that are no goods, and choices that leave nothing."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from mapped_shops import HEAD, staged, written

from features.errors import SchemaMismatch, SourceError
from features.sources.mapped import import_mapped
from features.sources.mapping import read_mapping

LOG = """\
timestamp,visitorid,event,itemid,transactionid
1430622000000,7,view,11,
1430622001000,7,addtocart,11,
1430622002000,7,transaction,11,900
1430622003000,8,view,12,
1430622004000,8, transaction ,12,901
"""
MAPPING = """
[purchases]
files = "log.csv"
only = { event = "transaction" }
order_id = "transactionid"
member_id = "visitorid"
item_id = "itemid"
occurred_at = { column = "timestamp", format = "unix_ms" }

[events]
files = "log.csv"
without = { event = "transaction" }
member_id = "visitorid"
item_id = "itemid"
event_type = { column = "event", values = { addtocart = "cart" } }
occurred_at = { column = "timestamp", format = "unix_ms" }
"""


def told(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_a_log_of_views_and_purchases_is_two_tables(tmp_path: Path) -> None:
    rows = staged(tmp_path, MAPPING, {"log.csv": LOG})

    assert told(rows["purchases"], "order_id", "item_id", "row", "reason") == [("900", "11", 3, None), ("901", "12", 5, None)]
    assert told(rows["events"], "event_type", "item_id") == [("view", "11"), ("cart", "11"), ("view", "12")]


def test_the_import_counts_what_was_left_out_apart_from_rows_in(tmp_path: Path) -> None:
    imported = import_mapped(tmp_path / "facts", written(tmp_path, MAPPING, {"log.csv": LOG}))

    assert imported.report is not None
    assert (imported.report.rows_in, imported.report.accepted) == (2, 2)
    assert {note.code: note.rows for note in imported.notes} == {"purchases_left_out": 3, "events_left_out": 2}


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ('without = { sku = ["POST", "D"] }', ["a", "b", "c"]),
        ('without = { sku = { matches = "^[A-Z]+$" }, country = "FR" }', ["a"]),
        ('only = { country = ["", "FR"] }', ["b", "D", "c"]),
        ("only = { paid = 1 }", ["a", "POST"]),
        ('only = { paid = 1 }\nwithout = { sku = "POST" }', ["a"]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "latin", "jsonl", "gz"])
def test_texts_lists_blanks_and_patterns_in_every_format(tmp_path: Path, choice: str, kept: list[str], kind: str) -> None:
    lines = [("a", "DE", 1), ("b", "FR", 0), ("POST", "DE", 1), ("D", "", 0), ("c", "FR", 2)]
    csv = "sku,country,paid,at\n" + "".join(f"{sku},{land},{paid},2024-05-01\n" for sku, land, paid in lines)
    json = "".join(f'{{"sku": "{s}", "country": "{c}", "paid": {p}, "at": "2024-05-01"}}\n' for s, c, p in lines)
    content: dict[str, str | bytes] = {"csv": csv, "latin": csv, "jsonl": json, "gz": gzip.compress(csv.encode())}
    name = {"jsonl": "sales.jsonl", "gz": "sales.csv.gz"}.get(kind, "sales.csv")
    encoding = 'encoding = "latin-1"\n' if kind == "latin" else ""
    mapping = f'[purchases]\nfiles = "{name}"\n{encoding}{choice}\nitem_id = "sku"\noccurred_at = "at"\n'
    rows = staged(tmp_path, mapping, {name: content[kind]})["purchases"]

    assert [row["item_id"] for row in rows] == kept


def test_broken_rows_are_set_aside_whatever_is_chosen(tmp_path: Path) -> None:
    log = LOG + "1430622005000,9,view\n1430622006000,9,transaction,12,902\n"
    rows = staged(tmp_path, MAPPING, {"log.csv": log})["purchases"]

    assert sorted(told(rows, "row", "reason"), key=str) == [(3, None), (5, None), (6, None), (7, "unreadable_row")]


def test_a_word_that_stands_nowhere_is_told_with_those_that_do(tmp_path: Path) -> None:
    mapping = MAPPING.replace('only = { event = "transaction" }', 'only = { event = "purchase" }')
    with pytest.raises(SourceError, match="only and without leave none of 5 rows") as raised:
        import_mapped(tmp_path / "facts", written(tmp_path, mapping, {"log.csv": LOG}))

    assert raised.value.remedy == "in log.csv event says 'transaction', 'view', 'addtocart'"
    assert not (tmp_path / "facts").exists()


def test_a_day_without_purchases_joins_the_facts(tmp_path: Path) -> None:
    shop = written(tmp_path, MAPPING.replace("log.csv", "*.csv"), {"log.csv": LOG})
    import_mapped(tmp_path / "facts", shop)
    head, *rest = LOG.splitlines()
    (tmp_path / "next.csv").write_text("\n".join([head, rest[0].replace("1430622", "1430722")]) + "\n")
    joined = import_mapped(tmp_path / "facts", shop)

    assert (joined.manifest.rows["purchases"], joined.manifest.rows["events"]) == (2, 4)


def test_a_column_that_is_not_there_is_shown_with_its_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"purchases\.only .*evnt .*no such column .*event"):
        staged(tmp_path, MAPPING.replace("only = { event", "only = { evnt"), {"log.csv": LOG})


@pytest.mark.parametrize("choice", ['only = "event"', "only = { event = [] }", "only = { event = { match = 'x' } }"])
def test_a_choice_that_is_none_is_refused_with_an_example(tmp_path: Path, choice: str) -> None:
    mapping = MAPPING.replace('only = { event = "transaction" }', choice)
    with pytest.raises(SourceError, match=r"purchases\.only") as raised:
        read_mapping(written(tmp_path, HEAD + mapping, {"log.csv": LOG}))

    assert "write, for example, only" in raised.value.remedy
