"""A circuit breaker: after some failures in a row nobody waits for the store any more, and now and then one request looks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES = 3
RETRY_S = 0.25


@dataclass(slots=True)
class Breaker:
    """Open means: answer without the store. Half a second after the store is back, so is the worker.

    Attributes
    ----------
    failures
        In a row, before it opens.
    retry_s
        Seconds that it stays open before one caller may try.
    """

    failures: int = FAILURES
    retry_s: float = RETRY_S
    clock: Callable[[], float] = time.monotonic
    _in_a_row: int = field(default=0, init=False)
    _try_at: float = field(default=0.0, init=False)

    @property
    def is_open(self) -> bool:
        """Whether the store failed too often just now."""
        return self._in_a_row >= self.failures

    def allows(self) -> bool:
        """Whether this caller may ask the store; where the breaker is open, one in `retry_s` may."""
        if not self.is_open:
            return True
        now = self.clock()
        if now < self._try_at:
            return False
        self._try_at = now + self.retry_s
        return True

    def succeeded(self) -> None:
        """The store answered."""
        self._in_a_row = 0

    def failed(self) -> bool:
        """The store did not answer, or not in time; says whether the breaker opens with it."""
        self._in_a_row += 1
        if self.is_open:
            self._try_at = self.clock() + self.retry_s
        return self._in_a_row == self.failures
