"""Hypothesis strategies for small shops: few members, few items, and everything that a till can do with them."""

from datetime import datetime
from typing import NamedTuple

from hypothesis import Phase, settings
from hypothesis import strategies as st
from shops import Event, Exposure, Line, Redemption, moment_of, shop

from features.facts import Facts

HOUR = 1 / 24
MEMBERS = ("ann", "bob", "cid", "dee", "007", "会员一", None)
ITEMS = ("apple", "pear", "soap", "milk", "not in the catalogue")
SHARED_ORDERS = (None, None, None, "basket-1", "basket-2", "basket-3")
CHANNELS = ("store", "store", "web", "app", "mini_program", "phone")
STORES = ("s1", "s2", "s3", None)

SHOPS = settings(max_examples=10, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Without shrinking: a shop takes a second, and thousands of smaller ones would outlast the patience of any run."""

_at = st.one_of(st.integers(0, 430 * 24), st.integers(400 * 24, 430 * 24)).map(lambda hours: hours * HOUR)
_members = st.sampled_from(MEMBERS)
_known_members = st.sampled_from([member for member in MEMBERS if member])

sales = st.builds(
    Line,
    member=_members,
    at=_at,
    cents=st.integers(0, 50_000),
    item=st.sampled_from(ITEMS),
    order=st.sampled_from(SHARED_ORDERS),
    kind=st.just("sale"),
    discount=st.sampled_from((0, 0, 1, 250, 900)),
    coupon=st.sampled_from((0, 0, 50, 125)),
    channel=st.sampled_from(CHANNELS),
    store=st.sampled_from(STORES),
    quantity=st.sampled_from((1, 1, 2, 7, None)),
    recorded=st.none(),
    superseded=st.none(),
)
"""Sales within 430 days, half of them in the last month, on the hour: equal moments and the edges of windows do happen."""

moments = st.one_of(st.integers(0, 430 * 24), st.integers(415 * 24, 460 * 24))
"""When to ask, in hours; mostly when most has happened."""

returns = sales.map(lambda line: line._replace(kind="return", cents=-line.cents))

purchases = st.lists(st.one_of(sales, sales, sales, returns), min_size=1, max_size=60)
"""Order lines of a shop, in no order; some share an order, a moment or both."""

events = st.builds(
    Event,
    member=_members,
    at=_at,
    kind=st.sampled_from(("view", "view", "cart", "favourite", "search", "visit", "checkout", "other")),
    item=st.sampled_from((*ITEMS, None)),
    session=st.sampled_from(("a", "b", "c", None)),
    seconds=st.sampled_from((None, 0, 5, 90)),
    channel=st.sampled_from(CHANNELS),
    recorded=st.none(),
)
exposures = st.builds(
    Exposure,
    member=_known_members,
    at=_at,
    campaign=st.sampled_from(("spring", "summer")),
    arm=st.sampled_from((None, "a", "control")),
)
redemptions = st.builds(
    Redemption, member=_known_members, at=_at, coupon=st.sampled_from(("c1", "c2")), campaign=st.just("spring")
)
_delays = st.sampled_from((1, 30, 24 * 3, 24 * 40)).map(lambda hours: hours * HOUR)


def late(line: Line, delay: float) -> list[Line]:
    """The line, known only some time after it happened."""
    return [line._replace(recorded=line.at + delay)]


def corrected(line: Line, delay: float) -> list[Line]:
    """The line as first recorded, and from then on another in its place."""
    after = line.at + delay
    return [line._replace(superseded=after), line._replace(recorded=after, cents=line.cents // 2 + 1, channel="web")]


class Shop(NamedTuple):
    """What happened in a shop."""

    lines: list[Line]
    events: list[Event]
    exposures: list[Exposure]
    redemptions: list[Redemption]

    def facts(self) -> Facts:
        """Its facts."""
        return shop(self.lines, events=self.events, exposures=self.exposures, redemptions=self.redemptions)


def _with_news(shop_and_news: tuple[Shop, list[tuple[Line, float, bool]], list[tuple[Event, float]]]) -> Shop:
    """A shop with lines and events that were recorded late or corrected."""
    plain, lines, events = shop_and_news
    extra = [made for line, delay, is_late in lines for made in (late if is_late else corrected)(line, delay)]
    return plain._replace(
        lines=[*plain.lines, *extra],
        events=[*plain.events, *(event._replace(recorded=event.at + delay) for event, delay in events)],
    )


whole_shops = st.builds(
    Shop,
    lines=purchases,
    events=st.lists(events, max_size=40),
    exposures=st.lists(exposures, max_size=10),
    redemptions=st.lists(redemptions, max_size=10),
)
"""Shops with purchases, events and campaigns, everything known as soon as it happened."""

shops_with_news = st.tuples(
    whole_shops,
    st.lists(st.tuples(st.one_of(sales, returns), _delays, st.booleans()), max_size=8),
    st.lists(st.tuples(events, _delays), max_size=8),
).map(_with_news)
"""Shops some of whose rows were recorded late, and some corrected later."""


def placed(line: Line, at: float) -> Line:
    """The same line at another time."""
    return line._replace(at=at)


def on_the_hour(hours: int) -> datetime:
    """The moment that many hours after the shop's first noon."""
    return moment_of(hours * HOUR)
