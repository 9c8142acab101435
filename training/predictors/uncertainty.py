"""How far a probability may be off: an interval for each score, kept as a small table of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.predictors.trees import Scores


@dataclass(frozen=True, slots=True)
class IntervalTable:
    """Of `group` members with about this score, the share that leaves lies between low and high in `level` of all cases.

    Attributes
    ----------
    scores
        Ascending; low and high are straight lines between these points and level beyond them.
    low, high
        Share of leavers at each of these scores, at most and at least.
    """

    scores: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    group: int

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> IntervalTable:
        """The table that stands in a manifest."""
        ends = {name: tuple(float(value) for value in numbers[name]) for name in ("scores", "low", "high")}
        return cls(**ends, level=float(numbers["level"]), group=int(numbers["group"]))

    def around(self, answer: Scores) -> tuple[Scores, Scores]:
        """Low and high ends for each answer, the answer itself always between them; both of the shape of `answer`."""
        low = np.interp(answer, self.scores, self.low)
        high = np.interp(answer, self.scores, self.high)
        return np.minimum(low, answer), np.maximum(high, answer)


def interval_of(parameters: Mapping[str, Any], answer: Scores) -> tuple[Scores, Scores]:
    """The interval around each answer by the table of a manifest; 0 to 1 where the manifest holds none."""
    table = parameters.get("interval")
    if table is None:
        return np.zeros_like(answer), np.ones_like(answer)
    return IntervalTable.of(table).around(answer)
