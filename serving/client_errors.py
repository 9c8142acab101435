"""What can go wrong with a request, as exceptions by what the caller can do about it.

ClientError
├── Unreachable        no answer came: no connection, or none in time
└── Problem            the server answered with a problem document
    ├── NotAllowed     401, 403: another key is needed
    ├── NotFound       404: there is no such member, job or path
    ├── Conflict       409: the state of things is another one than the request took for granted
    ├── Refused        400, 405, 413, 415, 422: the request is not as requests are; `errors` point at fields
    ├── Unavailable    408, 429, 503: try again after `retry_after_s`
    └── ServerFault    anything else
"""

import json
from collections.abc import Mapping
from typing import Any

RETRY_AFTER_S = 1.0


class ClientError(Exception):
    """Root of what the client raises."""


class Unreachable(ClientError):
    """No answer came."""


class Problem(ClientError):
    """A problem document (RFC 9457). Act on `code`, which does not change.

    Attributes
    ----------
    errors
        Fields that are wrong: `pointer` and `problem`.
    request_id
        Under which the server's log has the request.
    """

    def __init__(self, status: int, document: Mapping[str, Any], *, retry_after_s: float, request_id: str) -> None:
        self.status, self.retry_after_s, self.request_id = status, retry_after_s, request_id
        self.code = str(document.get("code", "unknown"))
        self.detail = str(document.get("detail", ""))
        self.errors: list[dict[str, str]] = list(document.get("errors", []))
        super().__init__(f"{status} {self.code}: {self.detail}")


class NotAllowed(Problem):
    """The key is missing, unknown, or of another role."""


class NotFound(Problem):
    """There is no such thing."""


class Conflict(Problem):
    """Something is not as the request took it to be."""


class Refused(Problem):
    """The request itself is wrong."""


class Unavailable(Problem):
    """The server cannot answer now."""


class ServerFault(Problem):
    """The server failed."""


_KINDS: dict[int, type[Problem]] = {
    401: NotAllowed, 403: NotAllowed, 404: NotFound, 408: Unavailable, 409: Conflict, 429: Unavailable, 503: Unavailable,
    400: Refused, 405: Refused, 413: Refused, 415: Refused, 422: Refused,
}  # fmt: skip


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """The exception for an answer that is no success, whoever gave it: a proxy may stand between."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    after = headers.get("retry-after", "")
    return _KINDS.get(status, ServerFault)(
        status,
        document if isinstance(document, dict) else {},
        retry_after_s=float(after) if after.isdecimal() else RETRY_AFTER_S,
        request_id=headers.get("x-request-id", ""),
    )
