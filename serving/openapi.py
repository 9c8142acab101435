"""The OpenAPI document, made from the schemas and the list of problem codes, so that it cannot drift from either."""

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import openapi_office, openapi_words
from serving.list_schemas import (
    STEP_MEANING,
    CashierRequest,
    CashierResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarRequest,
    SimilarResponse,
)
from serving.problems import CODES
from serving.schemas import REASON_MEANING, STATUS_MEANING, Problem
from serving.score_schemas import FALLBACK_MEANING, ScoreRequest, ScoreResponse
from serving.version import rapport_version

REF = "#/components/schemas/{model}"
DESCRIPTION = """Scores and recommendation lists for a retailer's members.

Send an API key with every request: `Authorization: Bearer <key>`, or `X-Api-Key: <key>`, or as the password of HTTP
Basic (any user name), which is what this page uses.

A request for many members is answered row by row, in the order asked for; one member's trouble never fails the others.

Errors are problem documents (RFC 9457): act on `code`, which does not change.
"""
TABLES = {
    "status": STATUS_MEANING,
    "reason": REASON_MEANING,
    "fallback of a score": FALLBACK_MEANING,
    "fallback of a list": STEP_MEANING,
}


def document() -> dict[str, Any]:
    """The whole OpenAPI 3.1 document."""
    models: tuple[type[BaseModel], ...] = (
        ScoreRequest, ScoreResponse, RecommendRequest, RecommendResponse, SimilarRequest, SimilarResponse,
        CashierRequest, CashierResponse, Problem, *openapi_office.MODELS,
    )  # fmt: skip
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Rapport",
            "version": rapport_version(),
            "description": "\n".join([DESCRIPTION, *(_table(name, meanings) for name, meanings in TABLES.items()), _codes()]),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"header": []}, {"basic": []}],
        "paths": {
            "/v1/score": {"post": _post("score", "Risk of leaving and tier to come", ScoreRequest, ScoreResponse)},
            "/v1/recommend": {"post": _post("recommend", "What to offer next", RecommendRequest, RecommendResponse)},
            "/v1/similar": {"post": _post("similar", "What goes with some items", SimilarRequest, SimilarResponse)},
            "/v1/cashier": {"post": _post("cashier", "What is worth saying at the till", CashierRequest, CashierResponse)},
            **openapi_office.paths(),
            "/health/live": {"get": _health("live", "The process runs", (200,))},
            "/health/ready": {"get": _health("ready", "Models are loaded and features are published", (200, 503))},
        },
        "components": {
            "schemas": {**definitions["$defs"], **openapi_office.event_components()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }
    openapi_words.explain_fields(made["components"]["schemas"])
    openapi_words.complete_operations(made["paths"])
    return made


def as_json() -> str:
    """The document as text, as it is served and kept in docs/openapi.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _post(name: str, summary: str, request: type[BaseModel], response: type[BaseModel]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": _content(request)}},
        "responses": {
            "200": {"description": "one row a member", "content": {"application/json": _content(response)}},
            **_problems(),
        },
    }


def _health(name: str, summary: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "additionalProperties": True,
        "required": ["status"],
        "properties": {"status": {"type": "string"}},
    }
    meanings = {200: "yes", 503: "no; the body says why"}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            str(status): {"description": meanings[status], "content": {"application/json": {"schema": schema}}}
            for status in statuses
        },
    }


def _problems() -> dict[str, Any]:
    """One response a status, naming the codes that come with it."""
    codes = {code: found for code, found in CODES.items() if code not in openapi_office.ONLY_HERE}
    statuses = sorted({status for status, _ in codes.values()} - {405})
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {meaning}" for code, (s, meaning) in codes.items() if s == status),
            "content": {"application/problem+json": _content(Problem)},
        }
        for status in statuses
    }


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REF.format(model=model.__name__)}}


def _codes() -> str:
    rows = (f"| `{code}` | {meaning} | {status} |" for code, (status, meaning) in CODES.items())
    return "\n".join(["| code | meaning | status |", "|---|---|---|", *rows]) + "\n"


def _table(name: str, meanings: dict[str, str]) -> str:
    return (
        "\n".join([f"| {name} | meaning |", "|---|---|", *(f"| `{key}` | {text} |" for key, text in meanings.items())]) + "\n"
    )
