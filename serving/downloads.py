"""Files as answers: whole, or from a byte on. A Range that cannot be met gets the whole file, as RFC 9110 allows."""

import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")


class Download(FileResponse):
    """A file. Starlette would answer other ranges with an error that is no problem document."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, without a range that is not of the one form understood here, or lies outside."""
        asked = Headers(scope=scope).get("range")
        if asked is not None and not can_be_met(asked, Path(self.path).stat().st_size):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        await super().__call__(scope, receive, send)


def can_be_met(asked: str, size: int) -> bool:
    """Whether a Range names one run of bytes that begins within the file."""
    found = _RANGE.fullmatch(asked)
    if found is None or int(found[1]) >= size:
        return False
    return not found[2] or int(found[2]) >= int(found[1])
