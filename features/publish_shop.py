"""The shop's item table into the online store, where rules look at it."""

from features.facts import Facts
from features.rules.shelf import Shelf
from features.shop_store import ShopStore

SHELF_COLUMNS = ("item_id", "department", "category", "subcategory", "brand", "price_cents", "cost_cents", "available")


def publish_shop(facts: Facts, store: ShopStore) -> int:
    """The item table of the facts into the store; returns how many items it has.

    Raises
    ------
    StoreUnavailable
        The store stopped answering or refused; readers go on with what they have.
    """
    shelf = shelf_of(facts)
    store.write_shelf(shelf)
    return len(shelf)


def shelf_of(facts: Facts) -> Shelf:
    """The item table of the facts."""
    items = facts.query(f"SELECT {', '.join(SHELF_COLUMNS)} FROM items ORDER BY item_id")  # noqa: S608 # own names
    return Shelf.of_columns(items.to_pydict())
