"""Facts of today as a stream of events would bring them, and what they make of last midnight's records."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.build import FeatureRows
from features.capabilities import silent
from features.codec import empty_records
from features.contract import CONTRACT
from features.facts import Facts
from features.live import fold, merge

TABLES = ("orders", "events", "exposures", "redemptions")


def facts_of_today(facts: Facts, moment: datetime) -> dict[str, pa.Table]:
    """Facts of members since local midnight and before the moment, as a stream of events would have brought them."""
    start, end = (m.timestamp() * 1e6 for m in (facts.midnight(facts.local_day(moment)), moment))
    found = {}
    for name in TABLES:
        content = facts.tables[name].to_pyarrow()
        micros = content["occurred_at"].cast(pa.int64()).to_numpy()
        known = content["member_id"].is_valid().to_numpy(zero_copy_only=False)
        found[name] = content.filter(pa.array((micros >= start) & (micros < end) & known))
    return found


def orders_of_today(facts: Facts, moment: datetime) -> pa.Table:
    return facts_of_today(facts, moment)["orders"]


def columns_of_orders(orders: pa.Table) -> dict[str, dict[str, NDArray[Any]]]:
    return arrays({"orders": orders})


def arrays(today: Mapping[str, pa.Table]) -> dict[str, dict[str, NDArray[Any]]]:
    """Columns as arrays, None for what is missing, as a service that reads events has them."""
    moments = ("occurred_at", "recorded_at", "superseded_at")
    return {
        table: {name: np.array(content[name].to_pylist()) for name in content.column_names if name not in moments}
        for table, content in today.items()
    }


def base_records(base: FeatureRows, members: Sequence[str], unknown: frozenset[str]) -> NDArray[np.void]:
    """Records of last midnight of these members; those without a base start empty.

    `unknown` names the aggregates of which the shop's facts tell nothing.
    """
    row_of = {member: row for row, member in enumerate(base.member_ids.tolist())}
    before = empty_records(CONTRACT, len(members), unknown=unknown)
    for row, member in enumerate(members):
        if member in row_of:
            before[row] = base.records[row_of[member]]
    return before


def live_records(
    base: FeatureRows, today: Mapping[str, pa.Table], members: Sequence[str], unknown: frozenset[str]
) -> NDArray[np.void]:
    """Records of these members from last midnight's and today's facts."""
    return merge(CONTRACT, base_records(base, members, unknown), fold(CONTRACT, members, arrays(today)))


def unknown_to(facts: Facts, day: int) -> frozenset[str]:
    """Aggregates of which these facts told nothing by a midnight."""
    return frozenset(a.name for a in silent(CONTRACT.aggregates, facts.absent(day)))
