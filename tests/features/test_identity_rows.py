"""Identifiers in a source's rows: hashed once each, taken out as observations, exchanged for members."""

import duckdb
import pyarrow as pa
import pytest
from sightings import KEY, alias_of, anonymous, observed, table_of

from features.identifiers import hash_identifier
from features.identity import resolve
from features.identity_policy import IdentityPolicy
from features.identity_rows import hash_identifiers, identities_of, member_of, with_hashes

COLUMNS = {"member": "member_id", "Mobile": "phone", "cookie": 'the "visitor"'}


@pytest.fixture
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    yield connection
    connection.close()


def rows_in(duck: duckdb.DuckDBPyConnection, *rows: tuple[str | None, ...]) -> duckdb.DuckDBPyRelation:
    """Order number, member, phone, cookie, day."""
    names = ("order_id", *COLUMNS.values())
    types = [(name, pa.string()) for name in names]
    content = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=pa.schema(types))
    duck.register("given_rows", content.append_column("day", pa.array(range(len(rows)), pa.int32())))
    return duck.sql("SELECT * FROM given_rows")


def assigned(duck: duckdb.DuckDBPyConnection, observations: pa.Table, *rows: tuple[str | None, ...]) -> list[str | None]:
    hashed = with_hashes(duck, rows_in(duck, *rows), COLUMNS, KEY)
    done = member_of(duck, hashed, COLUMNS, resolve(observations))
    assert done.rows.columns == ["order_id", "day", "member_id", "linked_day"]
    assert done.registered + done.anonymous + done.without == len(rows)
    return [row[2] for row in done.rows.order("day").fetchall()]


def test_columns_are_hashed_value_by_value() -> None:
    values = pa.chunked_array([["a", None, " a "], ["", "b"]])

    found = hash_identifiers("cookie", values, KEY).to_pylist()

    one, other = hash_identifier("cookie", "a", KEY), hash_identifier("cookie", "b", KEY)
    assert found == [one, None, one, None, other]
    assert hash_identifiers("cookie", pa.array([], pa.string()), KEY).to_pylist() == []
    assert hash_identifiers("phone", pa.array([13800138000]), KEY).to_pylist() == [hash_identifier("phone", "13800138000", KEY)]


def test_rows_keep_everything_but_the_identifiers_as_they_were(duck: duckdb.DuckDBPyConnection) -> None:
    rows = rows_in(duck, ("1", " ann ", "+33 1", "a"), ("2", None, None, ""), ("3", None, "0033 1", None))

    found = with_hashes(duck, rows, COLUMNS, KEY)

    phone = hash_identifier("phone", "331", KEY)
    assert found.columns == rows.columns
    assert found.order("order_id").fetchall() == [
        ("1", "ann", phone, hash_identifier("cookie", "a", KEY), 0),
        ("2", None, None, None, 1),
        ("3", None, phone, None, 2),
    ]


def test_rows_of_one_table_are_not_changed_by_another(duck: duckdb.DuckDBPyConnection) -> None:
    """Relations are lazy: the first is read after the second was made."""
    first = with_hashes(duck, duck.sql("SELECT 'a' AS visitor"), {"cookie": "visitor"}, KEY)
    ann = member_of(duck, first, {"cookie": "visitor"}, resolve(observed("member:ann cookie:a"))).rows
    second = with_hashes(duck, duck.sql("SELECT 'b' AS visitor"), {"cookie": "visitor"}, KEY)
    bob = member_of(duck, second, {"cookie": "visitor"}, resolve(observed("member:bob cookie:a cookie:b"))).rows

    assert (first.fetchall(), second.fetchall()) == (
        [(hash_identifier("cookie", "a", KEY),)],
        [(hash_identifier("cookie", "b", KEY),)],
    )
    assert (ann.fetchall(), bob.fetchall()) == ([("ann", 0)], [("bob", 0)])


def test_rows_give_observations(duck: duckdb.DuckDBPyConnection) -> None:
    rows = rows_in(duck, ("1", "ann", "1", "a"), ("1", "ann", "1", None), ("2", None, None, "a"), ("3", None, None, ""))
    hashed = with_hashes(duck, rows, COLUMNS, KEY)

    found = identities_of(hashed, observation="order_id", identifiers=COLUMNS, day="day").to_arrow_table()

    expected = table_of(
        [
            {"observation_id": "1", "identifier_kind": "member", "identifier": "ann", "local_day": 0},
            {
                "observation_id": "1",
                "identifier_kind": "phone",
                "identifier": hash_identifier("phone", "1", KEY),
                "local_day": 0,
            },
            {
                "observation_id": "1",
                "identifier_kind": "cookie",
                "identifier": hash_identifier("cookie", "a", KEY),
                "local_day": 0,
            },
            {
                "observation_id": "2",
                "identifier_kind": "cookie",
                "identifier": hash_identifier("cookie", "a", KEY),
                "local_day": 2,
            },
        ]
    )
    keys = [(name, "ascending") for name in expected.column_names]
    assert found.sort_by(keys).equals(expected.sort_by(keys))


def test_a_row_belongs_to_whom_its_identifiers_lead_to(duck: duckdb.DuckDBPyConnection) -> None:
    observations = observed("member:ann phone:1", "member:bob cookie:b", "member:bob phone:2 cookie:c")

    assert assigned(
        duck,
        observations,
        ("1", None, "1", None),
        ("2", None, None, "b"),
        ("3", "bob", None, None),
        ("4", None, None, "never seen"),
        ("5", None, None, None),
        ("6", "zoe", None, ""),
    ) == ["ann", "bob", "bob", anonymous("cookie:never seen"), None, "zoe"]


def test_what_is_strong_wins_and_conflicts_are_counted(duck: duckdb.DuckDBPyConnection) -> None:
    observations = observed("member:ann phone:1", "member:bob cookie:b", "member:cid phone:3")
    rows = [("1", None, "1", "b"), ("2", "cid", "1", "b"), ("3", "bob", None, "b"), ("4", None, "9", "b")]
    hashed = with_hashes(duck, rows_in(duck, *rows), COLUMNS, KEY)

    done = member_of(duck, hashed, COLUMNS, resolve(observations))

    assert [row[2] for row in done.rows.order("order_id").fetchall()] == ["ann", "cid", "bob", anonymous("phone:9")]
    assert (done.registered, done.anonymous, done.without, done.conflicting) == (3, 1, 0, 2)


def test_a_registered_member_comes_before_a_shared_tablet(duck: duckdb.DuckDBPyConnection) -> None:
    observations = observed("member:ann cookie:tablet", "member:bob cookie:tablet", "member:bob fingerprint:f")
    kinds = {"cookie": "phone", "fingerprint": 'the "visitor"'}
    rows = with_hashes(duck, rows_in(duck, ("1", "-", "tablet", "f"), ("2", "-", "tablet", None)), kinds, KEY)

    done = member_of(duck, rows, kinds, resolve(observations))

    ids = dict(done.rows.query("given", "SELECT order_id, member_id_1 FROM given").fetchall())
    assert ids == {"1": "bob", "2": anonymous("cookie:tablet")}


def test_the_members_of_rows_that_are_observations_are_those_of_the_resolution(duck: duckdb.DuckDBPyConnection) -> None:
    """Import as it goes: the rows' own identifiers are the observations, and each row falls to its person."""
    rows = [
        ("1", None, None, "a"),
        ("2", None, "1", "a"),
        ("3", "bob", "1", None),
        ("4", "ann", "1", None),
        ("5", None, None, "z"),
    ]
    hashed = with_hashes(duck, rows_in(duck, *rows), COLUMNS, KEY)
    identities = identities_of(hashed, observation="order_id", identifiers=COLUMNS, day="day").to_arrow_table()

    done = member_of(duck, hashed, COLUMNS, resolve(identities))

    assert [row[2] for row in done.rows.order("order_id").fetchall()] == ["ann", "ann", "ann", "ann", anonymous("cookie:z")]
    assert done.conflicting == 0


def test_a_policy_decides_what_is_strong(duck: duckdb.DuckDBPyConnection) -> None:
    policy = IdentityPolicy.of({"strong": ["cookie"], "weak": ["phone"]})
    resolution = resolve(observed("member:ann phone:1", "member:bob cookie:b"), policy)
    hashed = with_hashes(duck, rows_in(duck, ("1", None, "1", "b")), COLUMNS, KEY)

    assert member_of(duck, hashed, COLUMNS, resolution).rows.fetchall()[0][2] == "bob"
    assert alias_of("cookie:b") in resolution.aliases["alias"].to_pylist()
