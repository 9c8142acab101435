"""The BentoML service: it owns processes, workers and life cycle, and mounts our routes behind our guard.

rapport serve                                  the usual way: starts the embedded store if there is no REDIS_URL
bentoml serve serving.service:RapportService   the same, for those who bring REDIS_URL and RAPPORT_API_KEYS
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack

import bentoml
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from uvicorn.config import HTTP_PROTOCOLS

from features.errors import ConfigurationError
from features.settings import Settings
from serving import trials
from serving.auth import Answer, Guard
from serving.front import Receive, Scope, Send
from serving.keys import KeyRing
from serving.metrics import Meter, shared_folder
from serving.problems import new_app
from serving.request_log import RequestLog

SETTINGS = Settings.from_env(os.environ)
BUILDING = sys.argv[1:2] == ["build"]
"""`bentoml build` imports this module to read its name, and starts nothing: it needs neither key nor store."""
if not SETTINGS.api_keys and not BUILDING:
    raise ConfigurationError(
        "the server needs at least one API key",
        remedy='set RAPPORT_API_KEYS, or use "rapport serve", which makes one',
    )
if not SETTINGS.redis_url and not BUILDING:
    raise ConfigurationError("REDIS_URL is not set", remedy='set it, or use "rapport serve", which starts a store')
ROUTES = new_app()
HOT: dict[str, Answer] = {}
HTTP_PROTOCOLS["auto"] = "serving.connections:Connection"
"""What uvicorn takes for a connection where nobody says otherwise, and BentoML says nothing: loaded by workers alone."""
METERS = [Meter()]
"""The meter of this process; a worker's own takes its place when the worker starts."""
LOG = RequestLog()
UNTRACED = ExitStack()
"""Held as long as the process lives: what it suppresses would come back with its end."""
if not SETTINGS.traced:  # requests inherit it; their address is then not even put together to see that it is not traced
    UNTRACED.enter_context(suppress_http_instrumentation())
YOUNG_OBJECTS = 10_000
"""How many come before garbage is looked for. At 700, as Python has it, that is once in ten requests: a tenth of their cost."""
PARENT = os.getppid()
"""Whoever started this process, noted before anything that takes long: it may be gone when a worker is ready."""


async def routes(scope: Scope, receive: Receive, send: Send) -> None:
    """Our routes, unknown paths included: of a Starlette app, BentoML would take those it knows and refuse the rest itself."""
    await ROUTES(scope, receive, send)


@bentoml.service(
    name="rapport",
    workers=SETTINGS.workers,
    traffic={"timeout": 10},
    http={"host": SETTINGS.host, "port": SETTINGS.port},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # BentoML's take any path a client sends for a label, before the guard sees it
    tracing={"excluded_urls": SETTINGS.untraced_urls},
)
@bentoml.asgi_app(routes, path="/")
class RapportService:
    """One worker: its models are loaded when it starts, and its routes stand in the mounted app."""

    def __init__(self) -> None:
        from serving.light_imports import load_xgboost  # the supervisor needs no models: only workers load the libraries

        gc.disable()  # until all is loaded: hardly anything of it is garbage
        load_xgboost()
        from serving.api import Api

        log_to_stderr()
        METERS[:] = [Meter(shared_folder())]
        self._api = Api(SETTINGS, meter=METERS[0], trials=trials.Trials(SETTINGS.data_dir / trials.FOLDER))
        self._tasks: list[asyncio.Task[None]] = []
        ROUTES.router.routes[:] = self._api.app().router.routes
        HOT.update(self._api.hot)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def try_champions() -> None:
        """What the supervisor does before there are workers: it takes them a second to ask for what this finds out."""
        trials.begin()

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def begin(self) -> None:
        """Look after the registry, and after whoever started this process, from now on.

        What has been loaded stays, and is left out when garbage is looked for: going through it took a tenth of a second.
        """
        gc.collect()
        gc.freeze()
        gc.enable()
        from serving import connections

        loop = asyncio.get_running_loop()
        looking = (self._api.watch_models(), end_with_parent(), connections.watch(count_stalled))
        self._tasks = [loop.create_task(each) for each in looking]
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def end(self) -> None:
        """Let what is under way end."""
        for task in self._tasks:
            task.cancel()
        await self._api.close()
        LOG.flush()


def count_stalled() -> None:
    """Count a connection that was ended because its client kept it waiting."""
    METERS[0].add("rapport_refusals_total", "stalled")


async def end_with_parent() -> None:
    """End this worker in good order once its supervisor is gone: a worker without one would hold the port for ever."""
    while os.getppid() == PARENT:
        await asyncio.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


def log_to_stderr() -> None:
    """Our own lines go to standard error as they are; BentoML's handlers would wrap them.

    Requests are in our own log; uvicorn puts a line of its own together for each as long as anything might write it.
    """
    logging.getLogger("uvicorn.access").propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("rapport")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


RapportService.add_asgi_middleware(  # type: ignore[attr-defined] # the decorator makes it a Service
    Guard,
    keys=KeyRing.of(SETTINGS.api_keys, rate=SETTINGS.rate_limit / SETTINGS.workers),
    hot=HOT,
    meter=lambda: METERS[0],
    in_flight=SETTINGS.in_flight,
    in_front=not SETTINGS.traced,  # OpenTelemetry stands before the guard
    log=LOG,
)
