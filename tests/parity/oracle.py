"""Every feature once more, from its name and meaning, in plain Python: slow, readable, and sharing no code with the other.

Only the canonical purchases and the catalogue go in. Local days and hours are worked out from the moments anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import floor, sqrt
from statistics import fmean, pstdev
from typing import Any
from zoneinfo import ZoneInfo

Value = float | None
PARTS_OF_DAY = {
    "night": range(6),
    "morning": range(6, 11),
    "midday": range(11, 14),
    "afternoon": range(14, 17),
    "evening": range(17, 21),
    "late": range(21, 24),
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
STAGES = ("new", "growing", "loyal", "at_risk", "dormant")


@dataclass
class Bought:
    """One order line of a member."""

    day: int
    item: str | None
    department: str | None
    category: str | None
    own_brand: bool
    cents: int


@dataclass
class Order:
    """One order of a member, summed over its lines."""

    day: int
    hour: int
    cents: int = 0
    discount: int = 0
    coupon: int = 0
    lines: int = 0
    channel: str = ""
    store: str | None = None


class Member:
    """What one member did before a moment."""

    def __init__(self) -> None:
        self.sales: list[Order] = []
        self.returns: list[Order] = []
        self.bought: list[Bought] = []


def day_number(moment: datetime) -> int:
    return (moment.date() - date(1970, 1, 1)).days


def members_before(
    moment: datetime, purchases: Iterable[Mapping[str, Any]], catalogue: Mapping[str, Mapping[str, Any]], zone: ZoneInfo
) -> dict[str, Member]:
    """What each known member did before the moment."""
    members: dict[str, Member] = defaultdict(Member)
    orders: dict[tuple[Any, ...], Order] = {}
    for line in purchases:
        happened = line["occurred_at"].replace(tzinfo=UTC)
        if line["member_id"] is None or happened >= moment:
            continue
        local = happened.astimezone(zone)
        member = members[line["member_id"]]
        name = (line["member_id"], line["order_id"], line["kind"], happened, line["channel"], line["store_id"])
        if name not in orders:
            orders[name] = Order(day_number(local), local.hour, channel=line["channel"], store=line["store_id"])
            (member.sales if line["kind"] == "sale" else member.returns).append(orders[name])
        order = orders[name]
        order.lines += 1
        order.cents += line["net_cents"]
        order.discount += line["discount_cents"]
        order.coupon += line["coupon_cents"]
        if line["kind"] == "sale":
            entry = catalogue.get(line["item_id"], {})
            member.bought.append(
                Bought(
                    order.day,
                    line["item_id"],
                    entry.get("department"),
                    entry.get("category"),
                    bool(entry.get("own_brand")),
                    line["net_cents"],
                )
            )
    return dict(members)


def share(part: float | None, whole: float | None) -> Value:
    """Part / whole; unknown if either is unknown or there is no whole."""
    return None if part is None or whole is None or whole == 0 else part / whole


def totals_by(keys_and_cents: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for key, cents in keys_and_cents:
        if key is not None:
            totals[key] += cents
    return totals


def weight(age: int, half_life: int) -> int:
    """65,536 halved once every half-life, to the nearest integer; one half counts up."""
    return floor(65_536 * 2 ** (-age / half_life) + 0.5)


def aggregates_of(member: Member, day: int) -> dict[str, Value]:
    """Summaries that are not features themselves."""
    days = sorted({order.day for order in member.sales})
    recent = [order for order in member.sales if order.day >= day - 180]
    recent_lines = [line for line in member.bought if line.day >= day - 180]
    everything = member.sales + member.returns
    by_category = totals_by((line.category, line.cents) for line in recent_lines)
    return {
        "first_purchase_day": days[0] if days else None,
        "last_purchase_day": days[-1] if days else None,
        "longest_gap_days": max((b - a for a, b in pairwise(days)), default=None),
        "squared_gap_days": sum((b - a) ** 2 for a, b in pairwise(days)),
        **{f"decayed_purchases_h{h}d": sum(weight(day - order.day, h) for order in member.sales) for h in (7, 30, 90)},
        "decayed_spend_cents_h30d": sum(weight(day - order.day, 30) * order.cents for order in everything),
        "basket_cents_squared_180d": sum(order.cents**2 for order in recent),
        "top_store_cents_180d": max(totals_by((order.store, order.cents) for order in recent).values(), default=0),
        "top_department_cents_180d": max(totals_by((line.department, line.cents) for line in recent_lines).values(), default=0),
        "squared_category_cents_180d": sum(cents**2 for cents in by_category.values()),
        "own_brand_cents_180d": sum(line.cents for line in recent_lines if line.own_brand),
        "sales_cents_180d_nightly": sum(order.cents for order in recent),
        "coupon_purchases_180d": sum(1 for order in recent if order.coupon > 0),
        "returns_180d": sum(1 for order in member.returns if order.day >= day - 180),
    }


def rfm_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    last = max((order.day for order in member.sales), default=None)
    found["days_since_last_purchase"] = None if last is None else day - last
    for window in (7, 30, 90, 180, 365):
        sales = [order for order in member.sales if order.day >= day - window]
        returns = [order for order in member.returns if order.day >= day - window]
        found[f"purchases_{window}d"] = len(sales)
        found[f"purchase_days_{window}d"] = len({order.day for order in sales})
        found[f"spend_cents_{window}d"] = sum(order.cents for order in sales + returns)
        if window in (30, 90, 180):
            found[f"cents_per_purchase_{window}d"] = fmean(o.cents for o in sales) if sales else None
        if window == 180:
            found["basket_cents_deviation_180d"] = pstdev(o.cents for o in sales) if sales else None
            found["largest_basket_cents_180d"] = max((o.cents for o in sales), default=None)
            found["return_share_180d"] = share(len(returns), len(returns) + len(sales))
    for half_life in (7, 30, 90):
        weights = [weight(day - order.day, half_life) for order in member.sales]
        found[f"purchases_h{half_life}d"] = sum(weights) / 65_536
    found["spend_cents_h30d"] = sum(o.cents * weight(day - o.day, 30) for o in member.sales + member.returns) / 65_536
    for short, long in ((7, 30), (30, 90), (90, 180), (180, 365)):
        found[f"purchase_trend_{short}d_of_{long}d"] = share(found[f"purchases_{short}d"], found[f"purchases_{long}d"])
    found["spend_trend_30d_of_90d"] = share(found["spend_cents_30d"], found["spend_cents_90d"])
    return found


def basket_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for window in (30, 90, 180):
        sales = [order for order in member.sales if order.day >= day - window]
        bought = [line for line in member.bought if line.day >= day - window]
        paid, discount, coupon = (sum(getattr(o, name) for o in sales) for name in ("cents", "discount", "coupon"))
        found[f"lines_per_purchase_{window}d"] = share(sum(o.lines for o in sales), len(sales))
        found[f"discount_share_{window}d"] = share(discount, discount + paid)
        found[f"items_{window}d"] = len({line.item for line in bought if line.item is not None})
        found[f"categories_{window}d"] = len({line.category for line in bought if line.category is not None})
        if window > 30:
            found[f"coupon_share_{window}d"] = share(coupon, coupon + paid)
    return found


def habit_features(member: Member, day: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    sales = [order for order in member.sales if order.day >= day - 180]
    bought = [line for line in member.bought if line.day >= day - 180]
    paid = sum(order.cents for order in sales)
    found["cents_per_line_180d"] = share(paid, sum(order.lines for order in sales))
    found["coupon_purchase_share_180d"] = share(sum(order.coupon > 0 for order in sales), len(sales))
    for part, hours in PARTS_OF_DAY.items():
        found[f"{part}_share_180d"] = share(sum(order.hour in hours for order in sales), len(sales))
    for number, name in enumerate(WEEKDAYS):
        on_that_day = [o for o in sales if (date(1970, 1, 1) + timedelta(days=o.day)).weekday() == number]
        found[f"{name}_share_180d"] = share(len(on_that_day), len(sales))
    found["online_share_180d"] = share(sum(order.channel != "store" for order in sales), len(sales))
    by_store = totals_by((order.store, order.cents) for order in sales)
    by_department = totals_by((line.department, line.cents) for line in bought)
    by_category = totals_by((line.category, line.cents) for line in bought)
    found["stores_180d"] = len(by_store)
    found["top_store_share_180d"] = share(max(by_store.values(), default=0), paid)
    found["top_department_share_180d"] = share(max(by_department.values(), default=0), paid)
    found["category_concentration_180d"] = share(sqrt(sum(cents**2 for cents in by_category.values())), paid)
    found["own_brand_share_180d"] = share(sum(line.cents for line in bought if line.own_brand), paid)
    return found


def rhythm_features(member: Member, day: int) -> dict[str, Value]:
    days = sorted({order.day for order in member.sales})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    silence = day - days[-1] if days else None
    mean, deviation = (fmean(gaps), pstdev(gaps)) if gaps else (None, None)
    overdue = (silence - mean) / deviation if deviation else None  # type: ignore[operator] # who has gaps has a silence
    return {
        "mean_gap_days": mean,
        "gap_deviation_days": deviation,
        "longest_gap_days": max(gaps, default=None),
        "silence_of_mean_gap": share(silence, mean),
        "silence_of_longest_gap": share(silence, max(gaps, default=None)),
        "overdue_deviations": overdue,
    }


def lifetime_features(member: Member, day: int) -> dict[str, Value]:
    days = sorted({order.day for order in member.sales})
    since = day - days[0] if days else None
    span = days[-1] - days[0] if days else None
    return {
        "days_since_first_purchase": since,
        "active_span_days": span,
        "purchase_days": len(days),
        "purchase_days_per_day": share(len(days), since),
        "active_share": share(span, since),
    }


FIFTHS = {
    "recency_score": "days_since_last_purchase",
    "frequency_score": "purchases_365d",
    "monetary_score": "spend_cents_365d",
}


def edges_of(values: Sequence[float]) -> list[float]:
    """The lowest values with at least one to four fifths of all values at or below them."""
    ordered = sorted(values)
    return [
        next(v for v in ordered if 5 * sum(w <= v for w in ordered) >= fifth * len(ordered))
        for fifth in (1, 2, 3, 4)
        if ordered
    ]


def scores(features: Mapping[str, Value], edges: Mapping[str, Sequence[float]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for score, over in FIFTHS.items():
        value = features[over]
        found[score] = None if value is None else 1 + sum(edge < value for edge in edges[score])
    if found["recency_score"] is not None:
        found["recency_score"] = 6 - found["recency_score"]
    parts = list(found.values())
    total = None if None in parts else sum(part for part in parts if part is not None)
    found["rfm_score"] = total
    found["rfm_tier"] = 0 if total is None or total < 9 else 1 if total < 13 else 2
    return found


def stage(member: Member, day: int, scored: Mapping[str, Value]) -> float | None:
    """The lifecycle stage's code; None where the silence equals the member's limit, up to rounding."""
    days = sorted({order.day for order in member.sales})
    if not days:
        return STAGES.index("new")
    silence, gaps = day - days[-1], [b - a for a, b in pairwise(days)]
    if silence > max([90, *gaps]):
        return STAGES.index("dormant")
    limit = 45.0
    if len(days) >= 3:
        mean = Fraction(sum(gaps), len(gaps))
        limit = float(mean) + 2 * sqrt(Fraction(sum(gap * gap for gap in gaps), len(gaps)) - mean * mean)
    if abs(limit - silence) < 1e-9 and limit != silence:
        return None
    if silence > max(14, limit):
        return STAGES.index("at_risk")
    if len(days) == 1:
        return STAGES.index("new")
    loyal = all((scored[name] or 0) >= 4 for name in ("frequency_score", "monetary_score"))
    return STAGES.index("loyal" if loyal else "growing")


def plain_features(member: Member, day: int) -> dict[str, Value]:
    """Every feature that takes nothing but the member's own facts."""
    families = (rfm_features, basket_features, habit_features, rhythm_features, lifetime_features)
    return {name: value for family in families for name, value in family(member, day).items()}


def features_at(
    moment: datetime, purchases: Sequence[Mapping[str, Any]], catalogue: Mapping[str, Mapping[str, Any]], zone: ZoneInfo
) -> dict[str, dict[str, Value]]:
    """Every feature of every member as of the moment. `lifecycle_stage` is absent where rounding decides."""
    local = moment.astimezone(zone)
    day = day_number(local)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone)
    population = [plain_features(m, day) for m in members_before(midnight, purchases, catalogue, zone).values()]
    active = [features for features in population if (features["purchases_365d"] or 0) > 0]
    edges = {score: edges_of([f[over] for f in active]) for score, over in FIFTHS.items()}  # type: ignore[misc] # known: active
    found = {}
    for name, member in members_before(moment, purchases, catalogue, zone).items():
        features = plain_features(member, day)
        features.update(scores(features, edges))
        code = stage(member, day, features)
        if code is not None:
            features["lifecycle_stage"] = code
        found[name] = features
    return found
