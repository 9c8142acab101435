"""What a shop's lists are set up with: horizon, windows, sources and ranker, and the search that finds them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from training.lists.als import AlsSettings, item_factors, rarities, sound_settings
from training.lists.baselines import LIST_LENGTH, best
from training.lists.behaviour import Behaviour
from training.lists.catalogues import SourceSettings
from training.lists.proof import recall
from training.lists.ranker import RankerSettings
from training.lists.windows import already, bought_in, window
from training.predictors.taste import fold_in

HORIZONS = (28, 14, 7)
"""Days whose purchases are forecast: the longest of these for which the facts reach."""
FEWEST_HISTORY = 28
PERIODS = 3
CUTOFFS = 2
"""Cut-offs that a ranker learns from, a horizon apart."""
COUNTS, SHAPES = ("slow", "times", "fast"), ("linear", "log", "bm25")
STEPS = {"alpha": 4.0, "regularization": 10.0, "factors": 2.0}
"""By what factor a setting is made larger or smaller in a search."""
LIMITS = {"alpha": (1 / 64, 256.0), "regularization": (1e-3, 1000.0), "factors": (8.0, 256.0)}


@dataclass(frozen=True, slots=True)
class ListSettings:
    """Everything that is chosen before a test window is opened.

    Attributes
    ----------
    tried
        ALS settings tried, with their recall; empty without a search.
    at_edge
        ALS settings that lie on an end of what was searched, in words.
    """

    sources: SourceSettings = field(default_factory=SourceSettings)
    ranker: RankerSettings = field(default_factory=RankerSettings)
    tried: tuple[dict[str, Any], ...] = ()
    at_edge: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListPeriod:
    """A test cut-off and the cut-offs its ranker learns from, whose purchases are all over by then; local days, ascending."""

    train: tuple[int, ...]
    test: int


def list_horizon(facts: Facts) -> int:
    """The longest horizon for which there is history, a window to learn from and one to be judged on.

    Raises
    ------
    NotEnoughData
        There is not even a week for each.
    """
    days = facts.manifest.until_day - facts.manifest.first_day
    for horizon in HORIZONS:
        if days >= FEWEST_HISTORY + 2 * horizon:
            return horizon
    raise NotEnoughData(
        f"lists need {FEWEST_HISTORY + 2 * HORIZONS[-1]} days of purchases; there are {days}, "
        f"from {calendar_day(facts.manifest.first_day)}",
        remedy="import a longer history",
    )


def list_periods(facts: Facts, *, horizon_days: int) -> tuple[ListPeriod, ...]:
    """Up to three test periods, oldest first; the newest ends with the facts."""
    tests = [facts.manifest.until_day - (back + 1) * horizon_days for back in range(PERIODS)]
    found = [ListPeriod(_learned_from(facts, test, horizon_days), test) for test in reversed(tests)]
    return tuple(period for period in found if period.train)


def period_of_today(facts: Facts, *, horizon_days: int) -> ListPeriod:
    """The cut-offs of the ranker that ships; its test has yet to happen."""
    return ListPeriod(_learned_from(facts, facts.manifest.until_day, horizon_days), facts.manifest.until_day)


def _learned_from(facts: Facts, test: int, horizon: int) -> tuple[int, ...]:
    first = facts.manifest.first_day + FEWEST_HISTORY
    return tuple(day for day in (test - (back + 1) * horizon for back in range(CUTOFFS)) if day >= first)[::-1]


def search_day(facts: Facts, *, horizon_days: int) -> int | None:
    """The cut-off that settings are judged at: its purchases are over before the oldest test; None where there is no room."""
    day = list_periods(facts, horizon_days=horizon_days)[0].test - horizon_days
    return day if day >= facts.manifest.first_day + FEWEST_HISTORY else None


def searched_als(behaviour: Behaviour, *, day: int, horizon_days: int, trials: int, seed: int) -> ListSettings:
    """ALS settings by a search at one cut-off: weighting first, then alpha, regularisation and factors step by step.

    A step that helps is taken again, so that the best setting lies within what was tried unless a limit stops it; settings
    whose factors collapse are passed over, and the search begins with as many as do not. Judged by recall of items that are
    new to the member, which is what lists ask taste for; by all that was bought where nobody bought anything new.
    """
    seen = window(behaviour, day=day)
    items = len(seen.listed)
    bought, before = bought_in(behaviour, seen, days=horizon_days), already(seen)
    novel = (bought - bought.multiply(before)).tocsr()
    novel.eliminate_zeros()
    rarity = rarities(seen.histories, items)
    tried: list[dict[str, Any]] = []

    def value(settings: AlsSettings) -> float:
        known = next((row["value"] for row in tried if row["settings"] == asdict(settings)), None)
        if known is not None:
            return float(known)
        if len(tried) >= trials:
            return -np.inf
        try:
            factors = item_factors(seen.histories, items, settings, seed=seed)
            with threadpool_limits(limits=1, user_api="blas"):
                taste = fold_in(factors, rarity, seen.histories, settings.weighing)
                found = _recalls(taste, factors, (bought, novel), before)
        except NotEnoughData:
            found = (float("nan"), float("nan"))
        worth = float(np.nan_to_num(found[1] if novel.nnz else found[0], nan=-1.0))
        tried.append({"settings": asdict(settings), "recall": found[0], "novel": found[1], "value": worth})
        return worth

    start = sound_settings(seen.histories, items, AlsSettings(), seed=seed)
    chosen = AlsSettings() if start is None else _climbed(value, start)
    if value(chosen) < 0:
        return ListSettings(sources=SourceSettings(als=None), tried=tuple(tried))
    return ListSettings(sources=SourceSettings(als=chosen), tried=tuple(tried), at_edge=tuple(_edges(chosen)))


def _climbed(value: Callable[[AlsSettings], float], start: AlsSettings) -> AlsSettings:
    """The best of the weightings, and from there as far as steps help."""
    weightings = [replace(start, count=count, shape=shape) for count in COUNTS[:2] for shape in SHAPES]
    chosen = max([start, *weightings], key=value)
    for name in ("alpha", "regularization", "factors"):
        for direction in (1, -1):
            following = _stepped(chosen, name, direction)
            while following is not None and value(following) > value(chosen):
                chosen, following = following, _stepped(following, name, direction)
    return chosen


def _stepped(settings: AlsSettings, name: str, direction: int) -> AlsSettings | None:
    """One step up or down, None beyond the limit."""
    moved = getattr(settings, name) * STEPS[name] ** direction
    if not LIMITS[name][0] <= moved <= LIMITS[name][1]:
        return None
    changed: dict[str, Any] = {name: int(moved) if name == "factors" else moved}
    return replace(settings, **changed)


def _edges(chosen: AlsSettings) -> Iterator[str]:
    for name in STEPS:
        for direction, words in ((1, "up to"), (-1, "down to")):
            if _stepped(chosen, name, direction) is None:
                yield f"{name} {getattr(chosen, name):g}, searched {words} that"


def _recalls(taste: Any, factors: Any, truths: Sequence[Any], before: Any) -> tuple[float, float]:
    scores = taste @ factors.T
    bought = recall(best(scores, LIST_LENGTH), truths[0], np.flatnonzero(np.diff(truths[0].indptr)))
    scores[before.nonzero()] = 0
    novel = recall(best(scores, LIST_LENGTH), truths[1], np.flatnonzero(np.diff(truths[1].indptr)))
    return tuple(float(found.mean()) if len(found) else 0.0 for found in (bought, novel))  # type: ignore[return-value]
