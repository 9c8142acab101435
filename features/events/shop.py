"""What those who read events need to know of the shop: time zone, currency and holidays. Published beside features."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import CorruptRecord, NothingPublished
from features.events.intake import Intake
from features.identifiers import identity_key

HOLIDAYS_AHEAD = 400
"""Days after a publish for which holidays are told: more than a shop will go without one."""


@dataclass(frozen=True, slots=True)
class EventShop:
    """A shop as its events are read.

    Attributes
    ----------
    holidays
        Public holidays among the local days from `from_day` to `until_day`, days since 1970-01-01; None if nobody knows of any.
    """

    time_zone: str
    currency: str = ""
    holidays: tuple[int, ...] | None = None
    from_day: int = 0
    until_day: int = 0

    def to_bytes(self) -> bytes:
        """The shop as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, value: bytes | None) -> "EventShop":
        """The shop from JSON.

        Raises
        ------
        NothingPublished
            There is none.
        CorruptRecord
            It cannot be read.
        """
        if value is None:
            raise NothingPublished("the store does not know the shop yet", remedy='publish: "rapport publish"')
        try:
            content: dict[str, Any] = json.loads(value)
            holidays = content.pop("holidays")
            shop = cls(**content, holidays=None if holidays is None else tuple(map(int, holidays)))
            ZoneInfo(shop.time_zone)
        except (ValueError, TypeError, KeyError, AttributeError, ZoneInfoNotFoundError) as error:
            raise CorruptRecord("the shop in the store cannot be read", remedy='publish again: "rapport publish"') from error
        return shop

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.time_zone)

    def is_holiday(self) -> Callable[[int], bool | None]:
        """Tells of a local day whether it is a holiday; None for one of which nothing is known."""
        if self.holidays is None:
            return lambda day: None
        known = frozenset(self.holidays)
        return lambda day: day in known if self.from_day <= day < self.until_day else None

    def intake(self, key: str = "") -> Intake:
        """What reads its events. `key` is RAPPORT_IDENTITY_KEY; without one, events of visitors are refused."""
        return Intake(self.zone, self.currency, identity_key(key) if key else b"")
