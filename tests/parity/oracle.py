"""Every feature once more, from its name and meaning, in plain Python: slow, readable, and sharing no code with the other.

Only the canonical rows and the catalogue go in. This module holds what is neither bought nor browsed: the summaries that are
not features themselves, lifetimes, scores, stages; the rest stands in the modules beside it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from math import fsum, log, sqrt
from zoneinfo import ZoneInfo

from parity.oracle_assortment import assortment_features, known, repeated
from parity.oracle_browsing import browsing_features, campaign_features
from parity.oracle_facts import Member, Order, Records, Value, day_number, members_before, share, totals_by
from parity.oracle_purchases import (
    basket_features,
    faded,
    place_features,
    price_features,
    rfm_features,
    rhythm_features,
    time_features,
)

STAGES = ("new", "growing", "loyal", "at_risk", "dormant")


def sum_from_last_day(days_and_values: Sequence[tuple[int, float]], half_life: int) -> float:
    """Values halved once every half-life before the last of the days."""
    last = max((day for day, _ in days_and_values), default=0)
    return fsum(value * faded(last - day, half_life) for day, value in days_and_values)


def items_since(member: Member, first: int | None, until: int | None) -> set[str]:
    """Items bought from one day on, and before another."""
    return known(
        line.item for line in member.bought if (first is None or line.day >= first) and (until is None or line.day < until)
    )


def switches(orders: Sequence[Order], name: str) -> int:
    """How often an order differs from the one before, among those that say where they were."""
    said = sorted((order.when[:3], getattr(order, name)) for order in orders if getattr(order, name) is not None)
    return sum(before[1] != after[1] for before, after in pairwise(said))


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
        "previous_purchase_day": days[-2] if len(days) > 1 else None,
        "last_order_day": max((order.day for order in everything), default=None),
        **{f"decayed_purchases_h{h}d": sum_from_last_day([(o.day, 1) for o in member.sales], h) for h in (7, 30, 90)},
        "decayed_spend_cents_h30d": sum_from_last_day([(o.day, o.cents) for o in everything], 30),
        "decayed_discount_purchases_h90d": sum_from_last_day([(o.day, 1) for o in member.sales if o.discount > 0], 90),
        "basket_cents_squared_180d": sum(order.cents**2 for order in recent),
        "top_store_cents_180d": max(totals_by((order.store, order.cents) for order in recent).values(), default=0),
        "top_department_cents_180d": max(totals_by((line.department, line.cents) for line in recent_lines).values(), default=0),
        "squared_category_cents_180d": sum(cents**2 for cents in by_category.values()),
        "logged_category_cents_180d": fsum(cents * log(cents) for cents in by_category.values() if cents > 0),
        "new_items_30d": len(known(b.item for b in member.bought if b.day >= day - 30))
        - len(
            known(b.item for b in member.bought if b.day >= day - 30) & known(b.item for b in member.bought if b.day < day - 30)
        ),
        "repeated_items_180d": repeated((line.item, line.day) for line in recent_lines),
        "channel_switches_180d": switches(recent, "channel"),
        "store_switches_180d": switches(recent, "store"),
        "own_brand_cents_180d": sum(line.cents for line in recent_lines if line.own_brand),
        "sales_cents_180d_nightly": sum(order.cents for order in recent),
        "coupon_purchases_180d": sum(1 for order in recent if order.coupon > 0),
        "returns_180d": sum(1 for order in member.returns if order.day >= day - 180),
    }


def lifetime_features(member: Member, day: int) -> dict[str, Value]:
    days = sorted({order.day for order in member.sales})
    since = day - days[0] if days else None
    span = days[-1] - days[0] if days else None
    return {
        "days_since_first_purchase": since,
        "active_span_days": span,
        "purchase_days": len(days),
        "repeat_purchase_days": len(days) - 1 if days else None,
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
    spend = found["monetary_score"] or 1
    found["value_band"] = max(int(spend) - 2, 0)
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


FAMILIES = (
    rfm_features,
    basket_features,
    price_features,
    time_features,
    place_features,
    rhythm_features,
    assortment_features,
    browsing_features,
    campaign_features,
    lifetime_features,
)


def plain_features(member: Member, day: int) -> dict[str, Value]:
    """Every feature that takes nothing but the member's own facts."""
    return {name: value for family in FAMILIES for name, value in family(member, day).items()}


def features_at(moment: datetime, records: Records, zone: ZoneInfo) -> dict[str, dict[str, Value]]:
    """Every feature of every member as of the moment. A feature is absent where rounding or an edge of seasons decides."""
    local = moment.astimezone(zone)
    day = day_number(local)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone)
    population = [plain_features(m, day) for m in members_before(midnight, records, zone).values()]
    active = [features for features in population if (features["purchases_365d"] or 0) > 0]
    edges = {score: edges_of([f[over] for f in active]) for score, over in FIFTHS.items()}  # type: ignore[misc] # known: active
    found = {}
    for name, member in members_before(moment, records, zone).items():
        features = plain_features(member, day)
        features.update(scores(features, edges))
        code = stage(member, day, features)
        if code is not None:
            features["lifecycle_stage"] = code
        found[name] = features
    return found
