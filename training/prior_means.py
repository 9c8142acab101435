"""Mean answers over everyone and over each lifecycle stage: what serving says of a member of whom it has nothing better."""

from collections import defaultdict

import numpy as np

from features.contract import CONTRACT
from training.answers import STAGE, ScoreBlock

EVERYONE = ""


class PriorMeans:
    """Sums of every column of numbers, block by block; reasons are left out, as a mean of them says nothing."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, block: ScoreBlock) -> None:
        """Take the answers of a block in. A file of scores from before stages were kept tells of everyone only."""
        stages = block.columns.get(STAGE)
        for name, values in block.columns.items():
            if values.dtype.kind != "f" or ".reason_" in name:
                continue
            known = ~np.isnan(values)
            self._count(EVERYONE, name, values[known])
            if stages is not None:
                for code, stage in enumerate(CONTRACT.feature(STAGE).categories):
                    self._count(stage, name, values[known & (stages == code)])

    def found(self) -> dict[str, dict[str, float]]:
        """Mean of each column by stage, "" being everyone; a stage without members has no entry."""
        means: dict[str, dict[str, float]] = defaultdict(dict)
        for (stage, name), (total, count) in self._sums.items():
            means[stage][name] = total / count
        return dict(means)

    def _count(self, stage: str, name: str, values: np.ndarray[tuple[int], np.dtype[np.floating]]) -> None:
        if len(values):
            sums = self._sums[stage, name]
            sums[0] += float(values.sum(dtype=np.float64))
            sums[1] += len(values)
