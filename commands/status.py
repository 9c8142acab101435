"""What is there: facts, published features, events, models."""

from dataclasses import asdict
from typing import Any

from commands.events import EventJobs
from features.days import calendar_day
from features.errors import FactsMissing, StoreUnavailable
from features.jobs import facts_folder, store_url
from features.manifest import read_manifest
from features.online_store import RedisStore
from features.screen import Screen
from features.settings import Settings
from training.registry import registered_models


def status(settings: Settings, screen: Screen) -> dict[str, Any]:
    """What is there."""
    found: dict[str, Any] = {"facts": None, "store": None, "events": None}
    try:
        found["facts"] = asdict(read_manifest(facts_folder(settings)))
    except FactsMissing as error:
        screen.say(f"{error}: {error.remedy}")
    try:
        with store_url(settings) as url:
            store = RedisStore(url, prefix=settings.key_prefix)
            stamp = store.read_stamp()
            found["store"] = {"version": store.check_server(), "stamp": asdict(stamp) if stamp else None}
            found["events"] = EventJobs(settings, screen).figures(url)
    except StoreUnavailable as error:
        screen.say(f"{error}: {error.remedy}")
    found["models"] = {m.label: list(m.aliases) for m in registered_models(settings.mlruns_dir)}
    screen.table("Rapport", ("what", "state"), status_rows(found))
    return found


def status_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The state of things in a few lines."""
    rows = []
    if found["facts"]:
        facts = found["facts"]
        span = f"{calendar_day(facts['first_day'])} to {calendar_day(facts['until_day'] - 1)}"
        rows.append(("facts", f"{facts['source']}, {facts['rows']['purchases']:,} lines, {span}"))
    if found["store"]:
        stamp = found["store"]["stamp"]
        state = f"{stamp['members']:,} members as of {stamp['as_of']}" if stamp else "nothing published"
        rows.append(("store", f"Redis {found['store']['version']}: {state}"))
    if found["events"]:
        events = found["events"]
        kept = events["durable"].replace("_", " ")
        aside = f"{events['quarantine']:,} in quarantine, {events['dead']:,} failed"
        rows.append(("events", f"{events['waiting']:,} in the streams, {aside}; acknowledged means on {kept}"))
    rows.extend((label, ", ".join(aliases) or "no alias") for label, aliases in found["models"].items())
    return rows
