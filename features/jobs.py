"""What every scheduled job shares: one run at a time on a data folder, moments as people write them, and the store in use."""

import fcntl
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from features.contract import CONTRACT
from features.days import day_number, midnight
from features.embedded import embedded_store
from features.errors import Busy, ConfigurationError
from features.facts import Facts
from features.manifest import Manifest
from features.settings import Settings, parse_moment

END_OF_FACTS = "end-of-facts"


class Calendar(Protocol):
    """Facts of one shop, on whichever engine, as far as their days go."""

    @property
    def manifest(self) -> Manifest:
        """What is in the facts."""

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""

    def midnight(self, day: int) -> datetime:
        """The aware moment at which a local day begins."""


def facts_folder(settings: Settings) -> Path:
    """Where the facts are kept."""
    return settings.data_dir / "facts"


def state_folder(settings: Settings) -> Path:
    """Where the aggregates of everyone as of last midnight are kept."""
    return settings.data_dir / "features"


def open_facts(settings: Settings) -> Facts:
    """The facts, with the thresholds that the settings choose.

    Raises
    ------
    FactsMissing
        Nothing was imported.
    ConfigurationError
        A threshold is not one of the contract's.
    """
    chosen = dict(settings.thresholds)
    CONTRACT.threshold_values(chosen)
    return Facts.open(facts_folder(settings), memory_mb=settings.memory_mb, thresholds=chosen)


@contextmanager
def only_run(settings: Settings, job: str) -> Iterator[None]:
    """Hold the lock of a job for the length of the block.

    Raises
    ------
    Busy
        Another process holds it.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / f"{job}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another {job} is running on {settings.data_dir}", remedy="wait for it to end") from error
        yield


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """The address of the online store: the one configured, or an embedded one for the length of the block."""
    if settings.redis_url:
        yield settings.redis_url
    else:
        with embedded_store(settings.data_dir / "store") as url:
            yield url


def as_of_moment(text: str, facts: Calendar) -> datetime:
    """The moment a user means by --as-of: a date (its local midnight), a moment with zone, or "end-of-facts".

    Raises
    ------
    ConfigurationError
        It is none of these.
    """
    if text == END_OF_FACTS:
        return facts.midnight(facts.manifest.until_day)
    try:
        return midnight(day_number(date.fromisoformat(text)), facts.zone)
    except ValueError:
        pass
    try:
        return parse_moment(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--as-of {text!r} is not a moment: {error}",
            remedy=f"write 2018-01-01, 2018-01-01T16:00:00-05:00 or {END_OF_FACTS}",
        ) from error


@contextmanager
def until_told() -> Iterator[threading.Event]:
    """An event that is set when this process is told to end: then what is under way is finished."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
