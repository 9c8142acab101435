"""What the people of a block buy and bring back, as arrays: orders in the order of person and time, lines in that of orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.sources.simulation.catalogue import CATEGORIES, RANKS, SLOTS
from features.sources.simulation.people import MISSING, Assignments, Flags, Floats, Integers, People, active_weight
from features.sources.simulation.world import COUPON, World

STORE, WEB, APP = 0, 1, 2
CHANNEL_NAMES = ("store", "web", "app")
OPENS_S, CLOSES_S = 7 * 3600, 22 * 3600
"""Hours in which orders happen, before midnight and after the hours in which clocks change."""
MOST_ORDERS = 8192
"""Numbers set aside for the orders of a person."""
WELCOME = 0.85
"""How many of those who join buy on the day of their registration."""
AT_HOME_STORE = 0.8
TASTE_SHARES = (0.28, 0.15, 0.12)
"""How many lines go to the first, second and third favourite category; the rest goes by popularity."""
BY_SLOT = 0.8
SOUGHT_PROMOTION = 0.45
HABIT = 0.35
SLOT_POPULARITY = np.cumsum((0.3, 0.2, 0.15, 0.11, 0.09, 0.07, 0.05, 0.03))
PIECES = np.repeat((1, 2, 3, 4, 6), (76, 16, 4, 3, 1))
RETURN_DAYS = 14


@dataclass(frozen=True, slots=True)
class Orders:
    """One entry an order. `store` is -1 online; `campaign` is that whose coupon is used, or -1; `number` is unique."""

    number: Integers
    person: Integers
    day: Integers
    second: Integers
    channel: Integers
    store: Integers
    campaign: Integers

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True)
class Lines:
    """One entry an order line, sold or returned. `order` is the row of its order, `quantity` -1 for goods sold by weight."""

    order: Integers
    line_no: Integers
    item: Integers
    quantity: Integers
    net: Integers
    discount: Integers
    coupon: Integers
    day: Integers
    second: Integers


def draw_orders(rng: np.random.Generator, world: World, people: People, assignments: Assignments) -> Orders:
    """The orders of a block, campaigns and their effect included."""
    person, day = _order_days(rng, world, people, assignments)
    count = len(person)
    online = rng.random(count) < people.online[person]
    channel = np.where(online, np.where(rng.random(count) < people.by_app[person], APP, WEB), STORE)
    elsewhere = np.minimum(np.searchsorted(world.store_share, rng.random(count)), len(world.store_share) - 1)
    store = np.where(rng.random(count) < AT_HOME_STORE, people.store[person], elsewhere)
    hour = people.hour[person] + rng.normal(0.0, 1.5, count)
    second = np.clip(hour * 3600, OPENS_S, CLOSES_S - 1).astype(np.int64)
    sequence = np.lexsort((second, day, person))
    person, day, channel = person[sequence], day[sequence], channel[sequence]
    return Orders(
        number=people.number[person] * MOST_ORDERS + position_within(person),
        person=person,
        day=day,
        second=second[sequence],
        channel=channel,
        store=np.where(channel == STORE, store[sequence], MISSING),
        campaign=_redeemed(rng, world, people, assignments, person, day),
    )


def draw_lines(rng: np.random.Generator, world: World, people: People, orders: Orders) -> tuple[Lines, Lines]:
    """What is in the orders, and what of it is brought back later, in the original order under further line numbers."""
    counts = 1 + rng.poisson(people.basket[orders.person] - 1)
    order = np.repeat(np.arange(len(orders)), counts)
    first = np.cumsum(counts) - counts
    person = orders.person[order]
    item, share = choose_items(rng, world, people, person, orders.day[order])
    quantity, gross = _amounts(rng, world, item)
    discount = np.rint(gross * share).astype(np.int64)
    coupon = np.zeros(len(order), dtype=np.int64)
    using = np.flatnonzero(orders.campaign != MISSING)
    values = np.array([campaign.coupon_cents for campaign in world.campaigns], dtype=np.int64)
    coupon[first[using]] = np.minimum(values[orders.campaign[using]], (gross - discount)[first[using]])
    lines = Lines(
        order=order,
        line_no=np.arange(len(order)) - first[order],
        item=item,
        quantity=quantity,
        net=gross - discount - coupon,
        discount=discount,
        coupon=coupon,
        day=orders.day[order],
        second=orders.second[order],
    )
    return lines, _returns(rng, world, people, orders, lines, counts)


def choose_items(
    rng: np.random.Generator, world: World, people: People, person: Integers, day: Integers
) -> tuple[Integers, Floats]:
    """For each entry the item that a person picks on a day, by taste, brand and promotion, and the share then taken off."""
    category = _categories(rng, world, people, person)
    count = len(person)
    by_popularity = np.minimum(np.searchsorted(SLOT_POPULARITY, rng.random(count)), SLOTS - 1)
    slot = np.where(rng.random(count) < BY_SLOT * people.loyalty[person], people.slot[person], by_popularity)
    cell = category * SLOTS + slot
    promoted = world.promoted_rank[day // 7, cell]
    why = rng.random(count)
    seeks = SOUGHT_PROMOTION * people.sensitivity[person]
    habit = (people.number[person] * 7919 + category * 104_729) % RANKS
    any_rank = (RANKS * rng.random(count) ** 2).astype(np.int64)
    rank = np.where(why < seeks, promoted, np.where(why < seeks + HABIT, habit, any_rank))
    share = np.where(rank == promoted, world.promoted_share[day // 7, cell], 0.0)
    return cell * RANKS + rank, share


def draw_days(world: World, weekday: Integers, first: Integers, until: Integers, chance: Floats) -> Integers:
    """Days from `first` up to before `until`, by their weights; `chance` is uniform. Each span holds at least one day."""
    low = world.weight_until[weekday, first]
    target = low + chance * (world.weight_until[weekday, until] - low)
    step = world.weight_until.max() + 1
    flat = (world.weight_until + step * np.arange(7)[:, None]).ravel()
    found = np.searchsorted(flat, target + step * weekday, side="right") - 1 - weekday * world.weight_until.shape[1]
    days: Integers = np.clip(found, first, until - 1)
    return days


def position_within(group: NDArray[np.int64]) -> Integers:
    """For each entry of grouped values how many of the same group stand before it."""
    if len(group) == 0:
        return group
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    lengths = np.diff(starts, append=len(group))
    positions: Integers = np.arange(len(group)) - np.repeat(starts, lengths)
    return positions


def _order_days(rng: np.random.Generator, world: World, people: People, assignments: Assignments) -> tuple[Integers, Integers]:
    """Persons and days: those of habit less those lost to a campaign, those won by one, and the first of those who join."""
    days, until = world.settings.days, np.minimum(people.leaves, world.settings.days)
    usual = np.repeat(np.arange(len(people)), rng.poisson(people.rate * active_weight(world, people)))
    usual_day = draw_days(world, people.weekday[usual], people.begins[usual], until[usual], rng.random(len(usual)))
    effects = _by_campaign(world, people, assignments, assignments.effect)
    kept = rng.random(len(usual)) >= -effects[_campaign_of_day(world)[usual_day], usual]
    won = rng.poisson(np.where(assignments.treated, np.maximum(assignments.extra_orders, 0.0), 0.0))
    more, campaign = np.repeat(assignments.person, won), np.repeat(assignments.campaign, won)
    firsts = np.array([c.first for c in world.campaigns], dtype=np.int64)[campaign]
    ends = np.array([c.until for c in world.campaigns], dtype=np.int64)[campaign]
    begin, end = np.maximum(people.begins[more], firsts), np.minimum(until[more], ends)
    more_day = draw_days(world, people.weekday[more], begin, end, rng.random(len(more)))
    joining = people.is_member & (people.registered >= 0) & (people.registered < days)
    welcome = np.flatnonzero(joining & (rng.random(len(people)) < WELCOME))
    return (
        np.concatenate([usual[kept], more, welcome]),
        np.concatenate([usual_day[kept], more_day, people.begins[welcome]]),
    )


def _campaign_of_day(world: World) -> Integers:
    """The campaign that runs on each day; -1 on those between."""
    found = np.full(world.settings.days, MISSING)
    for position, campaign in enumerate(world.campaigns):
        found[campaign.first : campaign.until] = position
    return found


def _by_campaign(world: World, people: People, assignments: Assignments, values: Floats) -> Floats:
    """Values of the treated by campaign and person, 0 for everyone else; the last row stands for days without a campaign."""
    table = np.zeros((len(world.campaigns) + 1, len(people)))
    treated = assignments.treated
    table[assignments.campaign[treated], assignments.person[treated]] = values[treated]
    return table


def _redeemed(
    rng: np.random.Generator, world: World, people: People, assignments: Assignments, person: Integers, day: Integers
) -> Integers:
    """For each order the campaign whose coupon it uses: the first order of a treated member who takes to coupons."""
    with_coupon = np.array([campaign.kind == COUPON for campaign in world.campaigns], dtype=np.bool_)
    takes = rng.random(len(assignments.person)) < 0.15 + 0.7 * people.sensitivity[assignments.person]
    willing = _by_campaign(world, people, assignments, (takes & with_coupon[assignments.campaign]).astype(np.float64))
    running = _campaign_of_day(world)[day]
    using = np.flatnonzero(willing[running, person] > 0)
    _, firsts = np.unique(person[using] * (len(world.campaigns) + 1) + running[using], return_index=True)
    found = np.full(len(person), MISSING)
    found[using[firsts]] = running[using[firsts]]
    return found


def _categories(rng: np.random.Generator, world: World, people: People, person: Integers) -> Integers:
    chance = rng.random(len(person))
    edges = np.cumsum(TASTE_SHARES)
    which = np.searchsorted(edges, chance, side="right")
    rest = np.searchsorted(world.catalogue.popularity, (chance - edges[-1]) / (1 - edges[-1]))
    by_popularity = np.minimum(rest, CATEGORIES - 1)
    favourite = people.tastes[person, np.minimum(which, len(TASTE_SHARES) - 1)]
    categories: Integers = np.where(which < len(TASTE_SHARES), favourite, by_popularity)
    return categories


def _amounts(rng: np.random.Generator, world: World, item: Integers) -> tuple[Integers, Integers]:
    """Pieces (-1 for goods sold by weight) and the price of all of them."""
    by_measure: Flags = world.catalogue.by_measure[item]
    chance = rng.random(len(item))
    pieces = PIECES[(chance * len(PIECES)).astype(np.int64)]
    amount = np.where(by_measure, 0.2 + 1.3 * chance, pieces)
    gross = np.rint(world.catalogue.price_cents[item] * amount).astype(np.int64)
    return np.where(by_measure, MISSING, pieces), gross


def _returns(rng: np.random.Generator, world: World, people: People, orders: Orders, lines: Lines, counts: Integers) -> Lines:
    """Whole lines brought back, all of an order in one trip, by people who have not left and before the simulation ends."""
    day = orders.day + rng.integers(1, RETURN_DAYS + 1, len(orders))
    second = rng.integers(OPENS_S, CLOSES_S, len(orders))
    possible = day < np.minimum(people.leaves[orders.person], world.settings.days)
    wanted = rng.random(len(lines.order)) < people.return_share[orders.person[lines.order]]
    back = np.flatnonzero(wanted & possible[lines.order] & (lines.net > 0))
    order = lines.order[back]
    nothing = np.zeros(len(back), dtype=np.int64)
    return Lines(
        order=order,
        line_no=counts[order] + position_within(order),
        item=lines.item[back],
        quantity=lines.quantity[back],
        net=-lines.net[back],
        discount=nothing,
        coupon=nothing,
        day=day[order],
        second=second[order],
    )
