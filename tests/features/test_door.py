"""The door: a table that does not fit is refused, column by column, without a word about what was in it."""

from typing import Any

import ibis
import pyarrow as pa
import pytest
from shops import Line, purchases_table

from features.errors import SchemaMismatch
from features.fact_tables import arrow_schema
from features.sources.door import admit
from features.sources.schema import ITEMS, MEMBERS, PURCHASES, FactTable

SECRET = "phone-0171-5550123"  # stands for what must not appear in a message
LINES = purchases_table([Line(SECRET, 0.0, 123_457, item=SECRET), Line("ann", 1.0, 5, item=SECRET)])


def offered(table: pa.Table, schema: FactTable = PURCHASES) -> pa.Table:
    return admit(ibis.duckdb.connect().create_table("offered", table), schema).to_pyarrow()


def replaced(name: str, values: Any, kind: pa.DataType | None = None) -> pa.Table:
    position = LINES.column_names.index(name)
    return LINES.set_column(position, name, pa.array(values, kind or LINES.schema.field(name).type))


def problems(table: pa.Table) -> str:
    with pytest.raises(SchemaMismatch) as refused:
        offered(table)
    message = str(refused.value)
    assert SECRET not in message + refused.value.remedy
    assert "123457" not in message
    assert "docs/facts.md" in refused.value.remedy
    return message


def test_a_table_that_fits_passes_as_it_is() -> None:
    assert offered(LINES).to_pylist() == LINES.to_pylist()


def test_columns_are_brought_into_order_and_others_left_out() -> None:
    mixed = LINES.append_column("loyalty_note", pa.array([SECRET, SECRET])).select(
        ["loyalty_note", *reversed(LINES.column_names)]
    )

    assert offered(mixed).column_names == [column.name for column in PURCHASES.columns]


def test_optional_columns_may_have_gaps() -> None:
    assert offered(replaced("member_id", [None, None])).column("member_id").null_count == 2


def test_a_missing_column_is_named() -> None:
    assert "net_cents: is not in the table" in problems(LINES.drop_columns(["net_cents"]))


def test_a_renamed_column_is_named_by_the_name_it_should_have() -> None:
    renamed = LINES.rename_columns([{"store_id": "shop"}.get(name, name) for name in LINES.column_names])

    assert "store_id: is not in the table" in problems(renamed)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("net_cents", pa.float64()), ("net_cents", pa.string()), ("line_no", pa.int64()), ("local_day", pa.string())],
)
def test_a_column_of_another_type_is_named_with_both_types(name: str, kind: pa.DataType) -> None:
    message = problems(LINES.set_column(LINES.column_names.index(name), name, LINES[name].cast(kind)))

    assert f"{name}: has another type" in message
    assert "expected" in message
    assert "found" in message


@pytest.mark.parametrize("name", ["occurred_at", "kind", "member_id"])
def test_numbers_where_moments_and_texts_should_be_are_named(name: str) -> None:
    assert f"{name}: has another type" in problems(replaced(name, [123_457, 123_457], pa.int64()))


@pytest.mark.parametrize("name", ["order_id", "net_cents", "kind", "occurred_at", "local_hour"])
def test_a_gap_where_none_may_be_is_named(name: str) -> None:
    gap = replaced(name, [LINES[name][0].as_py(), None])

    assert f"{name}: has missing values, and none are allowed" in problems(gap)


@pytest.mark.parametrize("name", ["channel", "kind"])
def test_a_value_that_is_not_allowed_is_named_by_its_column_only(name: str) -> None:
    assert f"{name}: holds a value that is not allowed" in problems(replaced(name, [SECRET, "store"]))


def test_all_problems_are_listed_at_once() -> None:
    broken = replaced("net_cents", [SECRET, SECRET], pa.string()).drop_columns(["line_no", "store_id"])
    position = broken.column_names.index("kind")

    message = problems(broken.set_column(position, "kind", pa.array([SECRET, None])))

    for part in ("table purchases", "net_cents: has another type", "line_no: is not in", "store_id: is not in", "kind: "):
        assert part in message


def test_the_error_behind_does_not_hold_the_values_either() -> None:
    with pytest.raises(SchemaMismatch) as refused:
        offered(replaced("channel", [SECRET, "store"]))

    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("schema", [ITEMS, MEMBERS], ids=lambda schema: schema.name)
def test_other_tables_are_checked_by_their_own_schema(schema: FactTable) -> None:
    key = schema.key[0]
    row = pa.Table.from_pylist([{key: "00123"}], schema=arrow_schema(schema))

    assert offered(row, schema)[key].to_pylist() == ["00123"]
    with pytest.raises(SchemaMismatch, match=f"{key}: has missing values"):
        offered(pa.Table.from_pylist([{key: None}], schema=arrow_schema(schema)), schema)


def test_an_empty_table_is_admitted() -> None:
    assert offered(LINES.slice(0, 0)).num_rows == 0
