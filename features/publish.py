"""Offline rows into the online store: packed aggregates and readable profiles in batches, then the freshness stamp."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from features.build import FeatureRows
from features.codec import columns_of, encode
from features.days import calendar_day
from features.derive import label_of
from features.online_store import OnlineStore, Profile, Stamp

BATCH = 500
Progress = Callable[[int], None]


def publish(rows: FeatureRows, store: OnlineStore, *, progress: Progress = lambda done: None) -> Stamp:
    """Write every member's aggregates and profile, then the stamp; running it again changes nothing but moments.

    Parameters
    ----------
    progress
        Called with the number of members written since the last call.

    Raises
    ------
    StoreUnavailable
        The store stopped answering; no stamp was written, so readers see which rows are older by their header.
    """
    written_at = datetime.now(UTC)
    values = encode(rows.contract, rows.records, as_of=rows.as_of, written_at=written_at)
    members = rows.member_ids.tolist()
    profiles = readable_profiles(rows)
    for start in range(0, len(members), BATCH):
        part = slice(start, start + BATCH)
        store.write_aggregates(members[part], values[part])
        store.write_profiles(members[part], profiles[part])
        progress(len(members[part]))
    stamp = Stamp(
        contract=rows.contract.hash,
        as_of=rows.as_of.isoformat(),
        published_at=written_at.isoformat(),
        time_zone=rows.time_zone,
        facts_hash=rows.facts_hash,
        members=len(members),
        edges={name: None if math.isnan(value) else value for name, value in rows.edges.items()},
    )
    store.write_stamp(stamp)
    return stamp


def readable_profiles(rows: FeatureRows) -> list[Profile]:
    """What people and other systems read of each member, in the order of the rows."""
    last_day = columns_of(rows.records)["last_purchase_day"]
    stage, tier = rows.column("lifecycle_stage"), rows.column("rfm_tier")
    scores = {name: rows.column(name) for name in ("recency_score", "frequency_score", "monetary_score")}
    spend = columns_of(rows.records)["spend_cents_365d"]
    return [
        {
            "as_of": rows.as_of.isoformat(),
            "lifecycle_stage": label_of(rows.contract, "lifecycle_stage", stage[i]) or "",
            "rfm_tier": label_of(rows.contract, "rfm_tier", tier[i]) or "",
            "last_purchase": "" if math.isnan(last_day[i]) else calendar_day(int(last_day[i])).isoformat(),
            "spend_cents_365d": int(spend[i]),
            **{name: "" if math.isnan(column[i]) else int(column[i]) for name, column in scores.items()},
        }
        for i in range(len(rows.member_ids))
    ]
