"""Whole answers with their heads: what the guard gives for a fast route, by whichever way the request came."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.responses import Response

from serving.problems import RETRY_AFTER_S, problem

Headers: TypeAlias = list[tuple[bytes, bytes]]
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'",
}
_SECURITY = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_NO_PAGE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""What an answer takes that no browser shows as a page; the server looks each header through before it sends it."""
_ANSWERED = [(b"content-type", b"application/json"), *_NO_PAGE]
_TURNED_AWAY = [(b"content-type", b"application/problem+json"), (b"retry-after", b"%d" % RETRY_AFTER_S), *_NO_PAGE]
OVERLOADED = "as many requests are under way as can be answered in time"
_OVERLOADED = bytes(problem("overloaded", OVERLOADED, request_id="<id>").body).replace(b"<id>", b"%b")


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer whose length is known. What the server says with every answer, such as the date, is not in its headers.

    Attributes
    ----------
    head
        The headers as HTTP/1.1 has them, a line each.
    """

    status: int
    head: bytes
    body: bytes


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as lines of HTTP/1.1."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


_LENGTH_AND_ID = b"content-length: %d\r\nx-request-id: %b\r\n"
_ANSWERED_LINES, _TURNED_AWAY_LINES = lines(_ANSWERED) + _LENGTH_AND_ID, lines(_TURNED_AWAY) + _LENGTH_AND_ID


def found(response: bytes | Response, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body of what a fast route or a refusal gives."""
    if isinstance(response, Response):
        return response.status_code, [*response.raw_headers, *_SECURITY, _id(request_id)], bytes(response.body)
    return 200, [*_ANSWERED, _length(response), _id(request_id)], response


def turned_away(request_id: str) -> tuple[Headers, bytes]:
    """Headers and body of a refusal for load."""
    body = _OVERLOADED % request_id.encode()
    return [*_TURNED_AWAY, _length(body), _id(request_id)], body


def whole(response: bytes | Response, request_id: str) -> WholeAnswer:
    """The same as `found`, in one piece."""
    if isinstance(response, Response):
        status, headers, body = found(response, request_id)
        return WholeAnswer(status, lines(headers), body)
    return WholeAnswer(200, _ANSWERED_LINES % (len(response), request_id.encode()), response)


def whole_turned_away(request_id: str) -> WholeAnswer:
    """The same as `turned_away`, in one piece."""
    known = request_id.encode()
    body = _OVERLOADED % known
    return WholeAnswer(503, _TURNED_AWAY_LINES % (len(body), known), body)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _id(request_id: str) -> tuple[bytes, bytes]:
    return b"x-request-id", request_id.encode()
