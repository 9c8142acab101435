"""The stamp: what was published last, and which publishes are under way, so that readers never see half a publish."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import CorruptRecord

Edges = dict[str, float | None]


@dataclass(frozen=True)
class Edition:
    """What rows of one publish are read with. Their headers carry `published_at` as the moment they were written."""

    as_of: str
    published_at: str
    edges: Edges

    @cached_property
    def as_of_moment(self) -> datetime:
        """`as_of` as an aware moment."""
        return datetime.fromisoformat(self.as_of)

    @cached_property
    def published_moment(self) -> datetime:
        """`published_at` as an aware moment."""
        return datetime.fromisoformat(self.published_at)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a publish leaves behind last. Moments in ISO 8601 UTC; edges are the population edges features need.

    Attributes
    ----------
    as_of
        Every row in the store is right as of this moment, also one that was written earlier and has not changed since;
        only rows of a pending publish are newer, or older where the past was published again.
    generation
        A name no other publish has: whoever knows what that publish wrote knows what the store holds.
    unknown
        Aggregates that are missing for everyone, as the shop's facts tell nothing of them.
    pending
        Publishes begun since, in order. All but the last were broken off.
    """

    contract: str
    as_of: str
    published_at: str
    time_zone: str
    facts_hash: str
    members: int
    edges: Edges
    generation: str = ""
    unknown: tuple[str, ...] = ()
    pending: tuple[Edition, ...] = ()

    def to_bytes(self) -> bytes:
        """The stamp as JSON."""
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> "Stamp":
        """The stamp from JSON; CorruptRecord if it is none."""
        try:
            content = json.loads(value)
            pending = tuple(Edition(**edition) for edition in content.pop("pending", ()))
            stamp = cls(**content, pending=pending)
            stamp = replace(stamp, unknown=tuple(map(str, stamp.unknown)))
            zone = ZoneInfo(stamp.time_zone)
            for moment in (stamp.as_of_moment, *(m for e in pending for m in (e.as_of_moment, e.published_moment))):
                moment.astimezone(zone)
            for edges in (stamp.edges, *(edition.edges for edition in pending)):
                dict[str, float | None](edges)
        except (ValueError, TypeError, AttributeError, ZoneInfoNotFoundError) as error:
            raise CorruptRecord("the stamp in the store cannot be read", remedy='publish again: "rapport publish"') from error
        return stamp

    @property
    def as_of_moment(self) -> datetime:
        """`as_of` as an aware moment."""
        return datetime.fromisoformat(self.as_of)

    @property
    def edition(self) -> Edition:
        """The publish that was finished last."""
        return Edition(self.as_of, self.published_at, self.edges)

    def begun(self, edition: Edition) -> "Stamp":
        """The stamp while another publish is under way."""
        return replace(self, pending=(*self.pending, edition))
