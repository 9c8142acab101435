"""Other models take over: seen in the registry, tried first, swapped whole; what is refused leaves those before in place."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.serving_world import constant_model, move_alias, register
from features.contract import CONTRACT
from features.errors import BundleRefused
from serving.watch import ModelWatch
from tests.serving.asgi import JSON, KEY, Client
from tests.serving.conftest import MakeClient
from training.registry import DATABASE, version_of
from training.trial import Trial, Untried

LOW, HIGH = 0.1, 0.9


def passed(bundles: Sequence[Untried]) -> list[Trial | BundleRefused]:
    """Trials that find everything right, at once."""
    return [Trial(0.0, None, None, True, 0) for _ in bundles]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with a churn model that answers everyone 0.1, which serves, and one that answers 0.9."""
    golden = np.zeros((4, len(CONTRACT.model_features)), dtype=np.float32)
    for version, probability in ((1, LOW), (2, HIGH)):
        model = constant_model(probability, CONTRACT.model_features, golden)
        register(tmp_path / "mlruns", "churn", version, model, alias="champion" if version == 1 else "")
    return tmp_path / "mlruns"


@pytest.fixture
def served(registry: Path, make_client: MakeClient) -> Iterator[Client]:
    """A client of an app on that registry."""
    client = make_client(mlruns_dir=registry)
    client.api._watch._trials.trying = passed
    look(client)
    return client


def look(client: Client) -> bool:
    """Let the app look at its registry now."""
    return bool(client._runner.run(client.api._watch.look()))


def answered(client: Client, *members: str) -> tuple[str, set[float]]:
    """The version that a reply names, and all probabilities in it."""
    reply = client.post("/v1/score", {"member_ids": members, "outputs": ["churn"]}).json()
    found = {round(row["churn"]["probability"], 3) for row in reply["rows"] if row["churn"]}
    return reply["passport"]["models"]["churn"]["version"], found


def test_a_promotion_and_a_rollback_are_seen(served: Client, registry: Path, members: list[str]) -> None:
    assert answered(served, *members[:20]) == ("1", {LOW})
    assert not look(served)
    move_alias(registry, "churn", 2)
    assert answered(served, *members[:20]) == ("1", {LOW})
    assert look(served)
    assert answered(served, *members[:20]) == ("2", {HIGH})
    move_alias(registry, "churn", 1)
    assert look(served)
    assert answered(served, *members[:20]) == ("1", {LOW})
    assert served.api.meter.value("rapport_model_swaps_total") == 2


def test_no_answer_fails_and_none_is_mixed_while_models_change(served: Client, registry: Path, members: list[str]) -> None:
    """Askers ask without a pause while the champion changes twenty times; each reply is of the one version that it names."""
    app, watch = served._app, served.api._watch
    seen: list[tuple[str, frozenset[float]]] = []
    over = False

    async def ask(place: int) -> None:
        body = {"member_ids": members[place : place + 300 : 7], "outputs": ["churn"]}
        while not over:
            answer = await served._send(
                "POST", "/v1/score", (json.dumps(body).encode(),), [("X-Api-Key", KEY), ("Content-Type", JSON)]
            )
            reply = answer.json()
            assert answer.status == 200, reply
            found = frozenset(round(row["churn"]["probability"], 3) for row in reply["rows"] if row["churn"])
            seen.append((reply["passport"]["models"]["churn"]["version"], found))

    async def promote() -> None:
        nonlocal over
        for turn in range(20):
            move_alias(registry, "churn", 2 - turn % 2)
            assert await watch.look()
            await asyncio.sleep(0.02)
        over = True

    async def all_of_it() -> None:
        await asyncio.gather(promote(), *(ask(place) for place in range(6)))

    assert app is not None
    served._runner.run(all_of_it())
    assert set(seen) == {("1", frozenset({LOW})), ("2", frozenset({HIGH}))}


def test_a_version_that_fails_its_trial_leaves_the_champion(served: Client, registry: Path, members: list[str]) -> None:
    def refuses(bundles: Sequence[Untried]) -> list[Trial | BundleRefused]:
        return [BundleRefused("it crashed the process that tried to load it (SIGSEGV)", remedy="train again") for _ in bundles]

    served.api._watch._trials.trying = refuses
    move_alias(registry, "churn", 2)
    assert not look(served)
    assert answered(served, members[0]) == ("1", {LOW})
    assert "SIGSEGV" in served.api._watch.lineup.refused["churn@2"]
    assert served.api.meter.value("rapport_model_refused_total") == 1
    move_alias(registry, "churn", 1)
    assert not look(served)
    assert served.api._watch.lineup.refused == {}


def test_a_flipped_byte_is_found_by_the_trial_in_a_process_of_its_own(registry: Path) -> None:
    watch = ModelWatch(registry)
    asyncio.run(watch.look())
    path = version_of(registry, "churn", "2").bundle / "model.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    move_alias(registry, "churn", 2)
    assert not asyncio.run(watch.look())
    assert watch.champions.registered["churn"].version == "1"
    assert "altered" in watch.lineup.refused["churn@2"]


def test_an_alias_to_nothing_leaves_nothing_and_a_locked_registry_leaves_all(served: Client, registry: Path) -> None:
    with closing(sqlite3.connect(registry / DATABASE)) as database:
        database.execute("BEGIN EXCLUSIVE")
        database.execute("UPDATE registered_model_aliases SET version = 99")
        database.rollback()
    (registry / DATABASE).rename(registry / "away")
    (registry / DATABASE).write_bytes(b"no database at all, but as long as a header would have to be" * 10)
    assert not look(served)
    assert served.api._watch.champions.registered["churn"].version == "1"
    (registry / "away").replace(registry / DATABASE)
    move_alias(registry, "churn", 99)
    look(served)
    assert served.api._watch.champions.served == {}


def test_a_challenger_is_taken_in_beside_the_champion(served: Client, registry: Path, members: list[str]) -> None:
    with closing(sqlite3.connect(registry / DATABASE)) as database, database:
        database.execute("INSERT INTO registered_model_aliases VALUES ('churn', 'challenger', 2)")
    look(served)
    assert answered(served, members[0]) == ("1", {LOW})
    reply: Any = served.post("/v1/score", {"member_ids": members[:20], "outputs": ["churn"], "model": "challenger"}).json()
    assert reply["passport"]["models"]["churn"]["alias"] == "challenger"
    assert {round(row["churn"]["probability"], 3) for row in reply["rows"] if row["churn"]} == {HIGH}


def test_a_canary_answers_its_share_of_requests_and_says_so(
    registry: Path, make_client: MakeClient, members: list[str]
) -> None:
    client = make_client(mlruns_dir=registry, canary=0.25)
    client.api._watch._trials.trying = passed
    with closing(sqlite3.connect(registry / DATABASE)) as database, database:
        database.execute("INSERT INTO registered_model_aliases VALUES ('churn', 'challenger', 2)")
    look(client)
    found = [answered(client, *members[:5]) for _ in range(200)]
    assert {(version, *probabilities) for version, probabilities in found} == {("1", LOW), ("2", HIGH)}
    share = sum(version == "2" for version, _ in found) / len(found)
    assert 0.1 < share < 0.4  # 6 standard deviations
    champion = client.post("/v1/score", {"member_ids": members[:5], "model": "churn@1"}).json()
    assert champion["passport"]["models"]["churn"]["version"] == "1"


def test_a_shadow_is_counted_and_not_seen(registry: Path, make_client: MakeClient, members: list[str]) -> None:
    client = make_client(mlruns_dir=registry, shadow=True)
    client.api._watch._trials.trying = passed
    with closing(sqlite3.connect(registry / DATABASE)) as database, database:
        database.execute("INSERT INTO registered_model_aliases VALUES ('churn', 'challenger', 2)")
    look(client)
    assert answered(client, *members[:20]) == ("1", {LOW})
    client.wait(0.01)
    applies = client.api.meter.value("rapport_churn_probability", "champion")
    assert 0 < applies <= 20
    text = client.get("/metrics").body.decode()
    assert f'rapport_shadow_difference_bucket{{le="0.8"}} {applies:.0f}\n' in text
    assert 'rapport_shadow_difference_bucket{le="0.7"} 0\n' in text
