"""A client that speaks ASGI to an app in this process, one event loop for its whole life, as a worker has."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.api import Api
from serving.auth import App, Guard

KEY = "test-key"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Client:
    """Sends requests with the key, unless the headers given say otherwise."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._app: App = Guard(api.app(), keys=(KEY, "second-key"), hot=api.hot, meter=lambda: api.meter)
        self._runner = asyncio.Runner()

    def post(self, path: str, content: object, **more: Any) -> Answer:
        """POST a value as JSON."""
        return self.send("POST", path, json.dumps(content).encode(), **more)

    def score(self, *member_ids: str) -> Any:
        """The parsed answer of /v1/score, which must be 200."""
        answer = self.post("/v1/score", {"member_ids": member_ids})
        assert answer.status == 200, answer.body
        return answer.json()

    def recommend(self, *member_ids: str, **more: Any) -> Any:
        """The parsed answer of /v1/recommend, which must be 200."""
        answer = self.post("/v1/recommend", {"member_ids": member_ids, **more})
        assert answer.status == 200, answer.body
        return answer.json()

    def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return self.send("GET", path, **more)

    def send(
        self,
        method: str,
        path: str,
        *body: bytes,
        headers: Sequence[tuple[str, str | bytes]] = (("X-Api-Key", KEY),),
        content_type: str | None = JSON,
    ) -> Answer:
        """Any request; several bodies arrive as chunks, without an announced length."""
        typed = [("Content-Type", content_type)] if body and content_type is not None else []
        length = [("Content-Length", str(len(body[0])))] if len(body) == 1 else []
        return self._runner.run(self._send(method, path, body, [*headers, *typed, *length]))

    def together(self, path: str, contents: Sequence[object]) -> list[Answer]:
        """POST several values at the same time."""

        async def all_of_them() -> list[Answer]:
            headers = [("X-Api-Key", KEY), ("Content-Type", JSON)]
            return await asyncio.gather(*(self._send("POST", path, (json.dumps(c).encode(),), headers) for c in contents))

        return self._runner.run(all_of_them())

    def wait(self, seconds: float) -> None:
        """Let the app go on with what it does aside."""
        self._runner.run(asyncio.sleep(seconds))

    def close(self) -> None:
        """Give back the connections and the loop."""
        self._runner.run(self.api.close())
        self._runner.close()

    async def _send(self, method: str, path: str, body: Sequence[bytes], headers: Sequence[tuple[str, str | bytes]]) -> Answer:
        chunks = [
            {"type": "http.request", "body": part, "more_body": place < len(body)} for place, part in enumerate(body, start=1)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return chunks.pop(0) if chunks else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(self._app(_scope(method, path, headers), receive, send), timeout=60)
        start, *rest = sent
        assert [message["type"] for message in sent].count("http.response.start") == 1
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], found, b"".join(message.get("body", b"") for message in rest))


def _scope(method: str, path: str, headers: Sequence[tuple[str, str | bytes]]) -> dict[str, Any]:
    raw = [(n.lower().encode("latin-1"), v if isinstance(v, bytes) else v.encode("utf-8")) for n, v in headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": raw,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def problem_of(answer: Answer, status: int, code: str) -> Any:
    """The problem document of an answer, after everything that holds for every error was checked."""
    assert (answer.status, answer.json().get("code")) == (status, code), answer.body
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(document) == {"type", "title", "status", "code", "detail", "instance", "errors"}
    assert document["type"] == f"urn:rapport:problem:{code}"
    assert document["status"] == status
    assert document["instance"] == f"urn:rapport:request:{answer.headers['x-request-id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert_guarded(answer, at_once=code == "overloaded")
    text = answer.body.decode()
    for private in (KEY, "second-key", "Traceback", "/work", "/tmp", "site-packages", "unix://", ".py"):
        assert private not in text, f"{private} in {text}"
    return document


def assert_guarded(answer: Answer, *, at_once: bool = False) -> None:
    """What every answer carries, good or bad; `at_once`: scores, lists, refusals for load, which are no pages."""
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-content-type-options"] == "nosniff"
    if at_once:
        assert answer.headers["cache-control"] == "no-store"
        return
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
