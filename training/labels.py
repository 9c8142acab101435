"""Labels as of T: what members did after it. A label exists only once its whole horizon lies in the facts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from features.sources.schema import ORDERS, SALE


def require_matured(facts: Facts, *, day: int, horizon_days: int) -> None:
    """Raise NotEnoughData unless the facts reach to the end of the horizon that begins on local day `day`."""
    if day + horizon_days > facts.manifest.until_day:
        raise NotEnoughData(
            f"labels of {calendar_day(day)} need facts until {calendar_day(day + horizon_days)}; "
            f"there are facts until {calendar_day(facts.manifest.until_day)}"
        )


def purchased_within(facts: Facts, member_ids: Sequence[str], *, day: int, horizon_days: int) -> NDArray[np.bool_]:
    """Whether each member bought on the local days [day, day + horizon_days).

    Raises
    ------
    NotEnoughData
        The horizon has not passed in these facts.
    """
    require_matured(facts, day=day, horizon_days=horizon_days)
    orders = facts.tables[ORDERS.name]
    inside = orders.local_day.between(day, day + horizon_days - 1) & (orders.kind == SALE)
    buyers = set(orders.filter(inside).member_id.to_pyarrow().to_pylist())
    return np.array([member in buyers for member in member_ids], dtype=np.bool_)


def spend_within(facts: Facts, member_ids: Sequence[str], *, day: int, horizon_days: int) -> NDArray[np.int64]:
    """Net spend in cents of each member on the local days [day, day + horizon_days), returns taken off.

    Raises
    ------
    NotEnoughData
        The horizon has not passed in these facts.
    """
    require_matured(facts, day=day, horizon_days=horizon_days)
    orders = facts.tables[ORDERS.name]
    inside = orders.filter(orders.local_day.between(day, day + horizon_days - 1))
    totals = inside.group_by("member_id").agg(cents=inside.net_cents.sum()).to_pyarrow().to_pydict()
    spent = dict(zip(totals["member_id"], totals["cents"], strict=True))
    return np.array([spent.get(member, 0) for member in member_ids], dtype=np.int64)
