"""API keys: kept as hashes, each with a role and a rate, and compared without telling how much of a guess was right.

An entry of RAPPORT_API_KEYS is either a key itself, which may do everything, or `<role>:<sha256 of a key in hexadecimal>`.
Of a key itself only the hash is kept as well.
"""

import hmac
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Role = Literal["engine", "analyst", "operator"]
ROLE_MEANING: dict[Role, str] = {
    "engine": "asks for scores and lists, sends events and outcomes",
    "analyst": "the same, and reads everything: members, audiences, jobs, models; begins and cancels jobs",
    "operator": "everything, metrics and changes of models included",
}
ENGINE_PATHS = frozenset(
    {"/v1/score", "/v1/recommend", "/v1/similar", "/v1/cashier", "/v1/events", "/v1/outcomes", "/v1/decide"}
)
OPERATOR_PATHS = ("/metrics", "/v1/admin/")
PAGES = frozenset({"/", "/docs", "/docs.js", "/openapi.json"})
_HASHED = re.compile(r"^(engine|analyst|operator):([0-9a-f]{64})$")


@dataclass(slots=True)
class Caller:
    """Who holds a key. `name` is the beginning of the key's hash: enough for a log, and nothing to guess from.

    Attributes
    ----------
    rate
        Requests a second that this worker answers; 0 for any number.
    """

    name: str
    role: Role
    digest: bytes
    rate: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _left: float = field(default=-1.0, init=False)
    _counted_at: float = field(default=0.0, init=False)

    def may(self, method: str, path: str) -> bool:
        """Whether the role allows a request."""
        if self.role == "operator":
            return True
        erasing = method == "DELETE" and not path.startswith("/v1/jobs/")
        if path.startswith(OPERATOR_PATHS) or erasing or (path.startswith("/v1/models") and method != "GET"):
            return False
        return self.role == "analyst" or path in ENGINE_PATHS or path in PAGES or path.startswith("/static/")

    def takes_turn(self) -> bool:
        """Whether one more request is within the rate: as many as a second's at once, and then as they are made up for."""
        if not self.rate:
            return True
        now = self.clock()
        most = max(1.0, self.rate)
        self._left = most if self._left < 0 else min(most, self._left + (now - self._counted_at) * self.rate)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def next_turn_s(self) -> int:
        """Whole seconds until one more request is within the rate."""
        return max(1, math.ceil((1 - self._left) / self.rate)) if self.rate else 1


class KeyRing:
    """Every key that is known."""

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._by_digest = {caller.digest: caller for caller in callers}

    @classmethod
    def of(cls, entries: Iterable[str], *, rate: float = 0.0) -> "KeyRing":
        """The keys of a setting."""
        return cls(_caller(entry, rate) for entry in entries)

    def caller(self, key: bytes) -> Caller | None:
        """Who holds a key; None if nobody does.

        What is looked up is a hash, so that how far a lookup gets says nothing of any key, and what is found is compared in
        constant time.
        """
        digest = sha256(key).digest()
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None


def hashed(role: Role, key: str) -> str:
    """The entry of a setting that stands for a key without telling it."""
    return f"{role}:{sha256(key.encode()).hexdigest()}"


def _caller(entry: str, rate: float) -> Caller:
    match = _HASHED.match(entry)
    if match is None:
        digest, role = sha256(entry.encode()).digest(), "operator"
    else:
        digest, role = bytes.fromhex(match[2]), match[1]
    return Caller(digest.hex()[:8], role, digest, rate)  # type: ignore[arg-type] # the expression knows only roles
