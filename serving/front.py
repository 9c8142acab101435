"""The place before BentoML's own layers: what needs none of them is answered there, and refused there.

The guard is a middleware as BentoML has them (`add_asgi_middleware`), behind OpenTelemetry, which is off as a rule, and behind
a timeout that makes two more tasks of every request; together with Starlette they cost a refusal as much again as the server
and the guard do. When the app starts, it says so to its middlewares, and the guard takes its place in front of the stack, which
Starlette keeps as `app.middleware_stack`. What it does not answer itself goes through the stack as before, and meets it there.

Shorter still is the way of a request for a fast route that arrives whole, with one read of its socket: `serving.connections`
hands it to the guard without scope and messages, and writes head and body of the answer at once. It finds the guard in the
state of the lifespan, which servers share with their connections.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

from serving.whole_answers import Headers, WholeAnswer

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


AT_ONCE = "rapport.at_once"
"""Where the state of a lifespan has what answers whole requests."""


class AnsweringAtOnce(Protocol):
    """What answers requests for fast routes that arrived whole."""

    def is_fast(self, target: bytes) -> bool:
        """Whether a POST to this target may come the short way."""
        ...

    def turned_away(self, target: bytes) -> WholeAnswer | None:
        """The refusal of a request for which there is no room; None if there is."""
        ...

    async def at_once(self, target: bytes, headers: Headers, body: bytes) -> WholeAnswer:
        """The answer to a request for which there is room."""
        ...


class Answering(AnsweringAtOnce, Protocol):
    """An app that answers some requests without the app behind it."""

    def answers(self, scope: Scope) -> bool:
        """Whether this request is one of them, now."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it."""
        ...


def stand_in_front(guard: Answering, scope: Scope) -> bool:
    """Take the place before the stack of the Starlette app that a lifespan comes from; False if it is not one."""
    app = scope.get("app")
    stack: App | None = getattr(app, "middleware_stack", None)
    if app is None or stack is None:
        return False

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and guard.answers(scope):
            await guard(scope, receive, send)
        else:
            await stack(scope, receive, send)

    app.middleware_stack = front
    if "state" in scope:
        scope["state"][AT_ONCE] = guard
    return True
