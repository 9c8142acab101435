"""Starting the server as a child process, waiting until it answers, and stopping it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import ConfigurationError, StoreUnavailable
from features.settings import Settings

SERVICE = "serving.service:RapportService"
READY_SECONDS = 90.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of ours, and how to ask it."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{self.settings.host}:{self.settings.port}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection that may be used for many requests."""
        return http.client.HTTPConnection(self.settings.host, self.settings.port, timeout=10)

    def post(self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and parsed answer of one request."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.settings.api_keys[0]}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def wait(self) -> int:
        """Block until the server ends, or Ctrl-C; returns its exit code, 0 after Ctrl-C."""
        try:
            return self.process.wait()
        except KeyboardInterrupt:
            return 0


@contextmanager
def running_server(settings: Settings, *, log: Path) -> Iterator[Server]:
    """A server with these settings, ready to answer; stopped when the block ends.

    Raises
    ------
    ConfigurationError
        The port is taken.
    StoreUnavailable
        It ended, or was not ready in time; the message names its log.
    """
    require_free_port(settings.host, settings.port)
    log.parent.mkdir(parents=True, exist_ok=True)
    settings.drain_file.unlink(missing_ok=True)  # left behind where the server was stopped
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", settings.host, "--port", str(settings.port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_environment(settings), stdout=output, stderr=subprocess.STDOUT)
    server = Server(process, settings, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to finish what it is doing and end; after a while, make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port(host: str, preferred: int) -> int:
    """The preferred port if nothing listens there, else one the system picks."""
    for port in (preferred, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"no port is free on {host}", remedy="choose another address with RAPPORT_HOST")


def require_free_port(host: str, port: int) -> None:
    """Raise ConfigurationError if something listens on the port already."""
    if free_port(host, port) != port:
        raise ConfigurationError(f"port {port} on {host} is taken", remedy="choose another one: --port 3001")


def _environment(settings: Settings) -> dict[str, str]:
    defaults = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(settings.data_dir.resolve() / "bentoml")}
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return {**defaults, **threads, **os.environ, **settings.to_env()}


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise StoreUnavailable("the server ended before it was ready", remedy=f"see {server.log}")
        try:
            with closing(server.connect()) as connection:
                connection.request("GET", "/health/ready")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise StoreUnavailable(f"the server was not ready within {READY_SECONDS:.0f} s", remedy=f"see {server.log}")
