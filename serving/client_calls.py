"""What the client can ask, as data: one function a call, each a method of both the blocking and the asynchronous client."""

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

UPLOAD_TIMEOUT_S = 60.0
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One request and how its answer is read. All of them may be sent twice without harm.

    Attributes
    ----------
    timeout_s
        Longest wait for each step; None: the client's own.
    """

    method: str
    path: str
    read: Callable[[bytes], R]
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


def reading(model: type[M]) -> Callable[[bytes], M]:
    """What reads an answer as a schema; fields that a newer server adds are passed over."""
    return lambda body: model.model_validate_json(body, extra="ignore")


def score(member_ids: Sequence[str], **more: Any) -> Call[ScoreResponse]:
    """POST /v1/score: scores of up to 1,000 members; `more` are fields of the request, such as explain="top_k"."""
    return Call("POST", "/v1/score", reading(ScoreResponse), {"member_ids": list(member_ids), **more})


def recommend(member_ids: Sequence[str], *, k: int = 10, **more: Any) -> Call[RecommendResponse]:
    """POST /v1/recommend: lists of up to 1,000 members."""
    return Call("POST", "/v1/recommend", reading(RecommendResponse), {"member_ids": list(member_ids), "k": k, **more})


def similar(item_ids: Sequence[str], *, k: int = 10, **more: Any) -> Call[SimilarResponse]:
    """POST /v1/similar: what goes with all of these items together."""
    return Call("POST", "/v1/similar", reading(SimilarResponse), {"item_ids": list(item_ids), "k": k, **more})


def cashier(member_id: str, basket: Sequence[str] = (), **more: Any) -> Call[CashierResponse]:
    """POST /v1/cashier: what is worth saying to a member at the till."""
    return Call("POST", "/v1/cashier", reading(CashierResponse), {"member_id": member_id, "basket": list(basket), **more})


def events(events: Sequence[Mapping[str, Any]], *, key: str | None = None) -> Call[EventsResponse]:
    """POST /v1/events: up to 500; look at the rows, as some may have been refused while others were taken.

    Sent again it does no harm, as each event has an id. `key` is your own name for these: other events under it are a Conflict.
    """
    headers = {} if key is None else {"Idempotency-Key": key}
    return Call("POST", "/v1/events", reading(EventsResponse), {"events": list(events)}, headers=headers)


def member(member_id: str) -> Call[MemberView]:
    """GET /v1/members/{member_id}: what is known and said of a member."""
    return Call("GET", f"/v1/members/{quote(member_id, safe='')}", reading(MemberView))


def erase(member_id: str) -> Call[ErasureReceipt]:
    """DELETE /v1/members/{member_id}: erase a member; sent again it is the same receipt."""
    return Call("DELETE", f"/v1/members/{quote(member_id, safe='')}", reading(ErasureReceipt))


def audience(
    expression: str, *, limit: int = 1000, cursor: str | None = None, include_opted_out: bool = False
) -> Call[AudienceResponse]:
    """POST /v1/audience: one page of an audience; limit=0 only counts."""
    body = {"expression": expression, "limit": limit, "cursor": cursor, "include_opted_out": include_opted_out}
    return Call("POST", "/v1/audience", reading(AudienceResponse), body)


def models() -> Call[ModelsResponse]:
    """GET /v1/models: what models there are."""
    return Call("GET", "/v1/models", reading(ModelsResponse))


def upload(content: bytes) -> Call[str]:
    """POST /v1/jobs/uploads: send a file of members; its id is for `{"file": id}` of a job."""

    def file_id(body: bytes) -> str:
        return reading(UploadReceipt)(body).file_id

    headers = {"Content-Type": "text/csv"}
    return Call("POST", "/v1/jobs/uploads", file_id, content=content, headers=headers, timeout_s=UPLOAD_TIMEOUT_S)


def start_job(
    members: Mapping[str, Any],
    *,
    outputs: Sequence[str] = ("scores",),
    form: str = "csv",
    k: int = 10,
    key: str | None = None,
) -> Call[JobView]:
    """POST /v1/jobs: ask for a bulk job.

    Parameters
    ----------
    members
        {"ids": […]}, {"file": id}, {"audience": "…"} or {"everyone": True}.
    key
        Your own name for this job: asked for again under it, it is the same job. Without one a name is made, so that
        sending the request again makes no second job.
    """
    body = {"members": dict(members), "outputs": list(outputs), "format": form, "k": k}
    headers = {"Idempotency-Key": key or secrets.token_urlsafe(24)}
    return Call("POST", "/v1/jobs", reading(JobView), body, headers=headers)


def job(job_id: str) -> Call[JobView]:
    """GET /v1/jobs/{job_id}: how a job stands."""
    return Call("GET", f"/v1/jobs/{quote(job_id, safe='')}", reading(JobView))


def jobs() -> Call[JobList]:
    """GET /v1/jobs: the jobs there are, the newest first."""
    return Call("GET", "/v1/jobs", reading(JobList))


def cancel_job(job_id: str) -> Call[JobView]:
    """DELETE /v1/jobs/{job_id}: end a job, or remove the files of one that has ended; after that it is NotFound."""
    return Call("DELETE", f"/v1/jobs/{quote(job_id, safe='')}", reading(JobView))


def file_path(job_id: str, name: str) -> str:
    """Path of a job's file."""
    return f"/v1/jobs/{quote(job_id, safe='')}/files/{quote(name, safe='')}"


def pages(member_ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in as many as one request may have."""
    ids = iter(member_ids)
    while page := list(islice(ids, MAX_MEMBERS)):
        yield page
