"""The shop of the facts into the store, where whoever reads events finds it."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.events.keys import EventKeys
from features.events.shop import HOLIDAYS_AHEAD, EventShop
from features.facts import Facts
from features.holidays import holiday_days
from features.store_errors import address_checked, translated

TIMEOUT_S = 10.0


def shop_of(facts: Facts) -> EventShop:
    """What events need to know of the shop; holidays from the first day of the facts to more than a year after the last."""
    manifest = facts.manifest
    until = manifest.until_day + HOLIDAYS_AHEAD
    found = holiday_days(manifest.country, manifest.holidays, first_day=manifest.first_day, last_day=until - 1)
    holidays = None if found is None else tuple(sorted(found))
    return EventShop(manifest.time_zone, manifest.currency, holidays, manifest.first_day, until)


def publish_event_shop(facts: Facts, url: str, keys: EventKeys) -> None:
    """Write it; StoreUnavailable if Redis does not answer."""
    with address_checked():
        client: Any = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))
    try:
        with translated():
            client.set(keys.shop, shop_of(facts).to_bytes())
    finally:
        client.close()
