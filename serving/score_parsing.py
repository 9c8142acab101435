"""A body of /v1/score to a checked request: quickly where it is right, and with all that is wrong of it where it is not."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.parsing import QuickParser, are_identifiers, parse
from serving.schemas import MAX_MEMBERS
from serving.score_schemas import (
    MAX_DEADLINE_MS,
    MAX_REASONS,
    MAX_STALENESS_S,
    MODEL_PATTERN,
    OUTPUTS,
    Output,
    ScoreRequest,
)


class QuickScoreRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`ScoreRequest` as the quick parser reads it; a test holds the two against each other."""

    member_ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_MEMBERS)]
    outputs: Annotated[list[Output], Meta(min_length=1, max_length=len(OUTPUTS))] | None = None
    explain: Literal["none", "top_k"] = "none"
    top_k: Annotated[int, Meta(ge=1, le=MAX_REASONS)] = 3
    language: Literal["en", "zh"] = "en"
    model: str = "champion"
    max_staleness: Annotated[int, Meta(ge=0, le=MAX_STALENESS_S)] | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=MAX_DEADLINE_MS)] | None = None


_QUICK = QuickParser(QuickScoreRequest)
_MODEL = re.compile(MODEL_PATTERN.removesuffix("$") + r"\Z")


def parse_score(body: bytes, content_type: str) -> ScoreRequest | QuickScoreRequest:
    """The request in a body; ApiError as `parsing.parse` raises it."""
    quick = _QUICK.parse(body, content_type)
    if quick is not None and are_identifiers(quick.member_ids) and _MODEL.match(quick.model):
        return quick
    return parse(body, content_type, ScoreRequest)
