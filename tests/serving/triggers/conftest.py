"""Fixtures of the tests of triggers: shops of one day."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.build import FeatureRows
from tests.serving.triggers.triggers_world import Shop, shop_of


@pytest.fixture
def shop(store_url: str, rows: FeatureRows, tmp_path: Path) -> Iterator[Shop]:
    """A shop without models, with the features of the slice published, on the morning after its facts end."""
    made = shop_of(store_url, rows, tmp_path / "mlruns", tmp_path)
    yield made
    made.close()


@pytest.fixture
def scored_shop(store_url: str, rows: FeatureRows, mlruns: Path, tmp_path: Path) -> Iterator[Shop]:
    """The same with champions of every model."""
    made = shop_of(store_url, rows, mlruns, tmp_path)
    yield made
    made.close()
