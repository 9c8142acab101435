"""Fixtures shared by all tests: small real facts, an embedded store of our own, models trained on the small facts."""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from features.build import FeatureRows, build
from features.embedded import embedded_store
from features.facts import Facts
from features.online_store import RedisStore
from features.publish import publish
from features.sources.complete_journey import import_complete_journey

PLAIN = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test asserts a time
settings.register_profile("search", PLAIN)  # other examples with each run: make test ARGS=--hypothesis-profile=search
settings.register_profile("same", PLAIN, derandomize=True)
settings.load_profile("same")  # the same examples each time: nothing lands, or is refused, by luck
HOUSEHOLDS = 300
TRAINED_AT = datetime(2018, 1, 1, 6, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes take a file each: files with long proofs first, then those with many tests, so that all end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        many = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in slow, -many[item.path], item.path))


@pytest.fixture(scope="session", autouse=True)
def _quiet_libraries() -> None:
    """One thread a library, and nothing sent anywhere."""
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="passive", BENTOML_DO_NOT_TRACK="True")


@pytest.fixture(scope="session")
def facts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A facts folder with a slice of Complete Journey."""
    folder = tmp_path_factory.mktemp("shop") / "facts"
    import_complete_journey(folder, households=HOUSEHOLDS)
    return folder


@pytest.fixture(scope="session")
def facts(facts_folder: Path) -> Facts:
    """A slice of Complete Journey."""
    return Facts.open(facts_folder)


@pytest.fixture(scope="session")
def rows(facts: Facts) -> FeatureRows:
    """Features of the slice at the end of its facts."""
    return build(facts, as_of=facts.midnight(facts.manifest.until_day))


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store started for these tests and stopped after them."""
    with embedded_store(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
def store(store_url: str, request: pytest.FixtureRequest) -> RedisStore:
    """An empty corner of the store: a key prefix of the test's own."""
    return RedisStore(store_url, prefix=f"test-{request.node.name}")


@pytest.fixture(scope="session")
def mlruns(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with champions of every model, trained on the slice: by the first process that needs it, for all of them."""
    folder = tmp_path_factory.mktemp("registry") / "mlruns"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return trained(facts, folder)
    shared = tmp_path_factory.getbasetemp().parent / "trained"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            trained(facts, shared.with_suffix(".draft")).rename(shared)
    return Path(shutil.copytree(shared, folder))  # tests promote and roll back


def trained(facts: Facts, folder: Path) -> Path:
    """A new registry in a folder.

    What the gate says of models of three hundred households hangs by a thread: the first version of each is made champion.
    """
    from training.datasets import Snapshots  # MLflow takes seconds to import: only tests that train wait for it
    from training.pipeline import snapshot_days, steps, train
    from training.registry import CHALLENGER, CHAMPION, registered_models
    from training.tracking import open_registry

    snapshots = Snapshots(facts)
    list(snapshots.prepare(snapshot_days(facts)))
    every = [step for step in steps(snapshots) if not step.in_need]
    for outcome in train(every, folder, snapshots, who="tests", clock=lambda: TRAINED_AT):
        assert not outcome.refused, outcome.refused
    client = open_registry(folder)
    for model in registered_models(folder):
        client.set_registered_model_alias(model.name, CHAMPION if model.version == "1" else CHALLENGER, model.version)
    for model in registered_models(folder):
        if model.aliases == (CHALLENGER, CHAMPION):
            client.delete_registered_model_alias(model.name, CHALLENGER)
    return folder


@pytest.fixture(scope="session")
def published(facts: Facts, rows: FeatureRows, mlruns: Path, store_url: str) -> str:
    """The key prefix under which features, scores and lists of the slice are published."""
    from features.publish_shop import publish_shop
    from features.shop_store import ShopStore
    from training.publish_answers import publish_answers

    store = RedisStore(store_url, prefix="published")
    publish_shop(facts, ShopStore(store_url, prefix="published"))
    publish(rows, store)
    publish_answers(rows, facts, mlruns, store)
    return "published"
