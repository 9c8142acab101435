"""The guard in front of everything: keys, roles, rates, limits of load and of bodies, request ids, headers, one log line each.

Routes that have to be fast are answered right here, behind the same checks: what BentoML and Starlette do between the guard
and a route costs twice what a score does.
"""

import base64
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeAlias

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from serving.bodies import BODY_LIMIT, BODY_SECONDS, Arrivals, BodyTooLarge, BodyTooSlow, limited
from serving.front import App, Message, Receive, Scope, Send, stand_in_front
from serving.keys import Caller, KeyRing
from serving.metrics import CLASSES, Meter
from serving.paths import BODY_LIMITS, UPLOADS, route_of, template_of
from serving.problems import CODES, RETRY_AFTER_S, problem
from serving.request_ids import RequestIds
from serving.time_limits import TimeLimit
from serving.whole_answers import SECURITY_HEADERS, Headers, WholeAnswer, found, turned_away, whole, whole_turned_away

Answer: TypeAlias = Callable[[bytes, str, str], Coroutine[Any, Any, bytes | Response]]
"""A fast route: from a body, its content type and the request's id to the body of a 200, or to another response."""

OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/livez", "/readyz", "/healthz"})
ROUTE_OF = {
    **dict.fromkeys(OPEN_PATHS, "health"),
    "/v1/score": "score",
    "/v1/recommend": "recommend",
    "/v1/similar": "similar",
    "/v1/cashier": "cashier",
    **dict.fromkeys(("/", "/docs", "/docs.js", "/openapi.json"), "pages"),
}
LOGGED_PATHS = OPEN_PATHS | {"/v1/score", "/v1/recommend", "/v1/similar", "/v1/cashier", "/metrics"}
ANSWER_SECONDS = 10.0
"""What a fast route may take at most, as BentoML's own timeout has it for the others."""
IN_FLIGHT = 256
"""Requests that a worker has under way, at most; one more is told to come back."""
NO_KEY = "no API key was sent, or none that is known: send Authorization: Bearer <key>"
logger = logging.getLogger("rapport.requests")


class Guard:
    """ASGI middleware. Every path but health needs a key, as `Authorization: Bearer`, `X-Api-Key`, or Basic password.

    Parameters
    ----------
    keys
        Entries as in RAPPORT_API_KEYS, or a ring of keys.
    hot
        Fast routes by path, for POST; read at each request, so that a worker may fill it when its models are loaded.
    in_flight
        Requests under way at most.
    in_front
        Whether to take the place before the other layers of the server (`serving.front`).
    log
        Takes one JSON line a request.
    """

    def __init__(
        self,
        app: App,
        *,
        keys: Iterable[str] | KeyRing,
        hot: Mapping[str, Answer] | None = None,
        meter: Callable[[], Meter] | None = None,
        in_flight: int = IN_FLIGHT,
        in_front: bool = True,
        log: Callable[[str], None] = logger.info,
    ) -> None:
        self._app = app
        self._keys = keys if isinstance(keys, KeyRing) else KeyRing.of(keys)
        self._hot = hot if hot is not None else {}
        spare = Meter()
        self._meter = meter or (lambda: spare)
        self._in_flight = in_flight
        self._in_front = in_front
        self._under_way, self._ids = 0, RequestIds()
        self._arrivals, self._answers = Arrivals(), TimeLimit(ANSWER_SECONDS)
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan" and self._in_front:
                stand_in_front(self, scope)
            await self._app(scope, receive, send)
            return
        self._under_way += 1
        try:
            if self._under_way > self._in_flight and scope["path"] not in OPEN_PATHS:
                await self._turn_away(scope, send)
            else:
                await self._let_in(scope, receive, send)
        finally:
            self._under_way -= 1

    def answers(self, scope: Scope) -> bool:
        """Whether the app behind is not asked: a fast route, or one request too many."""
        if scope["method"] == "POST" and scope["path"] in self._hot:
            return True
        return self._under_way >= self._in_flight and scope["path"] not in OPEN_PATHS

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        """Refuse a request at the least cost, as there will be many like it: nothing of it is looked at."""
        started, request_id = time.perf_counter(), self._ids.new()
        headers, body = turned_away(request_id)
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._meter().add("rapport_refusals_total", "overloaded")
        self._told(request_id, scope, 503, time.perf_counter() - started)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for which there is room."""
        started, request_id = time.perf_counter(), self._ids.new()
        scope["rapport.request_id"] = request_id
        answer = self._hot.get(scope["path"]) if scope["method"] == "POST" else None
        status = 500
        try:
            if answer is not None:
                status = await self._answer(answer, scope, receive, send)
            else:
                status = await self._pass_on(scope, receive, send)
        finally:
            self._told(request_id, scope, status, time.perf_counter() - started)

    async def _answer(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> int:
        """A fast route, behind the same checks as all others; returns the status."""
        request_id = scope["rapport.request_id"]
        headers = dict(scope["headers"])
        response: bytes | Response | None = self._refusal(scope, headers)
        if response is None:
            try:
                body = await self._arrivals.whole(receive)
            except BodyTooLarge:
                response = too_large(request_id)
            except BodyTooSlow:
                response = too_slow(request_id)
            else:
                response = await self._in_time(answer, headers, body, request_id)
        status, sent, content = found(response, request_id)
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": content})
        return status

    async def _in_time(
        self, answer: Answer, headers: Mapping[bytes, bytes], body: bytes, request_id: str
    ) -> bytes | Response:  # fmt: skip
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        try:
            return await self._answers.within(answer(body, content_type, request_id))
        except TimeoutError:
            return problem("timeout", f"there was no answer within {ANSWER_SECONDS:g} s", request_id=request_id)

    def is_fast(self, target: bytes) -> bool:
        """Whether a POST to this target is for a fast route; one with a query or an escape comes the usual way."""
        return target.decode("latin-1") in self._hot

    def turned_away(self, target: bytes) -> WholeAnswer | None:
        """The refusal of a request to a fast route, if there is no room for it."""
        if self._under_way < self._in_flight:
            return None
        started, request_id = time.perf_counter(), self._ids.new()
        refusal = whole_turned_away(request_id)
        self._meter().add("rapport_refusals_total", "overloaded")
        asked = {"method": "POST", "path": target.decode("latin-1")}
        self._told(request_id, asked, refusal.status, time.perf_counter() - started)
        return refusal

    async def at_once(self, target: bytes, headers: Headers, body: bytes) -> WholeAnswer:
        """The answer to a POST to a fast route that arrived whole, behind the same checks as all others."""
        started, request_id = time.perf_counter(), self._ids.new()
        path, named, status = target.decode("latin-1"), dict(headers), 500
        asked = {"method": "POST", "path": path, "rapport.request_id": request_id}
        self._under_way += 1
        try:
            response = self._refusal(asked, named) or await self._in_time(self._hot[path], named, body, request_id)
            answered = whole(response, request_id)
            status = answered.status
            return answered
        finally:
            self._under_way -= 1
            self._told(request_id, asked, status, time.perf_counter() - started)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Any other route; returns the status."""
        request_id, status = scope["rapport.request_id"], 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update({**SECURITY_HEADERS, "X-Request-Id": request_id})
            await send(message)

        refusal = self._refusal(scope, dict(scope["headers"]))
        if refusal is None and ("\n" in scope["path"] or not scope["path"].startswith("/")):
            refusal = problem("not_found", CODES["not_found"][1], request_id=request_id)
        try:
            await (refusal or self._app)(scope, limited(receive, scope["path"]), send_with_headers)
        except BodyTooLarge:
            if not status:
                await too_large(request_id)(scope, receive, send_with_headers)
        except BodyTooSlow:
            if not status:
                await too_slow(request_id)(scope, receive, send_with_headers)
        return status or 500

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """Why a request is not looked at any further; None if it is."""
        request_id, path = scope["rapport.request_id"], scope["path"]
        if path in OPEN_PATHS:
            return None
        caller = self._keys.caller(sent_key(headers))
        if caller is None:
            return self._refused("key_missing", NO_KEY, request_id)
        return self._refusal_of(caller, scope, headers)

    def _refusal_of(self, caller: Caller, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        request_id, path = scope["rapport.request_id"], scope["path"]
        scope["rapport.key_name"] = caller.name
        if not caller.may(scope["method"], path):
            logger.warning('{"request_id": "%s", "audit": "role_missing", "key": "%s"}', request_id, caller.name)
            return self._refused("role_missing", f"the role {caller.role} does not allow this", request_id)
        if not caller.takes_turn():
            said = "this key asks more often than it may"
            return self._refused("rate_limited", said, request_id, retry_after_s=caller.next_turn_s())
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return problem("unsupported_media_type", "send the body as it is, without Content-Encoding", request_id=request_id)
        length = headers.get(b"content-length", b"0")[:16]
        return too_large(request_id) if length.isdigit() and int(length) > BODY_LIMITS.get(path, BODY_LIMIT) else None

    def _refused(self, code: str, detail: str, request_id: str, *, retry_after_s: int = RETRY_AFTER_S) -> Response:
        self._meter().add("rapport_refusals_total", code)
        return problem(code, detail, request_id=request_id, retry_after_s=retry_after_s)

    def _told(self, request_id: str, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that has been answered, and log it."""
        method, path, meter = scope["method"], scope["path"], self._meter()
        route = ROUTE_OF.get(path) or route_of(path) or "other"
        meter.add("rapport_requests_total", route, CLASSES[min(5, max(2, status // 100)) - 2])
        meter.observe("rapport_request_seconds", route, value=seconds)
        asked = _ASKED.get((method, path)) or _asked(method, path)
        self._log(f'{{"request_id": "{request_id}", {asked}, "status": {status}, "ms": {seconds * 1000:.2f}}}')


def too_large(request_id: str) -> Response:
    """The answer to a body above the limit."""
    return problem(
        "too_large",
        f"a body may have {BODY_LIMIT} bytes, a file of members {BODY_LIMITS[UPLOADS]}",
        request_id=request_id,
    )


def too_slow(request_id: str) -> Response:
    """The answer to a body that does not come."""
    return problem("body_timeout", f"the body did not arrive within {BODY_SECONDS:g} s", request_id=request_id)


def sent_key(headers: Mapping[bytes, bytes]) -> bytes:
    """The key a request carries, as the bytes that were sent; empty if none."""
    sent = headers.get(b"authorization")
    if sent is None:
        return headers.get(b"x-api-key", b"")
    scheme, _, value = sent.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except ValueError:  # no Base64, or not even ASCII
            return b""
    return headers.get(b"x-api-key", b"")


def _asked(method: str, path: str) -> str:
    """What a log line says of a request: of what the client sent the method alone; paths of ours are named, others are not."""
    known = path if path in LOGGED_PATHS else template_of(path) or "other"
    told = method if method.isascii() and method.isalpha() and len(method) < 16 else "other"
    return f'"method": "{told}", "path": "{known}"'


_ASKED = {(method, path): _asked(method, path) for method in ("GET", "POST") for path in LOGGED_PATHS}
"""Those that come most often."""
