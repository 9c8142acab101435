"""Triggers in plain words: what a file means, for people who did not write it."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from serving.triggers.declared import CONTROL, Arm, Cap, Trigger, Triggers
from serving.triggers.spans import in_words

OFTEN = timedelta(days=7)


def words_of(trigger: Trigger) -> list[str]:
    """What a trigger does, one sentence each."""
    return [*_when(trigger), *_how_often(trigger), *_to_whom(trigger), *_what(trigger)]


def limit_in_words(triggers: Triggers) -> str:
    """The limit over all triggers."""
    if triggers.limit is None:
        return "There is no limit over all triggers together."
    return f"All triggers together address a member at most {_cap(triggers.limit)}."


def attentions(trigger: Trigger) -> Iterator[str]:
    """What is allowed, and mostly not meant."""
    if trigger.by_time and not trigger.becomes and trigger.cool_down < OFTEN and "before." not in trigger.when:
        yield (
            f"{trigger.name} fires every {in_words(trigger.cool_down)} for as long as its condition holds: "
            "write becomes = true, or a longer cool_down"
        )
    if trigger.quiet is None and trigger.by_time:
        yield f"{trigger.name} has no quiet hours, and nights look about midnight: write quiet"


def _when(trigger: Trigger) -> Iterator[str]:
    how = "becomes true" if trigger.becomes else "holds"
    when = " or ".join(trigger.on)
    if trigger.by_time:
        yield f"Looked at every night, when ({trigger.when}) {how}."
    elif trigger.after:
        yield f"{in_words(trigger.after)} after a {when} for which ({trigger.when}) {how}, if it holds then, too."
    else:
        yield f"On a {when}, when ({trigger.when}) {how}."
    yield f"Not if that is known later than {in_words(trigger.within)} after it was due."


def _how_often(trigger: Trigger) -> Iterator[str]:
    yield f"Not again for the member within {in_words(trigger.cool_down)}."
    if trigger.cap is not None:
        yield f"The campaign {trigger.campaign} addresses a member at most {_cap(trigger.cap)}."
    if trigger.quiet is not None:
        held = "held until then and looked at again" if trigger.quiet.then == "hold" else "dropped"
        yield f"Nothing from {_clock(trigger.quiet.begins)} to {_clock(trigger.quiet.ends)} of the shop's clock: {held}."


def _to_whom(trigger: Trigger) -> Iterator[str]:
    agreed = "Only members who agreed to marketing." if trigger.consent == "given" else "Never members who refused marketing."
    yield agreed
    if len(trigger.arms) > 1 or trigger.arms[0].name == CONTROL:
        yield f"Members are in these arms of {trigger.campaign}: {_arms(trigger.arms)}."


def _what(trigger: Trigger) -> Iterator[str]:
    if trigger.items:
        rules = f"the rules of {trigger.placement}" if trigger.placement else "the default rules"
        yield f"Brings {trigger.items} recommended items by {rules}."
    yield f"May be delivered for {in_words(trigger.valid_for)}."


def _cap(cap: Cap) -> str:
    times = "once" if cap.times == 1 else f"{cap.times} times"
    return f"{times} in {in_words(cap.window)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _arms(arms: Sequence[Arm]) -> str:
    return ", ".join(f"{arm.name} {arm.share:.0%}{' (recorded, not delivered)' if arm.name == CONTROL else ''}" for arm in arms)
