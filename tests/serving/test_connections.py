"""Connections over real sockets: heads that do not end, clients that do not read, offers of other protocols."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
import uvloop

from serving import connections
from serving.connections import FRAMING, HEAD_LIMIT, Connection

BODY = b'{"member_ids": ["1"]}'
GOOD = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
PATIENCE_S = 20.0
LARGE = b"x" * 32_000_000
"""More than two sockets hold on the way."""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Method, path and body of a request; of /large, more than a client that does not read can take."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"].startswith("/late"):
        for _ in range(int(scope["path"].removeprefix("/late"))):
            await asyncio.sleep(0)
    told = LARGE if scope["path"] == "/large" else b"%b %b %b" % (scope["method"].encode(), scope["path"].encode(), body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer before anything of the body is read, as the guard does without a key."""
    if scope["path"] != "/refused":
        await echo(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the app listens, with connections of ours that are looked at twenty times a second."""
    with socket.socket() as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "LOOK_S", 0.05)
        patch.setattr(connections, "HEAD_SECONDS", 0.5)
        patch.setattr(connections, "UNREAD_SECONDS", 1.0)
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(refuse, http=Connection, log_config=None, log_level="error", lifespan="off", ws="none")
        )
        ended: list[int] = []

        async def serve() -> None:
            looking = asyncio.create_task(connections.watch(lambda: ended.append(1)))
            await server.serve(sockets=[listening])
            looking.cancel()

        thread = threading.Thread(target=lambda: uvloop.run(serve()))  # as the real server has it
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(30)
    assert ended, "what stood still was counted"
    assert not connections.OPEN


def sent(port: int, *parts: bytes, answers: int = 1, end: bool = False, pause_s: float = 0.0) -> list[bytes]:
    """What comes back for these bytes: as many answers as there should be, or fewer where the connection ends before."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as talk:
        came = b""
        try:
            for part in parts:
                talk.sendall(part)
                time.sleep(pause_s)
            if end:
                talk.shutdown(socket.SHUT_WR)
            while len(answers_in(came)) < answers and (read := talk.recv(65536)):
                came += read
        except ConnectionError:
            pass
        return answers_in(came)


def answers_in(came: bytes) -> list[bytes]:
    """Status and body of the answers that are whole."""
    found = []
    while b"\r\n\r\n" in came:
        head, _, rest = came.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(rest) < size:
            break
        found.append(head.split()[1] + b" " + rest[:size])
        came = rest[size:]
    return found


ECHOED = b"200 POST /a " + BODY
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
OFFERED = GOOD.replace(b"Host: x\r\n", b"Host: x\r\n" + OFFER)
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\n%bTransfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
    OFFER, BODY[:5], len(BODY) - 5, BODY[5:],
)  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((OFFERED,), 1),
        ((OFFERED + GOOD + OFFERED,), 3),
        ((GOOD + OFFERED,), 2),
        ((CHUNKED + GOOD,), 2),
        ((OFFERED[:100], OFFERED[100:]), 1),
        ((OFFERED[: -len(BODY)], BODY[:7], BODY[7:], GOOD), 2),
    ],
    ids=["one", "three", "second", "chunked", "head in two", "body later"],
)
def test_an_offer_of_http_2_costs_no_body(port: int, parts: tuple[bytes, ...], answers: int) -> None:
    assert sent(port, *parts, answers=answers, pause_s=0.05) == [ECHOED] * answers


def test_an_offer_of_web_sockets_is_passed_over_and_a_tunnel_refused(port: int) -> None:
    offered = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert sent(port, offered) == [b"200 GET /b "]
    assert sent(port, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")[0].startswith(b"400 ")


def test_what_does_not_agree_with_itself_is_refused_with_an_offer_as_without(port: int) -> None:
    for request in (GOOD, OFFERED):
        twice = request.replace(b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked")
        assert [answer[:4] for answer in sent(port, twice, answers=9)] == [b"400 "]


def flood(of: str) -> list[bytes]:
    """Bytes of a request that grows and does not end."""
    start = b"POST /refused HTTP/1.1\r\nHost: x\r\n"
    if of == "one header":
        return [start + b"X-A: ", *[b"a" * 16_384] * 40]
    if of == "many headers":
        return [start, *[b"X-A: b\r\n" * 2_000] * 40]
    if of == "address":
        return [b"POST /", *[b"a" * 16_384] * 40]
    return [start + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", *[b"X-A: b\r\n" * 2_000] * 40]


@pytest.mark.parametrize("of", ["one header", "many headers", "address", "trailers"])
def test_a_head_that_does_not_end_is_given_up_before_it_takes_room(port: int, of: str) -> None:
    parts = flood(of)
    answered = sent(port, *parts, answers=9, pause_s=0.001)
    assert all(answer[:4] in {b"431 ", b"401 "} for answer in answered)


def test_a_head_below_the_limit_and_bodies_of_any_size_and_cut_pass(port: int) -> None:
    long = GOOD.replace(b"Host: x", b"Host: x\r\nX-A: " + b"a" * (HEAD_LIMIT - 1_000))
    assert sent(port, long[:30_000], long[30_000:], pause_s=0.05) == [ECHOED]
    body = b"z" * 3_000_000
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert sent(port, head, *(body[at : at + 40_000] for at in range(0, len(body), 40_000))) == [b"200 POST /a " + body]
    crumbs = b"1\r\nz\r\n" * 60_000
    assert len(crumbs) > HEAD_LIMIT
    assert len(b"1\r\nz\r\n") < FRAMING
    start = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert sent(port, start, crumbs[:200_001], crumbs[200_001:], b"0\r\n\r\n") == [b"200 POST /a " + b"z" * 60_000]


@pytest.mark.parametrize(
    ("parts", "answered"),
    [((), 0), ((b"\r\n",), 0), ((b"POST /a HT",), 0), ((GOOD, b"POST /a HTTP/1.1\r\nHost"), 1)],
    ids=["nothing", "an empty line", "half a line", "half a head after a request"],
)
def test_a_connection_that_asks_nothing_is_ended(port: int, parts: tuple[bytes, ...], answered: int) -> None:
    assert sent(port, *parts, answers=9) == [ECHOED] * answered, "it ends; or else the socket's patience does"


def test_what_goes_on_after_its_refusal_is_ended(port: int) -> None:
    start = b"POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = sent(port, start, *[b"1\r\na\r\n"] * 300, answers=9, pause_s=0.01)
    assert answers in ([b"401 "], []), "the connection ends while more is sent; what was answered may be lost with it"


def test_an_answer_that_nobody_reads_is_given_up(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as talk:
        talk.sendall(GOOD.replace(b"/a", b"/large"))
        until = time.monotonic() + PATIENCE_S
        while not any(each.transport.get_write_buffer_size() for each in tuple(connections.OPEN)):
            assert time.monotonic() < until
            time.sleep(0.01)
        while connections.OPEN:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_client_that_reads_slowly_gets_its_answer(port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as talk:
        talk.sendall(GOOD.replace(b"/a", b"/large"))
        arrived = 0
        while arrived < len(LARGE):
            read = len(talk.recv(1_000_000))
            assert read
            arrived += read
            time.sleep(0.05 if arrived % 7 == 0 else 0.01)


@pytest.mark.parametrize("good", [GOOD, GOOD * 3, GOOD + GOOD[:-4] + b"\r\n"], ids=["one", "three", "half a body"])
def test_what_is_no_http_ends_the_connection_without_a_stack_trace(
    port: int, good: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for garbage in (b"what is this\r\n\r\n", wrong, b"X-A: b\r\n" * 30_000):
        for turns in range(6):  # of the loop, after which the answer comes
            answers = sent(port, good.replace(b"/a", b"/late%d" % turns) + garbage, answers=9)
            assert answers == [] or answers[-1][:4] in {b"400 ", b"431 "}
    time.sleep(0.1)
    assert sent(port, GOOD) == [ECHOED]
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_who_says_that_no_more_will_come_is_answered(port: int) -> None:
    for _ in range(20):
        assert sent(port, GOOD, end=True) == [ECHOED]
        assert sent(port, GOOD + GOOD, end=True, answers=2) == [ECHOED] * 2
    assert sent(port, GOOD[:-3], end=True) == []
    assert sent(port, GOOD[:20], end=True) == []
