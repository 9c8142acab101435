"""Connections as uvicorn keeps them, with bounds for what it leaves unbounded, a short way, and without a fault of its.

Bounded are time and size of a request's head, and how long an answer waits for a client that does not read it. uvicorn gives a
half-sent head any time and any room, so that a thousand quiet connections or one endless header would take a worker, before any
key is looked at. And where a client offers HTTP/2 beside a request, as Java's does unless told otherwise, it loses the
request's body (https://github.com/Kludex/uvicorn/issues/2722).

A request for a fast route that arrives whole, with one read of the socket, goes to the guard and back without what ASGI needs:
scope, event, messages, a look at each header of the answer. All others, and those in a pipeline, go uvicorn's way.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.front import AT_ONCE, AnsweringAtOnce
from serving.whole_answers import WholeAnswer, lines

HEAD_LIMIT = 65_536
"""Bytes of a head, or of what is no body around a body; what arrives with one read of the socket may be more."""
FRAMING = 8
"""Bytes that one byte of a body may take when it comes in chunks: six, if each has its own."""
HEAD_SECONDS = 10.0
"""From the first look at a connection that asks nothing until its request is there."""
UNREAD_SECONDS = 60.0
"""How long an answer may stand still on its way to the client."""
LOOK_S = 1.0
TOO_LARGE = b"The head of the request is above %d bytes." % HEAD_LIMIT
_NOT_PASSED_ON = frozenset({b"upgrade", b"http2-settings"})
_begin = HttpToolsProtocol.on_headers_complete
OPEN: "set[Connection]" = set()
"""Connections of this worker."""
logger = logging.getLogger("rapport")


class _NobodyWaits:
    """Stands where uvicorn wakes whoever waits for more of a body."""

    def set(self) -> None:
        """Wake nobody."""


class WholeRequest:
    """A request that came the short way, with what uvicorn asks of a request under way."""

    __slots__ = ("disconnected", "keep_alive", "response_complete", "scope")
    more_body = False
    message_event = _NobodyWaits()

    def __init__(self, scope: object) -> None:
        self.scope = scope
        self.keep_alive, self.disconnected, self.response_complete = True, False, False


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # whatever uvicorn gives
        self._at_once: AnsweringAtOnce | None = self.app_state.get(AT_ONCE)
        self._held: bytes | None = None
        self._earlier: list[RequestResponseCycle | WholeRequest] = []
        self._measured: object = None
        self._around = 0
        self._bodies = 0
        self._seen: tuple[object, int] | None = None
        self._seen_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Note the connection."""
        OPEN.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        OPEN.discard(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn's gives None, which closes at once
        """Answer what has been asked for, also where the client says that nothing more will come."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.scheme == "https":  # TLS ends as a whole
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Take what arrived; what does not end a request is measured."""
        timer = self.timeout_keep_alive_task
        if timer is not None:
            timer.cancel()
            self.timeout_keep_alive_task = None
        before = self._bodies
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._held = None
            self.send_400_response("Invalid HTTP request received.")
        if self._held is not None:
            self._take_the_usual_way()
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.more_body:
            self._measure(len(data), self._bodies - before)

    def on_headers_complete(self) -> None:
        """Begin a request, unless it comes with an offer: then it begins when it is read again without."""
        if self._may_be_short():
            self._held = b""
        elif not self.parser.should_upgrade():
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, if it is being waited for."""
        self._bodies += len(body)
        if self._held is not None:
            self._held += body
            return
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End a body, if it is being waited for."""
        if self._held is not None:
            self._take_the_short_way()
        elif not self.parser.should_upgrade() and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def _may_be_short(self) -> bool:
        """Whether a request goes the short way if the rest of it is there as well."""
        cycle, parser = self.cycle, self.parser
        return (
            self._at_once is not None
            and (cycle is None or cycle.response_complete)
            and parser.get_method() == b"POST"
            and self._at_once.is_fast(self.url)
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and parser.get_http_version() == "1.1"
        )

    def _begin(self) -> None:
        """Begin a request as uvicorn does."""
        before = self.cycle
        if before is not None and not before.response_complete:
            self._earlier.append(before)
        elif self._earlier:
            self._earlier.clear()
        _begin(self)

    def _take_the_usual_way(self) -> None:
        """Begin a request of which not all has arrived."""
        body, self._held = self._held, None
        self._begin()
        if body:
            self._bodies -= len(body)  # counted when it came
            self.on_body(body)

    def _take_the_short_way(self) -> None:
        """Have a whole request answered."""
        assert self._at_once is not None and self._held is not None  # noqa: S101, PT018 # else it would not have been held
        body, self._held = self._held, None
        request: Any = WholeRequest(self.scope)
        self.cycle = request
        refusal = self._at_once.turned_away(self.url)
        if refusal is not None:
            self._write(request, refusal)
            return
        task = self.loop.create_task(self._answer(request, self._at_once.at_once(self.url, self.headers, body)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, request: WholeRequest, answering: Coroutine[Any, Any, WholeAnswer]) -> None:
        try:
            answer = await answering
        except Exception as error:  # the named edge: a client that gets nothing would wait
            logger.error("a request failed", exc_info=error)
            self.transport.abort()
            return
        self._write(request, answer)

    def _write(self, request: WholeRequest, answer: WholeAnswer) -> None:
        """Send an answer with one call of the system, and be ready for the next request."""
        if request.disconnected or self.transport.is_closing():
            return
        said = lines(self.server_state.default_headers)
        end = b"\r\n" if request.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[answer.status], said, answer.head, end, answer.body)))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close."""
        self._answer_no_more()
        super().send_400_response(msg)

    def _answer_no_more(self) -> None:
        """Let the answers go that are still to come: on a connection that is closed each would end in a stack trace."""
        for cycle in (*self._earlier, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()

    def _stay(self, rest: bytes) -> None:
        """Read a request again as if nothing but HTTP/1.1 had been offered; a tunnel is what we cannot give."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("This is no proxy.")
            return
        version = self.parser.get_http_version().encode()
        kept = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] not in _NOT_PASSED_ON]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(kept))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def _measure(self, size: int, of_body: int) -> None:
        """Close the connection if a request grows without coming to an end, by its head, its chunks or its trailers."""
        if self._measured is not self.scope:
            self._measured, self._around = self.scope, 0
        self._around += size - of_body - FRAMING * of_body
        if self._around > HEAD_LIMIT and not self.transport.is_closing():
            self._answer_no_more()
            head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            self.transport.write(b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, len(TOO_LARGE), TOO_LARGE))
            self.transport.close()

    def end(self) -> None:
        """Close at once, whatever is on its way."""
        self._answer_no_more()
        self.transport.abort()

    def stands_still(self, now: float) -> bool:
        """Whether the client has kept us waiting for too long, judged by what was so at earlier looks."""
        unread = self.transport.get_write_buffer_size()
        asks_nothing = self.cycle is None or self.cycle.response_complete
        if not unread and not (asks_nothing and self.timeout_keep_alive_task is None):
            self._seen = None
            return False
        if self._seen != (self.cycle, unread):
            self._seen, self._seen_at = (self.cycle, unread), now
        return now - self._seen_at >= (UNREAD_SECONDS if unread else HEAD_SECONDS)


def look(now: float, closed: Callable[[], None]) -> None:
    """End connections that stand still; `closed` is called for each."""
    for connection in tuple(OPEN):
        if connection.stands_still(now):
            connection.end()
            closed()


async def watch(closed: Callable[[], None]) -> None:
    """Look at all connections now and then, for as long as the worker lives."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_S)
        look(loop.time(), closed)
