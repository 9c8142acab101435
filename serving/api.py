"""The HTTP routes as a plain ASGI app: parse, call, answer. What decides anything stands in scoring and recommending."""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.errors import RapportError, StoreUnavailable
from features.online_reader import RedisReader
from features.settings import Settings
from serving import openapi
from serving.auth import Answer, too_large, too_slow
from serving.batch import NO_DEADLINE
from serving.bodies import BodyTooLarge, BodyTooSlow
from serving.engine import Engine
from serving.event_routes import EventRoutes
from serving.health import readiness
from serving.list_reading import ListReader
from serving.list_routes import ListRoutes
from serving.metrics import Meter
from serving.office import Office
from serving.passports import PassportPrinter, list_passport
from serving.problems import ApiError, new_app, of_rapport_error, problem
from serving.reading import GuardedReader
from serving.score_parsing import parse_score
from serving.scoring import default_outputs
from serving.stream_gauges import gauges_text
from serving.trials import Trials
from serving.triggers.gauges import trigger_text
from serving.watch import ModelWatch
from training.registry import CHAMPION

logger = logging.getLogger("rapport")
Handler = Callable[[Request], Awaitable[Response]]
DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rapport API</title>
<link rel="stylesheet" href="/static/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/static/swagger-ui-bundle.js"></script>
<script src="/docs.js"></script>
</body>
</html>
"""
DOCS_SCRIPT = """window.onload = () => SwaggerUIBundle({
  url: location.origin + "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, presets: [SwaggerUIBundle.presets.apis],
});
"""


class Api:
    """What answers requests: models, store and settings of one worker.

    Parameters
    ----------
    trials
        What champions have to pass before they are loaded, at the start as well; without it they are loaded at once.
    """

    def __init__(self, settings: Settings, *, meter: Meter | None = None, trials: Trials | None = None) -> None:
        self.meter = meter or Meter()
        self._settings = settings
        self._watch = ModelWatch(settings.mlruns_dir, trials=trials, meter=self.meter)
        self._reader = RedisReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        self._stale_after_s = settings.max_staleness_h * 3600.0
        self._guarded = GuardedReader(self._reader, meter=self.meter)
        self._engine = Engine(self._guarded, settings.clock, stale_after_s=self._stale_after_s, meter=self.meter)
        self._passports = PassportPrinter()
        if settings.shadow:
            self._engine.shadow = lambda: self._watch.lineup.challengers.get("churn")
        reader = ListReader(self._reader, self._guarded.guarded)
        self._lists = ListRoutes(settings, reader, lambda: self._watch.champions, list_passport, meter=self.meter)
        self._events = EventRoutes(settings, self.meter)
        self._office = Office(settings, lambda: self._watch.champions)

    def app(self) -> Starlette:
        """The routes."""
        return new_app(
            [
                Route("/v1/score", _answering(_by_http(self.score)), methods=["POST"]),
                Route("/v1/recommend", _answering(_by_http(self.recommend)), methods=["POST"]),
                Route("/v1/similar", _answering(_as_json(self._lists.similar)), methods=["POST"]),
                Route("/v1/cashier", _answering(_as_json(self._lists.cashier)), methods=["POST"]),
                Route("/v1/events", _answering(self._events.accept), methods=["POST"]),
                *self._office.routes(_answering),
                Route("/metrics", _answering(self.metrics)),
                Route("/health/live", _answering(self.live)),
                Route("/health/ready", _answering(self.ready)),
                Route("/", _home),
                Route("/docs", _docs),
                Route("/docs.js", _docs_script),
                Route("/openapi.json", _openapi),
                Mount("/static", StaticFiles(directory=_swagger_files())),
            ]
        )

    @property
    def hot(self) -> dict[str, Answer]:
        """Routes that the guard answers itself, by path; POST only."""
        return {"/v1/score": _caught(self.score), "/v1/recommend": _caught(self.recommend)}

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: of all workers together, and of the stream's as they left it in the store."""
        try:
            tally, parity, triggers = await self._guarded.guarded(self._reader.read_stream())
            stream = gauges_text(tally, parity) + trigger_text(triggers)
        except StoreUnavailable:
            stream = ""
        return Response(
            self.meter.text() + stream, 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4; charset=utf-8"
        )

    async def score(self, body: bytes, content_type: str, request_id: str) -> bytes:
        """POST /v1/score, without HTTP: a body in, a body out."""
        asked = parse_score(body, content_type)
        limit = NO_DEADLINE if asked.deadline_ms is None else time.monotonic() + asked.deadline_ms / 1000
        if asked.model == CHAMPION and self._settings.canary:
            models = self._watch.models_by_chance(request_id, self._settings.canary)
        else:
            models = self._watch.models_for(asked.model)
        reply = await self._engine.score(asked, models, deadline=limit)
        outputs = tuple(asked.outputs) if asked.outputs is not None else default_outputs(models)
        return self._passports.answer(reply, models, outputs, request_id=request_id)

    async def recommend(self, body: bytes, content_type: str, request_id: str) -> bytes:
        """POST /v1/recommend, without HTTP: a body in, a body out."""
        return await self._lists.recommend(body, content_type, request_id)

    async def live(self, request: Request) -> Response:
        """GET /health/live."""
        return _json({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """GET /health/ready."""
        await self._guarded.refresh_priors()
        lineup, moment = self._watch.lineup, self._settings.clock()
        found = await readiness(
            lineup.champions, self._reader, moment=moment, stale_after_s=self._stale_after_s, refused=lineup.refused
        )
        if self._settings.drain_file.exists():
            return _json({"status": "draining", **found.checks}, 503)
        return _json({"status": "ready" if found.ready else "not_ready", **found.checks}, 200 if found.ready else 503)

    async def watch_models(self) -> None:
        """Look after the registry as long as the worker lives."""
        await self._watch.run()

    async def close(self) -> None:
        """Let what is under way end, and give the connections back."""
        await self._engine.close()
        await self._lists.close()
        await self._events.close()
        await self._guarded.close()
        await self._reader.close()
        self._office.close()


def _by_http(answer: Callable[[bytes, str, str], Awaitable[bytes]]) -> Handler:
    """A handler of requests from what takes a body, its content type and the request's id, and gives a body."""

    async def handler(request: Request) -> Response:
        request_id = request.scope["rapport.request_id"]
        body = await answer(await request.body(), request.headers.get("content-type", ""), request_id)
        return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")

    return handler


def _answering(handler: Handler) -> Handler:
    """The handler with every error turned into a problem document.

    A mounted app that raises would leave the client waiting for the server's own timeout.
    """

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 # the named edge: nothing may pass it
            return _problem_of(error, request.scope["rapport.request_id"])

    return answer


def _caught(answer: Callable[[bytes, str, str], Awaitable[bytes]]) -> Answer:
    """The same edge for a fast route."""

    async def caught(body: bytes, content_type: str, request_id: str) -> bytes | Response:
        try:
            return await answer(body, content_type, request_id)
        except Exception as error:  # noqa: BLE001 # the named edge: nothing may pass it
            return _problem_of(error, request_id)

    return caught


def _problem_of(error: Exception, request_id: str) -> Response:
    """What a client is told of an error: one place where exceptions become problem documents."""
    if isinstance(error, ApiError):
        return problem(error.code, error.detail, request_id=request_id, errors=error.errors)
    if isinstance(error, RapportError):
        code, detail = of_rapport_error(error)
        return problem(code, detail, request_id=request_id)
    if isinstance(error, BodyTooLarge):
        return too_large(request_id)
    if isinstance(error, BodyTooSlow):
        return too_slow(request_id)
    logger.error("request %s failed", request_id, exc_info=error)
    return problem("internal", "the server could not answer", request_id=request_id)


def _as_json(answer: Callable[[Request], Awaitable[dict[str, Any]]]) -> Handler:
    """A handler of what answers with a value."""

    async def handler(request: Request) -> Response:
        body = msgspec.json.encode(await answer(request))
        return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")

    return handler


def _json(content: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


async def _home(request: Request) -> Response:
    return RedirectResponse("/docs")


async def _docs(request: Request) -> Response:
    return Response(DOCS_PAGE, media_type="text/html")


async def _docs_script(request: Request) -> Response:
    return Response(DOCS_SCRIPT, media_type="text/javascript")


async def _openapi(request: Request) -> Response:
    return Response(openapi.as_json(), media_type="application/json")


def _swagger_files() -> Path:
    """Swagger UI as BentoML ships it. Its own page is not used: it reports to Google Tag Manager."""
    return Path(str(files("bentoml"))) / "_internal" / "server" / "static_content"
