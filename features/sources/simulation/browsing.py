"""What the people of a block look at: sessions that end in an online order, sessions that do not, and visits before joining.

In a session come a visit, sometimes a search, then looks at items: each look is a view, after which the item may be put in the
cart or among the favourites; a session that ends in an order ends with a checkout at the moment of the order.
"""

from dataclasses import dataclass

import numpy as np

from features.sources.schema import EVENT_TYPES
from features.sources.simulation.buying import (
    APP,
    CLOSES_S,
    OPENS_S,
    STORE,
    WEB,
    Lines,
    Orders,
    choose_items,
    draw_days,
    position_within,
)
from features.sources.simulation.people import MISSING, Flags, Floats, Integers, People, active_weight
from features.sources.simulation.world import World

MOST_SESSIONS, MOST_EVENTS = 262_144, 64
"""Numbers set aside for the sessions of a person and the events of a session."""
MOST_LOOKS = 8
USUAL_EVENTS_PER_LINE = 0.3
EVENTS_PER_ORDER_SESSION, EVENTS_PER_OTHER_SESSION = 7.6, 5.0
ONLINE_ORDERS = 0.22
MEAN_EXTRA_LOOKS = 2.0
LOGGED_IN = 0.75
LOOKS_BEFORE_JOINING = 0.4
DAYS_BEFORE_JOINING = 14
FIRST_LOOK_S, AFTER_LAST_S = 30, 30
SHORTEST_GAP_S, LONGEST_GAP_S = 40, 120
VIEW, CART, FAVOURITE, SEARCH, VISIT, CHECKOUT = (
    EVENT_TYPES.index(name) for name in ("view", "cart", "favourite", "search", "visit", "checkout")
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """One entry a session. `order` is the row of the order that it ends in, or -1; `known`: the member logged in."""

    number: Integers
    person: Integers
    day: Integers
    second: Integers
    channel: Integers
    order: Integers
    known: Flags
    looks: Integers
    gap: Integers

    def __len__(self) -> int:
        return len(self.number)

    @property
    def length(self) -> Integers:
        """Seconds from the visit to the end."""
        return FIRST_LOOK_S + self.looks * self.gap + AFTER_LAST_S


@dataclass(frozen=True, slots=True)
class Events:
    """One entry an event, by session and second. `kind` is a position in EVENT_TYPES; `item` and `duration` -1 where none."""

    number: Integers
    session: Integers
    kind: Integers
    item: Integers
    duration: Integers
    second: Integers


def draw_sessions(rng: np.random.Generator, world: World, people: People, orders: Orders) -> Sessions:
    """The sessions of a block, in the order of person and time."""
    scale = world.settings.events_per_line / USUAL_EVENTS_PER_LINE
    online = np.flatnonzero((orders.channel != STORE) & (rng.random(len(orders)) < scale))
    other, other_day = _other_sessions(rng, world, people)
    before, before_day = _before_joining(rng, people, scale)
    person = np.concatenate([orders.person[online], other, before])
    count, ordered = len(person), len(online)
    order = np.concatenate([online, np.full(count - ordered, MISSING)])
    looks = np.minimum(1 + rng.poisson(MEAN_EXTRA_LOOKS, count), MOST_LOOKS)
    gap = rng.integers(SHORTEST_GAP_S, LONGEST_GAP_S, count)
    length = FIRST_LOOK_S + looks * gap + AFTER_LAST_S
    hour = people.hour[person] + rng.normal(1.5, 2.5, count)
    second = np.clip(hour * 3600, OPENS_S, CLOSES_S).astype(np.int64)
    second[:ordered] = orders.second[online] - length[:ordered]
    by_app = np.where(rng.random(count) < people.by_app[person], APP, WEB)
    known = people.is_member[person] & (rng.random(count) < LOGGED_IN)
    known[:ordered] = people.is_member[orders.person[online]]
    known[count - len(before) :] = False
    day = np.concatenate([orders.day[online], other_day, before_day])
    by_time = np.lexsort((second, day, person))
    person = person[by_time]
    return Sessions(
        number=people.number[person] * MOST_SESSIONS + position_within(person),
        person=person,
        day=day[by_time],
        second=second[by_time],
        channel=np.concatenate([orders.channel[online], by_app[ordered:]])[by_time],
        order=order[by_time],
        known=known[by_time],
        looks=looks[by_time],
        gap=gap[by_time],
    )


def draw_events(
    rng: np.random.Generator, world: World, people: People, orders: Orders, lines: Lines, sessions: Sessions
) -> Events:
    """What happens in the sessions."""
    look = np.repeat(np.arange(len(sessions)), sessions.looks)
    place = position_within(look)
    item = _looked_at(rng, world, people, orders, lines, sessions, look, place)
    gap = sessions.gap[look]
    at = sessions.second[look] + FIRST_LOOK_S + place * gap
    dwell = np.minimum(1 + rng.lognormal(3.0, 0.8, len(look)).astype(np.int64), gap - 1)
    ends_in_order = sessions.order[look] != MISSING
    carted = rng.random(len(look)) < np.where(ends_in_order, 0.9, 0.15)
    liked = rng.random(len(look)) < 0.06
    every = np.arange(len(sessions))
    searched = np.flatnonzero(rng.random(len(sessions)) < 0.5)
    paid = np.flatnonzero(sessions.order != MISSING)
    none = np.full(len(every), MISSING)
    rows = [
        (VISIT, every, none, sessions.length, sessions.second),
        (SEARCH, searched, none[searched], none[searched], sessions.second[searched] + 10),
        (VIEW, look, item, dwell, at),
        (CART, look[carted], item[carted], np.full(int(carted.sum()), MISSING), (at + gap // 2)[carted]),
        (FAVOURITE, look[liked], item[liked], np.full(int(liked.sum()), MISSING), (at + gap // 3)[liked]),
        (CHECKOUT, paid, none[paid], none[paid], (sessions.second + sessions.length)[paid]),
    ]
    session, second = np.concatenate([row[1] for row in rows]), np.concatenate([row[4] for row in rows])
    kind = np.concatenate([np.full(len(row[1]), row[0]) for row in rows])
    by_time = np.lexsort((kind, second, session))
    session = session[by_time]
    return Events(
        number=sessions.number[session] * MOST_EVENTS + position_within(session),
        session=session,
        kind=kind[by_time],
        item=np.concatenate([row[2] for row in rows])[by_time],
        duration=np.concatenate([row[3] for row in rows])[by_time],
        second=second[by_time],
    )


def _other_sessions(rng: np.random.Generator, world: World, people: People) -> tuple[Integers, Integers]:
    """Persons and days of sessions that end in no order: so many that events and order lines stand in the ratio asked for."""
    settings = world.settings
    scale = min(1.0, settings.events_per_line / USUAL_EVENTS_PER_LINE)
    wanted = settings.events_per_line * settings.lines_per_order - scale * ONLINE_ORDERS * EVENTS_PER_ORDER_SESSION
    a_an_order = max(wanted, 0.2 * settings.events_per_line * settings.lines_per_order) / EVENTS_PER_OTHER_SESSION
    expected: Floats = people.rate * active_weight(world, people) * people.browsing * a_an_order
    person = np.repeat(np.arange(len(people)), rng.poisson(expected))
    until = np.minimum(people.leaves, settings.days)[person]
    return person, draw_days(world, people.weekday[person], people.begins[person], until, rng.random(len(person)))


def _before_joining(rng: np.random.Generator, people: People, scale: float) -> tuple[Integers, Integers]:
    """Persons and days of visits in the two weeks before a registration, when nobody knows yet who it is."""
    counts = np.where(rng.random(len(people)) < min(1.0, scale) * LOOKS_BEFORE_JOINING, rng.integers(1, 4, len(people)), 0)
    person = np.repeat(np.arange(len(people)), np.where(people.is_member & (people.registered > 0), counts, 0))
    span = np.minimum(people.begins[person], DAYS_BEFORE_JOINING)
    return person, people.begins[person] - 1 - (rng.random(len(person)) * span).astype(np.int64)


def _looked_at(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
    lines: Lines,
    sessions: Sessions,
    look: Integers,
    place: Integers,
) -> Integers:
    """Items of the order that a session ends in, as far as there are so many, and otherwise what the person likes."""
    liked, _ = choose_items(rng, world, people, sessions.person[look], sessions.day[look])
    counts = np.bincount(lines.order, minlength=len(orders))
    first = np.cumsum(counts) - counts
    order = sessions.order[look]
    bought = (order != MISSING) & (place < counts[order] if len(counts) else False)
    found = liked.copy()
    found[bought] = lines.item[first[order[bought]] + place[bought]]
    return found
