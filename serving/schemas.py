"""The public API: what all answers share, and lists; with the examples of the OpenAPI page, which the tests send."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.config import JsonDict

MAX_MEMBERS = 1000
MAX_ID = 128
MAX_K = 50
MAX_EXCLUDED = 1000
_INVISIBLE = r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
ID_PATTERN = rf"^[^{_INVISIBLE}{{}}]*[^\s{_INVISIBLE}{{}}][^{_INVISIBLE}{{}}]*$"
"""Identifiers: no braces, nothing invisible, and not only blanks."""

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=ID_PATTERN)]
Status = Literal["OK", "STALE", "PARTIAL", "COLD", "FALLBACK", "OPTED_OUT"]
STATUS_MEANING = {
    "OK": "answered from fresh features",
    "STALE": "answered, but the member's features are older than the limit; see `age_seconds`",
    "PARTIAL": "answered in part: a model is missing, or does not apply to this member; see `reason`",
    "COLD": "the store does not know the member",
    "FALLBACK": "answered from a lower step of the ladder; see `fallback` and `reason`",
    "OPTED_OUT": "the member refused marketing: the answer is the same for everybody, and nothing of theirs was used",
}
Reason = Literal[
    "unknown_member",
    "not_active",
    "model_missing",
    "record_unreadable",
    "no_list",
    "store_unavailable",
    "all_excluded",
    "too_stale",
    "deadline",
    "model_failed",
    "contract_mismatch",
]
REASON_MEANING = {
    "unknown_member": "no features were published for this id",
    "not_active": "no purchase within the active days of the churn definition, so the model does not apply",
    "model_missing": "no champion is registered for one of the models",
    "record_unreadable": "what is stored for this member was written by another version, or is damaged",
    "no_list": "no list was published for this member, or it expired",
    "store_unavailable": "the online store does not answer; the answer is the same for everybody",
    "all_excluded": "every item that could be offered was excluded by the request",
    "too_stale": "the member's features are older than `max_staleness` allows",
    "deadline": "there was no time left to score",
    "model_failed": "a model answered with what is no number; the log says which",
    "contract_mismatch": "features were published by another version; scores of the last night are answered meanwhile",
}


class Strict(BaseModel):
    """No unknown fields, no conversion between types, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class RecommendRequest(Strict):
    """Whom to recommend to, and how much."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"member_ids": ["1"], "k": 5, "exclude": ["1029743"]}]})

    member_ids: list[Identifier] = Field(
        min_length=1, max_length=MAX_MEMBERS, description="members, answered in this order; one id may stand twice"
    )
    k: int = Field(default=10, ge=1, le=MAX_K, description="longest list wanted; a catalogue may hold less")
    exclude: list[Identifier] = Field(
        default=[], max_length=MAX_EXCLUDED, description="items never to return; unknown or repeated ones do no harm"
    )


class ModelPassport(Strict):
    """Which model answered, and what its answer means."""

    name: str = Field(description="model name")
    version: str = Field(description="version in the registry")
    alias: str = Field(description="alias under which it was found; empty for a version that was asked for by its number")
    sha256: str = Field(description="hash of its bundle's manifest, which holds the hashes of all its files")
    engine: str = Field(description="library that made it")
    definition: dict[str, JsonValue] = Field(description="what the answer means: horizon, thresholds")
    interval: dict[str, float] | None = Field(description="level and group that low and high are for; null without intervals")


class Passport(Strict):
    """What it takes to reproduce an answer."""

    decision_id: str = Field(description="id of this answer, also in the header X-Request-Id and in the log")
    moment: str = Field(description="the moment answered for, ISO 8601 UTC")
    contract_hash: str = Field(description="hash of the feature declarations behind the answer")
    models: dict[str, ModelPassport] = Field(description="models used, by what they answer")
    features_as_of: str | None = Field(description="moment of the last publish; null where none was needed or reachable")
    features_age_seconds: int | None = Field(description="age of that publish at `moment`")


PASSPORT_EXAMPLE: JsonDict = {
    "decision_id": "339ecb604db14a1aa9b6ef2a6d193149",
    "moment": "2018-01-01T15:00:00+00:00",
    "contract_hash": "0ef92787057801718125ab04b69fefbd712a04468a0398e92f490496e33c79fc",
    "models": {
        "churn": {
            "name": "churn",
            "version": "1",
            "alias": "champion",
            "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
            "engine": "xgboost",
            "definition": {"active_days": 84, "horizon_days": 28},
            "interval": {"level": 0.9, "group": 200},
        }
    },
    "features_as_of": "2018-01-01T05:00:00+00:00",
    "features_age_seconds": 36000,
}
_LIST_EXAMPLE: JsonDict = {
    "member_id": "1",
    "status": "OK",
    "reason": None,
    "fallback": "none",
    "as_of": "2018-01-01T05:00:00+00:00",
    "age_seconds": 36000,
    "items": [
        {"item_id": "856942", "place": 1, "source": "bought_before"},
        {"item_id": "866211", "place": 2, "source": "similar_taste"},
    ],
}


class Item(Strict):
    """One item of a list."""

    item_id: str
    place: int = Field(ge=1, description="place in the list, from 1")
    source: Literal["bought_before", "similar_taste", "popular"] = Field(description="why it is there")


class RecommendRow(Strict):
    """One member's list."""

    member_id: str
    status: Status
    reason: Reason | None = Field(description="why the status is not OK, where the status alone does not say")
    fallback: Literal["none", "popular"] = Field(description="step of the ladder: own list, or what most members buy")
    as_of: str | None = Field(description="moment up to which purchases were known to the list")
    age_seconds: int | None = Field(description="its age at `moment`")
    items: list[Item]


class RecommendResponse(Strict):
    """Lists in the order asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passport": PASSPORT_EXAMPLE, "rows": [_LIST_EXAMPLE]}]})

    passport: Passport
    rows: list[RecommendRow]


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `code` is stable; texts may change. Offending values are never repeated."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:rapport:problem:invalid_request",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "code": "invalid_request",
                    "detail": "1 field is not as it should be",
                    "instance": "urn:rapport:request:5f0c7c1e2f9b4d7d8f7e8a6b1c2d3e4f",
                    "errors": [{"pointer": "/k", "problem": "Input should be less than or equal to 50"}],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: list[dict[str, str]] = []
