"""When two computations of the same features agree: in every bit, but for the last of what powers and logarithms went into."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.declarations import DECAYED, LOG_KEYS, Aggregate, Feature

SMALLEST = 1e-9
"""Below this, what is left of sums that cancel is rounding and nothing else."""


def is_exact(feature: Feature) -> bool:
    """Whether the feature is made of whole numbers by operations that every engine rounds alike."""
    return all(source.kind not in (DECAYED, LOG_KEYS) for source in feature.sources() if isinstance(source, Aggregate))


def assert_same_floats(left: NDArray[np.float32], right: NDArray[np.float32], features: Sequence[Feature]) -> None:
    """Equal in every bit, or within the last bit of a float32 where the feature is not exact; one NaN is as good as another."""
    assert left.shape == right.shape
    assert left.dtype == right.dtype == np.float32
    assert np.array_equal(np.isnan(left), np.isnan(right))
    for column, feature in enumerate(features):
        known = ~np.isnan(left[:, column])
        one, other = left[known, column], right[known, column]
        same = one.view(np.int32) == other.view(np.int32)
        if not is_exact(feature):
            same |= np.abs(one - other) <= np.maximum(np.spacing(np.abs(one)), SMALLEST)
        assert same.all(), (feature.name, one[~same][:3], other[~same][:3])
