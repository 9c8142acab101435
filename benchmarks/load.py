"""A closed-loop load generator: so many connections, each of which asks again as soon as it is answered.

It reads no more of an answer than its status and length, so that it takes less of the machine than what it measures.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst of load saw: requests answered 200 a second, their times in seconds, and the statuses of the others."""

    rps: float
    seconds: list[float]
    others: dict[int, int]

    @property
    def answers(self) -> int:
        """How many were answered 200."""
        return len(self.seconds)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the time to an answer."""
        return float(np.percentile(self.seconds, 99) * 1000) if self.seconds else float("nan")


class Connection(asyncio.Protocol):
    """One connection that sends one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""
        self._whole = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = transport  # type: ignore[assignment] # of a stream, whichever loop made it

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        self._received += data
        if not self._whole:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._received[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : head.find(b"\r", at) if head.find(b"\r", at) > 0 else len(head)])
            self._whole = end + 4 + length
        if len(self._received) >= self._whole and self._answer is not None and not self._answer.done():
            status, received = int(self._received[9:12]), self._received
            self._received, self._whole = b"", 0
            self._answer.set_result((status, received))

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns of it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((0, b""))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and wait for the whole answer; status 0 if the connection was lost."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            return 0, b""
        self._transport.write(request)
        return await self._answer


def request(path: str, body: bytes, *, key: str = "k") -> bytes:
    """A request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def burst(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Burst:
    """Load for some seconds; the requests are taken in turn."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    times: list[float] = []
    others: dict[int, int] = {}
    until = time.perf_counter() + seconds

    async def go_on(connection: Connection, place: int) -> None:
        while (begun := time.perf_counter()) < until:
            status, _ = await connection.ask(requests[place % len(requests)])
            place += connections
            if status == 200:
                times.append(time.perf_counter() - begun)
            else:
                others[status] = others.get(status, 0) + 1
                if not status:
                    return

    begun = time.perf_counter()
    await asyncio.gather(*(go_on(connection, place) for place, connection in enumerate(opened)))
    took = time.perf_counter() - begun
    for connection in opened:
        connection.close()
    return Burst(len(times) / took, times, others)


def worker_of(supervisor: int) -> tuple[int, float]:
    """Process and resident megabytes of the largest worker of a supervisor."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(fields["PPid"]) == supervisor and "VmRSS" in fields:
            found.append((int(fields["VmRSS"].split()[0]) / 1024, int(path.parent.name)))
    megabytes, process = max(found)
    return process, megabytes


def cpu_s(process: int) -> float:
    """Seconds of processor that a process has taken, all its threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
