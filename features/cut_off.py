"""Facts as they were before a moment: what happened at it or later is not there, so that nothing made from them can know it."""

from collections.abc import Sequence
from datetime import datetime

from features.days import naive_utc
from features.facts import Facts
from features.sources.schema import EVENTS, EXPOSURES, IDENTITIES, ITEMS, MEMBERS, ORDERS, PURCHASES, REDEMPTIONS

_HAPPENING = (PURCHASES, EVENTS, EXPOSURES, REDEMPTIONS)
_STANDING = (ITEMS, MEMBERS, IDENTITIES)


def cut_off(facts: Facts, *, before: datetime, member_ids: Sequence[str]) -> Facts:
    """Facts of some members, held in memory, without anything that happened at `before` or later.

    The catalogue and the members' attributes are whole: facts hold them only as known now.
    """
    tables = {
        table.name: facts.query(
            f"SELECT * FROM {table.name} WHERE occurred_at < $before AND member_id IN (SELECT unnest($member_ids))",  # noqa: S608
            before=naive_utc(before),
            member_ids=list(member_ids),
        )
        for table in _HAPPENING
    }
    tables |= {table.name: facts.query(f"SELECT * FROM {table.name}") for table in _STANDING}  # noqa: S608 # own names
    known = facts.query(
        f"SELECT DISTINCT local_day, holiday FROM {ORDERS.name} WHERE holiday IS NOT NULL"  # noqa: S608 # own names
    ).to_pylist()
    return Facts.in_memory(
        tables,
        time_zone=facts.manifest.time_zone,
        thresholds=facts.thresholds,
        since=facts.manifest.since,
        holidays={row["local_day"] for row in known if row["holiday"]} if known else None,
    )
