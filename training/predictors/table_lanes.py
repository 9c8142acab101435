"""Which eight reasons a row of a table holds: contributions of a group as one or two rows of half a cache line.

A group of leaves adds to as many reasons as its splits have, four or five of sixteen, not the same ones as the next. Eight
numbers a row are half of what sixteen take, to keep and to fetch, if rows that are added up mean the same eight reasons. So
some dozens of sets of eight are chosen that hold the reasons of most groups, and a group that none holds is given one row in
each of two sets. Rows of one set stand in one lane, lanes stand side by side, and adding up goes down the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH = 8
"""Reasons in a row of a table."""
HEIGHT = 16
"""Rows in a lane: more of them leave more places empty in lanes that are not full, fewer make more lanes to add up at last."""
MOST_SETS = 48


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where the contributions of each group stand.

    Attributes
    ----------
    reasons
        What the eight columns of each lane stand for, shape (lanes, WIDTH); -1 for nothing.
    group
        Which group each place is of, shape (HEIGHT * lanes,), lanes side by side; -1 for an empty place.
    own
        Which of its eight columns a place fills, shape (HEIGHT * lanes, WIDTH): no reason of a group is there twice.
    """

    reasons: NDArray[np.intp]
    group: NDArray[np.intp]
    own: NDArray[np.bool_]


def lanes_of(asked: NDArray[np.bool_]) -> Lanes:
    """A place or more for each group; `asked`, shape (groups, reasons), says which reasons a group adds to."""
    sets = _sets(asked)
    members = _shared_out(asked, sets)
    of_lane = [which for which, found in enumerate(members) for _ in range(0, len(found), HEIGHT)] or [0]
    group = np.full((HEIGHT, len(of_lane)), -1, dtype=np.intp)
    own = np.zeros((HEIGHT, len(of_lane), WIDTH), dtype=np.bool_)
    columns = np.full((len(sets), WIDTH), -1, dtype=np.intp)
    for which, chosen in enumerate(sets):
        columns[which, : chosen.sum()] = np.flatnonzero(chosen)
    left = [list(found) for found in members]
    for lane, which in enumerate(of_lane):
        for place, (row, fills) in enumerate(left[which][:HEIGHT]):
            group[place, lane] = row
            own[place, lane] = (columns[which] >= 0) & fills[columns[which]]
        del left[which][:HEIGHT]
    return Lanes(columns[of_lane], group.ravel(), own.reshape(-1, WIDTH))


def _sets(asked: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Sets of eight reasons, the one that holds most of the groups left first, until each reason is in one of them."""
    found: list[NDArray[np.bool_]] = []
    left = asked
    while len(left) and len(found) < MOST_SETS:
        found.append(_grown(left))
        left = left[(left & ~found[-1]).any(axis=1)]
    never = np.flatnonzero(asked.any(axis=0) & ~np.any(found, axis=0)) if found else np.empty(0, dtype=np.intp)
    every = np.arange(asked.shape[1])
    found += [np.isin(every, never[start : start + WIDTH]) for start in range(0, len(never), WIDTH)]
    return found or [np.zeros(asked.shape[1], dtype=np.bool_)]


def _grown(asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Eight reasons, one after the other: each the one that most of the groups want that then want little more."""
    chosen = np.zeros(asked.shape[1], dtype=np.bool_)
    for _ in range(WIDTH):
        wanted = asked & ~chosen
        worth = (8.0 ** -wanted.sum(axis=1)) @ wanted
        if not worth.any():
            break
        chosen[worth.argmax()] = True
    return chosen


def _shared_out(asked: NDArray[np.bool_], sets: list[NDArray[np.bool_]]) -> list[list[tuple[int, NDArray[np.bool_]]]]:
    """The groups of each set, with the reasons that they leave there: as many as there can be, the rest in another set."""
    found: list[list[tuple[int, NDArray[np.bool_]]]] = [[] for _ in sets]
    left, rows = asked, np.arange(len(asked))
    while len(rows):
        best = np.argmax(left.astype(np.int64) @ np.array(sets, dtype=np.int64).T, axis=1)
        given = left & np.array(sets)[best]
        for row, which, fills in zip(rows.tolist(), best.tolist(), given, strict=True):
            found[which].append((row, fills))
        more = (left & ~given).any(axis=1)
        left, rows = (left & ~given)[more], rows[more]
    return found
