"""The short way of whole requests over real sockets: the same answers, and uvicorn's way for all that is not as simple."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from serving.auth import Guard
from serving.connections import Connection, WholeRequest
from serving.metrics import Meter
from serving.problems import problem

BODY = b'{"member_ids": ["1"]}'
IN_FLIGHT = 3
PATIENCE_S = 20.0


def post(body: bytes = BODY, *headers: bytes, path: bytes = b"/v1/score", key: bytes = b"k", version: bytes = b"1.1") -> bytes:
    """A request as it stands on the wire."""
    more = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/%b\r\nHost: x\r\nX-Api-Key: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        path, version, key, more, len(body), body,
    )  # fmt: skip


class Shop:
    """A server with one fast route, which does what its body says."""

    def __init__(self) -> None:
        self.short: list[bytes] = []
        self.lines: list[str] = []
        self.meter = Meter()
        self.held = threading.Event()
        self.waiting = 0
        self.port = 0
        self.server: uvicorn.Server | None = None

    async def fast(self, body: bytes, content_type: str, request_id: str) -> bytes | Response:
        """Echo; or wait, answer with a problem, or fail."""
        if body.startswith(b"wait"):
            self.waiting += 1
            while not self.held.is_set():
                await asyncio.sleep(0.005)
        if body == b"problem":
            return problem("not_found", "no such thing", request_id=request_id)
        if body == b"fail":
            raise RuntimeError("nobody catches this")
        return b"[%b]" % body

    def talk(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def until_waiting(self, many: int) -> None:
        """Wait until so many requests wait inside."""
        until(lambda: self.waiting >= many)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The server; which bodies came the short way is noted."""
    shop, short = Shop(), Connection._take_the_short_way

    def noted(self: Connection) -> None:
        shop.short.append(bytes(self._held or b""))
        short(self)

    async def usual(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    monkeypatch.setattr(Connection, "_take_the_short_way", noted)
    guard = Middleware(
        Guard, keys=("k",), hot={"/v1/score": shop.fast}, in_flight=IN_FLIGHT, meter=lambda: shop.meter, log=shop.lines.append
    )
    app = Starlette(routes=[Route("/v1/models", usual, methods=["POST"])], middleware=[guard])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        shop.port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, http=Connection, log_level="critical", lifespan="on", ws="none"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        shop.server = server
        yield shop
        shop.held.set()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def read(talk: socket.socket, answers: int = 1) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers and body of so many answers; fewer where the connection ends before."""
    came = b""
    found: list[tuple[int, dict[bytes, bytes], bytes]] = []
    while len(found) < answers:
        head, ends, rest = came.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:]) if ends else {}
        size = int(headers.get(b"content-length", b"0"))
        if ends and len(rest) >= size:
            found.append((int(lines[0].split()[1]), headers, rest[:size]))
            came = rest[size:]
            continue
        more = talk.recv(65536)
        if not more:
            break
        came += more
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def asked(shop: Shop, *parts: bytes, answers: int = 1, pause_s: float = 0.0) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """What comes back for these bytes on a connection of their own."""
    with closing(shop.talk()) as talk:
        for part in parts:
            talk.sendall(part)
            time.sleep(pause_s)
        return read(talk, answers)


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [(BODY, b"k", 200), (b"", b"k", 200), (b"problem", b"k", 404), (BODY, b"wrong", 401), (b"z" * 100_000, b"k", 200)],
    ids=["plain", "empty", "problem", "no key", "large"],
)
def test_both_ways_answer_alike(shop: Shop, body: bytes, key: bytes, status: int) -> None:
    request = post(body, key=key)
    (whole,) = asked(shop, request)
    (cut,) = asked(shop, request[:-1], request[-1:], pause_s=0.05)
    (query,) = asked(shop, request.replace(b"/v1/score", b"/v1/score?a=b"))

    for other in (cut, query):
        assert (whole[0], len(whole[2])) == (other[0], len(other[2])) == (status, len(whole[2]))
        assert whole[1].keys() == other[1].keys()
        assert {b"date", b"server", b"x-request-id", b"content-type", b"cache-control"} <= whole[1].keys()
        differ = {b"date", b"x-request-id"}
        assert {k: v for k, v in whole[1].items() if k not in differ} == {k: v for k, v in other[1].items() if k not in differ}
        if status == 200:
            assert whole[2] == other[2] == b"[%b]" % body
    assert len(shop.short) <= 1 + (not body)  # a request without a body is whole with the last byte of its head
    assert shop.short or len(body) > 65_000  # which may come in two reads
    until(lambda: len(shop.lines) == 3)  # the usual way writes its line behind the answer
    assert all(f'"status": {status}' in line and '"path": "/v1/score"' in line for line in shop.lines)
    assert shop.meter.value("rapport_requests_total", "score", f"{status // 100}xx") == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(BODY, path=b"/v1/score?a=b"),
        post(BODY, path=b"/v1/scor%65"),
        post(BODY, path=b"/v1/models"),
        post(BODY, b"Connection: close"),
        post(BODY, b"Expect: 100-continue"),
        post(BODY, version=b"1.0"),
    ],
    ids=["query", "escape", "no fast route", "close", "expects", "1.0"],
)
def test_what_is_not_plain_goes_the_usual_way(shop: Shop, request_bytes: bytes) -> None:
    with closing(shop.talk()) as talk:
        talk.sendall(request_bytes)
        assert read(talk, 1)[0][0] in {100, 200}
    assert shop.short == []


def test_a_body_in_pieces_goes_the_usual_way_and_the_next_request_the_short_one(shop: Shop) -> None:
    request = post()
    with closing(shop.talk()) as talk:
        for part in (request[:-5], request[-5:-2], request[-2:]):
            talk.sendall(part)
            time.sleep(0.05)
        assert read(talk)[0][2] == b"[%b]" % BODY
        assert shop.short == []
        for turn in range(50):
            talk.sendall(post(b"turn %d" % turn))
            assert read(talk)[0][2] == b"[turn %d]" % turn
    assert shop.short == [b"turn %d" % turn for turn in range(50)]


def test_requests_in_a_pipeline_are_answered_in_order(shop: Shop) -> None:
    bodies = [b"wait", *(b"%d" % number for number in range(20))]
    with closing(shop.talk()) as talk:
        talk.sendall(b"".join(map(post, bodies)) + post(b"usual", path=b"/v1/models") + post(b"last"))
        shop.until_waiting(1)
        shop.held.set()
        answered = [body for _, _, body in read(talk, len(bodies) + 2)]
    assert answered == [*(b"[%b]" % body for body in bodies), b"usual", b"[last]"]


def test_above_its_load_it_refuses_at_once_and_the_connection_goes_on(shop: Shop) -> None:
    inside = [shop.talk() for _ in range(IN_FLIGHT)]
    for talk in inside:
        talk.sendall(post(b"wait"))
    shop.until_waiting(IN_FLIGHT)
    with closing(shop.talk()) as talk:
        for _ in range(3):
            talk.sendall(post())
            ((status, headers, body),) = read(talk)
            assert (status, headers[b"retry-after"], headers[b"content-type"]) == (503, b"1", b"application/problem+json")
            assert b'"code": "overloaded"' in body
            assert headers[b"x-request-id"] in body
        shop.held.set()
        for waiting in inside:
            assert read(waiting)[0][2] == b"[wait]"
            waiting.close()
        talk.sendall(post())
        assert read(talk)[0][0] == 200
    assert shop.meter.value("rapport_refusals_total", "overloaded") == 3
    assert sum('"status": 503' in line for line in shop.lines) == 3


def test_a_client_that_is_gone_costs_nothing_and_an_error_ends_the_connection(shop: Shop) -> None:
    gone = shop.talk()
    gone.sendall(post(b"wait"))
    shop.until_waiting(1)
    gone.close()
    shop.held.set()
    assert asked(shop, post(b"fail")) == []
    assert asked(shop, post())[0][0] == 200
    assert any('"status": 500' in line for line in shop.lines)


def test_a_server_that_ends_answers_what_is_under_way_and_closes(shop: Shop) -> None:
    with closing(shop.talk()) as talk:
        talk.sendall(post(b"wait"))
        shop.until_waiting(1)
        assert shop.server is not None
        shop.server.should_exit = True
        time.sleep(0.3)
        shop.held.set()
        ((status, headers, body),) = read(talk)
        assert (status, headers[b"connection"], body) == (200, b"close", b"[wait]")
        assert talk.recv(1) == b""


def test_a_whole_request_has_what_uvicorn_asks_of_one_under_way() -> None:
    request: Any = WholeRequest({})
    assert (request.more_body, request.keep_alive, request.disconnected, request.response_complete) == (
        False,
        True,
        False,
        False,
    )
    request.message_event.set()
