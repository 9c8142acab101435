"""Fixtures of the serving tests: the settings, the app and its clients, on the store and the models of the session."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from features.build import FeatureRows
from features.online_store import RedisStore
from features.settings import Settings
from serving.api import Api
from serving.trials import Trials
from tests.serving.asgi import Client

MakeClient = Callable[..., Client]


@pytest.fixture(scope="session")
def settings(
    rows: FeatureRows, mlruns: Path, store_url: str, published: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of a worker that answers at the moment of the slice's last publish."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        mlruns_dir=mlruns,
        redis_url=store_url,
        redis_timeout_ms=2000,  # a busy machine is no fault; tests of faults set their own
        key_prefix=published,
        now=rows.as_of,
    )


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[Client]:
    """A client of the app with these settings."""
    opened = Client(Api(settings))
    yield opened
    opened.close()


@pytest.fixture
def make_client(settings: Settings) -> Iterator[MakeClient]:
    """Clients of apps with other settings, closed after the test."""
    opened: list[Client] = []

    def make(*, trials: Trials | None = None, **other: Any) -> Client:
        opened.append(Client(Api(replace(settings, **other), trials=trials)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def members(rows: FeatureRows) -> list[str]:
    """Every member of the slice."""
    return rows.member_ids.tolist()


@pytest.fixture(scope="session")
def active_member(rows: FeatureRows) -> str:
    """The member who bought last."""
    return str(rows.member_ids[int(rows.column("days_since_last_purchase").argmin())])


@pytest.fixture(scope="session")
def lapsed_member(rows: FeatureRows) -> str:
    """A member whom the churn model does not apply to: no purchase within its active days."""
    silence = rows.column("days_since_last_purchase")
    assert silence.max() > 84, "the slice must hold a lapsed member"
    return str(rows.member_ids[int(silence.argmax())])


@pytest.fixture(scope="session")
def plain_redis(store_url: str) -> Iterator[Any]:
    """The store without our classes, to damage what they wrote."""
    connection: Any = redis.Redis.from_url(store_url)
    yield connection
    connection.close()


@pytest.fixture
def corner(store: RedisStore, request: pytest.FixtureRequest) -> str:
    """The prefix of an empty corner of the store."""
    return f"test-{request.node.name}"


@pytest.fixture
def mlruns_copy(mlruns: Path, tmp_path: Path) -> Path:
    """A registry of the test's own."""
    return Path(shutil.copytree(mlruns, tmp_path / "mlruns"))
