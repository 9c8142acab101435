"""What a member bought, put into a cart or looked at on a day, as the stream counts it: a Hash of fields p:, c: and v:."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.errors import CorruptRecord

BOUGHT, CARTED, VIEWED = b"p:", b"c:", b"v:"


@dataclass(frozen=True, slots=True)
class LiveItems:
    """Items of one member and local day, with how often; those that came to nothing are not among them."""

    day: int
    bought: Mapping[str, int] = field(default_factory=dict)
    carted: Mapping[str, int] = field(default_factory=dict)
    viewed: Mapping[str, int] = field(default_factory=dict)


def live_items(day: int, fields: Mapping[bytes, bytes]) -> LiveItems:
    """The items of a Hash as Redis gives it; fields of other kinds are passed over.

    Raises
    ------
    CorruptRecord
        A count is no whole number, or an item's id is not UTF-8.
    """
    found: dict[bytes, dict[str, int]] = {BOUGHT: {}, CARTED: {}, VIEWED: {}}
    try:
        for name, count in fields.items():
            kind = found.get(name[:2])
            if kind is not None and int(count) > 0:
                kind[name[2:].decode()] = int(count)
    except ValueError as error:
        raise CorruptRecord("what a member did today cannot be read", remedy="see which program writes live_items") from error
    return LiveItems(day, found[BOUGHT], found[CARTED], found[VIEWED])
