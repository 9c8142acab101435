"""How good lists are, member by member: repeats allowed, novel only and the next basket, beside each baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.lists.baselines import LIST_LENGTH, OWN, Lists
from training.lists.cutoffs import Cutoff
from training.predictors import Recommender, Scores
from training.predictors.list_features import price_levels
from training.predictors.list_order import RANKED, SERVES
from training.predictors.list_sources import Candidates

Question = Literal["repeats", "novel", "basket"]
QUESTIONS: tuple[Question, ...] = ("repeats", "novel", "basket")
CAPS = (1, 2, 3)
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
    groups
        Each member's group by length of history.
    served
        Share of these that the list names which a bundle would give, by what it answers by (`SERVES`).
    baselines
        The same of each baseline over all items.
    versions
        The same of the version that serves, by its label, where it had not seen this window.
    """

    rows: NDArray[np.int64]
    wanted: NDArray[np.int64]
    groups: NDArray[np.str_]
    served: Mapping[str, NDArray[np.float64]]
    baselines: Mapping[str, NDArray[np.float64]]
    versions: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def model(self) -> NDArray[np.float64]:
        """Share named by the ranker's lists."""
        return self.served[RANKED]

    def named(self, name: str) -> NDArray[np.float64]:
        """Share named by the lists of one of `SERVES`, or else of a baseline."""
        return self.served[name] if name in self.served else self.baselines[name]


@dataclass(frozen=True, slots=True)
class Listed:
    """Lists of everybody at one cut-off, repeats allowed and of new items only: by what a bundle serves, and by baselines."""

    served: Mapping[str, Lists]
    served_new: Mapping[str, Lists]
    baselines: Mapping[str, Lists]
    baselines_new: Mapping[str, Lists]
    versions: Mapping[str, tuple[Lists, Lists]] = field(default_factory=dict)

    def recalls(self, of: Cutoff, question: Question) -> Recalls:
        """Recall of the lists that were made for a question."""
        new = question == "novel"
        versions = {label: lists[new] for label, lists in self.versions.items()}
        if new:
            return recalls(of, question, self.served_new, self.baselines_new, versions)
        return recalls(of, question, self.served, self.baselines, versions)

    def beside(self, question: Question) -> dict[str, Lists]:
        """The ranker's lists, called "list", and those of every baseline."""
        served, baselines = (self.served_new, self.baselines_new) if question == "novel" else (self.served, self.baselines)
        return {"list": served[RANKED], **baselines}


def recalls(
    of: Cutoff,
    question: Question,
    served: Mapping[str, Lists],
    by_baseline: Mapping[str, Lists],
    versions: Mapping[str, Lists],
) -> Recalls:
    """Recall of lists that were made for this question: `novel` ones must not name what was bought before."""
    truth = {"repeats": of.bought, "novel": of.novel, "basket": of.basket}[question]
    rows = np.flatnonzero(np.diff(truth.indptr) > 0)
    known = {name: lists for name, lists in by_baseline.items() if question != "novel" or name not in OWN}
    return Recalls(
        rows,
        np.diff(truth.indptr)[rows].astype(np.int64),
        history_groups(of, rows),
        {name: recall(lists, truth, rows) for name, lists in served.items()},
        {name: recall(lists, truth, rows) for name, lists in known.items()},
        {label: recall(lists, truth, rows) for label, lists in versions.items()},
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


def served_lists(recommender: Recommender, candidates: Candidates) -> tuple[dict[str, Lists], dict[str, Lists]]:
    """What the recommender would list by each of `SERVES`, as it would in earnest: of all candidates, and of new ones."""
    everything: dict[str, Lists] = {}
    new_only: dict[str, Lists] = {}
    for name in SERVES:
        scores = recommender.score_by(name, candidates.features)
        everything[name] = top_lists(candidates, scores)
        new_only[name] = top_lists(candidates, np.where(candidates.is_own, -np.inf, scores))
    return everything, new_only


def top_lists(candidates: Candidates, scores: Scores, *, k: int = LIST_LENGTH) -> Lists:
    """The k best candidates of each member, ties by item, without those scored minus infinity; -1 where there are fewer."""
    owners = candidates.owners
    order = np.lexsort((-scores, owners))  # stable: candidates of a member stand by item
    place = np.arange(len(order)) - candidates.starts[owners[order]]
    kept = (place < k) & np.isfinite(scores[order])
    lists = np.full((len(candidates), k), -1, dtype=np.int64)
    lists[owners[order][kept], place[kept]] = candidates.items[order][kept]
    return lists


def within_caps(candidates: Candidates, scores: Scores, kinds: NDArray[np.int32], cap: int) -> Scores:
    """The scores, minus infinity for what exceeds a cap of so many items of one narrowest category: the best of each stay.

    As the rules of a placement have it (`category.cap`); items of no known category are not counted.
    """
    kind, owners = kinds[candidates.items], candidates.owners
    order = np.lexsort((-scores, kind, owners))
    starts = np.flatnonzero((np.diff(owners[order], prepend=-1) != 0) | (np.diff(kind[order], prepend=-2) != 0))
    sizes = np.diff(np.append(starts, len(order)))
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    kept = np.empty(len(order), dtype=np.bool_)
    kept[order] = (place < cap) | (kind[order] < 0)
    return np.where(kept, scores, -np.inf)


def caps_cost(recommender: Recommender, candidates: Candidates, of: Cutoff) -> dict[str, dict[str, float]]:
    """By cap, what the ranker's lists are like with so many items of a category at most: recall@20, categories, coverage."""
    scores, kinds = recommender.score_by(RANKED, candidates.features), of.catalogue.kinds
    rows = np.flatnonzero(np.diff(of.bought.indptr) > 0)
    found = {}
    for cap in (*CAPS, None):
        lists = top_lists(candidates, scores if cap is None else within_caps(candidates, scores, kinds, cap))
        figures = {"recall20": float(recall(lists, of.bought, rows).mean()), **variety(lists, of)}
        found["none" if cap is None else str(cap)] = figures | coverages({"coverage": lists}, of)
    return found


def coverages(by_name: Mapping[str, Lists], of: Cutoff) -> dict[str, float]:
    """Share of the catalogue that at least one member's list names, by name."""
    return {name: len(np.unique(lists[lists >= 0])) / len(of.catalogue) for name, lists in by_name.items()}


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
