"""A small client for Python programs, blocking and asynchronous, of the same calls: docs/client.md.

    with Client("http://127.0.0.1:3000", key) as rapport:
        rapport.score(["1", "1001"]).rows[0].churn

Every call has a timeout. A call that got no answer, or 408, 429 or 503, is sent once more: none of them does harm sent twice.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from serving import client_calls as calls
from serving.client_calls import Call
from serving.client_errors import ClientError, Problem, Unavailable, Unreachable, problem_of
from serving.event_schemas import EventsResponse
from serving.list_schemas import CashierResponse, RecommendResponse, SimilarResponse
from serving.schemas_jobs import JobList, JobView
from serving.schemas_members import AudienceResponse, ErasureReceipt, MemberView, ModelsResponse
from serving.score_schemas import ScoreResponse, ScoreRow

TIMEOUT_S = 5.0
UPLOAD_TIMEOUT_S = 60.0
LONGEST_PAUSE_S = 5.0
POLL_S = 1.0
R = TypeVar("R")
Everyone: Mapping[str, Any] = {"everyone": True}


class Client(AbstractContextManager["Client"]):
    """The blocking client. It keeps its connections: use one for the life of a program.

    Parameters
    ----------
    timeout_s
        Longest wait for each of connecting, sending and the next bytes of an answer.
    transport
        Other ways to the server than a socket, for tests.
    """

    def __init__(
        self, address: str, key: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, transport=transport)

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def score(self, member_ids: Sequence[str], **more: Any) -> ScoreResponse:
        """Scores of up to 1,000 members; `more` are fields of the request, such as explain="top_k"."""
        return self.send(calls.score(member_ids, **more))

    def score_all(self, member_ids: Iterable[str], **more: Any) -> Iterator[ScoreRow]:
        """Scores of any number of members, in their order, a thousand at a time as they are taken."""
        for page in calls.pages(member_ids):
            yield from self.score(page, **more).rows

    def recommend(self, member_ids: Sequence[str], *, k: int = 10, **more: Any) -> RecommendResponse:
        """Lists of up to 1,000 members."""
        return self.send(calls.recommend(member_ids, k=k, **more))

    def similar(self, item_ids: Sequence[str], *, k: int = 10, **more: Any) -> SimilarResponse:
        """What goes with all of these items together."""
        return self.send(calls.similar(item_ids, k=k, **more))

    def cashier(self, member_id: str, basket: Sequence[str] = (), **more: Any) -> CashierResponse:
        """What is worth saying to a member at the till."""
        return self.send(calls.cashier(member_id, basket, **more))

    def events(self, events: Sequence[Mapping[str, Any]], *, key: str | None = None) -> EventsResponse:
        """Send up to 500 events; look at the rows, as some may have been refused while others were taken."""
        return self.send(calls.events(events, key=key))

    def member(self, member_id: str) -> MemberView:
        """What is known and said of a member."""
        return self.send(calls.member(member_id))

    def erase(self, member_id: str) -> ErasureReceipt:
        """Erase a member."""
        return self.send(calls.erase(member_id))

    def audience(
        self, expression: str, *, limit: int = 1000, cursor: str | None = None, include_opted_out: bool = False
    ) -> AudienceResponse:
        """One page of an audience; limit=0 only counts."""
        return self.send(calls.audience(expression, limit=limit, cursor=cursor, include_opted_out=include_opted_out))

    def audience_ids(self, expression: str, *, include_opted_out: bool = False) -> Iterator[str]:
        """Ids of a whole audience, page by page."""
        cursor: str | None = None
        while True:
            page = self.audience(expression, limit=10_000, cursor=cursor, include_opted_out=include_opted_out)
            yield from page.member_ids
            cursor = page.next_cursor
            if cursor is None:
                return

    def models(self) -> ModelsResponse:
        """What models there are."""
        return self.send(calls.models())

    def upload(self, content: bytes) -> str:
        """Send a file of members; returns its id, for `{"file": id}`."""
        return self.send(calls.upload(content), timeout_s=UPLOAD_TIMEOUT_S).file_id

    def start_job(
        self,
        members: Mapping[str, Any],
        *,
        outputs: Sequence[str] = ("scores",),
        form: str = "csv",
        k: int = 10,
        key: str | None = None,
    ) -> JobView:
        """Ask for a bulk job: members are {"ids": […]}, {"file": id}, {"audience": "…"} or {"everyone": True}.

        Parameters
        ----------
        key
            Your own name for this job: asked for again under it, it is the same job.
        """
        return self.send(calls.job(members, outputs=outputs, form=form, k=k, key=key))

    def job(self, job_id: str) -> JobView:
        """How a job stands."""
        return self.send(calls.job_view(job_id))

    def jobs(self) -> JobList:
        """The jobs there are, the newest first."""
        return self.send(calls.jobs())

    def cancel_job(self, job_id: str) -> JobView:
        """End a job, or remove the files of one that has ended; NotFound if it is sent again after that."""
        return self.send(calls.job_cancel(job_id))

    def wait(self, job_id: str, *, timeout_s: float, poll_s: float = POLL_S) -> JobView:
        """The job once it has ended, done or failed; Unreachable if it has not by then."""
        deadline = time.monotonic() + timeout_s
        while (view := self.job(job_id)).status in {"waiting", "running"}:
            if time.monotonic() > deadline:
                raise Unreachable(f"job {job_id} has not ended within {timeout_s:g} s")
            time.sleep(poll_s)
        return view

    def download(self, job: JobView, name: str, path: Path) -> None:
        """Fetch a file of a job that is done, bit by bit; ClientError if its bytes are not those of the manifest."""
        digest = hashlib.sha256()
        with self._http.stream("GET", calls.file_path(job.job_id, name)) as response, path.open("wb") as file:
            if response.is_error:
                raise problem_of(response.status_code, response.headers, response.read())
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        require_hash(job, name, digest.hexdigest())

    def send(self, call: Call[R], *, timeout_s: float | None = None) -> R:
        """Send any call, once more if it got no answer.

        Raises
        ------
        Problem
            The server answered with an error; see `client_errors` for the kinds.
        Unreachable
            It did not answer twice.
        """
        try:
            return self._once(call, timeout_s)
        except (Unavailable, Unreachable) as error:
            time.sleep(pause(error))
            return self._once(call, timeout_s)

    def _once(self, call: Call[R], timeout_s: float | None) -> R:
        with reaching():
            response = self._http.request(**request_of(call, timeout_s))
        return answer_of(call, response)


class AsyncClient(AbstractAsyncContextManager["AsyncClient"]):
    """The same for programs with an event loop; `send` takes every call of `client_calls`."""

    def __init__(
        self, address: str, key: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=address, headers=headers, timeout=timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._http.aclose()

    async def score(self, member_ids: Sequence[str], **more: Any) -> ScoreResponse:
        """Scores of up to 1,000 members."""
        return await self.send(calls.score(member_ids, **more))

    async def score_all(self, member_ids: Iterable[str], **more: Any) -> AsyncIterator[ScoreRow]:
        """Scores of any number of members, in their order; the next thousand are on their way while these are used."""
        coming: asyncio.Task[ScoreResponse] | None = None
        try:
            for page in chain(calls.pages(member_ids), ([],)):
                before, coming = coming, asyncio.ensure_future(self.score(page, **more)) if page else None
                for row in (await before).rows if before is not None else ():
                    yield row
        finally:
            if coming is not None:
                coming.cancel()

    async def recommend(self, member_ids: Sequence[str], *, k: int = 10, **more: Any) -> RecommendResponse:
        """Lists of up to 1,000 members."""
        return await self.send(calls.recommend(member_ids, k=k, **more))

    async def similar(self, item_ids: Sequence[str], *, k: int = 10, **more: Any) -> SimilarResponse:
        """What goes with all of these items together."""
        return await self.send(calls.similar(item_ids, k=k, **more))

    async def cashier(self, member_id: str, basket: Sequence[str] = (), **more: Any) -> CashierResponse:
        """What is worth saying to a member at the till."""
        return await self.send(calls.cashier(member_id, basket, **more))

    async def events(self, events: Sequence[Mapping[str, Any]], *, key: str | None = None) -> EventsResponse:
        """Send up to 500 events."""
        return await self.send(calls.events(events, key=key))

    async def member(self, member_id: str) -> MemberView:
        """What is known and said of a member."""
        return await self.send(calls.member(member_id))

    async def send(self, call: Call[R], *, timeout_s: float | None = None) -> R:
        """Send any call, once more if it got no answer."""
        try:
            return await self._once(call, timeout_s)
        except (Unavailable, Unreachable) as error:
            await asyncio.sleep(pause(error))
            return await self._once(call, timeout_s)

    async def _once(self, call: Call[R], timeout_s: float | None) -> R:
        with reaching():
            response = await self._http.request(**request_of(call, timeout_s))
        return answer_of(call, response)


@contextmanager
def reaching() -> Iterator[None]:
    """Errors of httpx as Unreachable, without the address, which may hold an id."""
    try:
        yield
    except httpx.TransportError as error:
        raise Unreachable(f"the server does not answer ({type(error).__name__})") from error


def request_of(call: Call[Any], timeout_s: float | None) -> dict[str, Any]:
    """What httpx wants for a call."""
    more = {} if timeout_s is None else {"timeout": timeout_s}
    sent = {"json": call.json, "content": call.content, "headers": dict(call.headers)}
    return {"method": call.method, "url": call.path, **sent, **more}


def answer_of(call: Call[R], response: httpx.Response) -> R:
    """What a call's answer says; Problem if it is an error."""
    if response.is_success:
        return call.read(response.content)
    raise problem_of(response.status_code, response.headers, response.content)


def pause(error: ClientError) -> float:
    """How long to wait before a call is sent again."""
    return min(error.retry_after_s, LONGEST_PAUSE_S) if isinstance(error, Problem) else 0.0


def require_hash(job: JobView, name: str, found: str) -> None:
    """Raise ClientError unless a file has the hash that its job's manifest says."""
    expected = {file.name: file.sha256 for file in job.files}.get(name)
    if found != expected:
        raise ClientError(f"{name} of job {job.job_id} did not arrive as it was written: fetch it again")
