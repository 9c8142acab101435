"""Errors as RFC 9457 problem documents: one place where an exception becomes a status, a code and a text without values."""

import http
import json
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from features.errors import RapportError

RETRY_AFTER_S = 1
CODES = {
    "malformed_json": (400, "the body is no JSON object as RFC 8259 has it, or has a name twice in one object"),
    "key_missing": (401, "no API key was sent, or none that is known"),
    "role_missing": (403, "the role of this key does not allow the request"),
    "not_found": (404, "there is nothing under this path"),
    "unknown_job": (404, "there is no such job or file, or it was removed after its time"),
    "unknown_member": (404, "the store knows no member of this id"),
    "method_not_allowed": (405, "this path has other methods"),
    "idempotency_conflict": (409, "this Idempotency-Key came before with another request"),
    "event_conflict": (409, "the member has another event of this id"),
    "job_not_done": (409, "the job has not ended yet, or has failed: it has no files"),
    "cursor_outdated": (409, "tags were published since the page before; begin again"),
    "too_large": (413, "the body, a list in it or a text of an event is above the limit"),
    "unsupported_media_type": (415, "the content type is not the one that this path takes, or the body is compressed"),
    "invalid_request": (422, "a field is missing, unknown, of another type or out of range"),
    "audience_unreadable": (422, "an audience expression breaks the grammar or names what does not exist; `errors` say where"),
    "audience_needs_features": (422, "an audience expression compares features, which only jobs do"),
    "body_timeout": (408, "the body did not arrive in time"),
    "rate_limited": (429, "this key asks more often than it may"),
    "stream_full": (429, "as many events wait, or as much memory is used, as the online store can bear"),
    "internal": (500, "a fault of ours; the log has it under the request id"),
    "overloaded": (503, "the server has as many requests under way as it can answer in time"),
    "store_unavailable": (503, "Redis does not answer"),
    "nothing_published": (503, "Redis answers, but holds no features"),
    "contract_mismatch": (503, "store and server were made from different feature declarations"),
    "configuration": (503, "a setting of the server does not fit the store"),
    "corrupt_record": (503, "what Redis holds is not what Rapport wrote"),
    "bundle_refused": (503, "a model's files failed their check"),
    "rules_refused": (503, "the rules file of this placement cannot be used"),
    "timeout": (504, "there was no answer in time"),
    "model_missing": (503, "no champion is registered"),
    "model_not_found": (404, "the version that `model` names is not registered"),
    "model_loading": (503, "the version that `model` names is being loaded"),
}
"""Every code a client can meet, with its status and meaning."""


class ApiError(Exception):
    """A request that cannot be answered. `errors` point at fields and say what is wrong, never what was sent."""

    def __init__(self, code: str, detail: str, *, errors: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = list(errors)


def problem(
    code: str,
    detail: str,
    *,
    request_id: str,
    errors: Sequence[dict[str, str]] = (),
    retry_after_s: int = RETRY_AFTER_S,
) -> Response:
    """The response for a code; 503 and 429 say when to try again, 401 how to send a key."""
    status = CODES[code][0]
    document = {
        "type": f"urn:rapport:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": f"urn:rapport:request:{request_id}",
        "errors": list(errors),
    }
    headers = {"Cache-Control": "no-store"}
    if status in {http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.TOO_MANY_REQUESTS}:
        headers["Retry-After"] = str(retry_after_s)
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="Rapport: any user name, an API key as password", charset="UTF-8"'
    return Response(json.dumps(document), status, headers, "application/problem+json")


def answer_json(content: dict[str, Any], status: int = 200) -> Response:
    """An answer as JSON that nobody keeps."""
    body = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


def new_app(routes: Sequence[BaseRoute] = ()) -> Starlette:
    """An app with these routes that answers unknown paths and methods with problem documents, and redirects nothing."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})
    app.router.redirect_slashes = False
    return app


async def _http_problem(request: Request, error: Exception) -> Response:
    known = isinstance(error, HTTPException) and error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed" if known else "not_found"
    response = problem(code, CODES[code][1], request_id=request.scope["rapport.request_id"])
    response.headers.update((isinstance(error, HTTPException) and error.headers) or {})
    return response


def of_rapport_error(error: RapportError) -> tuple[str, str]:
    """Code and text for one of our errors; what to do about it is for the operator, so it is in the text."""
    code = error.code if error.code in CODES else "internal"
    if code == "internal":
        return code, "the server could not answer"
    return code, f"{error} ({error.remedy})" if error.remedy else str(error)
