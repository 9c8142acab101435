"""What lists are learned from, read once: days of purchases, looks without buying, and what is known of each item."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.facts import Facts
from features.sources.schema import EVENTS, ITEMS, ORDERS, PURCHASES, SALE
from training.interactions import PurchaseDays, coded, purchase_days

LOOKS: dict[str, float] = {"view": 0.2, "favourite": 0.5, "cart": 0.6}
"""Kinds of interest and what one of them counts beside a purchase."""
Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Looks:
    """Views, carts and favourites; one entry a member, item, kind and day. Many who look have never bought."""

    members: Codes
    items: Codes
    days: Codes
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Visits:
    """Where members bought: one entry a member, day and store."""

    members: Codes
    stores: Codes
    days: Codes
    store_ids: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What is known of each item of `PurchaseDays`: rows of the narrowest category and the category, -1 if unknown.

    `prices` are cents a piece: the shelf price, or what was paid on average where there is none; NaN if neither is known.
    """

    kinds: Codes
    categories: Codes
    category_names: NDArray[np.str_]
    prices: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Everything that lists are learned from.

    Members and items are positions in `bought.member_ids` and `bought.item_ids`, which hold those who only looked, and what
    was only looked at, as well.
    """

    bought: PurchaseDays
    looks: Looks
    visits: Visits
    items: ItemFacts

    def until(self, day: int) -> "Behaviour":
        """Only what happened before a local day, without what had come back by then; ids keep their positions."""
        looks, visits = self.looks, self.visits
        seen, there = looks.days < day, visits.days < day
        return replace(
            self,
            bought=self.bought.until(day),
            looks=Looks(looks.members[seen], looks.items[seen], looks.days[seen], looks.weights[seen]),
            visits=replace(visits, members=visits.members[there], stores=visits.stores[there], days=visits.days[there]),
        )


def behaviour(facts: Facts) -> Behaviour:
    """Purchases, looks and items of the facts."""
    looked = _looked(facts)
    bought = purchase_days(facts)
    item_ids, items = _joined(bought.item_ids, looked["item_id"])
    bought = _with_members(replace(bought, item_ids=item_ids, items=items[bought.items]), looked)
    return Behaviour(bought, _looks(looked, bought), _visits(facts, bought), _item_facts(facts, bought))


def behaviour_with(facts: Facts, item_ids: NDArray[np.str_]) -> Behaviour:
    """Purchases of and looks at these items, sorted; with nothing about the items, which histories do not need.

    Within a bucket of members (`Facts.within`) others are not read, and items keep their positions all the same.
    """
    looked = _looked(facts)
    bought = purchase_days(facts)
    place = np.searchsorted(item_ids, bought.item_ids).clip(max=max(len(item_ids) - 1, 0)).astype(np.int32)
    known = item_ids[place] == bought.item_ids if len(item_ids) else np.zeros(len(place), dtype=np.bool_)
    kept, of_items = known[bought.items], place[bought.items]
    bought = _with_members(replace(bought.where(kept), item_ids=item_ids, items=of_items[kept]), looked)
    nothing, unknown = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    return Behaviour(
        bought, _looks(looked, bought), _visits(facts, bought), ItemFacts(nothing, nothing, np.empty(0, dtype=np.str_), unknown)
    )


def _with_members(bought: PurchaseDays, looked: pa.Table) -> PurchaseDays:
    """The same purchases among the ids of those who bought and those who only looked."""
    member_ids, members = _joined(bought.member_ids, looked["member_id"])
    return replace(bought, member_ids=member_ids, members=members[bought.members])


def _joined(ids: NDArray[np.str_], column: pa.ChunkedArray) -> tuple[NDArray[np.str_], Codes]:
    """Sorted ids with those of a column among them, and where each of the former stands now."""
    more = np.array(column.unique().to_pylist(), dtype=np.str_)
    joined = np.union1d(ids, more) if len(more) else ids
    return joined, np.searchsorted(joined, ids).astype(np.int32)


def _looked(facts: Facts) -> pa.Table:
    """Who looked at what on which day, in which way."""
    events = facts.tables[EVENTS.name]
    known = events.member_id.notnull() & events.item_id.notnull() & events.event_type.isin(list(LOOKS))
    return events.filter(known).select("member_id", "item_id", "event_type", "local_day").distinct().to_pyarrow()


def _looks(looked: pa.Table, bought: PurchaseDays) -> Looks:
    members, items = position(looked["member_id"], bought.member_ids), position(looked["item_id"], bought.item_ids)
    weights = np.array([LOOKS[kind] for kind in looked["event_type"].to_pylist()], dtype=np.float32)
    kept = (members >= 0) & (items >= 0)
    days = looked["local_day"].to_numpy().astype(np.int32)
    return Looks(members[kept], items[kept], days[kept], weights[kept])


def _visits(facts: Facts, bought: PurchaseDays) -> Visits:
    orders = facts.tables[ORDERS.name]
    there = orders.filter(orders.store_id.notnull() & (orders.kind == SALE))
    table = there.select("member_id", "store_id", "local_day").distinct().to_pyarrow()
    store_ids, stores = coded(table["store_id"])
    members = position(table["member_id"], bought.member_ids)
    kept = members >= 0
    return Visits(members[kept], stores[kept], table["local_day"].to_numpy().astype(np.int32)[kept], store_ids)


def _item_facts(facts: Facts, bought: PurchaseDays) -> ItemFacts:
    table = facts.tables[ITEMS.name].select("item_id", "department", "category", "subcategory", "price_cents").to_pyarrow()
    place = position(table["item_id"], bought.item_ids)
    names, wide = _first_known(table, ("category", "department"))
    _, narrow = _first_known(table, ("subcategory", "category", "department"))
    kinds, categories = (np.full(len(bought.item_ids), -1, dtype=np.int32) for _ in range(2))
    prices = _paid(facts, bought)
    listed = place >= 0
    kinds[place[listed]], categories[place[listed]] = narrow[listed], wide[listed]
    shelf = table["price_cents"].to_numpy(zero_copy_only=False).astype(np.float32)[listed]
    prices[place[listed]] = np.where(shelf > 0, shelf, prices[place[listed]])
    return ItemFacts(kinds, categories, names, prices)


def _first_known(table: pa.Table, columns: tuple[str, ...]) -> tuple[NDArray[np.str_], Codes]:
    """Names of the first column of several that is known, and each row's position among them."""
    texts: list[str | None] = [None] * table.num_rows
    for column in columns:
        texts = [text or other for text, other in zip(texts, table[column].to_pylist(), strict=True)]
    names = np.array(sorted({text for text in texts if text}), dtype=np.str_)
    position_of: dict[str | None, int] = {name: row for row, name in enumerate(names.tolist())}
    return names, np.array([position_of.get(text or None, -1) for text in texts], dtype=np.int32)


def _paid(facts: Facts, bought: PurchaseDays) -> NDArray[np.float32]:
    """Cents a piece paid on average; NaN where pieces are not counted or nothing was paid."""
    lines = facts.tables[PURCHASES.name]
    counted = lines.filter(lines.item_id.notnull() & (lines.kind == SALE) & (lines.quantity > 0) & (lines.net_cents > 0))
    table = counted.group_by("item_id").agg(cents=counted.net_cents.sum(), pieces=counted.quantity.sum()).to_pyarrow()
    prices = np.full(len(bought.item_ids), np.nan, dtype=np.float32)
    place = position(table["item_id"], bought.item_ids)
    cents, pieces = (table[name].to_numpy().astype(np.float64) for name in ("cents", "pieces"))
    prices[place[place >= 0]] = (cents / pieces)[place >= 0]
    return prices


def position(column: Any, ids: NDArray[np.str_]) -> Codes:
    """Position of each value of a column among sorted ids, -1 for one that is not there."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    if not len(ids) or not len(names):
        return np.full(len(encoded), -1, dtype=np.int32)
    found = np.searchsorted(ids, names).clip(max=len(ids) - 1)
    of_name = np.where(ids[found] == names, found, -1).astype(np.int32)
    return np.asarray(of_name[encoded.indices.to_numpy()], dtype=np.int32)
