"""The guard beyond keys: roles, hashes, rates, load, slow bodies, metrics, and the request log."""

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving import auth, bodies
from serving.auth import Guard
from serving.breaker import Breaker
from serving.keys import Caller, KeyRing, hashed
from serving.metrics import METRICS, Meter
from serving.request_log import LINES_TOGETHER, RequestLog
from tests.serving.asgi import KEY, Answer, Client, problem_of

PATHS = [
    ("POST", "/v1/score"),
    ("POST", "/v1/cashier"),
    ("GET", "/docs"),
    ("GET", "/v1/members/1"),
    ("DELETE", "/v1/members/nobody"),
    ("GET", "/metrics"),
]
ALLOWED = {"engine": 3, "analyst": 4, "operator": 6}


def guarded(client: Client, keys: Any, **more: Any) -> Client:
    """The client's app behind another guard."""
    other = Client.__new__(Client)
    other.api, other._runner = client.api, client._runner
    other._app = Guard(client.api.app(), keys=keys, hot=client.api.hot, **more)
    return other


def ask(client: Client, key: str, method: str = "POST", path: str = "/v1/score") -> Answer:
    """A request with a key."""
    body = (b'{"member_ids": ["1"]}',) if method == "POST" else ()
    return client.send(method, path, *body, headers=[("X-Api-Key", key)])


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_allows_what_it_says(client: Client, role: Any) -> None:
    other = guarded(client, (hashed(role, "secret"),))
    for place, (method, path) in enumerate(PATHS):
        answer = ask(other, "secret", method, path)
        if place < ALLOWED[role]:
            assert answer.status in {200, 202, 404, 422}
        else:
            problem_of(answer, 403, "role_missing")


def test_only_hashes_of_keys_are_kept() -> None:
    ring = KeyRing.of(["plain-secret", hashed("engine", "other-secret")])
    assert "secret" not in repr(vars(ring))
    assert ring.caller(b"plain-secret").role == "operator"  # type: ignore[union-attr]
    assert ring.caller(b"other-secret").role == "engine"  # type: ignore[union-attr]
    assert ring.caller(hashed("engine", "other-secret").encode()) is None  # the hash is no key
    assert ring.caller(b"") is None


def test_a_key_has_a_rate_of_its_own(client: Client) -> None:
    now = [0.0]
    callers = [Caller(name, "engine", KeyRing.of([name])._by_digest.popitem()[0], 2.0, lambda: now[0]) for name in ("a", "b")]
    other = guarded(client, KeyRing(callers))
    assert [ask(other, "a").status for _ in range(3)] == [200, 200, 429]
    refused = ask(other, "a")
    problem_of(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "1"
    assert ask(other, "b").status == 200
    now[0] = 0.5
    assert [ask(other, "a").status for _ in range(2)] == [200, 429]
    now[0] = 60.0
    assert [ask(other, "a").status for _ in range(3)] == [200, 200, 429]


def test_who_may_ask_less_than_once_a_second_is_told_when(client: Client) -> None:
    now = [0.0]
    seldom = Caller("seldom", "engine", KeyRing.of(["a"])._by_digest.popitem()[0], 0.25, lambda: now[0])
    other = guarded(client, KeyRing([seldom]))
    assert ask(other, "a").status == 200
    assert ask(other, "a").headers["retry-after"] == "4"
    now[0] = 2.5
    assert ask(other, "a").headers["retry-after"] == "2"
    now[0] = 4.5
    assert ask(other, "a").status == 200


def test_above_its_load_a_worker_tells_clients_to_come_back(client: Client, members: list[str]) -> None:
    meter = Meter()
    other = guarded(client, (KEY,), in_flight=3, meter=lambda: meter)
    answers = other.together("/v1/score", [{"member_ids": members[:50]}] * 8)
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [200] * 3 + [503] * 5
    refused = next(answer for answer in answers if answer.status == 503)
    problem_of(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert meter.value("rapport_refusals_total", "overloaded") == 5
    assert other.get("/health/live", headers=[]).status == 200
    assert ask(other, KEY).status == 200


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
@pytest.mark.parametrize("first", [[], [{"type": "http.request", "body": b'{"mem', "more_body": True}]])
def test_a_body_that_stalls_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch, path: str, first: list[Any]) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    sent: list[Any] = []
    chunks = list(first)

    async def receive() -> Any:
        if chunks:
            return chunks.pop(0)
        await asyncio.sleep(60)
        raise AssertionError("it was waited for")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json"), (b"content-length", b"40")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    client._runner.run(asyncio.wait_for(client._app(scope, receive, send), 10))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "body_timeout"


# Metrics


def test_metrics_are_what_prometheus_reads(client: Client) -> None:
    client.score("1", "nobody")
    ask(client, "wrong")
    client.get("/13812345678")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    assert "13812345678" not in text
    line = re.compile(r'^rapport_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$')
    assert all(line.match(row) for row in text.splitlines() if not row.startswith("#"))
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
    cold = re.search(r'rapport_rows_total\{route="score",status="COLD"\} (\d+)', text)
    assert cold is not None
    assert int(cold[1]) >= 1


def test_the_numbers_of_all_workers_are_added_up_also_of_those_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters = []
    for pid in (101, 102):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        meters.append(Meter(tmp_path))
    for place, meter in enumerate(meters):
        meter.add("rapport_requests_total", "score", "2xx", by=place + 1)
        meter.observe("rapport_request_seconds", "score", value=0.003)
        meter.observe("rapport_request_seconds", "score", value=99.0)
    del meters[0]
    text = meters[0].text()
    assert 'rapport_requests_total{route="score",class="2xx"} 3\n' in text
    assert 'rapport_request_seconds_bucket{route="score",le="0.002"} 0\n' in text
    assert 'rapport_request_seconds_bucket{route="score",le="0.005"} 2\n' in text
    assert 'rapport_request_seconds_bucket{route="score",le="+Inf"} 4\n' in text
    assert 'rapport_request_seconds_count{route="score"} 4\n' in text
    assert 'rapport_request_seconds_sum{route="score"} 198.006\n' in text


# The breaker and the log


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_look_now_and_then() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, retry_s=1.0, clock=lambda: now[0])
    assert not breaker.failed()
    breaker.succeeded()
    assert not breaker.failed()
    assert breaker.failed()
    assert not breaker.allows()
    now[0] = 1.5
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.is_open


def test_a_request_log_that_cannot_be_written_loses_lines_and_nothing_else() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log, good = RequestLog(Full()), io.StringIO()
    for number in range(LINES_TOGETHER):
        log_line = f'{{"n": {number}}}'
        asyncio.run(_write(log, log_line))
    log.flush()
    assert log.lost == LINES_TOGETHER
    log._stream = good
    asyncio.run(_write(log, "one"))
    log.flush()
    assert good.getvalue() == "one\n"


async def _write(log: RequestLog, line: str) -> None:
    log(line)


async def _started(app: Starlette) -> None:
    """What a server does first: the app's lifespan, up to the end of its start."""
    begun = asyncio.Event()

    async def receive() -> dict[str, str]:
        if begun.is_set():
            await asyncio.Event().wait()
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        begun.set()

    task = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
    await begun.wait()
    task.cancel()


@pytest.mark.parametrize("in_front", [True, False])
def test_fast_routes_and_refusals_do_not_go_through_the_layers_before_the_guard(in_front: bool) -> None:
    seen: list[str] = []
    statuses: list[int] = []

    class Layer:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope.get("path", "lifespan"))
            await self._app(scope, receive, send)

    async def slow(request: Request) -> PlainTextResponse:
        await asyncio.sleep(0.05)
        return PlainTextResponse("done")

    async def fast(body: bytes, content_type: str, request_id: str) -> bytes:
        return b"{}"

    guard = Middleware(Guard, keys=("k",), hot={"/v1/score": fast}, in_flight=1, in_front=in_front)
    app = Starlette(routes=[Route("/v1/models", slow)], middleware=[Middleware(Layer), guard])

    async def ask(method: str, path: str, key: str = "k") -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-api-key", key.encode())], "query_string": b""}
        await app(scope, receive, send)

    async def all_of_it() -> None:
        await _started(app)
        await ask("POST", "/v1/score")
        await ask("POST", "/v1/score", key="wrong")
        await asyncio.gather(ask("GET", "/v1/models"), ask("GET", "/v1/models"))

    asyncio.run(all_of_it())
    assert sorted(statuses) == [200, 200, 401, 503]
    fast_ones = [] if in_front else ["/v1/score", "/v1/score"]
    refused = [] if in_front else ["/v1/models"]
    assert seen == ["lifespan", *fast_ones, "/v1/models", *refused]


def test_a_fast_route_that_hangs_is_answered_in_the_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(body: bytes, content_type: str, request_id: str) -> bytes:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(auth, "ANSWER_SECONDS", 0.05)
    other = guarded(client, ("k",))
    other._app._hot = {"/v1/score": never}
    problem_of(ask(other, "k"), 504, "timeout")
