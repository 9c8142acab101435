"""What everyone in the simulation shares: the calendar, the shops, the promotions and the campaigns."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.days import day_number
from features.sources.simulation.catalogue import CELLS, RANKS, Catalogue, draw_catalogue

TIME_ZONE = "Europe/Berlin"
CURRENCY = "EUR"
START = date(2024, 1, 1)
STORES = 20
REGIONS = ("north", "east", "south", "west")
CAMPAIGN_EVERY, CAMPAIGN_DAYS, FIRST_CAMPAIGN = 42, 14, 28
COUPON = "coupon"
CAMPAIGN_KINDS = (COUPON, "mailing", COUPON, "push")
WEEKDAYS = (0.95, 0.9, 0.95, 1.05, 1.3, 1.5, 0.35)
FAVOURITE_DAY = 3.0
"""How much likelier a person buys on their favourite weekday."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Days are counted from the start of the simulation; `until` is the day after the last."""

    campaign_id: str
    kind: str
    first: int
    until: int
    strength: float
    cost_cents: int
    coupon_cents: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller may choose. Means are per order, and events per order line."""

    days: int
    seed: int
    lines_per_order: float = 9.0
    events_per_line: float = 0.3


@dataclass(frozen=True, slots=True)
class World:
    """Everything shared. Arrays over days have one entry a day of the simulation.

    Attributes
    ----------
    offset_s
        What local time is ahead of UTC, in seconds, from 3 o'clock on.
    weight_until
        By favourite weekday and day: weight of all days before it; a day weighs 1 on average. One column more than days.
    promoted_rank, promoted_share
        By week and cell: which rank is on promotion, and what share of the price is taken off.
    """

    settings: Settings
    start_day: int
    offset_s: NDArray[np.int64]
    weight_until: NDArray[np.float64]
    catalogue: Catalogue
    promoted_rank: NDArray[np.int64]
    promoted_share: NDArray[np.float64]
    store_share: NDArray[np.float64]  # ascending sums that end at 1
    campaigns: tuple[Campaign, ...]


Purpose = Literal["world", "people", "campaigns", "buying", "browsing"]
_STREAMS: dict[Purpose, int] = {"world": 0, "people": 1, "campaigns": 2, "buying": 3, "browsing": 4}


def stream(seed: int, purpose: Purpose, block: int = 0) -> np.random.Generator:
    """The random numbers of one purpose in one block of members, the same whatever else is drawn."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS[purpose], block))
    return np.random.Generator(np.random.SFC64(sequence))


def draw_world(settings: Settings) -> World:
    """The shared part of a simulation."""
    rng = stream(settings.seed, "world")
    start_day = day_number(START)
    weeks = settings.days // 7 + 1
    store_share = rng.dirichlet(np.full(STORES, 4.0))
    return World(
        settings=settings,
        start_day=start_day,
        offset_s=_offsets(settings.days),
        weight_until=_weights(start_day, settings.days),
        catalogue=draw_catalogue(rng),
        promoted_rank=rng.integers(0, RANKS, (weeks, CELLS)),
        promoted_share=rng.choice((0.1, 0.15, 0.2, 0.25, 0.3, 0.4), (weeks, CELLS)),
        store_share=np.cumsum(store_share) / store_share.sum(),
        campaigns=_campaigns(rng, settings.days),
    )


def store_name(store: int) -> str:
    """The id of a shop."""
    return f"s{store + 1:02d}"


def region_of(store: int) -> str:
    """The region that a shop lies in."""
    return REGIONS[store % len(REGIONS)]


def _offsets(days: int) -> NDArray[np.int64]:
    noons = (datetime.combine(START + timedelta(days=day), time(12), ZoneInfo(TIME_ZONE)) for day in range(days))
    return np.array([(noon.replace(tzinfo=UTC) - noon).total_seconds() for noon in noons], dtype=np.int64)


def _weights(start_day: int, days: int) -> NDArray[np.float64]:
    day = np.arange(days)
    weekday = (start_day + day + 3) % 7  # 1970-01-01 was a Thursday
    of_year = (day % 365.25) / 365.25
    season = 1 + 0.06 * np.cos(2 * np.pi * (of_year - 0.95)) + 0.25 * ((of_year > 0.93) & (of_year < 0.98))
    by_favourite = np.where(weekday[None, :] == np.arange(7)[:, None], FAVOURITE_DAY, 1.0) * np.array(WEEKDAYS)[weekday]
    week = np.array([(np.where(np.arange(7) == t, FAVOURITE_DAY, 1.0) * np.array(WEEKDAYS)).mean() for t in range(7)])
    weight = by_favourite * season / week[:, None]
    return np.concatenate([np.zeros((7, 1)), np.cumsum(weight, axis=1)], axis=1)


def _campaigns(rng: np.random.Generator, days: int) -> tuple[Campaign, ...]:
    firsts = range(FIRST_CAMPAIGN, days - CAMPAIGN_DAYS + 1, CAMPAIGN_EVERY)
    return tuple(
        Campaign(
            campaign_id=f"c{number + 1:02d}",
            kind=(kind := CAMPAIGN_KINDS[number % len(CAMPAIGN_KINDS)]),
            first=first,
            until=first + CAMPAIGN_DAYS,
            strength=float(rng.uniform(0.7, 1.3)),
            cost_cents={COUPON: 35, "mailing": 80, "push": 2}[kind],
            coupon_cents=int(rng.choice((100, 200, 300))) if kind == COUPON else 0,
        )
        for number, first in enumerate(firsts)
    )
