"""Lists filled by rules: candidates in order, each taken if no rule is against it, from one source after the other, up to k.

Works on many lists at once: rows are lists, columns the places of candidates. A list that lacks items goes on with the next
source, so that what a rule takes away is made up for. What became of each candidate is kept as codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.rules.codes import code_of
from features.rules.compiled import Cap, Codes, CompiledRules
from features.rules.shelf import PADDING

Rows = NDArray[np.int32]
_ALREADY, _FULL = code_of("ALREADY_IN_LIST"), code_of("LIST_FULL")


@dataclass(slots=True)
class Filling:
    """Lists that are being filled.

    Attributes
    ----------
    chosen
        Rows of the shelf, shape (lists, k); `PADDING` where a list is shorter.
    position
        Where each was found, counted over the columns of everything fed, same shape; -1 where there is none.
    taken
        How many items each list has.
    verdicts
        For each feed the code of each candidate, shape (lists, columns); 0 for those that were taken.
    """

    compiled: CompiledRules
    chosen: Rows
    position: Rows
    taken: NDArray[np.int64]
    verdicts: list[Codes] = field(default_factory=list)
    _counts: list[NDArray[np.int16]] = field(default_factory=list)
    _fed: int = 0

    @classmethod
    def empty(cls, compiled: CompiledRules, *, lists: int, k: int) -> Filling:
        """Lists without items; those that are pinned are fed first."""
        filling = cls(
            compiled,
            np.full((lists, k), PADDING, dtype=np.int32),
            np.full((lists, k), -1, dtype=np.int32),
            np.zeros(lists, dtype=np.int64),
        )
        filling._counts = [np.zeros((lists, len(cap.limit)), dtype=np.int16) for cap in compiled.caps]
        return filling

    @property
    def lacking(self) -> NDArray[np.intp]:
        """Lists that are not full."""
        return np.flatnonzero(self.taken < self.chosen.shape[1])

    def feed(self, rows: Rows, *, against: Codes | None = None) -> None:
        """Offer candidates to the lists.

        Parameters
        ----------
        rows
            Rows of the shelf, best first, shape (lists, columns), or (columns,) for the same to all; `PADDING` for no
            candidate, `ABSENT` for one that the shelf does not hold.
        against
            Codes of rules that look at the member or the request, same shape; 0 where none is against it.
        """
        offered = np.broadcast_to(rows, (len(self.taken), rows.shape[-1]))
        verdicts = self.compiled.barred[offered]
        if against is not None:
            verdicts = np.where(verdicts == 0, against, verdicts)
        for column in np.flatnonzero((verdicts == 0).any(axis=0)).tolist():
            if not len(self.lacking):
                later = verdicts[:, column:]
                later[later == 0] = _FULL
                break
            open_to = np.flatnonzero(verdicts[:, column] == 0)
            verdicts[open_to, column] = self._offer(open_to, offered[open_to, column], self._fed + column)
        self.verdicts.append(verdicts)
        self._fed += rows.shape[-1]

    def _offer(self, lists: NDArray[np.intp], rows: Rows, position: int) -> Codes:
        """Offer each of these lists one item; returns the code of each, 0 where it was taken."""
        codes = np.where((self.chosen[lists] == rows[:, None]).any(axis=1), _ALREADY, 0).astype(np.int8)
        codes[self.taken[lists] == self.chosen.shape[1]] = _FULL
        for cap, counts in zip(self.compiled.caps, self._counts, strict=True):
            codes[(codes == 0) & _reached(cap, counts, lists, rows)] = cap.code
        free = codes == 0
        takers, items = lists[free], rows[free]
        self.chosen[takers, self.taken[takers]] = items
        self.position[takers, self.taken[takers]] = position
        self.taken[takers] += 1
        for cap, counts in zip(self.compiled.caps, self._counts, strict=True):
            counts[takers, cap.group[items]] += 1
        return codes

    def shortened(self, *, least: int) -> NDArray[np.bool_]:
        """Empty the lists that stayed shorter than `least`; returns which."""
        short = (self.taken < least) & (self.taken > 0)
        self.chosen[short], self.position[short], self.taken[short] = PADDING, -1, 0
        return short


def _reached(cap: Cap, counts: NDArray[np.int16], lists: NDArray[np.intp], rows: Rows) -> NDArray[np.bool_]:
    groups = cap.group[rows]
    reached: NDArray[np.bool_] = counts[lists, groups] >= cap.limit[groups]
    return reached


def bought_lately(
    days_since: NDArray[np.float32], due: NDArray[np.bool_], *, within_days: int | None, unless_due: bool
) -> Codes:
    """The codes of what members bought within the days of the rule.

    Parameters
    ----------
    days_since
        Days since the member last bought each candidate; NaN for never. A purchase today is 0 days ago.
    due
        Whether by their own rhythm it is time to buy it again; same shape.
    """
    codes = np.zeros(days_since.shape, dtype=np.int8)
    if within_days is not None:
        codes[(days_since <= within_days) & ~(due & unless_due)] = code_of("BOUGHT_RECENTLY")
    return codes
