"""The HTTP routes as a plain ASGI app: parse, call, answer. What decides anything stands in scoring and recommending."""

import json
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.contract import CONTRACT, CONTRACT_HASH
from features.errors import NothingPublished, RapportError, StoreUnavailable
from features.online_store import RedisReader
from features.settings import Settings
from features.stamp import Stamp
from serving import openapi
from serving.auth import BodyTooLarge, too_large
from serving.bundle import ModelSet
from serving.health import readiness
from serving.office import Office
from serving.parsing import parse
from serving.problems import ApiError, new_app, of_rapport_error, problem
from serving.recommending import popular_for_everyone, popular_items, recommend_members
from serving.schemas import RecommendRequest, ScoreRequest
from serving.scoring import ScoringContext, score_members

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
    """What answers requests: models, store and settings of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models = ModelSet.load(settings.mlruns_dir)
        self._popular = popular_items(self._models)
        self._reader = RedisReader(settings.redis_url, prefix=settings.key_prefix, timeout_ms=settings.redis_timeout_ms)
        self._stale_after_s = settings.max_staleness_h * 3600.0
        self._office = Office(settings, lambda: self._models)

    def app(self) -> Starlette:
        """The routes."""
        return new_app(
            [
                Route("/v1/score", _answering(self.score), methods=["POST"]),
                Route("/v1/recommend", _answering(self.recommend), methods=["POST"]),
                *self._office.routes(_answering),
                Route("/health/live", _answering(self.live)),
                Route("/health/ready", _answering(self.ready)),
                Route("/", _home),
                Route("/docs", _docs),
                Route("/docs.js", _docs_script),
                Route("/openapi.json", _openapi),
                Mount("/static", StaticFiles(directory=_swagger_files())),
            ]
        )

    async def score(self, request: Request) -> Response:
        """POST /v1/score."""
        asked = parse(await request.body(), request.headers.get("content-type", ""), ScoreRequest)
        stamp, values = await self._reader.read(asked.member_ids)
        if stamp is None:
            raise NothingPublished("no features were published to the online store", remedy='run "rapport publish"')
        moment = self._settings.clock()
        context = ScoringContext(CONTRACT, self._models, moment, self._stale_after_s)
        rows = score_members(context, asked.member_ids, stamp, values)
        return _json({"passport": self._passport(request, ("churn", "tier"), context, stamp), "rows": rows})

    async def recommend(self, request: Request) -> Response:
        """POST /v1/recommend."""
        asked = parse(await request.body(), request.headers.get("content-type", ""), RecommendRequest)
        moment, exclude = self._settings.clock(), frozenset(asked.exclude)
        try:
            lists = await self._reader.read_lists(asked.member_ids)
        except StoreUnavailable:
            rows = popular_for_everyone(asked.member_ids, popular=self._popular, k=asked.k, exclude=exclude)
        else:
            rows = recommend_members(
                asked.member_ids,
                lists,
                popular=self._popular,
                k=asked.k,
                exclude=exclude,
                moment=moment,
                stale_after_s=self._stale_after_s,
            )
        context = ScoringContext(CONTRACT, self._models, moment, self._stale_after_s)
        return _json({"passport": self._passport(request, ("recommender",), context, None), "rows": rows})

    async def live(self, request: Request) -> Response:
        """GET /health/live."""
        return _json({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """GET /health/ready."""
        found = await readiness(self._models, self._reader, moment=self._settings.clock(), stale_after_s=self._stale_after_s)
        return _json({"status": "ready" if found.ready else "not_ready", **found.checks}, 200 if found.ready else 503)

    def _passport(
        self, request: Request, names: tuple[str, ...], context: ScoringContext, stamp: Stamp | None
    ) -> dict[str, Any]:
        predictors = {
            "churn": context.models.churn,
            "tier": context.models.tier,
            "recommender": context.models.recommender,
        }
        models = {}
        for name in names:
            predictor, registered = predictors[name], context.models.registered.get(name)
            if predictor is not None and registered is not None:
                models[name] = {
                    "name": registered.name,
                    "version": registered.version,
                    "alias": "champion",
                    "engine": predictor.manifest.engine,
                    "definition": predictor.manifest.definition,
                }
        age = (context.moment - stamp.as_of_moment).total_seconds() if stamp is not None else None
        return {
            "decision_id": request.scope["rapport.request_id"],
            "moment": context.moment.isoformat(),
            "contract_hash": CONTRACT_HASH,
            "models": models,
            "features_as_of": stamp.as_of if stamp is not None else None,
            "features_age_seconds": None if age is None else max(0, int(age)),
        }


def _answering(handler: Handler) -> Handler:
    """The handler with every error turned into a problem document: the one edge where all are caught.

    A mounted app that raises would leave the client waiting for the server's own timeout.
    """

    async def answer(request: Request) -> Response:
        request_id = request.scope["rapport.request_id"]
        try:
            return await handler(request)
        except ApiError as error:
            return problem(error.code, error.detail, request_id=request_id, errors=error.errors)
        except RapportError as error:
            code, detail = of_rapport_error(error)
            return problem(code, detail, request_id=request_id)
        except BodyTooLarge:
            return too_large(request_id)
        except Exception:  # the named edge: nothing may pass it
            logger.exception("request %s failed", request_id)
            return problem("internal", "the server could not answer", request_id=request_id)

    return answer


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
