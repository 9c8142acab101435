"""Hypothesis strategies for small shops: few members, few items, and everything that a till can do with them."""

from datetime import datetime

from hypothesis import Phase, settings
from hypothesis import strategies as st
from shops import Line, moment_of

HOUR = 1 / 24
MEMBERS = ("ann", "bob", "cid", "dee", "007", "会员一", None)
ITEMS = ("apple", "pear", "soap", "not in the catalogue")
SHARED_ORDERS = (None, None, None, "basket-1", "basket-2", "basket-3")
CHANNELS = ("store", "store", "web", "phone")
STORES = ("s1", "s2", "s3", None)

SHOPS = settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Without shrinking: a shop takes a second, and thousands of smaller ones would outlast the patience of any run."""

sales = st.builds(
    Line,
    member=st.sampled_from(MEMBERS),
    at=st.one_of(st.integers(0, 430 * 24), st.integers(400 * 24, 430 * 24)).map(lambda hours: hours * HOUR),
    cents=st.integers(0, 50_000),
    item=st.sampled_from(ITEMS),
    order=st.sampled_from(SHARED_ORDERS),
    kind=st.just("sale"),
    discount=st.integers(0, 900),
    coupon=st.sampled_from((0, 0, 50, 125)),
    channel=st.sampled_from(CHANNELS),
    store=st.sampled_from(STORES),
)
"""Sales within 430 days, half of them in the last month, on the hour: equal moments and the edges of windows do happen."""

moments = st.one_of(st.integers(0, 430 * 24), st.integers(415 * 24, 460 * 24))
"""When to ask, in hours; mostly when most has happened."""

returns = sales.map(lambda line: line._replace(kind="return", cents=-line.cents))

purchases = st.lists(st.one_of(sales, sales, sales, returns), min_size=1, max_size=60)
"""Order lines of a shop, in no order; some share an order, a moment or both."""


def placed(line: Line, at: float) -> Line:
    """The same line at another time."""
    return line._replace(at=at)


def on_the_hour(hours: int) -> datetime:
    """The moment that many hours after the shop's first noon."""
    return moment_of(hours * HOUR)
