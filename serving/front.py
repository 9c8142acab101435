"""The place before BentoML's own layers: what needs none of them is answered there, and refused there.

The guard is a middleware as BentoML has them (`add_asgi_middleware`), behind OpenTelemetry, which is off as a rule, and behind
a timeout that makes two more tasks of every request; together with Starlette they cost a refusal as much again as the server
and the guard do. When the app starts, it says so to its middlewares, and the guard takes its place in front of the stack, which
Starlette keeps as `app.middleware_stack`. What it does not answer itself goes through the stack as before, and meets it there.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Answering(Protocol):
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
    return True
