"""How good lists are, member by member: repeats allowed, novel only and the next basket, beside each baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.lists.baselines import LIST_LENGTH, OWN, Lists
from training.lists.cutoffs import Cutoff
from training.predictors import Recommender, Scores
from training.predictors.list_features import price_levels
from training.predictors.list_sources import Candidates

Question = Literal["repeats", "novel", "basket"]
QUESTIONS: tuple[Question, ...] = ("repeats", "novel", "basket")
HISTORY_EDGES = (5, 20, 80)
"""Days with a purchase at which groups of members by length of history are cut."""


@dataclass(frozen=True, slots=True)
class Recalls:
    """Recall@20 of one question at one cut-off, one entry a member who bought something that the question asks for.

    Attributes
    ----------
    rows
        Members of the cut-off.
    wanted
        How many items each bought that the question asks for.
    model, baselines
        Share of these that the list names.
    lists
        The model's lists, shape (rows, LIST_LENGTH).
    """

    rows: NDArray[np.int64]
    wanted: NDArray[np.int64]
    model: NDArray[np.float64]
    baselines: Mapping[str, NDArray[np.float64]]
    lists: Lists


def recalls(
    of: Cutoff,
    question: Question,
    model_lists: Lists,
    by_baseline: Mapping[str, Lists],
) -> Recalls:
    """Recall of lists that were made for this question: `novel` ones must not name what was bought before."""
    truth = {"repeats": of.bought, "novel": of.novel, "basket": of.basket}[question]
    rows = np.flatnonzero(np.diff(truth.indptr) > 0)
    known = {name: lists for name, lists in by_baseline.items() if question != "novel" or name not in OWN}
    return Recalls(
        rows,
        np.diff(truth.indptr)[rows].astype(np.int64),
        recall(model_lists, truth, rows),
        {name: recall(lists, truth, rows) for name, lists in known.items()},
        model_lists[rows],
    )


def recall(lists: Lists, truth: sparse.csr_matrix, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of what each of these members bought that stands in their list, shape (rows,)."""
    chosen = lists[rows]
    if not len(rows):
        return np.empty(0)
    found = np.asarray(truth[np.repeat(rows, chosen.shape[1]), np.maximum(chosen, 0).ravel()]).reshape(chosen.shape)
    named = ((found > 0) & (chosen >= 0)).sum(axis=1)
    shares: NDArray[np.float64] = named / np.diff(truth.indptr)[rows]
    return shares


def model_lists(recommender: Recommender, candidates: Candidates, scores: Scores, question: Question) -> Lists:
    """What the recommender would offer for a question, from candidates and their scores."""
    chosen = candidates
    if question == "novel":
        chosen, scores = only(candidates, ~candidates.is_own), scores[~candidates.is_own]
    items: Lists = recommender.listed(chosen, scores, k=LIST_LENGTH, top_up=False).items.astype(np.int64)
    return items


def only(candidates: Candidates, kept: NDArray[np.bool_]) -> Candidates:
    """Some of the candidates; members without any keep an empty part."""
    sizes = np.bincount(candidates.owners[kept], minlength=len(candidates))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Candidates(starts, candidates.items[kept], candidates.found_by[kept], candidates.features[kept])


def coverage(lists: Lists, items: int) -> float:
    """Share of the catalogue that at least one member's list names."""
    named = np.unique(lists[lists >= 0])
    return len(named) / items


def variety(lists: Lists, of: Cutoff) -> dict[str, float]:
    """How varied lists are and whether they cost what the member is used to.

    Returns
    -------
    Mean number of narrowest categories a list names, and the mean distance of its items' price level within their category
    from the member's own (log of the ratio); NaN where prices or categories are not known.
    """
    catalogue, named = of.catalogue, lists >= 0
    kinds = np.where(named, catalogue.kinds[lists], -1)
    categories = [len(set(row[row >= 0].tolist())) for row in kinds]
    levels = catalogue.price_level[lists] - price_levels(catalogue, of.histories)[:, None]
    gaps = np.abs(levels)[named & np.isfinite(levels)]
    return {
        "categories": float(np.mean(categories)) if (kinds >= 0).any() else float("nan"),
        "price_gap": float(gaps.mean()) if len(gaps) else float("nan"),
    }


def history_groups(of: Cutoff, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """Each member's group by days on which they had bought, such as "5-19"."""
    edges = (1, *HISTORY_EDGES)
    names = np.array([*(f"{low}-{high - 1}" for low, high in pairwise(edges)), f"{edges[-1]}+"])
    return names[np.digitize(of.histories.trips[rows], HISTORY_EDGES)]


def candidate_recall(of: Cutoff, candidates: Candidates, sources: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Share of what members bought that each source found, and all together; repeats allowed and novel only, and per member."""
    found: dict[str, dict[str, float]] = {}
    marks = {name: (candidates.found_by >> place) & 1 > 0 for place, name in enumerate(sources)}
    marks["together"] = np.ones(len(candidates.items), dtype=np.bool_)
    owners = candidates.owners
    for question, truth in (("repeats", of.bought), ("novel", of.novel)):
        wanted = np.diff(truth.indptr)
        hit = np.asarray(truth[owners, candidates.items]).ravel() > 0
        for name, mark in marks.items():
            caught = np.bincount(owners[mark & hit], minlength=len(wanted))[wanted > 0] / wanted[wanted > 0]
            found.setdefault(name, {})[question] = float(caught.mean()) if len(caught) else float("nan")
            found[name]["per_member"] = float(mark.sum() / max(len(candidates), 1))
    return found
