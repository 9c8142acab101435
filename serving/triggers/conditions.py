"""Conditions evaluated over many rows at once, with numpy alone; also where a part of what they speak of is not yet known.

Scores cost a hundred times what a count costs. So a condition is asked first with what is at hand, and only for rows of which
it may hold are features derived, and then models asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.audience import holds as compares
from features.audience_language import All, Compared, Not, Selection, Tagged
from features.contract import CONTRACT, Contract
from serving.triggers.names import BEFORE

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """What is known of some rows. A name that nothing here tells is not known yet.

    Attributes
    ----------
    numbers
        Columns by name: of the event, of its item, scores, and scores of before; NaN where missing.
    tags
        Tags and texts of the event by name.
    features, before
        Matrices of the contract's features now and before, float32, shape (size, features).
    """

    size: int
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    tags: Mapping[str, Bools] = field(default_factory=dict)
    features: Floats | None = None
    before: Floats | None = None
    contract: Contract = CONTRACT

    def number(self, name: str) -> Floats | None:
        """A column; None if it is not known."""
        if name in self.numbers:
            return self.numbers[name]
        matrix = self.before if name.startswith(BEFORE) else self.features
        place = _places(self.contract).get(name.removeprefix(BEFORE))
        return None if matrix is None or place is None else matrix[:, place]

    def earlier(self, numbers: Mapping[str, Floats]) -> "View":
        """The same rows before the event, but for tags; `numbers` are those of then beside features and scores."""
        then = {name.removeprefix(BEFORE): column for name, column in self.numbers.items() if name.startswith(BEFORE)}
        return replace(self, numbers={**then, **numbers}, features=self.before, before=None)

    def rows(self, chosen: NDArray[np.intp]) -> "View":
        """Some of the rows."""
        return View(
            len(chosen),
            {name: column[chosen] for name, column in self.numbers.items()},
            {name: column[chosen] for name, column in self.tags.items()},
            None if self.features is None else self.features[chosen],
            None if self.before is None else self.before[chosen],
            self.contract,
        )


def bounds(condition: Selection, view: View) -> tuple[Bools, Bools]:
    """Where a condition holds whatever the rest may be, and where it may hold. Both are the same once all is known."""
    if isinstance(condition, Tagged | Compared):
        return _leaf(condition, view)
    if isinstance(condition, Not):
        surely, perhaps = bounds(condition.operand, view)
        return ~perhaps, ~surely
    combine = np.logical_and if isinstance(condition, All) else np.logical_or
    surely, perhaps = bounds(condition.operands[0], view)
    for operand in condition.operands[1:]:
        least, most = bounds(operand, view)
        surely, perhaps = combine(surely, least), combine(perhaps, most)
    return surely, perhaps


def _leaf(condition: Tagged | Compared, view: View) -> tuple[Bools, Bools]:
    if isinstance(condition, Tagged):
        found = view.tags.get(condition.tag)
    else:
        column = view.number(condition.feature)
        found = None if column is None else compares(condition, column)
    if found is None:
        return np.zeros(view.size, dtype=np.bool_), np.ones(view.size, dtype=np.bool_)
    return found, found


@cache
def _places(contract: Contract) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(contract.feature_names)}
