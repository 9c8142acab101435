"""Sums by member and stretch of days: facts fall into the stretches between the edges of all windows, each looked at once.

However many windows and moments are asked about, a fact is added to one cell. A window is a difference of two running sums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_IN_FLOATS = 2**53


@dataclass(frozen=True, slots=True)
class Segments:
    """The cells: stretches of days by members. Facts come day by day, so that those in use at one time stand together.

    Attributes
    ----------
    members
        How many there are; they are numbered from 0.
    edges
        Local days, ascending; stretch s holds the days from edges[s - 1] up to before edges[s].
    """

    members: int
    edges: NDArray[np.int64]

    @classmethod
    def between(cls, members: int, edges: Iterable[int]) -> "Segments":
        """Cells between some days."""
        return cls(members, np.unique(np.fromiter(edges, dtype=np.int64)))

    @property
    def shape(self) -> tuple[int, int]:
        """Stretches, one more than there are edges; and members."""
        return len(self.edges) + 1, self.members

    def cells(self, members: NDArray[np.integer[Any]], days: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The cell of each fact."""
        if not len(days):
            return np.empty(0, dtype=np.int64)
        first, last = int(days.min()), int(days.max())
        stretch_of = np.searchsorted(self.edges, np.arange(first, last + 1), side="right")
        cells: NDArray[np.int64] = (stretch_of * self.members).take(days - first, mode="clip")
        cells += members
        return cells

    def sums(self, cells: NDArray[np.int64], values: NDArray[Any] | None = None) -> NDArray[Any]:
        """The sum of the values in each cell, or how many there are; whole numbers exactly.

        Returns
        -------
        Shape `shape`; int64 of whole numbers, float64 of others.
        """
        size = self.shape[0] * self.shape[1]
        if values is None:
            return np.bincount(cells, minlength=size).reshape(self.shape)
        if values.dtype.kind == "f":
            return np.bincount(cells, values, size).reshape(self.shape)
        if not len(values) or max(abs(int(values.max())), abs(int(values.min()))) * len(values) < EXACT_IN_FLOATS:
            return np.bincount(cells, values, size).astype(np.int64).reshape(self.shape)
        sums = np.zeros(size, dtype=np.int64)
        np.add.at(sums, cells, values.astype(np.int64))
        return sums.reshape(self.shape)

    def smallest(self, cells: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest value in each cell, infinity in those without any."""
        smallest = np.full(self.shape[0] * self.shape[1], np.inf)
        np.minimum.at(smallest, cells, values)
        return smallest.reshape(self.shape)

    def windows(self, sums: NDArray[Any]) -> "Windows":
        """Sums of any run of stretches, from those of each cell."""
        if sums.dtype.kind == "f":
            return Windows(self, sums, None)
        running = np.zeros((self.shape[0] + 1, self.members), dtype=np.int64)
        for stretch, of_stretch in enumerate(sums):  # numpy's own running sum strides over the members, and is slow at that
            np.add(running[stretch], of_stretch, out=running[stretch + 1])
        return Windows(self, sums, running)

    def stretches(self, start: int | None, until: int | None) -> slice:
        """The stretches from the day `start` up to before the day `until`; None is the beginning or the end.

        Both are edges, or days before which there are no facts.
        """
        first = 0 if start is None else int(np.searchsorted(self.edges, start, side="right"))
        end = self.shape[0] if until is None else int(np.searchsorted(self.edges, until, side="right"))
        return slice(first, max(first, end))


@dataclass(frozen=True, slots=True)
class Windows:
    """Sums over runs of stretches. Whole numbers have running sums; floats are added up, as a difference would lose digits."""

    segments: Segments
    sums: NDArray[Any]
    running: NDArray[np.int64] | None

    def between(self, start: int | None, until: int | None) -> NDArray[Any]:
        """The sum of each member from the day `start` up to before the day `until`."""
        asked = self.segments.stretches(start, until)
        if self.running is None:
            found: NDArray[Any] = self.sums[asked].sum(axis=0)
            return found
        return np.asarray(self.running[asked.stop] - self.running[asked.start])


def exact_sums(members: NDArray[np.integer], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sums that do not depend on the order of the values: coarse and fine parts, each on a grid on which floats add exactly."""
    coarse = np.round(values * _COARSE) / _COARSE
    fine = np.round((values - coarse) * _FINE) / _FINE
    sums: NDArray[np.float64] = np.bincount(members, coarse, count).astype(np.float64) + np.bincount(members, fine, count)
    return sums


_COARSE, _FINE = 2.0**10, 2.0**50
