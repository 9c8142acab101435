"""The shop's item table into the online store, where rules look at it."""

from features.facts import Facts
from features.rules.shelf import Shelf
from features.shop_store import ShopStore

SHELF_COLUMNS = ("item_id", "department", "category", "subcategory", "brand", "price_cents", "cost_cents", "available")
SOLD_LATELY_DAYS = 28
"""What was sold within these days before the facts end is on the shelf, whether or not the item table knows it."""


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
    """The items of the facts: those of the item table, and those sold of late that it lacks, of which nothing else is known."""
    items = facts.query(f"SELECT {', '.join(SHELF_COLUMNS)} FROM items ORDER BY item_id").to_pydict()  # noqa: S608 # own names
    sold = facts.query(
        "SELECT DISTINCT item_id FROM purchases WHERE item_id IS NOT NULL AND kind = 'sale' AND local_day >= $since "
        "AND item_id NOT IN (SELECT item_id FROM items) ORDER BY item_id",
        since=facts.manifest.until_day - SOLD_LATELY_DAYS,
    )
    unlisted = sold.column(0).to_pylist()
    return Shelf.of_columns(
        {name: [*values, *(unlisted if name == "item_id" else [None] * len(unlisted))] for name, values in items.items()}
    )
