"""The simulated retailer: the same from the same seed, in the canonical schemas, labelled, and true to its own truth."""

import json
import subprocess
import sys
import tomllib
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from commands.simulate import run
from features.cleaning import ID_PATTERN, clean
from features.days import calendar_day
from features.errors import ConfigurationError
from features.fact_tables import arrow_schema
from features.facts import Facts
from features.sources.door import admit
from features.sources.mapped import import_mapped
from features.sources.mapping import FIELDS, FILE_OPTIONS
from features.sources.schema import IDENTITIES, ORDERS, STORED
from features.sources.simulation.world import TIME_ZONE
from features.sources.simulator import SOURCE, Simulated, members_for, simulate, simulated_tables

MEMBERS_SIMULATED, DAYS, SEED = 4000, 160, 20
SCHEMAS = {schema.name: schema for schema in STORED if schema is not ORDERS}
END_DAY = 19_723 + DAYS
"""The day after the last; 19,723 is 2024-01-01."""


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    """Half a million lines of a grocer with 4,000 members, over three campaigns."""
    return simulated_tables(MEMBERS_SIMULATED, DAYS, SEED)


@pytest.fixture(scope="module")
def shop(tables: dict[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """The tables under their names, for questions in SQL; `sold` has one row an order of a known member."""
    connection = duckdb.connect()
    for name, table in tables.items():
        connection.register(name, table)
    connection.execute(
        "CREATE TABLE sold AS SELECT member_id, order_id, occurred_at, local_day FROM purchases "
        "WHERE kind = 'sale' AND member_id IS NOT NULL GROUP BY ALL"
    )
    return connection


def one(shop: duckdb.DuckDBPyConnection, question: str) -> tuple[float, ...]:
    """The one row that answers a question."""
    row = shop.execute(question).fetchone()
    assert row is not None
    return tuple(float(value) for value in row)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(simulated: Simulated, table: str) -> pa.Table:
    """The canonical columns of a table, its parts one after the other."""
    parts = sorted((simulated.folder / table).glob("*.parquet"))
    whole = pa.concat_tables(pyarrow.parquet.read_table(part) for part in parts)
    return whole.select([c.name for c in SCHEMAS[table].columns]).replace_schema_metadata(None)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, members=300, days=50, seed=seed)

    a, b, c = (files_of(tmp_path / name) for name in "abc")

    assert a == b
    for table in ("purchases", "events", "members", "items", "identities"):
        assert a[f"{table}/part-00000.parquet"] != c[f"{table}/part-00000.parquet"]


def test_rows_do_not_depend_on_how_many_are_written_together(tmp_path: Path) -> None:
    fine = simulate(tmp_path / "fine", members=2500, days=40, seed=5, rows_per_part=1)
    coarse = simulate(tmp_path / "coarse", members=2500, days=40, seed=5)
    in_memory = simulated_tables(2500, 40, 5)

    assert len(list((fine.folder / "purchases").iterdir())) == 3
    assert len(list((coarse.folder / "purchases").iterdir())) == 1
    assert fine.rows == coarse.rows == {name: table.num_rows for name, table in in_memory.items()}
    for name in SCHEMAS:
        assert rows_of(fine, name).equals(rows_of(coarse, name)), name
        assert rows_of(fine, name).equals(in_memory[name].combine_chunks()), name


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_table_has_its_schema_its_key_and_valid_identifiers(tables: dict[str, pa.Table], name: str) -> None:
    schema = SCHEMAS[name]
    table = ibis.duckdb.connect().create_table("given", tables[name])

    admitted = admit(table, schema)
    keys = admitted.select(*schema.key).distinct()
    ids = [column for column in admitted.columns if column.endswith("_id") or column == "identifier"]
    bad = admitted.filter(ibis.or_(*(~admitted[i].fill_null("-").re_search(ID_PATTERN) for i in ids)))

    assert tables[name].schema == arrow_schema(schema)
    assert keys.count().to_pyarrow().as_py() == tables[name].num_rows > 0
    assert bad.count().to_pyarrow().as_py() == 0


def test_cleaning_finds_nothing_to_take_away(tables: dict[str, pa.Table]) -> None:
    connection = ibis.duckdb.connect()
    purchases, items = (connection.create_table(name, tables[name]) for name in ("purchases", "items"))

    report = clean(purchases, items).report
    found = {count.code: count.rows for count in report.rules}

    assert report.rows_in == tables["purchases"].num_rows
    assert report.rows_in - report.accepted == found["cancelled"] < 20  # a few bring something back within the hour
    assert found["unknown_item"] == 0


def test_local_days_and_hours_are_those_of_the_zone_on_both_sides_of_a_clock_change(tables: dict[str, pa.Table]) -> None:
    found = tables["purchases"].select(["occurred_at", "local_day", "local_hour"]).to_pandas()
    changes = found[found["local_day"].between(19_811, 19_814)]  # the clocks changed on 2024-03-31, day 19,813

    assert set(changes["local_day"]) == {19_811, 19_812, 19_813, 19_814}
    for row in changes.itertuples():
        local = row.occurred_at.to_pydatetime().replace(tzinfo=UTC).astimezone(ZoneInfo(TIME_ZONE))
        assert (local.date(), local.hour) == (calendar_day(row.local_day), row.local_hour)


def test_nobody_buys_before_joining_or_after_leaving(shop: duckdb.DuckDBPyConnection) -> None:
    early, late, left = one(
        shop,
        "SELECT count(*) FILTER (local_day < greatest(registered_day, 19723)), count(*) FILTER (local_day >= leaving_day), "
        f"count(DISTINCT member_id) FILTER (leaving_day < {END_DAY}) "
        "FROM purchases JOIN members USING (member_id) JOIN truth_members USING (member_id)",
    )

    assert (early, late) == (0, 0)
    assert left > 300


def test_those_who_stay_go_on_buying(shop: duckdb.DuckDBPyConnection) -> None:
    stayed, bought = one(
        shop,
        f"SELECT count(*), count(*) FILTER (last_day >= {END_DAY} - 60) FROM truth_members LEFT JOIN "
        "(SELECT member_id, max(local_day) AS last_day FROM sold GROUP BY 1) USING (member_id) "
        f"WHERE leaving_day >= {END_DAY} AND begins_day < {END_DAY} - 60 AND rate_per_day > 0.15",
    )

    assert stayed > 300
    assert bought / stayed > 0.99


def test_orders_outside_campaigns_come_at_the_true_rate(shop: duckdb.DuckDBPyConnection) -> None:
    """Of members in no treated arm who were there from the start: a Poisson sum, so its variance is its mean."""
    members, orders, expected = one(
        shop,
        "WITH mine AS (SELECT member_id, expected_orders FROM truth_members JOIN members USING (member_id) "
        "WHERE registered_day < 19723 AND member_id NOT IN (SELECT member_id FROM truth_effects WHERE arm = 'treated')) "
        "SELECT count(*), (SELECT count(*) FROM sold JOIN mine USING (member_id)), sum(expected_orders) FROM mine",
    )

    assert members > 500
    assert abs(orders - expected) < 4 * expected**0.5


def test_favourite_categories_and_brands_dominate(shop: duckdb.DuckDBPyConnection) -> None:
    members, category, brand = one(
        shop,
        "WITH bought AS (SELECT member_id, category, brand FROM purchases JOIN items USING (item_id) WHERE kind = 'sale'), "
        "tops AS (SELECT member_id, mode(category) AS category, count(*) AS lines FROM bought GROUP BY 1), "
        "brands AS (SELECT member_id, mode(brand) AS brand FROM bought JOIN truth_members USING (member_id) "
        "WHERE category = favourite_category_1 AND brand_loyalty > 0.5 GROUP BY 1) "
        "SELECT count(*), avg((tops.category = favourite_category_1)::int), avg((brands.brand = favourite_brand)::int) "
        "FROM truth_members JOIN tops USING (member_id) LEFT JOIN brands USING (member_id) WHERE lines >= 100",
    )

    assert members > 500
    assert category > 0.9
    assert brand > 0.9


def test_the_price_sensitive_buy_more_on_promotion(shop: duckdb.DuckDBPyConnection) -> None:
    (correlation,) = one(
        shop,
        "SELECT corr(discounted, price_sensitivity) FROM truth_members JOIN (SELECT member_id, "
        "avg((discount_cents > 0)::int) AS discounted, count(*) AS lines FROM purchases GROUP BY 1) USING (member_id) "
        "WHERE lines >= 100",
    )

    assert correlation > 0.7


def effects_and_orders(shop: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """One row a member and campaign: the true effect, and the orders that were placed while it ran."""
    return shop.execute(
        "SELECT arm, effect, extra_orders, count(order_id) AS orders FROM truth_effects JOIN truth_campaigns "
        "USING (campaign_id) LEFT JOIN sold ON sold.member_id = truth_effects.member_id "
        "AND sold.local_day BETWEEN first_day AND last_day "
        "GROUP BY truth_effects.member_id, campaign_id, arm, effect, extra_orders"
    ).df()


def difference_of_arms(rows: pd.DataFrame) -> tuple[float, float]:
    """Mean orders of the treated less those of the control arm, with the standard error."""
    arms = [rows.loc[rows["arm"] == arm, "orders"] for arm in ("treated", "control")]
    error = float(np.sqrt(sum(orders.var() / len(orders) for orders in arms)))
    return float(arms[0].mean() - arms[1].mean()), error


def test_the_difference_between_arms_is_the_true_effect(shop: duckdb.DuckDBPyConnection) -> None:
    rows = effects_and_orders(shop)

    measured, error = difference_of_arms(rows)
    expected = float(rows["extra_orders"].mean())

    assert set(rows["arm"]) == {"treated", "control"}
    assert expected > 4 * error, "the shop is too small to show anything"
    assert abs(measured - expected) < 4 * error


@pytest.mark.parametrize(("least", "most", "sign"), [(-1.0, -0.01, -1), (-0.001, 0.001, 0), (0.4, 9.0, 1)])
def test_a_campaign_moves_whom_it_should(shop: duckdb.DuckDBPyConnection, least: float, most: float, sign: int) -> None:
    rows = effects_and_orders(shop)
    group = rows[rows["effect"].between(least, most)]

    measured, error = difference_of_arms(group)

    assert abs(measured - group["extra_orders"].mean()) < 4 * error
    assert sign == 0 or measured * sign > 0


def test_arms_are_drawn_by_lot_among_those_who_consented(shop: duckdb.DuckDBPyConnection) -> None:
    without_consent, control, control_cost, treated_free = one(
        shop,
        "SELECT count(*) FILTER (marketing_consent IS DISTINCT FROM true), avg((arm = 'control')::int), "
        "sum(cost_cents) FILTER (arm = 'control'), count(*) FILTER (arm <> 'control' AND cost_cents = 0) "
        "FROM exposures JOIN members USING (member_id)",
    )

    assert (without_consent, control_cost, treated_free) == (0, 0, 0)
    assert control == pytest.approx(0.3, abs=0.03)


def test_coupons_are_redeemed_by_the_treated_at_an_order_of_theirs(shop: duckdb.DuckDBPyConnection) -> None:
    redeemed, treated, with_coupon, orders = one(
        shop,
        "SELECT count(*), count(*) FILTER (arm = 'treated'), "
        "(SELECT count(*) FROM purchases WHERE coupon_cents > 0), count(order_id) "
        "FROM redemptions r LEFT JOIN exposures USING (member_id, campaign_id) "
        "LEFT JOIN sold ON sold.member_id = r.member_id AND sold.occurred_at = r.occurred_at",
    )

    assert redeemed == treated == with_coupon == orders
    assert redeemed > 100


def test_every_return_follows_the_sale_of_the_same_goods(shop: duckdb.DuckDBPyConnection) -> None:
    returns, sold = one(
        shop,
        "WITH back AS (SELECT * FROM purchases WHERE kind = 'return') SELECT (SELECT count(*) FROM back), "
        "count(DISTINCT (back.order_id, back.line_no)) FROM back JOIN purchases s ON s.order_id = back.order_id "
        "AND s.kind = 'sale' AND s.item_id = back.item_id AND s.net_cents = -back.net_cents "
        "AND s.occurred_at < back.occurred_at AND s.line_no < back.line_no "
        "AND s.member_id IS NOT DISTINCT FROM back.member_id",
    )

    assert returns == sold
    assert returns > 1000


def test_money_adds_up_to_the_price_of_the_catalogue(shop: duckdb.DuckDBPyConnection) -> None:
    pieces, right, weighed = one(
        shop,
        "SELECT count(*) FILTER (quantity IS NOT NULL), "
        "count(*) FILTER (net_cents + discount_cents + coupon_cents = quantity * price_cents), "
        "count(*) FILTER ((quantity IS NULL) = sold_by_measure) FROM purchases JOIN items USING (item_id) WHERE kind = 'sale'",
    )
    (rows,) = one(shop, "SELECT count(*) FROM purchases WHERE kind = 'sale'")

    assert pieces == right < rows == weighed


def test_a_view_precedes_every_cart_and_favourite(shop: duckdb.DuckDBPyConnection) -> None:
    carts, after_view = one(
        shop,
        "WITH done AS (SELECT * FROM events WHERE event_type IN ('cart', 'favourite')) SELECT (SELECT count(*) FROM done), "
        "count(DISTINCT done.event_id) FROM done JOIN events v ON v.session_id = done.session_id AND v.event_type = 'view' "
        "AND v.item_id = done.item_id AND v.occurred_at < done.occurred_at",
    )

    assert carts == after_view
    assert carts > 1000


def test_a_checkout_is_an_order_at_the_same_moment_and_channel(shop: duckdb.DuckDBPyConnection) -> None:
    checkouts, ordered = one(
        shop,
        "SELECT count(DISTINCT event_id), count(DISTINCT event_id) FILTER (order_id IS NOT NULL) FROM events e "
        "LEFT JOIN purchases p ON p.occurred_at = e.occurred_at AND p.channel = e.channel AND p.kind = 'sale' "
        "AND p.member_id IS NOT DISTINCT FROM e.member_id WHERE event_type = 'checkout'",
    )

    assert checkouts == ordered > 1000


def test_every_session_shows_a_cookie_or_a_device_and_the_truth_behind_it(shop: duckdb.DuckDBPyConnection) -> None:
    sessions, seen, anonymous, told = one(
        shop,
        "WITH s AS (SELECT session_id, any_value(member_id) AS member_id FROM events GROUP BY 1), "
        "seen AS (SELECT observation_id, any_value(identifier) FILTER (identifier_kind = 'member') AS member_id "
        "FROM identities GROUP BY 1 HAVING bool_or(identifier_kind IN ('cookie', 'device'))) "
        "SELECT count(*), count(*) FILTER (seen.member_id IS NOT DISTINCT FROM s.member_id), "
        "count(*) FILTER (s.member_id IS NULL), count(t.member_id) FILTER (s.member_id IS NULL) "
        "FROM s JOIN seen ON seen.observation_id = s.session_id LEFT JOIN truth_visitors t USING (session_id)",
    )

    assert sessions == seen == one(shop, "SELECT count(DISTINCT session_id) FROM events")[0]
    assert 0 < told < anonymous < sessions


def test_a_cookie_is_of_one_member_and_few_devices_are_of_two(shop: duckdb.DuckDBPyConnection) -> None:
    shared = dict(
        shop.execute(
            "SELECT identifier_kind, count(*) FILTER (members > 1) FROM (SELECT i.identifier_kind, i.identifier, "
            "count(DISTINCT m.identifier) AS members FROM identities i JOIN identities m USING (observation_id) "
            "WHERE m.identifier_kind = 'member' AND i.identifier_kind IN ('cookie', 'device') GROUP BY 1, 2) GROUP BY 1"
        ).fetchall()
    )

    assert shared["cookie"] == 0
    assert 0 < shared["device"] < 0.03 * MEMBERS_SIMULATED


def test_facts_can_be_opened_from_it(tables: dict[str, pa.Table]) -> None:
    facts = Facts.in_memory(tables, time_zone=TIME_ZONE)

    assert (facts.manifest.first_day, facts.manifest.until_day) == (19_723, END_DAY)


def test_everything_says_that_it_is_simulated(tmp_path: Path) -> None:
    simulated = simulate(tmp_path, members=50, days=30, seed=1)

    parts = sorted(tmp_path.rglob("*.parquet"))
    labels = [pyarrow.parquet.read_schema(part).metadata for part in parts]

    assert len(parts) == len(simulated.rows) == len(SCHEMAS) + 4
    assert all(label[b"rapport.simulated"] == b"true" for label in labels)
    assert [label[b"rapport.truth"] == b"true" for label in labels] == ["truth" in part.parts for part in parts]
    assert "SIMULATED" in (tmp_path / "README.txt").read_text()
    assert json.loads((tmp_path / "simulated.json").read_text())["complete"] is True
    assert tomllib.loads(simulated.mapping.read_text())["source"] == SOURCE
    assert SOURCE.startswith("simulated")


def test_the_mapping_names_every_canonical_column_and_no_truth(tmp_path: Path) -> None:
    content = tomllib.loads(simulate(tmp_path, members=50, days=30, seed=1).mapping.read_text())
    derived = {"local_day", "local_hour", "recorded_at", "superseded_at", "pack_size"}

    for name, schema in SCHEMAS.items():
        rules = {field: rule for field, rule in content[name].items() if field not in FILE_OPTIONS}
        named = {rule["column"] if isinstance(rule, dict) else rule for rule in rules.values()}
        columns = pyarrow.parquet.read_schema(tmp_path / name / "part-00000.parquet").names
        fields = {c.name.removesuffix("_cents").removesuffix("_day") for c in schema.columns if c.name not in derived}

        assert named <= set(columns)
        assert set(rules) == fields | ({"seen"} if schema is IDENTITIES else set())
        assert "truth" not in content[name]["files"]


def test_an_import_by_the_mapping_gives_the_simulated_tables(tmp_path: Path) -> None:
    """As far as mappings can name tables and fields; identities wait for a key."""
    simulated = simulate(tmp_path / "shop", members=200, days=40, seed=1)
    content = tomllib.loads(simulated.mapping.read_text())
    lines = [f"{name} = {json.dumps(content[name])}" for name in ("source", "time_zone", "currency")]
    for table in (name for name in FIELDS if name != IDENTITIES.name):
        known = {*FILE_OPTIONS, *(field.name for field in FIELDS[table])}
        rules = {name: value for name, value in content[table].items() if name in known}
        lines += [f"[{table}]", *(f"{name} = {inline(value)}" for name, value in rules.items())]
    mapping = simulated.folder / "known.toml"
    mapping.write_text("\n".join(lines))

    import_mapped(tmp_path / "facts", mapping)
    facts = Facts.open(tmp_path / "facts")

    assert facts.manifest.rows["purchases"] == simulated.rows["purchases"]
    for schema in (SCHEMAS[name] for name in FIELDS if name != IDENTITIES.name):
        given = {"local_day", "local_hour", *(field.name for field in FIELDS[schema.name])}
        names = [c.name for c in schema.columns if {c.name, c.name.removesuffix("_cents").removesuffix("_day")} & given]
        imported = facts.tables[schema.name].select(*names).order_by(*names).to_pyarrow()
        table = rows_of(simulated, schema.name).select(names)
        assert imported.cast(table.schema).equals(table.sort_by([(name, "ascending") for name in names])), schema.name


def inline(value: str | dict[str, str]) -> str:
    """A value as TOML: text, or a table on one line."""
    if isinstance(value, str):
        return json.dumps(value)
    return "{ " + ", ".join(f"{name} = {json.dumps(text)}" for name, text in value.items()) + " }"


def test_a_folder_that_holds_something_is_refused_and_force_takes_only_our_own(tmp_path: Path) -> None:
    simulate(tmp_path, members=50, days=30, seed=1)
    (tmp_path / "purchases" / "mine.txt").write_text("kept")
    (tmp_path / "purchases" / "part-00099.parquet").write_bytes(b"of an earlier, larger run")
    with pytest.raises(ConfigurationError, match="earlier simulation"):
        simulate(tmp_path, members=60, days=30, seed=1)

    again = simulate(tmp_path, members=60, days=30, seed=1, force=True)

    assert again.rows["members"] == 60
    assert {path.name for path in (tmp_path / "purchases").iterdir()} == {"mine.txt", "part-00000.parquet"}


def test_a_simulation_that_was_stopped_says_so_and_can_be_made_again(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise InterruptedError

    whole = simulate(tmp_path / "whole", members=1500, days=30, seed=1, rows_per_part=1)
    with pytest.raises(InterruptedError):
        simulate(tmp_path / "stopped", members=1500, days=30, seed=1, rows_per_part=1, progress=stop)
    stopped = files_of(tmp_path / "stopped")

    again = simulate(tmp_path / "stopped", members=1500, days=30, seed=1, rows_per_part=1, force=True)

    assert json.loads(stopped["simulated.json"])["complete"] is False
    assert "shop.toml" not in stopped
    assert files_of(again.folder) == files_of(whole.folder)


def test_force_does_not_empty_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="no simulation wrote"):
        simulate(tmp_path, members=50, days=30, seed=1, force=True)

    assert files_of(tmp_path) == {"part-00000.parquet": b"precious"}


def test_the_command_says_what_it_made_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen: dict[str, Any] = {
        "days": 30,
        "seed": 1,
        "lines_per_order": 5.0,
        "events_per_line": 0.0,
        "force": False,
        "as_json": True,
    }

    run(tmp_path, members=None, rows=2000, **chosen)
    printed = capsys.readouterr()
    said = json.loads(printed.out)

    assert "SIMULATED" in printed.err
    assert said["simulated"] is True
    assert said["rows"]["purchases"] == pytest.approx(2000, rel=0.3)
    assert pyarrow.parquet.read_table(tmp_path / "purchases").num_rows == said["rows"]["purchases"]
    for members, rows in ((None, None), (5, 5)):
        with pytest.raises(ConfigurationError, match="either members or rows"):
            run(tmp_path, members=members, rows=rows, **chosen)


@pytest.mark.parametrize(
    "changed",
    [{"members": 0}, {"members": 10**8}, {"days": 0}, {"days": 4000}, {"seed": -1}, {"events_per_line": -0.1}],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be simulated") as raised:
        simulate(tmp_path / "out", **{"members": 10, "days": 10, "seed": 1, **changed})

    assert "choose from" in raised.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("days", "lines_per_order"), [(365, 9.0), (60, 2.0)])
def test_members_are_chosen_for_a_number_of_lines(days: int, lines_per_order: float) -> None:
    members = members_for(200_000, days=days, seed=3, lines_per_order=lines_per_order)

    rows = simulated_tables(members, days, 3, lines_per_order=lines_per_order)["purchases"].num_rows

    assert rows == pytest.approx(200_000, rel=0.08)


@pytest.mark.parametrize("events_per_line", [0.0, 0.1, 0.3, 2.0])
def test_events_come_in_the_ratio_asked_for(events_per_line: float) -> None:
    found = simulated_tables(1000, 120, 4, events_per_line=events_per_line)

    assert found["events"].num_rows / found["purchases"].num_rows == pytest.approx(events_per_line, rel=0.25)


def test_it_stands_on_its_own_imports() -> None:
    """In a fresh process: what other modules happen to have loaded is no help."""
    code = "from features.sources.simulator import simulated_tables; simulated_tables(20, 5, 1)"

    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_one_member_for_one_day_is_a_shop_too() -> None:
    found = simulated_tables(1, 1, 1)

    assert found["members"].num_rows == 1
    assert all(table.schema == arrow_schema(SCHEMAS[name]) for name, table in found.items() if name in SCHEMAS)
