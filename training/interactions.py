"""Who bought what: purchases read once, and sparse matrices of members by items as of any day, purchases fading with age."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from features.errors import NotEnoughData
from features.facts import Facts
from features.sources.schema import PURCHASES, SALE

MIN_BUYERS = 10
RECENT_DAYS = 28
Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PurchaseDays:
    """Each day on which a member bought an item, once.

    Attributes
    ----------
    member_ids, item_ids
        Sorted; entry i of `members` and `items` are positions in them.
    days
        Local day of entry i.
    """

    member_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    members: Codes
    items: Codes
    days: Codes


@dataclass(frozen=True, slots=True)
class Interactions:
    """Purchases of a catalogue before a day.

    Attributes
    ----------
    member_ids, item_ids
        Row i of `weights` belongs to member_ids[i], column j to item_ids[j]; both sorted.
    weights
        Days on which a member bought an item, each counting half as much after every half-life.
    recent_buyers
        Members who bought each item in the last 28 days.
    """

    member_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    weights: sparse.csr_matrix
    recent_buyers: NDArray[np.float32]


def purchase_days(facts: Facts) -> PurchaseDays:
    """All purchases of known items by known members, reduced to days."""
    purchases = facts.tables[PURCHASES.name]
    known = purchases.member_id.notnull() & purchases.item_id.notnull() & (purchases.kind == SALE)
    rows = purchases.filter(known).select("member_id", "item_id", "local_day").distinct()
    table = rows.order_by("member_id", "item_id", "local_day").to_pyarrow()
    member_ids, members = _coded(table["member_id"])
    item_ids, items = _coded(table["item_id"])
    return PurchaseDays(member_ids, item_ids, members, items, table["local_day"].to_numpy().astype(np.int32))


def interactions(bought: PurchaseDays, *, day: int, half_life_days: float) -> Interactions:
    """Purchases before local day `day` of the items that at least `MIN_BUYERS` members had bought by then.

    Raises
    ------
    NotEnoughData
        No item has enough buyers.
    """
    before = bought.days < day
    shape = (len(bought.member_ids), len(bought.item_ids))
    age = (day - bought.days[before]).astype(np.float64)
    row, column = bought.members[before], bought.items[before]
    weights = sparse.csr_matrix((np.exp2(-age / half_life_days).astype(np.float32), (row, column)), shape=shape)
    listed = np.flatnonzero(weights.getnnz(axis=0) >= MIN_BUYERS)
    if not len(listed):
        raise NotEnoughData(f"no item was bought by {MIN_BUYERS} members or more: no lists can be learned")
    fresh = age <= RECENT_DAYS
    recent = sparse.csr_matrix((np.ones(int(fresh.sum())), (row[fresh], column[fresh])), shape=shape)
    active = np.flatnonzero(weights.getnnz(axis=1) > 0)
    chosen = weights[active][:, listed].tocsr()
    chosen.sort_indices()
    buyers = recent.getnnz(axis=0)[listed].astype(np.float32)
    return Interactions(bought.member_ids[active], bought.item_ids[listed], chosen, buyers)


def bought_after(bought: PurchaseDays, window: Interactions, *, day: int, days: int) -> list[set[int]]:
    """Columns of the window that each of its members bought on the local days [day, day + days)."""
    inside = (bought.days >= day) & (bought.days < day + days)
    row_of = _positions(bought.member_ids, window.member_ids)[bought.members[inside]]
    column_of = _positions(bought.item_ids, window.item_ids)[bought.items[inside]]
    truth: list[set[int]] = [set() for _ in window.member_ids]
    for row, column in zip(row_of.tolist(), column_of.tolist(), strict=True):
        if row >= 0 and column >= 0:
            truth[row].add(column)
    return truth


def _positions(all_ids: NDArray[np.str_], chosen: NDArray[np.str_]) -> NDArray[np.int64]:
    """For each of all ids its position among the chosen ones, -1 if it is not there; both sorted."""
    found = np.searchsorted(chosen, all_ids).clip(max=len(chosen) - 1)
    return np.where(chosen[found] == all_ids, found, -1)


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.str_], Codes]:
    """Distinct values sorted, and the position of each entry among them."""
    encoded = column.combine_chunks().dictionary_encode()
    ids: Sequence[str] = encoded.dictionary.to_pylist()
    order = np.argsort(np.array(ids, dtype=np.str_), kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return np.array(ids, dtype=np.str_)[order], rank[encoded.indices.to_numpy()]
