"""One row, four ways: as built offline, from its stored bytes, from the real store, and as the model gets to see it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from parity.agreement import assert_same_floats
from parity.random_shops import SHOPS, Shop, moments, on_the_hour, shops_with_news
from shops import Line, shop

from features.build import FeatureRows, build
from features.codec import decode, encode
from features.contract import CONTRACT
from features.days import microseconds, midnight
from features.derive import derive, model_columns
from features.facts import Facts
from features.online_store import RedisStore
from features.publish import publish
from serving.bundle import ModelSet
from serving.scoring import ScoringContext, feature_matrix
from training.datasets import Snapshots, examples

NO_MODELS = ModelSet({}, {})


def stored(rows: FeatureRows) -> list[bytes]:
    return encode(CONTRACT, rows.records, as_of=rows.as_of, written_at=datetime.now(UTC))


def offline_model_rows(facts: Facts, rows: FeatureRows) -> NDArray[np.float32]:
    """What training hands to a model for these members."""
    snapshots = Snapshots(facts)
    everyone = lambda found: (np.ones(len(found.member_ids), dtype=bool), np.zeros(len(found.member_ids)))  # noqa: E731
    return examples(snapshots, [rows.day], everyone).matrix


def assert_same_bits(left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
    """Equal in every bit, but that one missing value is as good as another."""
    assert left.shape == right.shape
    assert left.dtype == right.dtype == np.float32
    missing = np.isnan(left)
    assert np.array_equal(missing, np.isnan(right))
    assert np.array_equal(left.view(np.int32)[~missing], right.view(np.int32)[~missing])


def assert_agree(derived: NDArray[np.float32], queried: NDArray[np.float32]) -> None:
    """Features of every kind, by numpy and by the query."""
    assert_same_floats(derived, queried, CONTRACT.features)


def test_real_rows_from_their_bytes(rows: FeatureRows) -> None:
    decoded = decode(CONTRACT, stored(rows))

    assert decoded.records.tobytes() == rows.records.tobytes()
    assert_agree(derive(CONTRACT, decoded.records, day=rows.day, edges=rows.edges), rows.matrix)


def test_real_rows_through_the_store_to_the_model(facts: Facts, rows: FeatureRows, store: RedisStore) -> None:
    publish(rows, store)
    stamp = store.read_stamp()
    values = store.read_aggregates(rows.member_ids.tolist())
    assert stamp is not None
    context = ScoringContext(CONTRACT, NO_MODELS, rows.as_of, stale_after_s=3600)

    decoded = decode(CONTRACT, [value for value in values if value is not None])
    online = feature_matrix(context, stamp, decoded.records)

    assert decoded.as_of.tolist() == [microseconds(rows.as_of)] * len(rows.member_ids)
    assert_agree(online, rows.matrix)
    seen = model_columns(CONTRACT)
    assert_same_floats(online[:, seen], offline_model_rows(facts, rows), [CONTRACT.features[i] for i in seen])


def test_a_later_day_moves_the_days_and_nothing_that_was_counted(rows: FeatureRows, store: RedisStore) -> None:
    publish(rows, store)
    stamp = store.read_stamp()
    assert stamp is not None
    decoded = decode(CONTRACT, [value for value in store.read_aggregates(rows.member_ids.tolist()) if value is not None])
    tomorrow = midnight(rows.day + 1, ZoneInfo(rows.time_zone)) + timedelta(hours=9)

    matrix = feature_matrix(ScoringContext(CONTRACT, NO_MODELS, tomorrow, 3600), stamp, decoded.records)

    since, spend = (CONTRACT.feature_names.index(name) for name in ("days_since_last_purchase", "spend_cents_30d"))
    assert np.array_equal(matrix[:, since], rows.matrix[:, since] + 1, equal_nan=True)
    assert np.array_equal(matrix[:, spend], rows.matrix[:, spend])


def test_one_row_alone_equals_the_same_row_among_all(rows: FeatureRows) -> None:
    values = stored(rows)

    for position in range(0, len(values), 29):
        alone = derive(CONTRACT, decode(CONTRACT, [values[position]]).records, day=rows.day, edges=rows.edges)
        assert_agree(alone, rows.matrix[position : position + 1])


def test_the_order_of_members_changes_no_row(rows: FeatureRows) -> None:
    order = np.random.default_rng(0).permutation(len(rows.member_ids))
    values = stored(rows)

    mixed = derive(CONTRACT, decode(CONTRACT, [values[i] for i in order]).records, day=rows.day, edges=rows.edges)

    assert_agree(mixed, rows.matrix[order])


def test_models_see_every_feature_but_labels(rows: FeatureRows) -> None:
    seen = [CONTRACT.feature_names[i] for i in model_columns(CONTRACT)]

    assert tuple(seen) == CONTRACT.model_features
    assert {"lifecycle_stage", "rfm_tier", "value_band"}.isdisjoint(seen)
    assert "days_since_last_purchase" in seen


@settings(SHOPS, max_examples=6)
@given(what=shops_with_news, hours=moments)
def test_random_shops(what: Shop, hours: int) -> None:
    rows = build(what.facts(), as_of=on_the_hour(hours))
    values = stored(rows)

    assert_agree(derive(CONTRACT, decode(CONTRACT, values).records, day=rows.day, edges=rows.edges), rows.matrix)


def test_a_moment_before_any_purchase_gives_no_row() -> None:
    rows = build(shop([Line("ann", 5.0)]), as_of=on_the_hour(0))

    assert rows.matrix.shape == (0, len(CONTRACT.features))
    assert stored(rows) == []
    with pytest.raises(KeyError):
        rows.column("no such feature")
