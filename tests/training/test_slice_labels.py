"""Slice labels: those of the features of that day, and "unknown" for what they do not tell."""

from dataclasses import replace

import numpy as np

from features.build import FeatureRows
from features.contract import CONTRACT
from features.lifecycle import RFM_TIERS, STAGES
from training.slice_labels import TENURES, slice_labels


def with_column(rows: FeatureRows, **columns: np.ndarray) -> FeatureRows:
    matrix = rows.matrix.copy()
    for name, values in columns.items():
        matrix[:, CONTRACT.feature_names.index(name)] = values
    return replace(rows, matrix=matrix)


def test_labels_of_real_members(rows: FeatureRows) -> None:
    kept = np.arange(len(rows.member_ids)) % 2 == 0
    found = slice_labels(rows, kept)

    assert set(found) == {"tier", "stage", "channel", "tenure"}
    assert all(len(labels) == kept.sum() for labels in found.values())
    codes = rows.column("rfm_tier")[kept]
    assert [RFM_TIERS[int(code)] for code in codes] == found["tier"].tolist()
    assert set(found["stage"]) <= {*STAGES, "unknown"}
    assert set(found["channel"]) <= {"store", "unknown"}


def test_labels_at_their_edges(rows: FeatureRows) -> None:
    size = len(rows.member_ids)
    days = np.resize(np.array([89, 90, 364, 365, np.nan]), size)
    store = np.resize(np.array([1.0, 0.5, 0.1, np.nan, 0.8]), size)
    web = np.resize(np.array([0.0, 0.5, 0.9, np.nan, 0.2]), size)
    others = {
        f"{name}_channel_share_180d": np.where(np.isnan(store), np.nan, 0.0) for name in ("app", "mini_program", "marketplace")
    }
    changed = with_column(
        rows, days_since_first_purchase=days, store_channel_share_180d=store, web_channel_share_180d=web, **others
    )

    found = slice_labels(changed, np.ones(size, dtype=np.bool_))

    assert found["tenure"][:5].tolist() == [TENURES[0], TENURES[1], TENURES[2], TENURES[3], "unknown"]
    assert found["channel"][:5].tolist() == ["store", "several", "web", "unknown", "store"]
