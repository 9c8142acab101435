"""The simulation as canonical tables, block by block, and beside them the tables of what is true."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.fact_tables import completed
from features.sources.schema import (
    EVENT_TYPES,
    EVENTS,
    EXPOSURES,
    IDENTITIES,
    ITEMS,
    MEMBERS,
    PURCHASES,
    REDEMPTIONS,
    RETURN,
    SALE,
    FactTable,
)
from features.sources.simulation.browsing import Events, Sessions, draw_events, draw_sessions
from features.sources.simulation.buying import CHANNEL_NAMES, WEB, Lines, Orders, draw_lines, draw_orders
from features.sources.simulation.catalogue import CATEGORY_NAMES, brand_name
from features.sources.simulation.columns import integers, moments, named, numbered, opaque, taken, yes_or_no
from features.sources.simulation.people import (
    AGE_BANDS,
    CHILDREN,
    GENDERS,
    HOUSEHOLD_SIZES,
    MISSING,
    TASTES,
    Assignments,
    Integers,
    People,
    active_weight,
    draw_assignments,
    draw_people,
)
from features.sources.simulation.world import STORES, World, region_of, store_name, stream

STORE_NAMES = tuple(store_name(store) for store in range(STORES))
SENT_AT_S = 10 * 3600
ORDER_BITS, SESSION_BITS, EVENT_BITS, PERSON_BITS = 40, 44, 50, 36
COOKIE_DAYS, MOST_COOKIES = 120, 64
Tables = dict[str, pa.Table]
TRUTH = "truth_"
"""The names of tables of what is true begin with this; they are no facts and never imported."""


@dataclass(frozen=True, slots=True)
class Block:
    """Everything about the people of one block."""

    world: World
    people: People
    assignments: Assignments
    orders: Orders
    sales: Lines
    returns: Lines
    sessions: Sessions
    events: Events


def draw_block(world: World, block: int, members: int) -> Block:
    """The people of a block and all that they do. `members` is how many the whole simulation has."""
    people = draw_people(world, block, members)
    assignments = draw_assignments(world, people, block)
    buying = stream(world.settings.seed, "buying", block)
    orders = draw_orders(buying, world, people, assignments)
    sales, returns = draw_lines(buying, world, people, orders)
    browsing = stream(world.settings.seed, "browsing", block)
    sessions = draw_sessions(browsing, world, people, orders)
    events = draw_events(browsing, world, people, orders, sales, sessions)
    return Block(world, people, assignments, orders, sales, returns, sessions, events)


def block_tables(block: Block) -> Tables:
    """The facts of a block by name of the table, with the columns of its schema, and what is true about them."""
    order_ids = opaque("o", block.orders.number, bits=ORDER_BITS)
    session_ids = opaque("v", block.sessions.number, bits=SESSION_BITS)
    member_ids = _member_ids(block.people.member)
    return {
        PURCHASES.name: pa.concat_tables(
            _purchases(block, lines, kind, order_ids, member_ids)
            for lines, kind in ((block.sales, SALE), (block.returns, RETURN))
        ),
        MEMBERS.name: _members(block, member_ids),
        EVENTS.name: _events(block, session_ids, member_ids),
        EXPOSURES.name: _exposures(block, member_ids),
        REDEMPTIONS.name: _redemptions(block, member_ids),
        IDENTITIES.name: _identities(block, session_ids, member_ids),
        f"{TRUTH}members": _true_members(block, member_ids),
        f"{TRUTH}effects": _true_effects(block, member_ids),
        f"{TRUTH}visitors": _true_visitors(block, session_ids, member_ids),
    }


def shared_tables(world: World) -> Tables:
    """The catalogue, and the campaigns as they truly are."""
    catalogue = world.catalogue
    campaigns = world.campaigns
    items = {
        **{name: list(getattr(catalogue, name)) for name in ("item_id", "department", "category", "subcategory", "brand")},
        **{name: getattr(catalogue, name) for name in ("own_brand", "price_cents", "cost_cents", "available")},
        "sold_by_measure": catalogue.by_measure,
    }
    truth = {
        "campaign_id": pa.array([c.campaign_id for c in campaigns], pa.string()),
        "campaign_kind": pa.array([c.kind for c in campaigns], pa.string()),
        "first_day": pa.array([world.start_day + c.first for c in campaigns], pa.int32()),
        "last_day": pa.array([world.start_day + c.until - 1 for c in campaigns], pa.int32()),
        "strength": pa.array([c.strength for c in campaigns], pa.float64()),
    }
    return {ITEMS.name: _canonical(ITEMS, items), f"{TRUTH}campaigns": pa.table(truth)}


def _purchases(block: Block, lines: Lines, kind: str, order_ids: pa.Array, member_ids: pa.Array) -> pa.Table:
    orders = block.orders
    channels = named(CHANNEL_NAMES, orders.channel)
    stores = named(STORE_NAMES, orders.store)
    columns = {
        "order_id": taken(order_ids, lines.order),
        "line_no": integers(lines.line_no, pa.int32()),
        "member_id": taken(member_ids, orders.person[lines.order]),
        "item_id": named(block.world.catalogue.item_id, lines.item),
        "quantity": integers(lines.quantity, pa.int32()),
        "net_cents": pa.array(lines.net),
        "discount_cents": pa.array(lines.discount),
        "coupon_cents": pa.array(lines.coupon),
        "channel": taken(channels, lines.order),
        "store_id": taken(stores, lines.order),
        "kind": pa.repeat(kind, len(lines.order)),
        **moments(block.world, lines.day, lines.second),
    }
    return _canonical(PURCHASES, columns)


def _members(block: Block, member_ids: pa.Array) -> pa.Table:
    people = block.people
    mine = int(people.is_member.sum())
    columns = {
        "member_id": member_ids,
        "registered_day": pa.array(block.world.start_day + people.registered, pa.int32()),
        "birth_month": integers(people.birth_month, pa.int32()),
        "gender": named(GENDERS, people.gender),
        "region": named([region_of(store) for store in range(STORES)], people.store),
        "home_store": named(STORE_NAMES, people.store),
        "age_band": named(AGE_BANDS, people.age),
        "household_size": named(HOUSEHOLD_SIZES, people.household),
        "children": named(CHILDREN, people.children),
        "marketing_consent": yes_or_no(people.consent),
    }
    return _canonical(MEMBERS, columns).slice(0, mine)


def _events(block: Block, session_ids: pa.Array, member_ids: pa.Array) -> pa.Table:
    sessions, events = block.sessions, block.events
    session = events.session
    columns = {
        "event_id": opaque("e", events.number, bits=EVENT_BITS),
        "member_id": taken(member_ids, _shown(sessions)[session]),
        "event_type": named(EVENT_TYPES, events.kind),
        "item_id": named(block.world.catalogue.item_id, events.item),
        "session_id": taken(session_ids, session),
        "duration_s": integers(events.duration, pa.int32()),
        "channel": taken(named(CHANNEL_NAMES, sessions.channel), session),
        **moments(block.world, sessions.day[session], events.second),
    }
    return _canonical(EVENTS, columns)


def _exposures(block: Block, member_ids: pa.Array) -> pa.Table:
    assigned, campaigns = block.assignments, block.world.campaigns
    costs = np.array([campaign.cost_cents for campaign in campaigns], dtype=np.int64)
    lasts = np.array([block.world.start_day + campaign.until - 1 for campaign in campaigns], dtype=np.int64)
    firsts = np.array([campaign.first for campaign in campaigns], dtype=np.int64)[assigned.campaign]
    columns = {
        "member_id": taken(member_ids, assigned.person),
        "campaign_id": named([campaign.campaign_id for campaign in campaigns], assigned.campaign),
        "campaign_kind": named([campaign.kind for campaign in campaigns], assigned.campaign),
        "arm": _arms(assigned),
        "cost_cents": pa.array(np.where(assigned.treated, costs[assigned.campaign], 0)),
        "until_day": pa.array(lasts[assigned.campaign], pa.int32()),
        **moments(block.world, firsts, np.full(len(firsts), SENT_AT_S)),
    }
    return _canonical(EXPOSURES, columns)


def _redemptions(block: Block, member_ids: pa.Array) -> pa.Table:
    orders, campaigns = block.orders, block.world.campaigns
    used = np.flatnonzero(orders.campaign != MISSING)
    campaign = orders.campaign[used]
    columns = {
        "member_id": taken(member_ids, orders.person[used]),
        "campaign_id": named([c.campaign_id for c in campaigns], campaign),
        "coupon_id": named([f"{c.campaign_id}-{c.coupon_cents}" for c in campaigns], campaign),
        **moments(block.world, orders.day[used], orders.second[used]),
    }
    return _canonical(REDEMPTIONS, columns)


def _identities(block: Block, session_ids: pa.Array, member_ids: pa.Array) -> pa.Table:
    """Of a registration: member, card, most often phone. Of a session: cookie, device, and the member if logged in."""
    people, sessions = block.people, block.sessions
    joined = np.flatnonzero(people.is_member)
    phoned = joined[people.has_phone[joined]]
    number = people.number[sessions.person]
    cookie = number * MOST_COOKIES + (sessions.day + number * 13 % COOKIE_DAYS) // COOKIE_DAYS
    device = number - people.shares_device[sessions.person]
    by_web, odd = sessions.channel == WEB, sessions.number % 2 == 1
    with_device, known = np.flatnonzero(~by_web | odd), np.flatnonzero(sessions.known)
    web = np.flatnonzero(by_web)
    registrations = numbered("r", people.member + 1, width=8)
    registered, seen = people.registered, sessions.day
    return pa.concat_tables(
        _observed(block.world, kind, taken(observations, rows), identifiers, day[rows])
        for kind, observations, rows, identifiers, day in (
            ("member", registrations, joined, taken(member_ids, joined), registered),
            ("card", registrations, joined, opaque("card", people.number[joined], bits=PERSON_BITS), registered),
            ("phone", registrations, phoned, numbered("+999", people.number[phoned], width=9), registered),
            ("cookie", session_ids, web, opaque("ck", cookie[web], bits=PERSON_BITS), seen),
            ("device", session_ids, with_device, opaque("dv", device[with_device], bits=PERSON_BITS), seen),
            ("member", session_ids, known, taken(member_ids, sessions.person[known]), seen),
        )
    )


def _observed(world: World, kind: str, observations: pa.Array, identifiers: pa.Array, day: Integers) -> pa.Table:
    columns = {
        "observation_id": observations,
        "identifier_kind": pa.repeat(kind, len(day)),
        "identifier": identifiers,
        "local_day": pa.array(world.start_day + day, pa.int32()),
    }
    return _canonical(IDENTITIES, columns)


def _true_members(block: Block, member_ids: pa.Array) -> pa.Table:
    people, start = block.people, block.world.start_day
    brands = [brand_name(int(taste), int(slot)) for taste, slot in zip(people.tastes[:, 0], people.slot, strict=True)]
    columns = {
        "member_id": member_ids,
        "rate_per_day": people.rate,
        "begins_day": pa.array(start + people.begins, pa.int32()),
        "leaving_day": pa.array(start + people.leaves, pa.int32()),
        "expected_orders": people.rate * active_weight(block.world, people),
        "mean_lines": people.basket,
        **{f"favourite_category_{n + 1}": named(CATEGORY_NAMES, people.tastes[:, n]) for n in range(TASTES)},
        "favourite_brand": pa.array(brands, pa.string()),
        "brand_loyalty": people.loyalty,
        "price_sensitivity": people.sensitivity,
        "response": people.response,
        "online_share": people.online,
        "weekday": pa.array((people.weekday + 1).astype(np.int32)),
        "hour": people.hour,
        "return_share": people.return_share,
    }
    return pa.table(columns).slice(0, int(people.is_member.sum()))


def _true_effects(block: Block, member_ids: pa.Array) -> pa.Table:
    assigned = block.assignments
    columns = {
        "member_id": taken(member_ids, assigned.person),
        "campaign_id": named([campaign.campaign_id for campaign in block.world.campaigns], assigned.campaign),
        "arm": _arms(assigned),
        "effect": assigned.effect,
        "extra_orders": assigned.extra_orders,
    }
    return pa.table(columns)


def _true_visitors(block: Block, session_ids: pa.Array, member_ids: pa.Array) -> pa.Table:
    """Which member truly was behind a session that shows none; walk-ins are left out."""
    sessions = block.sessions
    hidden = np.flatnonzero(~sessions.known & block.people.is_member[sessions.person])
    return pa.table(
        {"session_id": taken(session_ids, hidden), "member_id": taken(member_ids, sessions.person[hidden])},
    )


def _shown(sessions: Sessions) -> Integers:
    """The person of each session where the shop knows it, otherwise -1."""
    return np.where(sessions.known, sessions.person, MISSING)


def _arms(assigned: Assignments) -> pa.Array:
    return named(("control", "treated"), assigned.treated.astype(np.int64))


def _member_ids(member: Integers) -> pa.Array:
    return numbered("m", np.where(member == MISSING, MISSING, member + 1), width=8)


def _canonical(schema: FactTable, columns: dict[str, object]) -> pa.Table:
    return completed(pa.table(columns), schema)
