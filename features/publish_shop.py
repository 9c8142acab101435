"""The shop into the online store: its item table, and who refused marketing."""

from features.facts import Facts
from features.rules.shelf import Shelf
from features.shop_store import ShopStore

SHELF_COLUMNS = ("item_id", "department", "category", "subcategory", "brand", "price_cents", "cost_cents", "available")


def publish_shop(facts: Facts, store: ShopStore) -> dict[str, int]:
    """The item table and who refused marketing, from the facts into the store; returns how many of each.

    Raises
    ------
    StoreUnavailable
        The store stopped answering or refused; readers go on with what they have.
    """
    refused = facts.query("SELECT DISTINCT member_id FROM members WHERE marketing_consent = FALSE ORDER BY 1")
    shelf = shelf_of(facts)
    store.write_shelf(shelf)
    member_ids = refused.column(0).to_pylist()
    store.write_opted_out(member_ids)
    return {"items": len(shelf), "opted_out": len(member_ids)}


def shelf_of(facts: Facts) -> Shelf:
    """The item table of the facts."""
    items = facts.query(f"SELECT {', '.join(SHELF_COLUMNS)} FROM items ORDER BY item_id")  # noqa: S608 # own names
    return Shelf.of_columns(items.to_pydict())
