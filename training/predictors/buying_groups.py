"""Groups of members by what they buy: whoever shares most of the category mix of a centre. Told from a history alone."""

import numpy as np

from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories, Numbers, Rows


def buying_groups(catalogue: Catalogue, histories: Histories) -> Rows:
    """Row of the catalogue's groups of each member, shape (members,); -1 where nothing with a category was bought."""
    return nearest_centres(catalogue.group_centres, catalogue.categories, histories)


def nearest_centres(centres: Numbers, categories: Rows, histories: Histories) -> Rows:
    """Row of the centre whose mix is most like each member's, -1 as in `buying_groups`; `categories` is by item."""
    if not len(centres):
        return np.full(len(histories), -1, dtype=np.int32)
    mix = category_mix(categories, histories, centres.shape[1])
    return np.where(mix.any(axis=1), (mix @ centres.T).argmax(axis=1), -1).astype(np.int32)


def category_mix(categories: Rows, histories: Histories, count: int) -> Numbers:
    """Square root of each category's share in what a member bought of late, shape (members, count): rows of length 1, or 0.

    Their inner product is the likeness of two mixes (Bhattacharyya 1943).
    """
    wide = count + 1  # the last is for items without a category
    flat = histories.owners * wide + categories.take(histories.items) % wide
    mass = np.bincount(flat, histories.slow, minlength=len(histories) * wide).reshape(len(histories), wide)[:, :count]
    total = np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    mix: Numbers = np.sqrt(mass / total).astype(np.float32)
    return mix
