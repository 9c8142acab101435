"""The guard in front of everything: API keys, the body limit, request ids, security headers and one log line a request."""

import base64
import hmac
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from serving.problems import problem

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/livez", "/readyz", "/healthz"})
LOGGED_PATHS = OPEN_PATHS | {"/v1/score", "/v1/recommend", "/v1/audience", "/v1/models", "/v1/jobs", "/v1/jobs/uploads"}
LOGGED_TEMPLATES = {"/v1/members/": "/v1/members/{member_id}", "/v1/jobs/": "/v1/jobs/{job_id}"}
"""Paths that go on with an id, by how they begin: only the template is logged."""
BODY_LIMIT = 1_048_576
BODY_LIMITS = {"/v1/jobs/uploads": 64 * BODY_LIMIT}
"""Paths whose bodies may be longer, as they are written to disk as they come."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'",
}
logger = logging.getLogger("rapport.requests")


class BodyTooLarge(Exception):
    """More bytes arrived than a body may have."""


class Guard:
    """ASGI middleware. Every path but health needs a key, as `Authorization: Bearer`, `X-Api-Key`, or Basic password."""

    def __init__(self, app: App, *, keys: tuple[str, ...]) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope["rapport.request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update({**SECURITY_HEADERS, "X-Request-Id": request_id})
            await send(message)

        refusal = self._refusal(scope, request_id)
        try:
            await (refusal or self._app)(scope, limited(receive, body_limit(scope)), send_with_headers)
        except BodyTooLarge:
            if not status:
                await too_large(request_id)(scope, receive, send_with_headers)
        finally:
            _log(scope, request_id, status or 500, time.perf_counter() - started)

    def _refusal(self, scope: Scope, request_id: str) -> Response | None:
        headers = Headers(scope=scope)
        if scope["path"] not in OPEN_PATHS and not self._knows(sent_key(headers)):
            return problem("key_missing", "send an API key: Authorization: Bearer <key>", request_id=request_id)
        length = headers.get("content-length", "0")[:16]
        return too_large(request_id) if length.isdecimal() and int(length) > body_limit(scope) else None

    def _knows(self, key: bytes) -> bool:
        """Whether a key is one of ours; every key is compared, in constant time."""
        return bool(sum(hmac.compare_digest(key, known) for known in self._keys))


def too_large(request_id: str) -> Response:
    """The answer to a body above the limit."""
    return problem(
        "too_large",
        f"a body may have {BODY_LIMIT} bytes, a file of members {BODY_LIMITS['/v1/jobs/uploads']}",
        request_id=request_id,
    )


def sent_key(headers: Headers) -> bytes:
    """The key a request carries, as the bytes that were sent; empty if none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.encode("latin-1").strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except ValueError:  # no Base64, or not even ASCII
            return b""
    return headers.get("x-api-key", "").encode("latin-1")


def body_limit(scope: Scope) -> int:
    """Bytes that the body of a request may have."""
    return BODY_LIMITS.get(scope["path"], BODY_LIMIT)


def limited(receive: Receive, most: int = BODY_LIMIT) -> Receive:
    """`receive` that raises BodyTooLarge once more than the limit has arrived, whatever the request announced."""
    arrived = 0

    async def receive_limited() -> Message:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get("body", b""))
        if arrived > most:
            raise BodyTooLarge
        return message

    return receive_limited


def logged_path(path: str) -> str:
    """A path as the log may have it."""
    if path in LOGGED_PATHS:
        return path
    return next((template for start, template in LOGGED_TEMPLATES.items() if path.startswith(start)), "other")


def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    """One JSON line without anything the client sent but the method; paths of ours are listed, others are not repeated."""
    line = {
        "request_id": request_id,
        "method": scope["method"],
        "path": logged_path(scope["path"]),
        "status": status,
        "ms": round(seconds * 1000, 2),
    }
    logger.info(json.dumps(line))
