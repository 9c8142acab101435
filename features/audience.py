"""Who is in an audience: a selection evaluated on bitmaps of tags and columns of features, with numpy alone."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.audience_language import All, Compared, Not, Selection, Tagged, Vocabulary, leaves_of
from features.bitmaps import Bitmap, count
from features.contract import CONTRACT, Contract

OPTED_OUT, CONSENT_UNKNOWN = "consent=no", "consent=unknown"


@dataclass(frozen=True)
class Population:
    """What audiences are chosen from, by position of one member index.

    Attributes
    ----------
    members
        Positions with a member. Nothing outside is ever chosen.
    tags
        Bitmaps by tag; a tag that is not here has nobody.
    features
        Columns by feature, float32, NaN where it is not known; one value a position.
    """

    members: Bitmap
    tags: Mapping[str, Bitmap]
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Members in an audience.

    Attributes
    ----------
    opted_out
        How many members fit the words but refused marketing; they are among the chosen only if that was asked for.
    consent_unknown
        How many of the chosen never said whether they agree.
    """

    members: Bitmap
    opted_out: int
    consent_unknown: int

    @property
    def count(self) -> int:
        """How many members there are."""
        return count(self.members)


def vocabulary_of(tags: Mapping[str, Any], contract: Contract = CONTRACT) -> Vocabulary:
    """The vocabulary of the tags there are and the features of a contract."""
    return Vocabulary(tags.keys(), {feature.name: feature.categories for feature in contract.features})


def tags_needed(selection: Selection) -> list[str]:
    """Tags that a population must bring along for a selection, those of consent included."""
    return [*(leaf.tag for leaf in leaves_of(selection) if isinstance(leaf, Tagged)), OPTED_OUT, CONSENT_UNKNOWN]


def features_needed(selection: Selection) -> list[str]:
    """Features that a population must bring along for a selection."""
    return list(dict.fromkeys(leaf.feature for leaf in leaves_of(selection) if isinstance(leaf, Compared)))


def choose(selection: Selection, population: Population, *, include_opted_out: bool = False) -> Chosen:
    """The members of a population who are in a selection; without those who refused marketing, unless asked for."""
    fitting = matching(selection, population)
    refused = fitting & _tagged(OPTED_OUT, population)
    chosen = fitting if include_opted_out else fitting & ~refused
    return Chosen(chosen, count(refused), count(chosen & _tagged(CONSENT_UNKNOWN, population)))


def matching(selection: Selection, population: Population) -> Bitmap:
    """The bitmap of a selection. `not` takes from the members there are, so bits beyond them stay 0."""
    if isinstance(selection, Tagged):
        return _tagged(selection.tag, population)
    if isinstance(selection, Compared):
        column = population.features[selection.feature]
        return np.packbits(holds(selection, column)) & population.members
    if isinstance(selection, Not):
        return population.members & ~matching(selection.operand, population)
    combine = np.bitwise_and if isinstance(selection, All) else np.bitwise_or
    found = matching(selection.operands[0], population)
    for operand in selection.operands[1:]:
        found = combine(found, matching(operand, population))
    return found


def _tagged(tag: str, population: Population) -> Bitmap:
    bitmap = population.tags.get(tag)
    return np.zeros_like(population.members) if bitmap is None else bitmap & population.members


def holds(test: Compared, column: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a feature compares so; nowhere that it is missing. The number is rounded as features are: 0.3 equals 0.3."""
    number = np.float32(min(max(test.number, -_LARGEST), _LARGEST))
    holds: NDArray[np.bool_] = _COMPARISONS[test.sign](column, number)
    return holds & ~np.isnan(column)


_LARGEST = float(np.finfo(np.float32).max)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
