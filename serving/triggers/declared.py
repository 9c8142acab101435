"""What a file of triggers may say, as values. `reading` makes them from TOML; docs/triggers.md says what each is for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from features.audience_language import Selection

TIME = "time"
"""What a trigger is `on` that waits for no event: it is looked at every night."""
EVENT_TYPES = ("purchase", "return", "view", "cart", "favourite", "search", "visit", "checkout", "redemption")
ON = (*EVENT_TYPES, TIME)
CONTROL = "control"
"""The arm that is only recorded: whoever delivers must leave it out."""
Consent = Literal["not_refused", "given"]
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `times` in any `window`, counted back from the moment of asking."""

    times: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the shop's clock in which nothing is sent; minutes of the day. The end is the first minute that is not quiet.

    `then` says what becomes of what fires meanwhile: held until the end and looked at again, or dropped.
    """

    begins: int
    ends: int
    then: Literal["hold", "drop"] = "hold"


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant and the share of members who are given it."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger.

    Attributes
    ----------
    on
        Types of the events it looks at, or `time` alone.
    when, condition
        The words as they were written, and their tree.
    becomes
        Fires only where the condition did not hold before: before the event, or at the last night's look.
    after
        How long after the event the condition is looked at; what happened meanwhile counts.
    within
        An event that comes later than this after it happened fires nothing, nor does what was put off if it is looked at
        later than this after it was due.
    cool_down
        How long after firing for a member it does not fire again for them.
    cap
        Of the campaign, over all its triggers, for a member; None for no limit.
    consent
        Those who refused are never addressed; `given` asks for those who agreed.
    placement, items
        Rules that the recommended items obey, and how many there are; none of either by default.
    valid_for
        How long the message may be delivered after it was fired.
    """

    name: str
    meaning: str
    campaign: str
    on: tuple[str, ...]
    when: str
    condition: Selection
    becomes: bool = False
    after: timedelta = timedelta(0)
    within: timedelta = timedelta(hours=1)
    cool_down: timedelta = DAY
    cap: Cap | None = None
    quiet: Quiet | None = None
    consent: Consent = "not_refused"
    arms: tuple[Arm, ...] = (Arm("offer", 1.0),)
    placement: str | None = None
    items: int = 0
    valid_for: timedelta = DAY

    @property
    def by_time(self) -> bool:
        """Whether nights, and no events, find whom it fires for."""
        return self.on == (TIME,)


@dataclass(frozen=True, slots=True)
class Triggers:
    """The triggers of one file or of several, by name; `limit` is over all of them for one member."""

    triggers: tuple[Trigger, ...] = ()
    limit: Cap | None = None

    def on(self, event_type: str) -> tuple[Trigger, ...]:
        """Those that look at events of a type."""
        return tuple(trigger for trigger in self.triggers if event_type in trigger.on)

    @property
    def by_time(self) -> tuple[Trigger, ...]:
        """Those that nights look at."""
        return self.on(TIME)

    def named(self, name: str) -> Trigger | None:
        """The trigger of a name."""
        return next((trigger for trigger in self.triggers if trigger.name == name), None)
