"""A small client for Python programs, blocking and asynchronous, of the same calls: docs/client.md.

    with Client("http://127.0.0.1:3000", key) as rapport:
        rapport.score(["1", "1001"]).rows[0].churn

Every call has a timeout. A call that got no answer, or 408, 429 or 503, is sent once more: none of them does harm sent twice.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from serving import client_calls as calls
from serving.client_calls import Call
from serving.client_errors import ClientError, Problem, Unavailable, Unreachable, problem_of
from serving.schemas_jobs import JobView
from serving.score_schemas import ScoreResponse, ScoreRow

TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 5.0
POLL_S = 1.0
IDS_A_PAGE = 10_000
P = ParamSpec("P")
R = TypeVar("R")


class Method(Generic[P, R]):
    """A call as a method of both clients: the blocking one gives what the call reads, the other one is awaited for it."""

    def __init__(self, call: Callable[P, Call[R]]) -> None:
        self._call = call
        self.__doc__ = call.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, client: "Client | AsyncClient | None", owner: type) -> Any:
        if client is None:
            return self

        @wraps(self._call)
        def ask(*args: P.args, **named: P.kwargs) -> R | Coroutine[Any, Any, R]:
            return client.send(self._call(*args, **named))

        return ask


class NamedCalls:
    """What both clients are asked by name. `client_calls` says of each what it takes and gives."""

    score = Method(calls.score)
    recommend = Method(calls.recommend)
    similar = Method(calls.similar)
    cashier = Method(calls.cashier)
    events = Method(calls.events)
    member = Method(calls.member)
    erase = Method(calls.erase)
    audience = Method(calls.audience)
    models = Method(calls.models)
    upload = Method(calls.upload)
    start_job = Method(calls.start_job)
    job = Method(calls.job)
    jobs = Method(calls.jobs)
    cancel_job = Method(calls.cancel_job)


class Client(NamedCalls, AbstractContextManager["Client"]):
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

    def score_all(self, member_ids: Iterable[str], **more: Any) -> Iterator[ScoreRow]:
        """Scores of any number of members, in their order, a thousand at a time as they are taken."""
        for page in calls.pages(member_ids):
            yield from self.score(page, **more).rows

    def audience_ids(self, expression: str, *, include_opted_out: bool = False) -> Iterator[str]:
        """Ids of a whole audience, page by page."""
        cursor: str | None = None
        while True:
            page = self.audience(expression, limit=IDS_A_PAGE, cursor=cursor, include_opted_out=include_opted_out)
            yield from page.member_ids
            if (cursor := page.next_cursor) is None:
                return

    def wait(self, job_id: str, *, timeout_s: float, poll_s: float = POLL_S) -> JobView:
        """The job once it has ended, done, failed or cancelled; Unreachable if it has not by then."""
        deadline = time.monotonic() + timeout_s
        while goes_on(view := self.job(job_id), deadline):
            time.sleep(poll_s)
        return view

    def download(self, job: JobView, name: str, path: Path) -> None:
        """Fetch a file of a job that is done, bit by bit; ClientError if its bytes are not those of the manifest."""
        with reaching(), self._http.stream("GET", calls.file_path(job.job_id, name)) as response:
            if response.is_error:
                raise problem_of(response.status_code, response.headers, response.read())
            with arriving(job, name, path) as take:
                for chunk in response.iter_bytes():
                    take(chunk)

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


class AsyncClient(NamedCalls, AbstractAsyncContextManager["AsyncClient"]):
    """The same for programs with an event loop: what `Client` returns is awaited, what it yields comes with `async for`."""

    def __init__(
        self, address: str, key: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=address, headers=headers, timeout=timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

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

    async def audience_ids(self, expression: str, *, include_opted_out: bool = False) -> AsyncIterator[str]:
        """Ids of a whole audience, page by page."""
        cursor: str | None = None
        while True:
            page = await self.audience(expression, limit=IDS_A_PAGE, cursor=cursor, include_opted_out=include_opted_out)
            for member_id in page.member_ids:
                yield member_id
            if (cursor := page.next_cursor) is None:
                return

    async def wait(self, job_id: str, *, timeout_s: float, poll_s: float = POLL_S) -> JobView:
        """The job once it has ended, done, failed or cancelled; Unreachable if it has not by then."""
        deadline = time.monotonic() + timeout_s
        while goes_on(view := await self.job(job_id), deadline):
            await asyncio.sleep(poll_s)
        return view

    async def download(self, job: JobView, name: str, path: Path) -> None:
        """Fetch a file of a job that is done, bit by bit; ClientError if its bytes are not those of the manifest."""
        with reaching():
            async with self._http.stream("GET", calls.file_path(job.job_id, name)) as response:
                if response.is_error:
                    raise problem_of(response.status_code, response.headers, await response.aread())
                with arriving(job, name, path) as take:
                    async for chunk in response.aiter_bytes():
                        take(chunk)

    async def send(self, call: Call[R], *, timeout_s: float | None = None) -> R:
        """Send any call, once more if it got no answer; what it raises is what the blocking client raises."""
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
    longest = call.timeout_s if timeout_s is None else timeout_s
    more = {} if longest is None else {"timeout": longest}
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


def goes_on(view: JobView, deadline: float) -> bool:
    """Whether a job is to be looked at again; Unreachable if it should have ended by now."""
    if view.status not in {"waiting", "running"}:
        return False
    if time.monotonic() > deadline:
        raise Unreachable(f"job {view.job_id} has not ended in time: it is {view.status}")
    return True


@contextmanager
def arriving(job: JobView, name: str, path: Path) -> Iterator[Callable[[bytes], None]]:
    """What takes the bytes of a job's file; they stand under `path` once they are all there and as the manifest says."""
    digest, part = hashlib.sha256(), path.with_name(f"{path.name}.part")

    def take(chunk: bytes) -> None:
        digest.update(chunk)
        file.write(chunk)

    try:
        with part.open("wb") as file:
            yield take
        require_hash(job, name, digest.hexdigest())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def require_hash(job: JobView, name: str, found: str) -> None:
    """Raise ClientError unless a file has the hash that its job's manifest says."""
    expected = {file.name: file.sha256 for file in job.files}.get(name)
    if found != expected:
        raise ClientError(f"{name} of job {job.job_id} did not arrive as it was written: fetch it again")
