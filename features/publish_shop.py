"""The shop's item table into the online store, where rules look at it."""

from features.facts import Facts
from features.rules.shelf import Shelf
from features.shop_store import ShopStore

SHELF_COLUMNS = ("item_id", "department", "category", "subcategory", "brand", "price_cents", "cost_cents", "available")
SOLD_LATELY_DAYS = 28
"""Sales within these days before the facts end show what is on the shelf and at which price where the item table does not."""


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
    """The items of the facts: those of the item table, and those sold of late that it lacks.

    A price that the table lacks is the middle one of a piece, before discounts and coupons, in the sales of late.
    """
    columns = facts.query(f"SELECT {', '.join(SHELF_COLUMNS)} FROM items ORDER BY item_id").to_pydict()  # noqa: S608 # own names
    sold = facts.query(
        "SELECT item_id, round(median((net_cents + discount_cents + coupon_cents) / quantity) "
        "FILTER (WHERE quantity > 0))::BIGINT AS price FROM purchases "
        "WHERE item_id IS NOT NULL AND kind = 'sale' AND local_day >= $since GROUP BY item_id ORDER BY item_id",
        since=facts.manifest.until_day - SOLD_LATELY_DAYS,
    ).to_pydict()
    price_of = dict(zip(sold["item_id"], sold["price"], strict=True))
    listed = frozenset(columns["item_id"])
    unlisted = [item for item in sold["item_id"] if item not in listed]
    whole = {name: [*values, *[None] * len(unlisted)] for name, values in columns.items()}
    whole["item_id"] = [*columns["item_id"], *unlisted]
    known = zip(whole["item_id"], whole["price_cents"], strict=True)
    return Shelf.of_columns({**whole, "price_cents": [price_of.get(item) if price is None else price for item, price in known]})
