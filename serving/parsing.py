"""A request body to a checked request: strict JSON first, then a strict schema, and messages that never repeat a value."""

import json
import re
from collections.abc import Sequence
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
from pydantic import ValidationError

from serving.problems import ApiError
from serving.schemas import ID_PATTERN, MAX_ID, MAX_MEMBERS, Strict

R = TypeVar("R", bound=Strict)
Q = TypeVar("Q", bound=msgspec.Struct)
_IDENTIFIER = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
NO_IDENTIFIER = f"an id has 1 to {MAX_ID} characters, not all of them blank, none invisible, and no braces"
MOST_FIELDS = 100
FIELD_NAME = re.compile(r"[a-z_]{1,32}", re.IGNORECASE)


class _RepeatedName(ValueError):
    """A name stands twice in one object."""


class _NotANumber(ValueError):
    """NaN or Infinity, which JSON does not have."""


def parse(body: bytes, content_type: str, schema: type[R]) -> R:
    """The request in a body.

    Raises
    ------
    ApiError
        415 for another content type, 400 for what is not JSON, 413 for too many members, 422 for all that the schema
        does not allow.
    """
    content = json_object(body, content_type)
    members = content.get("member_ids")
    if isinstance(members, list) and len(members) > MAX_MEMBERS:
        raise ApiError("too_large", f"at most {MAX_MEMBERS} members a request")
    if len(content) > MOST_FIELDS:  # each would be looked at, and told of, while nobody else is answered
        raise ApiError("invalid_request", f"a request has at most {MOST_FIELDS} fields")
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        problems = [
            {"pointer": _pointer(found["loc"]), "problem": in_words(found["msg"])}
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ApiError("invalid_request", _count(len(problems)), errors=problems[:20]) from None


class QuickParser(Generic[Q]):
    """The same as `parse` for bodies that are right, at a tenth of its cost. All others are left to `parse`, which says why.

    A body with a backslash is left to it as well, and one in which a field is named twice: names that are repeated, or
    spelled with escapes, cannot be hidden from it. Without backslashes a name in quotes before a colon is a field's and no
    other text, so that a value may be what a field is called (`"explain": "top_k"`).
    """

    def __init__(self, shape: type[Q]) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._names = [f'"{name}"'.encode() for name in shape.__struct_fields__]

    def parse(self, body: bytes, content_type: str) -> Q | None:
        """The request; None where `parse` has to look at it."""
        if content_type != "application/json" or b"\\" in body:
            return None
        if max(map(body.count, self._names)) > 1 and self._named_twice(body):
            return None
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _named_twice(self, body: bytes) -> bool:
        often = [name for name in self._names if body.count(name) > 1]
        return any(sum(after.lstrip()[:1] == b":" for after in body.split(name)[1:]) > 1 for name in often)


def in_words(found: str) -> str:
    """What pydantic says of a value, where that is a pattern or about pydantic in words of ours."""
    return NO_IDENTIFIER if ID_PATTERN in found else found.removeprefix("Value error, ")


def are_identifiers(texts: Sequence[str]) -> bool:
    """Whether all texts may stand for members or items. Letters and digits may, whatever the alphabet."""
    if "".join(texts).isalnum() and len(min(texts, key=len)) > 0 and len(max(texts, key=len)) <= MAX_ID:
        return True
    return all(0 < len(text) <= MAX_ID and _IDENTIFIER.match(text) is not None for text in texts)


def json_object(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object in a body; ApiError 415 or 400 where there is none."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError("unsupported_media_type", "send the header Content-Type: application/json")
    try:
        text = body.decode("utf-8")
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
        json.dumps(content, ensure_ascii=False).encode("utf-8")  # lone surrogates fail here
    except _NotANumber:
        raise ApiError("invalid_request", "NaN and Infinity are no JSON numbers") from None
    except _RepeatedName:
        raise ApiError("malformed_json", "a name stands twice in one object") from None
    except (ValueError, RecursionError):
        raise ApiError("malformed_json", "the body is not valid JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise ApiError("malformed_json", "the body must be a JSON object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _RepeatedName
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise _NotANumber


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901 pointer to a field; a name that is no field's name, and so might be anything, is not repeated."""
    return "".join(f"/{part if isinstance(part, int) or FIELD_NAME.fullmatch(part) else '?'}" for part in location)


def _count(number: int) -> str:
    return "1 field is not as it should be" if number == 1 else f"{number} fields are not as they should be"
