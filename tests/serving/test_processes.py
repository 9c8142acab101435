"""A real server with two workers: one killed, all told to stop, the supervisor killed, memory over time."""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from features.settings import Settings
from serving.launch import Server, free_port, running_server

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """Two workers on the store and models of the tests."""
    port = free_port("127.0.0.1", 3990)
    chosen = replace(settings, port=port, api_keys=("key",), workers=2, data_dir=tmp_path)
    with running_server(chosen, log=tmp_path / "server.log") as started:
        yield started


def children(parent: int) -> set[int]:
    """Processes that a process started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def runs(process: int) -> bool:
    """Whether a process is there and more than an entry that nobody has read the end of."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def megabytes(process: int) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something to become so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(server: Server, members: list[str]) -> int:
    """Status of a score over a connection of its own; 0 if the connection was lost."""
    connection = server.connect()
    try:
        return server.post(connection, "/v1/score", {"member_ids": members})[0]
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_a_killed_worker_costs_what_was_under_way_and_is_replaced(server: Server, members: list[str]) -> None:
    askers, statuses, over = 4, [], threading.Event()

    def go_on() -> None:
        while not over.is_set():
            statuses.append(ask(server, members[:20]))

    threads = [threading.Thread(target=go_on) for _ in range(askers)]
    for thread in threads:
        thread.start()
    before = children(server.process.pid)
    assert len(before) >= 2
    time.sleep(0.5)
    os.kill(min(before), signal.SIGKILL)
    time.sleep(1.0)
    over.set()
    for thread in threads:
        thread.join()
    assert sum(status != 200 for status in statuses) <= askers
    assert statuses.count(200) > askers
    until(lambda: len(children(server.process.pid)) >= len(before))
    assert ask(server, members[:1]) == 200


def test_told_to_stop_a_server_finishes_what_is_under_way(server: Server, members: list[str]) -> None:
    asked = (members * 4)[:1000]
    assert ask(server, asked) == 200
    workers, statuses = children(server.process.pid), []
    threads = [threading.Thread(target=lambda: statuses.append(ask(server, asked))) for _ in range(6)]
    for thread in threads:
        thread.start()
    server.settings.drain_file.touch()
    connection = server.connect()
    connection.request("GET", "/health/ready")
    ready = connection.getresponse()
    assert (ready.status, json.loads(ready.read())["status"]) == (503, "draining")
    connection.close()
    time.sleep(0.3)  # all six have arrived
    server.process.terminate()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert server.process.wait(PATIENCE_S) == 0
    until(lambda: not any(map(runs, workers)))


def test_a_real_server_has_connections_of_ours(server: Server, members: list[str]) -> None:
    """They are said to uvicorn when the service is loaded, as BentoML passes nothing on; test_connections has the rest."""
    body, keys = json.dumps({"member_ids": members[:2]}), {"Content-Type": "application/json", "X-Api-Key": "key"}
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
    with closing(server.connect()) as connection:
        connection.request("POST", "/v1/score", body, {**keys, **offer})
        assert connection.getresponse().status == 200, "the body arrived"
    with socket.create_connection((server.settings.host, server.settings.port), timeout=PATIENCE_S) as quiet:
        quiet.sendall(b"POST /v1/score HTTP/1.1\r\nHost")
        assert quiet.recv(1) == b"", "ended by the server"
    with closing(server.connect()) as connection:
        connection.request("GET", "/metrics", headers=keys)
        assert b'rapport_refusals_total{why="stalled"} 1\n' in connection.getresponse().read()


def test_no_worker_outlives_its_supervisor(server: Server) -> None:
    workers = children(server.process.pid)
    server.process.kill()
    server.process.wait(PATIENCE_S)
    until(lambda: not any(map(runs, workers)))


def test_memory_does_not_grow(server: Server, members: list[str]) -> None:
    """A soak in miniature: batches, reasons, mistakes and lists for two minutes; what the first half has taken suffices."""
    connection = server.connect()
    requests = [
        ("/v1/score", {"member_ids": members[:100]}),
        ("/v1/score", {"member_ids": members[:30], "explain": "top_k"}),
        ("/v1/score", {"member_ids": [1]}),
        ("/v1/recommend", {"member_ids": members[:10], "k": 5}),
    ]
    sizes = []
    for _ in range(2):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for path, body in requests:
                assert server.post(connection, path, body)[0] in {200, 422}  # type: ignore[arg-type] # one is wrong on purpose
        sizes.append(sum(map(megabytes, children(server.process.pid))))
    connection.close()
    assert sizes[1] < sizes[0] + 10
