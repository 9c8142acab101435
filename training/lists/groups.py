"""Groups of members by what they buy, found anew with every catalogue: centres, and what sells more in each group."""

import numpy as np

from training.lists.windows import Window
from training.predictors.buying_groups import category_mix
from training.predictors.histories import Numbers, Rows

GROUPS = 8
FEWEST_MEMBERS = 50
"""Fewest members a group on average: below that there are fewer groups, or none."""
MOST_MEMBERS = 20_000
"""Members that the centres are found from."""
ROUNDS = 15
PRIOR = 50.0
"""Members of everywhere that stand beside a group's own."""


def group_centres(of: Window, categories: Rows, count: int, *, seed: int) -> Numbers:
    """Centres of the groups, shape (groups, count): unit vectors of square roots of category shares; none with too few members.

    Spherical k-means (Dhillon and Modha 2001) from members drawn at random.
    """
    mix = category_mix(categories, of.histories, count)
    mix = mix[mix.any(axis=1)]
    groups = min(GROUPS, len(mix) // FEWEST_MEMBERS)
    if groups < 2:
        return np.empty((0, count), dtype=np.float32)
    generator = np.random.default_rng(seed)
    mix = mix[np.sort(generator.permutation(len(mix))[:MOST_MEMBERS])]
    centres = mix[np.sort(generator.permutation(len(mix))[:groups])]
    for _ in range(ROUNDS):
        nearest = (mix @ centres.T).argmax(axis=1)
        sums = np.array([mix[nearest == group].sum(axis=0) for group in range(groups)])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return centres.astype(np.float32)


def shares_within(rows: Rows, groups: int, of: Window, *, prior: float = PRIOR) -> Numbers:
    """How much more each item is bought by each group's members than by everybody, as log, shrunk to 0; shape (groups, items).

    0 where no member of the window met the item, as where only visitors look at it.

    Parameters
    ----------
    rows
        Group of each member of the window, -1 for none.
    """
    histories, items = of.histories, len(of.listed)
    members = np.bincount(rows[rows >= 0], minlength=groups)
    own = rows[histories.owners]
    counted = (histories.times > 0) & (own >= 0)
    flat = own[counted].astype(np.int64) * items + histories.items[counted]
    there = np.bincount(flat, minlength=groups * items).reshape(groups, items)
    usual = np.bincount(histories.items, minlength=items) / max(len(histories), 1)
    share = (there + prior * usual) / (members[:, None] + prior)
    return np.log(np.where(usual > 0, share / np.maximum(usual, 1e-9), 1.0)).astype(np.float32)
