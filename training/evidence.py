"""What the evaluation of a recipe leaves behind: its answers on every test period beside its baselines', row by row.

A recipe is how a model is made: name, engine, definition, parameters, seed. Everything that is said about it (the report, the
gate, the benchmarks) is computed from this evidence and from nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.periods import Period


@dataclass(frozen=True, slots=True)
class Judged:
    """One recipe on the test window of one period; every array has one entry a row of that window.

    Attributes
    ----------
    period
        The days it was fitted on and judged at.
    member_ids
        Whose row it is; a member occurs once.
    truth
        What happened: bool for churn, position of the tier, cents for value.
    answer
        What the model said beforehand: shape (rows,), or (rows, classes) for probabilities of several classes.
    others
        What each baseline said on the same rows, by name; higher means more in the sense of `truth`. Or a version that served
        when the recipe was judged, by its label (recommender@3), on windows that it had not seen.
    slices
        Labels of every row by the name of the slice: tier, stage, channel, tenure.
    low, high
        Ends of the model's own interval on every row, where it gives one.
    notes
        How this period was fitted (trees, calibrator, rows): for the record.

    Raises
    ------
    ValueError
        An array has another number of rows than `truth`.
    """

    period: Period
    member_ids: NDArray[np.str_]
    truth: NDArray[np.generic]
    answer: NDArray[np.float64]
    others: Mapping[str, NDArray[np.float64]]
    slices: Mapping[str, NDArray[np.generic]]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {"member_ids": self.member_ids, "answer": self.answer, **self.others, **self.slices}
        named |= {name: end for name, end in (("low", self.low), ("high", self.high)) if end is not None}
        odd = sorted(name for name, values in named.items() if len(values) != len(self.truth))
        if odd:
            raise ValueError(f"evidence of {len(self.truth)} rows has another number of rows in: {', '.join(odd)}")

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, kept: NDArray[np.bool_]) -> "Judged":
        """The same evidence on some of the rows, for example those of one slice."""
        return Judged(
            self.period,
            self.member_ids[kept],
            self.truth[kept],
            self.answer[kept],
            {name: values[kept] for name, values in self.others.items()},
            {name: values[kept] for name, values in self.slices.items()},
            None if self.low is None else self.low[kept],
            None if self.high is None else self.high[kept],
            self.notes,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """One recipe over all test periods, oldest first.

    Attributes
    ----------
    model, engine
        For example churn and xgboost.
    definition
        What is answered: horizon and whatever else the answer means.
    judged
        One entry a test period.
    parameters
        Tuned parameters, seed, how they were found: for the record.
    further
        The same recipe judged by further questions, each with rows and baselines of its own: lists of new items beside lists
        with repeats. They have no further ones themselves.
    """

    model: str
    engine: str
    definition: Mapping[str, Any]
    judged: tuple[Judged, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    further: tuple["Evidence", ...] = ()

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the baselines that answered in every period, in the order of the first. Versions (lists@3) are none."""
        if not self.judged:
            return ()
        everywhere = (name for name in self.judged[0].others if all(name in one.others for one in self.judged))
        return tuple(name for name in everywhere if "@" not in name)


def slices_of(rows: int, **labels: NDArray[np.generic] | None) -> dict[str, NDArray[np.str_]]:
    """Slices as text, those without labels left out; a missing label is called "unknown"."""
    found: dict[str, NDArray[np.str_]] = {}
    for name, values in labels.items():
        if values is None:
            continue
        if len(values) != rows:
            raise ValueError(f"slice {name} has {len(values)} labels for {rows} rows")
        found[name] = np.array(["unknown" if value is None or value == "" else str(value) for value in values.tolist()])
    return found


def proved(
    recipe: Evidence, periods: Iterable[Period], judge: Callable[[Period], Judged], *, done: Callable[[], None] = lambda: None
) -> Evidence:
    """A recipe of which nothing was said yet, judged once on each of its periods, oldest first; `done` is called after each.

    Raises
    ------
    NotEnoughData
        As `judge`.
    """
    judged = []
    for period in periods:
        judged.append(judge(period))
        done()
    return replace(recipe, judged=tuple(judged))
