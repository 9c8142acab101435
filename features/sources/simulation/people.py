"""The people of one block: members and walk-ins with their latent rates, tastes, habits and leaving days.

People are drawn in blocks of `BLOCK` members, each block from random numbers of its own: how many blocks are written
together changes nothing. Buying follows a Pareto/NBD-like model (Schmittlein, Morrison and Colombo 1987): a Poisson process
with a gamma-distributed rate, until an exponentially distributed leaving day whose rate is itself gamma-distributed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.sources.simulation.catalogue import OWN_SLOT, SLOTS
from features.sources.simulation.world import WEEKDAYS, Campaign, World, stream

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

BLOCK = 1000
STRIDE = 2048
"""Numbers set aside for the people of a block."""
MOST_BLOCKS = 8192
WALK_INS = 0.08
"""Buyers without a membership, for each member."""
GROWTH_DAYS = 446
"""Days in which as many join as were registered before: of a year's members 45 % join in it."""
MEAN_RATE, RATE_SHAPE, HIGHEST_RATE = 0.1, 1.6, 1.0
MEAN_STAY, STAY_SHAPE = 450.0, 2.0
TARGETED, CONTROL = 0.5, 0.3
TASTES = 3
GENDERS = ("female", "male", "diverse")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
HOUSEHOLD_SIZES = ("1", "2", "3", "4", "5+")
CHILDREN = ("0", "1", "2", "3+")
MISSING = -1


@dataclass(frozen=True, slots=True)
class People:
    """One entry a person; members first, then walk-ins. Days are counted from the start of the simulation.

    Attributes
    ----------
    number
        Different for every person of a simulation.
    member
        Row of the member among all members; -1 for a walk-in.
    rate
        Orders a day while active, at a day of weight 1.
    registered, begins, leaves
        Day of registration (may be negative), first active day, first day without purchases (may lie after the end).
    tastes
        Three favourite categories, the dearest first.
    slot, loyalty
        Favourite brand slot, and how often it is chosen.
    sensitivity
        0 to 1: how often a promotion is sought out, and how coupons are taken.
    response
        Relative change of the rate under a campaign of strength 1; below 0 for those whom advertising puts off.
    """

    number: Integers
    member: Integers
    rate: Floats
    registered: Integers
    begins: Integers
    leaves: Integers
    tastes: Integers
    slot: Integers
    loyalty: Floats
    sensitivity: Floats
    response: Floats
    online: Floats
    by_app: Floats
    store: Integers
    weekday: Integers
    hour: Floats
    basket: Floats
    return_share: Floats
    browsing: Floats
    consent: Integers
    birth_month: Integers
    gender: Integers
    age: Integers
    household: Integers
    children: Integers
    has_phone: Flags
    shares_device: Flags

    def __len__(self) -> int:
        return len(self.number)

    @property
    def is_member(self) -> Flags:
        """Whether a person is registered."""
        flags: Flags = self.member != MISSING
        return flags


@dataclass(frozen=True, slots=True)
class Assignments:
    """Who was chosen for which campaign, one entry a member and campaign.

    Attributes
    ----------
    campaign, person
        Position of the campaign; row of the person in the block.
    treated
        False is the control arm.
    effect
        Relative change of the member's rate while the campaign runs, were they treated.
    extra_orders
        Expected change of the member's orders while the campaign runs, were they treated.
    """

    campaign: Integers
    person: Integers
    treated: Flags
    effect: Floats
    extra_orders: Floats


def blocks_of(members: int) -> int:
    """How many blocks so many members fill."""
    return -(-members // BLOCK)


def draw_people(world: World, block: int, members: int) -> People:
    """The people of a block. `members` is how many the whole simulation has; the last block may hold fewer than the others."""
    rng = stream(world.settings.seed, "people", block)
    mine = min(BLOCK, members - block * BLOCK)
    count = mine + round(mine * WALK_INS)
    row = np.arange(count)
    sensitivity = rng.beta(2.0, 3.0, count)
    registered = _registered(rng, count, world.settings.days)
    begins = np.maximum(registered, 0)
    stay = rng.exponential(1.0, count) / rng.gamma(STAY_SHAPE, 1 / (STAY_SHAPE * MEAN_STAY), count)
    weekday = np.array(WEEKDAYS)
    return People(
        number=block * STRIDE + row,
        member=np.where(row < mine, block * BLOCK + row, MISSING),
        rate=np.minimum(rng.gamma(RATE_SHAPE, MEAN_RATE / RATE_SHAPE, count), HIGHEST_RATE),
        registered=registered,
        begins=begins,
        leaves=begins + np.ceil(np.clip(stay, 1, 36_500)).astype(np.int64),
        tastes=_tastes(rng, world, count),
        slot=np.where(rng.random(count) < 0.15 + 0.5 * sensitivity, OWN_SLOT, rng.integers(1, SLOTS, count)),
        loyalty=rng.beta(4.0, 3.0, count),
        sensitivity=sensitivity,
        response=_response(rng, sensitivity),
        online=_online(rng, count),
        by_app=np.where(rng.random(count) < 0.5, 0.15, 0.85),
        store=np.minimum(np.searchsorted(world.store_share, rng.random(count)), len(world.store_share) - 1),
        weekday=rng.choice(7, count, p=weekday / weekday.sum()),
        hour=rng.choice((10.0, 12.5, 18.0), count) + rng.normal(0.0, 0.8, count),
        basket=1 + (world.settings.lines_per_order - 1) * rng.gamma(4.0, 0.25, count),
        return_share=rng.beta(1.0, 80.0, count),
        browsing=rng.gamma(1.5, 1 / 1.5, count),
        consent=rng.choice((1, 0, MISSING), count, p=(0.7, 0.2, 0.1)),
        birth_month=np.where(rng.random(count) < 0.85, rng.integers(1, 13, count), MISSING),
        gender=rng.choice((0, 1, 2, MISSING), count, p=(0.45, 0.38, 0.02, 0.15)),
        age=np.where(rng.random(count) < 0.8, rng.integers(0, len(AGE_BANDS), count), MISSING),
        household=np.where(rng.random(count) < 0.6, rng.integers(0, len(HOUSEHOLD_SIZES), count), MISSING),
        children=np.where(rng.random(count) < 0.6, rng.integers(0, len(CHILDREN), count), MISSING),
        has_phone=rng.random(count) < 0.8,
        shares_device=(rng.random(count) < 0.02) & (row > 0) & (row < mine),
    )


def draw_assignments(world: World, people: People, block: int) -> Assignments:
    """Half of the consenting members registered before a campaign are in it, and three in ten of these in its control arm."""
    rng = stream(world.settings.seed, "campaigns", block)
    parts = []
    for position, campaign in enumerate(world.campaigns):
        draws = rng.random((2, len(people)))
        eligible = people.is_member & (people.consent == 1) & (people.registered < campaign.first)
        person = np.flatnonzero(eligible & (draws[0] < TARGETED))
        effect = people.response[person] * campaign.strength
        extra = people.rate[person] * active_weight(world, people, campaign)[person] * effect
        parts.append(Assignments(np.full(len(person), position), person, draws[1][person] >= CONTROL, effect, extra))
    if not parts:
        nothing = np.zeros(0)
        return Assignments(nothing.astype(np.int64), nothing.astype(np.int64), nothing.astype(np.bool_), nothing, nothing)
    return Assignments(
        campaign=np.concatenate([part.campaign for part in parts]),
        person=np.concatenate([part.person for part in parts]),
        treated=np.concatenate([part.treated for part in parts]),
        effect=np.concatenate([part.effect for part in parts]),
        extra_orders=np.concatenate([part.extra_orders for part in parts]),
    )


def active_weight(world: World, people: People, campaign: Campaign | None = None) -> Floats:
    """Weight of the days on which each person is active, all of them or those of a campaign."""
    first, until = (campaign.first, campaign.until) if campaign else (0, world.settings.days)
    begin = np.clip(people.begins, first, until)
    end = np.clip(people.leaves, begin, until)
    return world.weight_until[people.weekday, end] - world.weight_until[people.weekday, begin]


def _registered(rng: np.random.Generator, count: int, days: int) -> Integers:
    """Some are members already when the simulation starts, the more the shorter it is; of the others, more and more join."""
    already = GROWTH_DAYS / (days + GROWTH_DAYS)
    long_ago = -1 - np.floor(1095 * rng.random(count) ** 1.5)
    joins = np.floor(days * np.sqrt(rng.random(count)))
    return np.where(rng.random(count) < already, long_ago, np.minimum(joins, days - 1)).astype(np.int64)


def _tastes(rng: np.random.Generator, world: World, count: int) -> Integers:
    """Favourite categories, drawn without replacement by popularity (Gumbel noise on the logarithms)."""
    popularity = np.diff(world.catalogue.popularity, prepend=0.0)
    scores = np.log(popularity) + rng.gumbel(0.0, 1.0, (count, len(popularity)))
    return np.argsort(-scores, axis=1)[:, :TASTES]


def _response(rng: np.random.Generator, sensitivity: Floats) -> Floats:
    """A sixth is put off, a third does not care, the rest buys more, the price-sensitive most."""
    kind = rng.random(len(sensitivity))
    moved = 1.4 * sensitivity * rng.uniform(0.7, 1.3, len(sensitivity))
    return np.where(kind < 1 / 6, -0.3, np.where(kind < 1 / 2, 0.0, moved))


def _online(rng: np.random.Generator, count: int) -> Floats:
    kind = rng.random(count)
    share = np.where(kind < 0.85, rng.beta(8.0, 3.0, count), rng.beta(3.0, 3.0, count))
    return np.where(kind < 0.65, rng.beta(1.0, 15.0, count), share)
