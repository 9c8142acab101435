"""The lists that serve now, asked about test windows after their training: what a newer recipe is set beside on later facts."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from features.errors import BundleRefused
from training.lists.baselines import Lists
from training.lists.behaviour import Behaviour
from training.lists.cutoffs import Cutoff, in_stores_of
from training.lists.proof import top_lists
from training.lists.windows import catalogue_positions, histories_of
from training.predictors import Histories, Recommender
from training.predictors.lists import BLOCK
from training.registry import CHAMPION, load, registered_models

NAME = "recommender"


@dataclass(frozen=True, slots=True)
class Serving:
    """The version that serves, by its label (recommender@3)."""

    label: str
    recommender: Recommender

    def saw(self, day: int) -> bool:
        """Whether its training may have seen what happened on a local day or after it."""
        cutoffs = self.recommender.manifest.lineage.get("cutoffs", {})
        return int(cutoffs.get("until", np.iinfo(np.int32).max)) > day


def serving_lists(mlruns: Path) -> Serving | None:
    """The champion; None where there is none, or its files are not right or for other features."""
    for registered in registered_models(mlruns):
        if registered.name == NAME and CHAMPION in registered.aliases:
            try:
                found = load(registered)
            except BundleRefused:
                return None
            return Serving(registered.label, found) if isinstance(found, Recommender) else None
    return None


def lists_by(serving: Serving, seen: Behaviour, of: Cutoff) -> tuple[Lists, Lists]:
    """What it would have listed at a cut-off, repeats allowed and of new items: rows of the cut-off's catalogue, -1 for others.

    It knows members by what they bought of its own catalogue before that day.
    """
    recommender, everything, new_only = serving.recommender, [], []
    for block in _histories(recommender, seen, of).blocks(BLOCK):
        with threadpool_limits(limits=1, user_api="blas"):
            candidates = recommender.candidates(block)
        everything.append(top_lists(candidates, recommender.rank(candidates)))
        new = recommender.score_by(recommender.serves_new, candidates.features)
        new_only.append(top_lists(candidates, np.where(candidates.is_own, -np.inf, new)))
    there = np.append(of.catalogue.rows_of(recommender.item_ids), -1).astype(np.int64)
    return there[np.concatenate(everything)], there[np.concatenate(new_only)]


def _histories(recommender: Recommender, seen: Behaviour, of: Cutoff) -> Histories:
    rows, listed = catalogue_positions(seen, recommender.catalogue)
    found = histories_of(seen.until(of.day), of.members, listed, day=of.day)
    known = replace(found, items=rows[found.items].astype(found.items.dtype))
    return in_stores_of(recommender.catalogue, known, seen)
