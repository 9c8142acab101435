"""Our app behind a real socket in a thread, for clients that speak HTTP."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from serving.api import Api
from serving.auth import Guard
from tests.serving.asgi import KEY


@contextmanager
def live(api: Api) -> Iterator[str]:
    """The address of a server of this app, which is closed with it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Guard(api.app(), keys=(KEY,)), log_level="error", lifespan="off", ws="none"))

        async def serve() -> None:
            await server.serve(sockets=[listening])
            await api.close()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
