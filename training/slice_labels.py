"""Which slice of members a row belongs to: tier, stage, channel and tenure, from the features of that day alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.behaviour import SHOWN_CHANNELS
from features.build import FeatureRows
from training.evidence import slices_of

TENURES = ("under 90 days", "90 to 179 days", "180 to 364 days", "a year and more")
TENURE_EDGES = (90, 180, 365)
ONE_CHANNEL = 0.8
"""Share of orders from which on a member belongs to one channel; below it, to several."""


def slice_labels(rows: FeatureRows, kept: NDArray[np.bool_]) -> dict[str, NDArray[np.str_]]:
    """Labels of the rows kept, by the name of the slice; what a member's features do not tell is "unknown"."""
    return slices_of(
        int(kept.sum()),
        tier=_category(rows, "rfm_tier")[kept],
        stage=_category(rows, "lifecycle_stage")[kept],
        channel=_channel(rows)[kept],
        tenure=_between(rows.column("days_since_first_purchase"), TENURE_EDGES, TENURES)[kept],
    )


def _category(rows: FeatureRows, name: str) -> NDArray[np.str_]:
    categories = rows.contract.feature(name).categories
    codes = rows.column(name)
    return np.array([*categories, ""])[np.where(np.isnan(codes), len(categories), codes).astype(np.intp)]


def _channel(rows: FeatureRows) -> NDArray[np.str_]:
    """The channel that has most of a member's orders of 180 days."""
    shares = np.column_stack([rows.column(f"{channel}_channel_share_180d") for channel in SHOWN_CHANNELS])
    top = np.array([*SHOWN_CHANNELS, ""])[np.where(np.isnan(shares).all(axis=1), len(SHOWN_CHANNELS), _largest(shares))]
    several = np.nan_to_num(shares).max(axis=1) < ONE_CHANNEL
    return np.where((top != "") & several, "several", top)


def _largest(shares: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.asarray(np.nan_to_num(shares, nan=-1.0).argmax(axis=1), dtype=np.intp)


def _between(values: NDArray[np.float32], edges: Sequence[float], labels: Sequence[str]) -> NDArray[np.str_]:
    place = np.where(np.isnan(values), len(labels), np.digitize(values, edges))
    return np.array([*labels, ""])[place]
