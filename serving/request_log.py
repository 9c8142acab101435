"""The request log of a worker: lines are gathered and written some at a time, as a write costs more than an answer does."""

import asyncio
import sys
from typing import TextIO

LINES_TOGETHER = 200
FLUSH_S = 0.2


class RequestLog:
    """Takes a line a request. A log that cannot be written, on a full disk for example, costs lines and no answers."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lines: list[str] = []
        self._due: asyncio.TimerHandle | None = None
        self.lost = 0

    def __call__(self, line: str) -> None:
        """Write a line soon."""
        self._lines.append(line)
        if len(self._lines) >= LINES_TOGETHER:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered now."""
        lines, self._lines = self._lines, []
        if self._due is not None:
            self._due.cancel()
            self._due = None
        try:
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
        except OSError:
            self.lost += len(lines)
