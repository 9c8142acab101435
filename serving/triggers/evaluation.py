"""Which triggers hold for which rows: cheap questions to all rows, dear ones to those that are left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.sources.schema import CHANNELS
from serving.triggers.conditions import Bools, Floats, View, bounds
from serving.triggers.declared import EVENT_TYPES, Trigger
from serving.triggers.happening import Happening, ItemCounts
from serving.triggers.names import BEFORE, ITEM_COUNTS, needs_event, numbers_in, outputs_in, texts_in
from serving.triggers.records import Records, score_columns

Rows: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Batch:
    """Rows to be looked at together, one member each; a member may have several.

    Attributes
    ----------
    member_ids
        The member of each row.
    now, before
        Records after the event and before it; at night those of the last look. None: nothing is known of before.
    happenings, counts, texts
        The event of each row, the counts of its item, and its texts; empty at night.
    tags
        Tags that conditions name, by name; those that nobody published are false.
    extra
        Numbers that are known already, by name: those of before for what was put off.
    """

    member_ids: Sequence[str]
    now: Records
    before: Records | None = None
    happenings: Sequence[Happening] = ()
    counts: Sequence[ItemCounts | None] = ()
    texts: Sequence[Mapping[str, str]] = ()
    tags: Mapping[str, Bools] = field(default_factory=dict)
    extra: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.member_ids)


@dataclass(frozen=True, slots=True)
class Held:
    """A trigger whose condition holds for a row."""

    trigger: Trigger
    row: int


def evaluate(triggers: Sequence[Trigger], batch: Batch, zone: ZoneInfo, *, becoming: bool = True) -> list[Held]:
    """The triggers that hold, row by row in the order of the batch, and as declared within a row.

    Parameters
    ----------
    becoming
        False to ask whether conditions hold, whatever was before: when what was held or put off is looked at again.
    """
    if not len(batch) or not triggers:
        return []
    stages = _Stages(batch, zone)
    asked = [_Asked(trigger, becoming=becoming and trigger.becomes) for trigger in triggers]
    rows, view = np.arange(len(batch)), stages.first(asked)
    left = [_of_types(trigger, batch) for trigger in triggers]
    for stage in (None, *stages.further(asked)):
        if stage is not None:
            rows, view, left = _only(rows, view, left)
            view = stage(view, rows)
        left = [mask & each.perhaps(view, stages) for mask, each in zip(left, asked, strict=True)]
    found = [Held(triggers[which], int(rows[row])) for which, mask in enumerate(left) for row in np.flatnonzero(mask).tolist()]
    return sorted(found, key=lambda held: held.row)


@dataclass(frozen=True)
class _Asked:
    """A trigger, and what its condition speaks of."""

    trigger: Trigger
    becoming: bool

    @property
    def numbers(self) -> frozenset[str]:
        """Numbers it rests on, those of before included."""
        names = numbers_in(self.trigger.condition)
        return names | {BEFORE + name for name in names if not needs_event(name)} if self.becoming else names

    def perhaps(self, view: View, stages: "_Stages") -> Bools:
        """Where it may hold by what the view knows."""
        _, perhaps = bounds(self.trigger.condition, view)
        if self.becoming:
            held, _ = bounds(self.trigger.condition, view.earlier(stages.numbers_before(view)))
            perhaps = perhaps & ~held
        return perhaps


class _Stages:
    """What is asked after what: the event and tags, then features, those of before, and scores."""

    def __init__(self, batch: Batch, zone: ZoneInfo) -> None:
        self._batch, self._zone = batch, zone

    def first(self, asked: Sequence[_Asked]) -> View:
        """What costs nothing."""
        texts = frozenset[str]().union(*(texts_in(each.trigger.condition) for each in asked))
        earlier = {_THEN + name: column for name, column in count_columns(self._batch, before=True).items()}
        numbers = {**event_columns(self._batch.happenings, self._zone), **count_columns(self._batch), **earlier}
        return View(
            len(self._batch), {**numbers, **self._batch.extra}, {**self._batch.tags, **text_columns(texts, self._batch)}
        )

    def numbers_before(self, view: View) -> Mapping[str, Floats]:
        """Columns of the event as they were before it."""
        same = {name: column for name, column in view.numbers.items() if name.startswith("event_")}
        then = {name[len(_THEN) :]: column for name, column in view.numbers.items() if name.startswith(_THEN)}
        return {**same, **then}

    def further(self, asked: Sequence[_Asked]) -> list["_Stage"]:
        """The dearer stages that some trigger needs: features, then scores."""
        numbers = frozenset[str]().union(*(each.numbers for each in asked))
        numbers = frozenset(name for name in numbers if not needs_event(name)) - self._batch.extra.keys()
        then = frozenset(name.removeprefix(BEFORE) for name in numbers if name.startswith(BEFORE))
        now = frozenset(name for name in numbers if not name.startswith(BEFORE))
        sides = [(which, names) for which, names in (("now", now), ("before", then)) if names]
        features = [_Stage(self._batch, which, frozenset()) for which, _ in sides]
        return features + [_Stage(self._batch, which, outputs) for which, names in sides if (outputs := outputs_in(names))]


_THEN = "then."
"""Stands before counts of the item as they were before the event; conditions cannot name them, `becomes` looks at them."""


@dataclass(frozen=True)
class _Stage:
    """Features of now or of before, or scores of them, added to what is known of some rows."""

    batch: Batch
    which: str
    outputs: frozenset[str]

    def __call__(self, view: View, rows: Rows) -> View:
        records = self.batch.now if self.which == "now" else self.batch.before
        matrix = view.features if self.which == "now" else view.before
        if matrix is None:
            matrix = _nothing(view) if records is None or not len(rows) else records.matrix(rows)
        if not self.outputs:
            return replace(view, features=matrix) if self.which == "now" else replace(view, before=matrix)
        if records is None or not len(rows):
            names = [name for output in self.outputs for name in _SCORES_OF[output]]
            columns: Mapping[str, Floats] = {name: np.full(view.size, np.nan, dtype=np.float32) for name in names}
        else:
            columns = score_columns(records.scored(matrix, rows, self.outputs), self.outputs)
        prefix = "" if self.which == "now" else BEFORE
        return replace(view, numbers={**view.numbers, **{prefix + name: column for name, column in columns.items()}})


_SCORES_OF = {"churn": ("churn_probability", "churn_band"), "tier": ("likely_tier",), "value": ("value_cents",)}


def _nothing(view: View) -> Floats:
    return np.full((view.size, len(view.contract.features)), np.nan, dtype=np.float32)


def _only(rows: Rows, view: View, left: Sequence[Bools]) -> tuple[Rows, View, list[Bools]]:
    """The rows of which some trigger may still hold."""
    chosen = np.flatnonzero(np.logical_or.reduce(left))
    return rows[chosen], view.rows(chosen), [mask[chosen] for mask in left]


def _of_types(trigger: Trigger, batch: Batch) -> Bools:
    """Rows whose events the trigger looks at; at night all of them."""
    if not batch.happenings:
        return np.ones(len(batch), dtype=np.bool_)
    return np.array([happening.type in trigger.on for happening in batch.happenings], dtype=np.bool_)


def event_columns(happenings: Sequence[Happening], zone: ZoneInfo) -> dict[str, Floats]:
    """What events tell in numbers, by the name that conditions use; NaN where they do not say."""
    if not happenings:
        return {}
    columns = {
        "event_type": [EVENT_TYPES.index(h.type) if h.type in EVENT_TYPES else None for h in happenings],
        "event_channel": [CHANNELS.index(h.channel) if h.channel in CHANNELS else None for h in happenings],
        "event_hour": [h.moment.astimezone(zone).hour for h in happenings],
        "event_net_cents": [h.net_cents for h in happenings],
        "event_lines": [h.lines for h in happenings],
        "event_quantity": [h.quantity for h in happenings],
        "event_seconds": [h.duration_s for h in happenings],
    }
    return {name: np.array(values, dtype=np.float32) for name, values in columns.items()}


def count_columns(batch: Batch, *, before: bool = False) -> dict[str, Floats]:
    """Counts of each event's item, with the event or before it; NaN for events without one."""
    if not batch.happenings:
        return {}
    counts = [
        found.before(happening.type) if before and found is not None else found
        for happening, found in zip(batch.happenings, batch.counts, strict=True)
    ]
    rows = [(None, None, None) if found is None else (found.views, found.carts, found.purchases) for found in counts]
    columns = np.array(rows, dtype=np.float32).reshape(len(counts), len(ITEM_COUNTS))
    return {name: columns[:, place] for place, name in enumerate(ITEM_COUNTS)}


def text_columns(tags: frozenset[str], batch: Batch) -> dict[str, Bools]:
    """Where the event's texts are those that conditions name."""
    named = {tag: tag.partition("=") for tag in tags}
    return {
        tag: np.array([texts.get(name) == value for texts in batch.texts], dtype=np.bool_)
        for tag, (name, _, value) in named.items()
    }


def numbers_before(trigger: Trigger, batch: Batch, rows: Sequence[int]) -> list[dict[str, float]]:
    """What the condition of a trigger says of before, for some rows: kept where the condition is asked again later."""
    names = sorted(name for name in numbers_in(trigger.condition) if name.startswith(BEFORE))
    if not names:
        return [{} for _ in rows]
    chosen = np.array(rows, dtype=np.intp)
    outputs = outputs_in(frozenset(name.removeprefix(BEFORE) for name in names))
    view = View(len(rows))
    for part in (frozenset[str](), outputs):
        view = _Stage(batch, "before", part)(view, chosen)
    columns = {name: column.tolist() for name in names if (column := view.number(name)) is not None}
    return [
        {name: column[place] for name, column in columns.items() if column[place] == column[place]}
        for place in range(len(rows))
    ]
