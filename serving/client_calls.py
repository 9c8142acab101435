"""What the client can ask, as data: one function a call, which both the blocking and the asynchronous client send."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from serving.event_schemas import EventsResponse
from serving.list_schemas import CashierResponse, RecommendResponse, SimilarResponse
from serving.schemas import MAX_MEMBERS
from serving.schemas_jobs import JobList, JobView, UploadReceipt
from serving.schemas_members import AudienceResponse, ErasureReceipt, MemberView, ModelsResponse
from serving.score_schemas import ScoreResponse

R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One request and how its answer is read. All of them may be sent twice without harm."""

    method: str
    path: str
    read: Callable[[bytes], R]
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def reading(model: type[M]) -> Callable[[bytes], M]:
    """What reads an answer as a schema; fields that a newer server adds are passed over."""
    return lambda body: model.model_validate_json(body, extra="ignore")


def score(member_ids: Sequence[str], **more: Any) -> Call[ScoreResponse]:
    """POST /v1/score."""
    return Call("POST", "/v1/score", reading(ScoreResponse), {"member_ids": list(member_ids), **more})


def recommend(member_ids: Sequence[str], **more: Any) -> Call[RecommendResponse]:
    """POST /v1/recommend."""
    return Call("POST", "/v1/recommend", reading(RecommendResponse), {"member_ids": list(member_ids), **more})


def similar(item_ids: Sequence[str], **more: Any) -> Call[SimilarResponse]:
    """POST /v1/similar."""
    return Call("POST", "/v1/similar", reading(SimilarResponse), {"item_ids": list(item_ids), **more})


def cashier(member_id: str, basket: Sequence[str], **more: Any) -> Call[CashierResponse]:
    """POST /v1/cashier."""
    return Call("POST", "/v1/cashier", reading(CashierResponse), {"member_id": member_id, "basket": list(basket), **more})


def events(sent: Sequence[Mapping[str, Any]], *, key: str | None) -> Call[EventsResponse]:
    """POST /v1/events. Sent again it does no harm, as each event has an id."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return Call("POST", "/v1/events", reading(EventsResponse), {"events": list(sent)}, headers=headers)


def member(member_id: str) -> Call[MemberView]:
    """GET /v1/members/{member_id}."""
    return Call("GET", f"/v1/members/{quote(member_id, safe='')}", reading(MemberView))


def erase(member_id: str) -> Call[ErasureReceipt]:
    """DELETE /v1/members/{member_id}."""
    return Call("DELETE", f"/v1/members/{quote(member_id, safe='')}", reading(ErasureReceipt))


def audience(expression: str, *, limit: int, cursor: str | None, include_opted_out: bool) -> Call[AudienceResponse]:
    """POST /v1/audience."""
    body = {"expression": expression, "limit": limit, "cursor": cursor, "include_opted_out": include_opted_out}
    return Call("POST", "/v1/audience", reading(AudienceResponse), body)


def models() -> Call[ModelsResponse]:
    """GET /v1/models."""
    return Call("GET", "/v1/models", reading(ModelsResponse))


def upload(content: bytes) -> Call[UploadReceipt]:
    """POST /v1/jobs/uploads."""
    return Call("POST", "/v1/jobs/uploads", reading(UploadReceipt), content=content, headers={"Content-Type": "text/csv"})


def job(members: Mapping[str, Any], *, outputs: Sequence[str], form: str, k: int, key: str | None) -> Call[JobView]:
    """POST /v1/jobs. Without a key of the caller's own one is made, so that sending it again makes no second job."""
    body = {"members": dict(members), "outputs": list(outputs), "format": form, "k": k}
    headers = {"Idempotency-Key": key or secrets.token_urlsafe(24)}
    return Call("POST", "/v1/jobs", reading(JobView), body, headers=headers)


def job_view(job_id: str) -> Call[JobView]:
    """GET /v1/jobs/{job_id}."""
    return Call("GET", f"/v1/jobs/{quote(job_id, safe='')}", reading(JobView))


def jobs() -> Call[JobList]:
    """GET /v1/jobs."""
    return Call("GET", "/v1/jobs", reading(JobList))


def job_cancel(job_id: str) -> Call[JobView]:
    """DELETE /v1/jobs/{job_id}."""
    return Call("DELETE", f"/v1/jobs/{quote(job_id, safe='')}", reading(JobView))


def file_path(job_id: str, name: str) -> str:
    """Path of a job's file."""
    return f"/v1/jobs/{quote(job_id, safe='')}/files/{quote(name, safe='')}"


def pages(member_ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in as many as one request may have."""
    ids = iter(member_ids)
    while page := list(islice(ids, MAX_MEMBERS)):
        yield page
