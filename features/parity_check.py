"""`rapport parity`: members as the store has them now against a batch build on the archived facts, in operation.

Events are on their way while it looks: a member who differs is looked at again, after the archive has taken in what came.
Only one who stands still and differs is a mismatch.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.build import silence
from features.capabilities import silent
from features.codec import decode, empty_records
from features.contract import CONTRACT
from features.errors import ConfigurationError, NothingPublished
from features.events.schema import ANONYMOUS
from features.facts import Facts
from features.live_parity import Compared, Parity, compared
from features.live_slots import slots_of
from features.live_state import first_live_day, merged
from features.live_store import LiveStore
from features.manifest import bucket_sql
from features.online_store import RedisStore
from features.stamp import Stamp
from features.summing import aggregates_at

LOOKS, PAUSE_S = 3, 1.0
READ_TOGETHER = 1000
REMEDY = 'compare on the day of the last publish, or publish first: "rapport nightly"'


@dataclass(frozen=True, slots=True)
class _Online:
    """Members as the store has them: records of now, their live values, and whether the store knows them at all."""

    records: NDArray[np.void]
    live: list[bytes | None]
    known: NDArray[np.bool_]


class ParityCheck:
    """Compares one bucket of a shop's members, or a sample of it."""

    def __init__(self, url: str, *, prefix: str, most: int) -> None:
        self._store = RedisStore(url, prefix=prefix)
        self._live = LiveStore(url, prefix=prefix, slots=slots_of(CONTRACT))
        self._most = most

    def run(
        self, facts: Callable[[], Facts], bucket: int, *, moment: datetime, pause_s: float = PAUSE_S, looks: int = LOOKS
    ) -> Parity:
        """Compare; `facts` brings in what was archived until now, each time it is called.

        Raises
        ------
        NothingPublished
            The store is empty.
        ConfigurationError
            What is published is not as of the midnight before the moment.
        """
        shop = facts()
        chosen = self._chosen(shop, bucket, _as_of_today(shop, bucket, moment)[0])
        parity, live = self._look(shop, bucket, moment, chosen, None)
        for _ in range(looks - 1):
            if not (parity.mismatches or parity.missing or parity.extra or parity.unsettled):
                break
            time.sleep(pause_s)
            parity, live = self._look(facts(), bucket, moment, chosen, live)
        return parity

    def _look(
        self, facts: Facts, bucket: int, moment: datetime, chosen: Sequence[str], before: Sequence[bytes | None] | None
    ) -> tuple[Parity, list[bytes | None]]:
        """One comparison, and the live values it saw."""
        stamp = self._stamp(facts, moment)
        found = _rows_of(*_as_of_today(facts, bucket, moment), chosen, stamp)
        online = self._online(stamp, chosen)
        edges = {name: float("nan") if edge is None else edge for name, edge in stamp.edges.items()}
        result = compared(CONTRACT, found.records, online.records, day=facts.local_day(moment), edges=edges)
        return _verdict(result, found.known, online, online.live if before is None else before), online.live

    def keep(self, parity: Parity, *, moment: datetime) -> None:
        """Keep the result where /metrics finds it."""
        self._live.write_parity(parity_json(parity, moment))

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()
        self._live.close()

    def _stamp(self, facts: Facts, moment: datetime) -> Stamp:
        stamp = self._store.read_stamp()
        if stamp is None:
            raise NothingPublished("nothing was published to the online store", remedy='run "rapport publish"')
        if stamp.pending or stamp.as_of_moment != facts.midnight(facts.local_day(moment)):
            raise ConfigurationError(f"what is published is as of {stamp.as_of}, or is being replaced", remedy=REMEDY)
        return stamp

    def _chosen(self, facts: Facts, bucket: int, members: NDArray[np.str_]) -> list[str]:
        """Members of the bucket who did something today, then others, evenly over the ids, `most` in all."""
        active = [member for member in self._live.active_members() if not member.startswith(ANONYMOUS)]
        active = _in_bucket(facts, bucket, active)
        others = members[~np.isin(members, active) & ~np.char.startswith(members, ANONYMOUS)]
        room = max(0, self._most - len(active))
        step = max(1, len(others) // room) if room else len(others) + 1
        return [*active[: self._most], *others[::step][:room].tolist()]

    def _online(self, stamp: Stamp, members: Sequence[str]) -> _Online:
        base: list[bytes | None] = []
        live: list[bytes | None] = []
        for start in range(0, len(members), READ_TOGETHER):
            part = members[start : start + READ_TOGETHER]
            base += self._store.read_aggregates(part)
            live += self._live.read(part)
        records = empty_records(CONTRACT, len(members), unknown=stamp.unknown)
        rows = [row for row, value in enumerate(base) if value is not None]
        records[rows] = decode(CONTRACT, [value for value in base if value is not None]).records
        first = first_live_day(stamp.as_of_moment, ZoneInfo(stamp.time_zone))
        known = np.array([b is not None or v is not None for b, v in zip(base, live, strict=True)], dtype=np.bool_)
        return _Online(merged(CONTRACT, records, live, first)[0], live, known)


def parity_json(parity: Parity, moment: datetime) -> bytes:
    """A result as it is kept and printed."""
    return json.dumps(parity_dict(parity, moment)).encode()


def parity_dict(parity: Parity, moment: datetime) -> dict[str, Any]:
    """The same as a dictionary; an infinite error, where one side has no value, is null."""
    differences = {
        name: {"members": d.members, "largest": d.largest if np.isfinite(d.largest) else None}
        for name, d in parity.differences.items()
    }
    content = {name: value for name, value in asdict(parity).items() if name != "differences"}
    return {"moment": moment.isoformat(), **content, "mismatches": parity.mismatches, "differences": differences}


def _verdict(result: Compared, in_facts: NDArray[np.bool_], online: _Online, before: Sequence[bytes | None]) -> Parity:
    """What was found. Who moved since the look before is unsettled."""
    both = in_facts & online.known
    moved = np.array([now != then for now, then in zip(online.live, before, strict=True)], dtype=np.bool_)
    differs = both & result.rows
    return Parity(
        members=len(both),
        active=sum(value is not None for value in online.live),
        missing=int((in_facts & ~online.known & ~moved).sum()),
        extra=int((online.known & ~in_facts & ~moved).sum()),
        differences=result.differences(differs & ~moved),
        unsettled=int(((differs | (in_facts != online.known)) & moved).sum()),
    )


def _as_of_today(facts: Facts, bucket: int, moment: datetime) -> tuple[NDArray[np.str_], NDArray[np.void]]:
    """Members of a bucket and their aggregates from all facts of today, those included that a fast clock dated ahead."""
    day = facts.local_day(moment)
    end = facts.midnight(day + 1) - timedelta(microseconds=1)
    with facts.reading():
        ((members, records),) = aggregates_at(facts, bucket, CONTRACT, [end])
    silence(records, silent(CONTRACT.aggregates, facts.absent(day)))
    return np.asarray(members), records


def _rows_of(members: NDArray[np.str_], records: NDArray[np.void], chosen: Sequence[str], stamp: Stamp) -> _Online:
    """Records of the facts in the order of the members chosen."""
    row_of = {member: row for row, member in enumerate(members.tolist())}
    rows = [row_of.get(member, -1) for member in chosen]
    known = np.array([row >= 0 for row in rows], dtype=np.bool_)
    found = empty_records(CONTRACT, len(chosen), unknown=stamp.unknown)
    found[known] = records[[row for row in rows if row >= 0]]
    return _Online(found, [], known)


def _in_bucket(facts: Facts, bucket: int, members: Sequence[str]) -> list[str]:
    if facts.manifest.buckets == 1 or not members:
        return list(members)
    asked = "SELECT unnest($members) AS member_id"
    sql = f"SELECT member_id FROM ({asked}) WHERE {bucket_sql(facts.manifest.buckets)} = {bucket}"  # noqa: S608 # own names
    return [row[0] for row in facts.connection.con.execute(sql, {"members": list(members)}).fetchall()]
