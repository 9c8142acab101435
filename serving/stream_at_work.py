"""The stream's worker as `rapport stream` runs it: opened from settings, with the triggers of the shop."""

import os
import secrets
import socket
from decimal import Decimal

from features.contract import CONTRACT
from features.events.keys import LIVE_GROUP, EventKeys
from features.events.shop import EventShop
from features.events.stream import EventStream
from features.leases import Leases
from features.live_events import Counting
from features.live_slots import slots_of
from features.live_store import LiveStore
from features.settings import Settings
from features.store_errors import translated
from features.visitors import Visitors
from serving.stream_worker import StreamWorker
from serving.triggers.at_work import triggers_at_work


def open_worker(settings: Settings, url: str) -> StreamWorker:
    """A worker on the store at an address.

    Raises
    ------
    NothingPublished
        The store does not know the shop's time zone and holidays yet.
    ConfigurationError
        The streams were made with another number of partitions.
    """
    keys = EventKeys(settings.key_prefix, settings.event_partitions)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    stream = EventStream(url, keys, group=LIVE_GROUP, consumer=name)
    with translated():
        shop = EventShop.from_bytes(stream.client.get(keys.shop))
    stream.intake = shop.intake(settings.identity_key)
    return StreamWorker(
        stream,
        LiveStore(url, prefix=settings.key_prefix, slots=slots_of(CONTRACT)),
        Visitors(stream.client, prefix=settings.key_prefix),
        Leases(stream.client, settings.key_prefix, name, keys.every_partition),
        is_holiday=shop.is_holiday(),
        counting=counting_of(settings),
        triggers=triggers_at_work(settings, url),
    )


def counting_of(settings: Settings) -> Counting | None:
    """What people see grow, by the settings; None if nothing is counted."""
    if not settings.points and not settings.spend_tiers:
        return None
    return Counting({channel: Decimal(repr(rate)) for channel, rate in settings.points}, settings.spend_tiers)
