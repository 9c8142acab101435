"""The client against our own server over real HTTP, its errors and its retry, and every example of docs/client.md."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import redis

from features.build import FeatureRows
from features.events.keys import EventKeys
from features.events.shop import EventShop
from features.member_store import MemberStore
from features.publish import publish
from features.settings import Settings
from serving.api import Api
from serving.client import AsyncClient, Client
from serving.client_errors import (
    ClientError,
    Conflict,
    NotAllowed,
    NotFound,
    Problem,
    Refused,
    ServerFault,
    Unavailable,
    Unreachable,
)
from serving.openapi import document
from serving.schemas_jobs import JobView
from tests.features.test_tag_store import table_of
from tests.serving.asgi import KEY
from tests.serving.live_server import live
from tests.serving.small_shop import TAGS

T = TypeVar("T")
PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()


@dataclass(frozen=True, slots=True)
class Shop:
    """A running server, and who is in its store."""

    address: str
    members: list[str]
    api: Api


@pytest.fixture(scope="module")
def shop(rows: FeatureRows, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Published features and a few tags, without models."""
    store = MemberStore(store_url, prefix="test-client")
    publish(rows, store)
    store.publish_tags(table_of(12, TAGS), generation="first", contract=rows.contract.hash)
    store.close()
    with redis.Redis.from_url(store_url) as plain:
        plain.set(EventKeys("test-client").shop, EventShop("America/New_York", "USD").to_bytes())
    folder = tmp_path_factory.mktemp("shop")
    settings = Settings(
        data_dir=folder, mlruns_dir=folder / "mlruns", redis_url=store_url, redis_timeout_ms=2000, key_prefix="test-client"
    )
    api = Api(replace(settings, now=rows.as_of))
    with live(api) as address:
        yield Shop(address, rows.member_ids.tolist(), api)


def later(shop: Shop, ask: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What the asynchronous client comes to."""

    async def asked() -> T:
        async with AsyncClient(shop.address, KEY, timeout_s=60) as client:
            return await ask(client)

    return asyncio.run(asked())


@pytest.fixture
def nobody_works(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs wait, as no process works on them."""
    monkeypatch.setattr(shop.api._office._jobs._keeper, "wake", lambda: None)


@pytest.fixture
def rapport(shop: Shop) -> Iterator[Client]:
    with Client(shop.address, KEY, timeout_s=60) as client:
        yield client


def test_answers_are_objects(rapport: Client, shop: Shop) -> None:
    one, other = shop.members[:2]
    answer = rapport.score([one, "nobody", other])
    assert [row.member_id for row in answer.rows] == [one, "nobody", other]
    assert [row.status for row in answer.rows] == ["PARTIAL", "COLD", "PARTIAL"]
    assert rapport.recommend([one], k=3).rows[0].member_id == one
    alike = rapport.similar(["1082185", "no such item"], k=3, exclude=["1029743"])
    assert (alike.status, alike.reason, alike.unknown_items) == ("PARTIAL", "model_missing", 2)
    till = rapport.cashier(one, ["1082185"], things=2)
    assert (till.status, till.reason, till.live, till.things) == ("COLD", "no_list", False, [])
    assert rapport.member(one).profile.lifecycle_stage
    assert rapport.models().models == []
    assert rapport.audience("tier=gold", limit=2).member_ids == ["m0000000", "m0000002"]
    assert len(list(rapport.audience_ids("tier=gold"))) == 5


def test_events_are_sent_and_each_has_its_row(rapport: Client, shop: Shop) -> None:
    one = {
        "schema_version": 1, "type": "view", "event_id": "c1", "member_id": shop.members[0],
        "occurred_at": "2017-12-31T18:30:00-05:00", "item_id": "1082185",
    }  # fmt: skip
    rows = rapport.events([one, {**one, "event_id": "c2", "item_id": 5}], key="once").rows
    assert [row.status for row in rows] == ["accepted", "refused"]
    with pytest.raises(Conflict):
        rapport.events([one], key="once")


def test_any_number_of_members_is_scored_in_order(rapport: Client, shop: Shop) -> None:
    ids = [shop.members[number % len(shop.members)] for number in range(2100)]
    assert [row.member_id for row in rapport.score_all(iter(ids))] == ids

    async def all_of_them(client: AsyncClient) -> list[str]:
        first = [row.member_id async for row in client.score_all(iter(ids))]
        async for _ in client.score_all(iter(ids)):
            break  # whoever stops early leaves nothing behind
        return first

    assert later(shop, all_of_them) == ids
    assert list(rapport.score_all([])) == []


ASKED: dict[str, Callable[[list[str]], tuple[Any, ...]]] = {
    "score": lambda members: (members[:3],),
    "recommend": lambda members: (members[:2],),
    "similar": lambda members: (["1082185", "no such item"],),
    "cashier": lambda members: (members[0], ["1082185"]),
    "events": lambda members: ([{"schema_version": 1, "type": "view", "event_id": "c3"}],),
    "member": lambda members: (members[0],),
    "audience": lambda members: ("tier=gold",),
    "models": lambda members: (),
    "upload": lambda members: ("\n".join(members[:30]).encode(),),
    "jobs": lambda members: (),
}


@pytest.mark.parametrize("name", ASKED)
def test_both_clients_have_the_same_answer(rapport: Client, shop: Shop, name: str) -> None:
    words = ASKED[name](shop.members)
    one, other = getattr(rapport, name)(*words), later(shop, lambda client: getattr(client, name)(*words))
    if hasattr(one, "passport"):  # which has the id of its answer, and an age that goes on
        one, other = (answer.model_copy(update={"passport": None}) for answer in (one, other))
    assert other == one
    assert one


def test_a_member_is_erased_once_whoever_asks(rapport: Client, shop: Shop) -> None:
    gone = shop.members[-1]
    receipt = rapport.erase(gone).receipt
    assert later(shop, lambda client: client.erase(gone)).receipt == receipt
    with pytest.raises(NotFound):
        later(shop, lambda client: client.member(gone))


def test_both_clients_page_through_an_audience(rapport: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = rapport.audience("tier=gold").member_ids
    monkeypatch.setattr("serving.client.IDS_A_PAGE", 2)

    async def ids(client: AsyncClient) -> list[str]:
        return [one async for one in client.audience_ids("tier=gold")]

    assert list(rapport.audience_ids("tier=gold")) == later(shop, ids) == everyone
    assert len(everyone) == 5


def sent_by(ask: Callable[[httpx.MockTransport], None]) -> tuple[str, str]:
    """Method and path of the one request that is sent."""
    answer, seen = answering(500)
    with pytest.raises(ServerFault):
        ask(httpx.MockTransport(answer))
    return seen[0].method.lower(), seen[0].url.path


MANIFEST = JobView.model_validate(JobView.model_json_schema()["examples"][0] | {"job_id": "{job_id}"})
WORDS = {
    **{name: ask(["{member_id}"]) for name, ask in ASKED.items()},
    **dict.fromkeys(("member", "erase"), ("{member_id}",)), **dict.fromkeys(("job", "cancel_job"), ("{job_id}",)),
    "start_job": ({"everyone": True},), "download": (MANIFEST, "{name}", Path("never")),
}  # fmt: skip


def test_both_clients_have_a_method_for_everything_the_document_has() -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for name, words in WORDS.items():

        def blocking(transport: httpx.MockTransport) -> None:
            with Client("http://test", KEY, transport=transport) as client:
                getattr(client, name)(*words)  # noqa: B023  # called at once

        def awaited(transport: httpx.MockTransport) -> None:
            async def ask() -> None:
                async with AsyncClient("http://test", KEY, transport=transport) as client:
                    await getattr(client, name)(*words)  # noqa: B023

            asyncio.run(ask())

        found[name] = {sent_by(blocking), sent_by(awaited)}
    assert {name: len(sent) for name, sent in found.items()} == dict.fromkeys(WORDS, 1)
    documented = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert set.union(*found.values()) == {one for one in documented if not one[1].startswith("/health")}


def test_a_job_from_a_file_to_a_file(rapport: Client, shop: Shop, tmp_path: Path) -> None:
    file = rapport.upload("\n".join(shop.members[:30]).encode())
    job = rapport.start_job({"file": file}, key="once")
    assert rapport.start_job({"file": file}, key="once").job_id == job.job_id
    done = later(shop, lambda client: client.wait(job.job_id, timeout_s=120, poll_s=0.1))
    assert done.status == "done", done.failure
    assert rapport.wait(job.job_id, timeout_s=0) == done
    rapport.download(done, "scores.csv", tmp_path / "scores.csv")
    later(shop, lambda client: client.download(done, "scores.csv", tmp_path / "again.csv"))
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 31
    assert (tmp_path / "scores.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    with pytest.raises(Conflict):
        rapport.start_job({"everyone": True}, key="once")
    removed = rapport.cancel_job(job.job_id)
    assert (removed.status, removed.files) == ("done", [])


def test_a_file_stands_under_its_name_only_when_it_is_whole(rapport: Client, shop: Shop, tmp_path: Path) -> None:
    job = rapport.start_job({"ids": shop.members[:3]})
    done = rapport.wait(job.job_id, timeout_s=120, poll_s=0.1)
    changed = done.model_copy(update={"files": [done.files[0].model_copy(update={"sha256": "0" * 64})]})
    (tmp_path / "scores.csv").write_text("of yesterday")
    fetched: list[Callable[[JobView, str], None]] = [
        lambda job, name: rapport.download(job, name, tmp_path / name),
        lambda job, name: later(shop, lambda client: client.download(job, name, tmp_path / name)),
    ]
    for fetch in fetched:
        with pytest.raises(NotFound):
            fetch(done, "lists.csv")
        with pytest.raises(ClientError, match="did not arrive"):
            fetch(changed, "scores.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("scores.csv", "of yesterday")]


@pytest.mark.usefixtures("nobody_works")
def test_jobs_are_listed_and_cancelled(rapport: Client, shop: Shop) -> None:
    first, second = (rapport.start_job({"ids": shop.members[:number]}) for number in (1, 2))
    assert {first.job_id, second.job_id} <= {job.job_id for job in rapport.jobs().jobs}
    with pytest.raises(Unreachable, match="waiting"):
        rapport.wait(first.job_id, timeout_s=0, poll_s=0)
    with pytest.raises(Unreachable, match="waiting"):
        later(shop, lambda client: client.wait(first.job_id, timeout_s=0, poll_s=0))

    ended = [rapport.cancel_job(first.job_id), later(shop, lambda client: client.cancel_job(second.job_id))]
    assert [job.status for job in ended] == ["cancelled", "cancelled"]
    assert rapport.wait(first.job_id, timeout_s=0).status == "cancelled"
    assert rapport.job(second.job_id) == ended[1]

    rapport.cancel_job(first.job_id)  # nothing is left of it now
    with pytest.raises(NotFound):
        rapport.cancel_job(first.job_id)
    left = {job.job_id for job in later(shop, lambda client: client.jobs()).jobs}
    assert (first.job_id in left, second.job_id in left) == (False, True)


def test_errors_are_exceptions_by_what_can_be_done(rapport: Client, shop: Shop) -> None:
    with pytest.raises(NotFound) as missing:
        rapport.member("../score")
    assert len(missing.value.request_id) == 32
    assert missing.value.code == "unknown_member", "an id may have slashes"
    with pytest.raises(Refused) as refused:
        rapport.audience("teir=gold")
    assert "did you mean" in refused.value.errors[0]["problem"]
    with pytest.raises(Refused, match="invalid_request"):
        rapport.score([])
    with Client(shop.address, "wrong") as stranger, pytest.raises(NotAllowed):
        stranger.models()
    with Client("http://127.0.0.1:9", KEY) as nobody, pytest.raises(Unreachable) as away:
        nobody.member("13812345678")
    assert "138" not in str(away.value)


def answering(*outcomes: int | type[httpx.TransportError]) -> tuple[Callable[[httpx.Request], httpx.Response], list[Any]]:
    """A server that answers so, one after another, and what it was sent."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        outcome = outcomes[len(seen) - 1]
        if isinstance(outcome, int):
            body = {"models": [], "missing": []} if outcome == 200 else {"code": "x"}
            return httpx.Response(outcome, json=body, headers={"Retry-After": "0"})
        raise outcome("gone")

    return answer, seen


RETRIED: list[tuple[tuple[Any, ...], type[Exception] | None]] = [
    ((503, 200), None),
    ((429, 200), None),
    ((httpx.ReadTimeout, 200), None),
    ((httpx.ConnectError, 200), None),
    ((503, 503), Unavailable),
    ((httpx.ReadTimeout, httpx.ReadTimeout), Unreachable),
    ((httpx.ReadTimeout, 500), ServerFault),
    ((500,), ServerFault),
    ((422,), Refused),
    ((302,), Problem),
]


@pytest.mark.parametrize(("outcomes", "error"), RETRIED)
def test_a_call_is_sent_once_more_and_no_more(outcomes: tuple[Any, ...], error: type[Exception] | None) -> None:
    answer, seen = answering(*outcomes)
    with Client("http://test", KEY, transport=httpx.MockTransport(answer)) as client:
        if error is None:
            assert client.models().models == []
        else:
            with pytest.raises(error):
                client.models()
    assert len(seen) == len(outcomes)

    async def the_same() -> None:
        again, sent = answering(*outcomes)
        async with AsyncClient("http://test", KEY, transport=httpx.MockTransport(again)) as other:
            if error is None:
                assert (await other.models()).models == []
            else:
                with pytest.raises(error):
                    await other.models()
        assert len(sent) == len(outcomes)

    asyncio.run(the_same())


def test_a_job_sent_again_has_the_same_key() -> None:
    answer, seen = answering(httpx.ReadTimeout, 503)
    with Client("http://test", KEY, transport=httpx.MockTransport(answer)) as client, pytest.raises(Unavailable):
        client.start_job({"everyone": True})
    assert len({request.headers["idempotency-key"] for request in seen}) == 1


def test_an_answer_of_a_newer_server_is_read() -> None:
    def newer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"models": [], "missing": [], "retired": ["x"]})

    with Client("http://test", KEY, transport=httpx.MockTransport(newer)) as client:
        assert client.models().missing == []


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_examples_in_python_run(code: str, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/client.md", "exec"), {"address": shop.address, "key": KEY})


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("code", re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
def test_examples_with_curl_run(code: str, shop: Shop, tmp_path: Path) -> None:
    script = "set -eu\n" + code.replace("curl -s", "curl -sS --fail-with-body --max-time 60")
    environment = {"RAPPORT": shop.address, "KEY": KEY, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, (code, ran.stdout, ran.stderr)
