"""A body of /v1/recommend to a checked request: quickly where it is right, and with all that is wrong of it where it is not."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from serving.list_schemas import MAX_CONTEXT, RecommendRequest
from serving.parsing import QuickParser, are_identifiers, parse
from serving.schemas import MAX_EXCLUDED, MAX_K, MAX_MEMBERS


class QuickRecommendRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`RecommendRequest` as the quick parser reads it; a test holds the two against each other."""

    member_ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_MEMBERS)]
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude: Annotated[list[str], Meta(max_length=MAX_EXCLUDED)] = []
    placement: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    store: str | None = None
    context: Annotated[list[str], Meta(max_length=MAX_CONTEXT)] = []
    adult: bool = False
    dry_run: bool = False


_QUICK = QuickParser(QuickRecommendRequest)
_PLACEMENT = re.compile(r"[a-z0-9_-]+\Z")


def parse_recommend(body: bytes, content_type: str) -> RecommendRequest | QuickRecommendRequest:
    """The request in a body; ApiError as `parsing.parse` raises it."""
    quick = _QUICK.parse(body, content_type)
    if quick is not None and not quick.dry_run and _is_sound(quick):
        return quick
    return parse(body, content_type, RecommendRequest)


def _is_sound(quick: QuickRecommendRequest) -> bool:
    """Whether all identifiers are such, and the placement is a name."""
    if quick.placement is not None and not _PLACEMENT.match(quick.placement):
        return False
    more = [*quick.exclude, *quick.context]
    if quick.store is not None:
        more.append(quick.store)
    return are_identifiers(quick.member_ids) and (not more or are_identifiers(more))
