"""The part of the OpenAPI document about events, members, audiences, jobs and models."""

from typing import Any

import msgspec
from pydantic import BaseModel

from serving.event_schemas import EXAMPLES, MOST_EVENTS, SENT, EventsResponse
from serving.problems import CODES
from serving.schemas_jobs import JOB_ID, JobList, JobRequest, JobView, UploadReceipt
from serving.schemas_members import AudienceRequest, AudienceResponse, ErasureReceipt, MemberView, ModelsResponse

MODELS: tuple[type[BaseModel], ...] = (
    MemberView, ErasureReceipt, AudienceRequest, AudienceResponse, JobRequest, JobView, JobList, UploadReceipt, ModelsResponse,
    EventsResponse,
)  # fmt: skip
ONLY_HERE: dict[str, frozenset[str]] = {
    "unknown_member": frozenset({"member_view"}),
    "unknown_job": frozenset({"job_view", "job_cancel", "job_file"}),
    "job_not_done": frozenset({"job_file"}),
    "idempotency_conflict": frozenset({"job_create", "events"}),
    "event_conflict": frozenset({"events"}),
    "stream_full": frozenset({"events"}),
    "cursor_outdated": frozenset({"audience"}),
    "audience_unreadable": frozenset({"audience"}),
    "audience_needs_features": frozenset({"audience"}),
}
"""Codes that only these operations answer with; the others may come from any."""
_ALWAYS = (401, 403, 429, 500, 503)
_BODY = (400, 408, 413, 415, 422)
_REF = "#/components/schemas/{model}"


def paths() -> dict[str, Any]:
    """The paths of these routes."""
    return {
        "/v1/events": {"post": _events()},
        "/v1/members/{member_id}": {"get": _member_view(), "delete": _member_erase()},
        "/v1/audience": {"post": _audience()},
        "/v1/jobs": {"get": _operation("job_list", "The jobs there are", JobList, 200, ()), "post": _job_create()},
        "/v1/jobs/uploads": {"post": _upload()},
        "/v1/jobs/{job_id}": {"get": _job_view(), "delete": _job_cancel()},
        "/v1/jobs/{job_id}/files/{name}": {"get": _job_file()},
        "/v1/models": {"get": _operation("models", "What models there are and which serve", ModelsResponse, 200, ())},
    }


def event_components() -> dict[str, Any]:
    """Schemas of what is sent, from the types that read it."""
    _, found = msgspec.json.schema_components(SENT, ref_template="#/components/schemas/{name}")
    return found


def _events() -> dict[str, Any]:
    operation = _operation("events", "Events of members and visitors into the streams", EventsResponse, 202, (*_BODY, 409))
    answer = operation["responses"]["202"]
    operation["responses"] = {"202": answer, "207": answer, **operation["responses"]}
    event = {"anyOf": [{"$ref": _REF.format(model=kind.__name__)} for kind in SENT]}
    batch = {
        "type": "object",
        "additionalProperties": False,
        "required": ["events"],
        "properties": {"events": {"type": "array", "minItems": 1, "maxItems": MOST_EVENTS, "items": event}},
    }
    examples = {name: {"value": value} for name, value in EXAMPLES.items()}
    content = {"application/json": {"schema": {"anyOf": [*event["anyOf"], batch]}, "examples": examples}}
    key = _idempotency_key("the same key with another request within a day is refused")
    return {**operation, "parameters": [key], "requestBody": {"required": True, "content": content}}


def _member_view() -> dict[str, Any]:
    operation = _operation("member_view", "What is known and said of one member", MemberView, 200, (404, 422))
    return {**operation, "parameters": [_parameter("member_id", "the member's id")]}


def _member_erase() -> dict[str, Any]:
    summary = "Erase a member: from the store at once, from files within a day"
    operation = _operation("member_erase", summary, ErasureReceipt, 202, (422,))
    operation["responses"]["404"] = _problem("`not_found`: an id with a line feed is under no path")
    return {**operation, "parameters": [_parameter("member_id", "the member's id")]}


def _audience() -> dict[str, Any]:
    operation = _operation("audience", "Choose members by tags", AudienceResponse, 200, (*_BODY, 409))
    return {**operation, "requestBody": _body(AudienceRequest)}


def _job_create() -> dict[str, Any]:
    operation = _operation("job_create", "Scores and lists of many members into files", JobView, 202, (*_BODY, 409))
    key = _idempotency_key("the same key with the same request is the same job, however often it is sent")
    return {**operation, "parameters": [key], "requestBody": _body(JobRequest)}


def _idempotency_key(description: str) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    }


def _upload() -> dict[str, Any]:
    operation = _operation("job_upload", "Send a file of members for a job", UploadReceipt, 201, (408, 413, 415, 422))
    content = {kind: {"schema": {"type": "string"}, "example": "member_id\n1\n1001\n"} for kind in ("text/csv", "text/plain")}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _job_view() -> dict[str, Any]:
    operation = _operation("job_view", "How a job stands, and what it left", JobView, 200, (404,))
    return {**operation, "parameters": [_parameter("job_id", "id of the job", JOB_ID)]}


def _job_cancel() -> dict[str, Any]:
    operation = _operation("job_cancel", "End a job, or remove the files of one that has ended", JobView, 200, (404,))
    return {**operation, "parameters": [_parameter("job_id", "id of the job", JOB_ID)]}


def _job_file() -> dict[str, Any]:
    kinds = ("text/csv", "application/vnd.apache.parquet")
    whole = {"description": "the file", "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}
    part = {**whole, "description": "a part of the file, for a request with Range"}
    names = _parameter("name", "name of a file in the job's manifest", r"^(scores|lists)\.(csv|parquet)$")
    return {
        "operationId": "job_file",
        "summary": "One file of a job that is done",
        "parameters": [_parameter("job_id", "id of the job", JOB_ID), names],
        "responses": {"200": whole, "206": part, **_problems("job_file", (*_ALWAYS, 404, 409))},
    }


def _operation(name: str, summary: str, response: type[BaseModel], status: int, statuses: tuple[int, ...]) -> dict[str, Any]:
    answer = {"description": (response.__doc__ or "").partition("\n")[0], "content": {"application/json": _schema(response)}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): answer, **_problems(name, (*_ALWAYS, *statuses))},
    }


def _problems(name: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    """One response a status, naming the codes by which this operation answers with it."""
    found: dict[str, Any] = {}
    for status in sorted(statuses):
        codes = [code for code, (of, _) in CODES.items() if of == status and name in ONLY_HERE.get(code, {name})]
        codes = [code for code in codes if code not in {"not_found", "method_not_allowed"}]
        found[str(status)] = _problem("; ".join(f"`{code}`: {CODES[code][1]}" for code in codes))
    return found


def _problem(said: str) -> dict[str, Any]:
    return {"description": said, "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}}


def _parameter(name: str, description: str, pattern: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 128}
    if pattern is not None:
        schema["pattern"] = pattern
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": _schema(model)}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
