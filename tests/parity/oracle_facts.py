"""What each member of a shop did before a moment, as far as it was known then, in plain Python from the canonical rows."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Value = float | None
Row = Mapping[str, Any]


class Records(NamedTuple):
    """Canonical rows of a shop, as dictionaries. Local days and hours are worked out from the moments anew."""

    purchases: Sequence[Row]
    catalogue: Mapping[str, Row]
    events: Sequence[Row] = ()
    exposures: Sequence[Row] = ()
    redemptions: Sequence[Row] = ()
    holidays: Collection[date] | None = None


@dataclass
class Bought:
    """One order line of a member, with what the catalogue says of its item."""

    day: int
    item: str | None
    department: str | None
    category: str | None
    brand: str | None
    own_brand: bool
    cents: int
    discount: int
    pieces: int | None
    usual_cents: int | None


@dataclass
class Order:
    """One order of a member, summed over its lines."""

    when: tuple[Any, ...]
    day: int
    hour: int
    cents: int = 0
    discount: int = 0
    coupon: int = 0
    lines: int = 0
    channel: str = ""
    store: str | None = None
    holiday: bool | None = None

    @property
    def date(self) -> date:
        return date.fromordinal(date(1970, 1, 1).toordinal() + self.day)


@dataclass
class Did:
    """Something a member did without buying."""

    day: int
    kind: str
    item: str | None
    session: str | None
    seconds: int | None
    channel: str


@dataclass
class Member:
    """What one member did before a moment. Exposures and redemptions are their days."""

    sales: list[Order] = field(default_factory=list)
    returns: list[Order] = field(default_factory=list)
    bought: list[Bought] = field(default_factory=list)
    events: list[Did] = field(default_factory=list)
    exposures: list[int] = field(default_factory=list)
    redemptions: list[int] = field(default_factory=list)


def day_number(moment: datetime) -> int:
    return (moment.date() - date(1970, 1, 1)).days


def members_before(moment: datetime, records: Records, zone: ZoneInfo) -> dict[str, Member]:
    """What each known member did before the moment."""
    members: dict[str, Member] = defaultdict(Member)
    for row, local in _known(records.purchases, moment, zone):
        _add_line(members[row["member_id"]], row, local, records)
    for row, local in _known(records.events, moment, zone):
        did = Did(
            day_number(local), row["event_type"], row["item_id"], row["session_id"], row["duration_s"], channel=row["channel"]
        )
        members[row["member_id"]].events.append(did)
    for row, local in _known(records.exposures, moment, zone):
        reached = [] if row["arm"] == "control" else [day_number(local)]
        members[row["member_id"]].exposures += reached
    for row, local in _known(records.redemptions, moment, zone):
        members[row["member_id"]].redemptions.append(day_number(local))
    return dict(members)


def _known(rows: Iterable[Row], moment: datetime, zone: ZoneInfo) -> Iterable[tuple[Row, datetime]]:
    """Rows of members that had happened, were recorded and not yet replaced, each with its local time."""
    for row in rows:
        happened, recorded, replaced = (_utc(row.get(name)) for name in ("occurred_at", "recorded_at", "superseded_at"))
        if row["member_id"] is None or happened is None or happened >= moment:
            continue
        if (recorded is None or recorded < moment) and (replaced is None or replaced >= moment):
            yield row, happened.astimezone(zone)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _add_line(member: Member, line: Row, local: datetime, records: Records) -> None:
    entry = records.catalogue.get(line["item_id"], {})
    of_one_order = (line["occurred_at"], line["order_id"], line["kind"], line["channel"], line["store_id"])
    orders = member.sales if line["kind"] == "sale" else member.returns
    order = next((known for known in orders if known.when == of_one_order), None)
    if order is None:
        holiday = None if records.holidays is None else local.date() in records.holidays
        order = Order(
            of_one_order, day_number(local), local.hour, channel=line["channel"], store=line["store_id"], holiday=holiday
        )
        orders.append(order)
    order.lines += 1
    order.cents += line["net_cents"]
    order.discount += line["discount_cents"]
    order.coupon += line["coupon_cents"]
    if line["kind"] == "sale":
        member.bought.append(_bought(line, order.day, entry))


def _bought(line: Row, day: int, entry: Row) -> Bought:
    counted = (line["quantity"] or 0) > 0 and not entry.get("sold_by_measure")
    return Bought(
        day=day,
        item=line["item_id"],
        department=entry.get("department"),
        category=entry.get("category"),
        brand=entry.get("brand"),
        own_brand=bool(entry.get("own_brand")),
        cents=line["net_cents"],
        discount=line["discount_cents"],
        pieces=line["quantity"] if counted else None,
        usual_cents=entry.get("price_cents"),
    )


def share(part: float | None, whole: float | None) -> Value:
    """Part / whole; unknown if either is unknown or there is no whole."""
    return None if part is None or whole is None or whole == 0 else part / whole


def totals_by(keys_and_cents: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for key, cents in keys_and_cents:
        if key is not None:
            totals[key] += cents
    return totals
