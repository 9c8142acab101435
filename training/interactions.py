"""Who bought what on which day: purchases read once, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.facts import Facts
from features.sources.schema import PURCHASES, SALE
from training.returns import NEVER, days_undone

MIN_BUYERS = 10
"""Fewest members who must have bought an item, or looked at it where looks are known, for it to be in a catalogue."""
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
    undone
        Local day on which the last of what was bought then had come back; `NEVER` if some was kept.
    """

    member_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    members: Codes
    items: Codes
    days: Codes
    undone: Codes

    def where(self, kept: NDArray[np.bool_]) -> "PurchaseDays":
        """Some of the entries; ids keep their positions."""
        return replace(self, members=self.members[kept], items=self.items[kept], days=self.days[kept], undone=self.undone[kept])

    def until(self, day: int) -> "PurchaseDays":
        """What had been bought before a local day, and had not come back by then."""
        return self.where((self.days < day) & (self.undone >= day))

    def within(self, first: int, until: int) -> "PurchaseDays":
        """What was bought on the local days [first, until), and did not come back on them."""
        return self.where((self.days >= first) & (self.days < until) & (self.undone >= until))


def purchase_days(facts: Facts) -> PurchaseDays:
    """All purchases of known items by known members, reduced to days; those that came back say when."""
    purchases = facts.tables[PURCHASES.name]
    known = purchases.member_id.notnull() & purchases.item_id.notnull() & (purchases.kind == SALE)
    rows = purchases.filter(known).select("member_id", "item_id", "local_day").distinct()
    rows = rows.left_join(days_undone(purchases), ["member_id", "item_id", "local_day"])
    rows = rows.select("member_id", "item_id", "local_day", undone=rows.undone.fill_null(NEVER))
    table = rows.order_by("member_id", "item_id", "local_day").to_pyarrow()
    member_ids, members = coded(table["member_id"])
    item_ids, items = coded(table["item_id"])
    days, undone = (table[name].to_numpy().astype(np.int32) for name in ("local_day", "undone"))
    return PurchaseDays(member_ids, item_ids, members, items, days, undone)


def coded(column: pa.ChunkedArray) -> tuple[NDArray[np.str_], Codes]:
    """Distinct values sorted, and the position of each entry among them."""
    encoded = column.combine_chunks().dictionary_encode()
    ids: Sequence[str] = encoded.dictionary.to_pylist()
    order = np.argsort(np.array(ids, dtype=np.str_), kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return np.array(ids, dtype=np.str_)[order], rank[encoded.indices.to_numpy()]
