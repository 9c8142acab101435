"""A file of triggers to `Triggers`: every problem at once, each with the key, the value and what to write instead."""

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from math import isclose
from pathlib import Path
from typing import Any

from features.audience_language import Selection, Vocabulary, parse
from features.errors import AudienceUnreadable, TriggersRefused
from features.toml_sections import TomlSection, shown
from serving.triggers import spans
from serving.triggers.declared import DAY, ON, TIME, Arm, Cap, Quiet, Trigger, Triggers
from serving.triggers.names import BEFORE, ITEM_COUNTS, needs_event, numbers_in, texts_in, vocabulary

NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
WITH_ITEM = frozenset({"view", "cart", "favourite"})
MOST_TRIGGERS, MOST_ITEMS, LONGEST_NAME, LONGEST_TEXT = 200, 50, 64, 500


def read_triggers(path: Path, tags: Collection[str]) -> Triggers:
    """The triggers in a file.

    Parameters
    ----------
    tags
        Tags that there are.

    Raises
    ------
    TriggersRefused
        The file cannot be read, is no TOML, or says something that triggers cannot say; the message lists every problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"the file cannot be read ({type(error).__name__}): see that it is UTF-8 text"
        raise TriggersRefused(path.name, [problem]) from error
    return parse_triggers(text, tags, source=path.name)


def read_all(paths: Sequence[Path], tags: Collection[str]) -> Triggers:
    """The triggers of several files together: the limit of one is that of all.

    Raises
    ------
    TriggersRefused
        One of them cannot be used, or two say something of the same.
    """
    found = [(path, read_triggers(path, tags)) for path in paths]
    problems, seen = [], dict[str, str]()
    for path, triggers in found:
        for name in (trigger.name for trigger in triggers.triggers):
            if name in seen:
                problems.append(f"trigger.{name} stands in {seen[name]} as well: give one of them another name")
            seen[name] = path.name
    limits = [(path, triggers.limit) for path, triggers in found if triggers.limit is not None]
    if len(limits) > 1:
        problems.append(f"limit stands in {limits[0][0].name} as well: it is over all triggers, so write it once")
    if problems:
        raise TriggersRefused(paths[-1].name, problems)
    everything = tuple(trigger for _, triggers in found for trigger in triggers.triggers)
    return Triggers(everything, limits[0][1] if limits else None)


def parse_triggers(text: str, tags: Collection[str], *, source: str) -> Triggers:
    """The triggers in a text; `source` is what messages call it."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TriggersRefused(source, [f"this is no TOML: {error}"]) from error
    problems: list[str] = []
    top = _Section("", content, problems)
    top.take("describes", "a text", _is_text, "")
    limit = top.take("limit", spans.CAP, lambda value: spans.cap_of(value) is not None, None)
    declared = top.take("trigger", "sections such as [trigger.viewed_three_times]", _are_sections, {})
    top.refuse_the_rest()
    if not declared:
        problems.append("there is no trigger: write one below a line such as [trigger.viewed_three_times]")
    known = vocabulary(tags)
    triggers = [_trigger(name, values, known, problems) for name, values in declared.items()]
    if problems:
        raise TriggersRefused(source, problems)
    return Triggers(tuple(triggers), spans.cap_of(limit))


class _Section(TomlSection):
    """A section of such a file."""

    def need(self, key: str, wanted: str, fits: Callable[[Any], bool], default: Any) -> Any:
        """The same of a key that has to be there."""
        if key not in self.values:
            self.problems.append(f"{self.of(key)} is missing: write {wanted}")
        return self.take(key, wanted, fits, default)

    def text(self, key: str, default: str = "") -> str:
        return str(self.take(key, f"a text of at most {LONGEST_TEXT} characters", _is_text, default))

    def name_of(self, key: str, default: str) -> str:
        return str(self.take(key, "a name of a-z, 0-9, _ and -", _is_name, default))

    def span(self, key: str, default: timedelta) -> timedelta:
        value = self.take(key, spans.SPAN, lambda text: spans.span_of(text) is not None, None)
        found = spans.span_of(value)
        return default if found is None else found

    def refuse_the_rest(self) -> None:
        for key in [key for key in self.values if key not in self.known]:
            near = difflib.get_close_matches(key, self.known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"there is {', '.join(self.known)}"
            self.problems.append(f"{self.of(key)} is no key: {remedy}")


def _trigger(name: str, values: Mapping[str, Any], known: Vocabulary, problems: list[str]) -> Trigger:
    section = _Section(f"trigger.{name}", values, problems)
    if not _is_name(name):
        problems.append(f"trigger.{shown(name)} cannot be: write a name of a-z, 0-9, _ and -")
    on = tuple(section.need("on", f"a list of {', '.join(ON)}", _are_types, ["view"]))
    when = str(section.need("when", 'a condition such as "views_1d >= 3"', _is_text, ""))
    condition = _condition(section, when, known)
    found = Trigger(
        name=name,
        meaning=section.text("meaning"),
        campaign=section.name_of("campaign", name),
        on=on,
        when=when,
        condition=condition if condition is not None else _nobody(known),
        becomes=bool(section.take("becomes", "true or false", lambda value: isinstance(value, bool), False)),
        after=section.span("after", timedelta(0)),
        within=section.span("within", timedelta(hours=12 if on == (TIME,) else 1)),
        cool_down=section.span("cool_down", DAY),
        cap=_cap(section),
        quiet=_quiet(section),
        consent=section.take("consent", '"not_refused" or "given"', ("not_refused", "given").__contains__, "not_refused"),
        arms=_arms(section),
        placement=section.take("placement", "the name of a rules file", _is_name, None),
        items=int(section.take("items", f"a whole number from 0 to {MOST_ITEMS}", _is_count, 0)),
        valid_for=section.span("valid_for", DAY),
    )
    section.refuse_the_rest()
    problems.extend(f"{section.name}.{problem}" for problem in _contradictions(found, known_condition=condition is not None))
    return found


def _condition(section: _Section, when: str, known: Vocabulary) -> Selection | None:
    """The tree of the condition; None, and a problem noted, if there is none."""
    if not when:
        return None
    try:
        return parse(when, known)
    except AudienceUnreadable as error:
        told = str(error).replace("\n", "\n    ")
        section.problems.append(f"{section.of('when')}: {told}\n    {error.remedy}")
        return None


def _nobody(known: Vocabulary) -> Selection:
    """What stands where a condition cannot be read; never used, as the file is refused."""
    return parse("views_1d < 0", known)


def _contradictions(trigger: Trigger, *, known_condition: bool) -> list[str]:
    """What each key may say alone, but not together."""
    found = []
    names = numbers_in(trigger.condition) | texts_in(trigger.condition) if known_condition else frozenset[str]()
    if trigger.by_time:
        strange = sorted(name for name in names if needs_event(name))
        found += [f"when speaks of {name}, which a night does not know: wait for an event with on" for name in strange]
        if trigger.after:
            found.append("after waits for nothing at night: leave it out")
    elif counts := sorted(names & set(ITEM_COUNTS)):
        without = ", ".join(kind for kind in trigger.on if kind not in WITH_ITEM)
        if without:
            found.append(
                f'when speaks of {counts[0]}, but {without} has no single item: write on = ["view"], cart or favourite'
            )
    if trigger.becomes and any(name.startswith(BEFORE) for name in names):
        found.append("becomes = true and when speaks of before: write one of them")
    if trigger.placement is not None and not trigger.items:
        found.append("placement is named, but items = 0: say how many items the message brings")
    return found


def _cap(section: _Section) -> Cap | None:
    return spans.cap_of(section.take("cap", spans.CAP, lambda value: spans.cap_of(value) is not None, None))


def _quiet(section: _Section) -> Quiet | None:
    hours = spans.hours_of(section.take("quiet", spans.HOURS, lambda value: spans.hours_of(value) is not None, None))
    then = section.take("quiet_then", '"hold" or "drop"', ("hold", "drop").__contains__, "hold")
    if hours is None:
        return None
    return Quiet(hours[0], hours[1], then)


def _arms(section: _Section) -> tuple[Arm, ...]:
    wanted = "arms with shares that add up to 1, such as {offer = 0.9, control = 0.1}"
    shares = section.take("arms", wanted, _are_arms, {"offer": 1.0})
    return tuple(Arm(name, float(share)) for name, share in shares.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= LONGEST_TEXT


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and set(value) <= NAME_LETTERS


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ITEMS


def _are_types(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) and entry in ON for entry in value):
        return False
    return len(set(value)) == len(value) and (TIME not in value or value == [TIME])


def _are_arms(value: Any) -> bool:
    if not isinstance(value, dict) or not value or not all(map(_is_name, value)):
        return False
    shares = list(value.values())
    numbers = all(isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 1 for share in shares)
    return numbers and isclose(sum(shares), 1.0, abs_tol=1e-9)


def _are_sections(value: Any) -> bool:
    return (
        isinstance(value, dict) and 0 < len(value) <= MOST_TRIGGERS and all(isinstance(part, dict) for part in value.values())
    )
