"""An echo where our guard stands: what `serving.py` measures us beside to tell BentoML's share from ours.

bentoml serve benchmarks.serving_floor:Floor
"""

import bentoml
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from benchmarks.serving_peers import echo
from serving.auth import App, Receive, Scope, Send

UNTRACED = suppress_http_instrumentation()
UNTRACED.__enter__()


class Echo:
    """Answers every POST with its body."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._echo = echo()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let BentoML do so."""
        await (self._echo if scope.get("method") == "POST" else self._app)(scope, receive, send)


@bentoml.service(
    name="floor",
    workers=1,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
)
class Floor:
    """Nothing behind it."""


Floor.add_asgi_middleware(Echo)  # type: ignore[attr-defined] # the decorator makes it a Service
