"""Triggers as the stream's worker and jobs hold them: opened from settings, and no event held up by what goes wrong in them."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from features.errors import CorruptRecord, RapportError, StoreUnavailable
from features.live_state import Applied
from features.settings import Settings
from features.tag_store import TagStore
from features.tags import TAGS
from serving.triggers.firing import MOST_DUE, Firing, Outcomes
from serving.triggers.gauges import OUTCOMES
from serving.triggers.in_force import TriggersInForce
from serving.triggers.members_now import MembersNow
from serving.triggers.offers import Offers
from serving.triggers.store import TriggerStore
from serving.triggers.tags_now import TagsNow

logger = logging.getLogger("rapport")
LOOK_S = 1.0
TRIM_S = 60.0


@dataclass(slots=True)
class TriggersAtWork:
    """What a worker asks after each batch of events, and from time to time.

    A trigger that cannot be evaluated is counted as failed and logged, and the events go on: the features of a member are worth
    more than a message. Only a store that is away is told to the worker, which then hands the same events in again.
    """

    firing: Firing
    clock: Callable[[], datetime]
    kept: timedelta
    outcomes: Outcomes = field(default_factory=Outcomes)
    _look_at: float = 0.0
    _trim_at: float = 0.0

    def after(self, applied: Sequence[Applied]) -> None:
        """Fire what events set off. StoreUnavailable: hand them in again."""
        try:
            self.outcomes += self.firing.after(applied, self.clock())
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 # the named edge: one event that no code foresaw keeps no other's message back
            if len(applied) > 1 and not isinstance(error, RapportError):
                for each in applied:
                    self.after([each])
            else:
                self._failed(error)

    def look(self) -> None:
        """Fire what was put off and is due, and trim the stream, not more often than every second. StoreUnavailable: later."""
        now = time.monotonic()
        if now < self._look_at:
            return
        try:
            outcomes, found = self.firing.due(self.clock())
            self.outcomes += outcomes
            self._look_at = now + (LOOK_S if found < MOST_DUE else 0.0)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 # the same edge; what is due stays due
            self._failed(error)
            self._look_at = now + 10 * LOOK_S
        if now >= self._trim_at:
            self.firing.trim(self.clock(), self.kept)
            self._trim_at = now + TRIM_S
        self.firing.tell()

    def close(self) -> None:
        """Tell what was counted, and give the connections back."""
        try:
            self.firing.tell()
        except StoreUnavailable:
            logger.warning("the store is away: the last counts of triggers are lost")
        self.firing.close()

    def _failed(self, error: Exception) -> None:
        self.firing.tally[f"{OUTCOMES}:FAILED"] += 1
        self.outcomes["FAILED"] += 1
        logger.error("triggers could not be looked at: %s", type(error).__name__)


def triggers_at_work(settings: Settings, url: str) -> TriggersAtWork:
    """The triggers of the settings' folder, on the store at an address."""
    store = TriggerStore(url, prefix=settings.key_prefix)
    tags = TagStore(url, prefix=settings.key_prefix)
    firing = Firing(
        store,
        MembersNow(url, prefix=settings.key_prefix),
        TagsNow(tags),
        Offers(settings, url),
        TriggersInForce(settings.triggers_dir, lambda: known_tags(tags)),
        key=settings.identity_key.encode(),
        stale_after_s=settings.max_staleness_h * 3600.0,
    )
    return TriggersAtWork(firing, settings.clock, timedelta(hours=settings.triggers_kept_h))


def known_tags(store: TagStore) -> frozenset[str]:
    """Tags that are declared, and those made of the shop's own values as published last."""
    try:
        stamp = store.read_tag_stamp()
    except (StoreUnavailable, CorruptRecord):
        stamp = None
    return frozenset(TAGS) | frozenset(stamp.counts if stamp is not None else ())
