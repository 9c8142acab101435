"""The public API: requests and answers, with the examples that stand in the OpenAPI page and that the tests send."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

MAX_MEMBERS = 1000
MAX_K = 50
MAX_EXCLUDED = 1000
_INVISIBLE = r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
ID_PATTERN = rf"^[^{_INVISIBLE}{{}}]*[^\s{_INVISIBLE}{{}}][^{_INVISIBLE}{{}}]*$"
"""Identifiers: no braces, nothing invisible, and not only blanks."""

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=ID_PATTERN)]
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
    "nothing_allowed",
    "too_short",
    "unknown_items",
]
REASON_MEANING = {
    "unknown_member": "no features were published for this id",
    "not_active": "no purchase within the active days of the churn definition, so the model does not apply",
    "model_missing": "no champion is registered for one of the models",
    "record_unreadable": "what is stored for this member was written by another version, or is damaged",
    "no_list": "no list was published for this member, or it expired",
    "store_unavailable": "the online store does not answer; the list is the same for everybody",
    "all_excluded": "every item that could be offered was excluded by the request",
    "nothing_allowed": "the rules leave nothing of what could be offered; `dry_run` says which rule took which item",
    "too_short": "the rules leave fewer items than the placement shows at least",
    "unknown_items": "the model knows none of the items asked for",
}


class Strict(BaseModel):
    """No unknown fields, no conversion between types, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class ScoreRequest(Strict):
    """Whom to score."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"member_ids": ["1", "1001"]}]})

    member_ids: list[Identifier] = Field(
        min_length=1, max_length=MAX_MEMBERS, description="members, answered in this order; one id may stand twice"
    )


class ModelPassport(Strict):
    """Which model answered, and what its answer means."""

    name: str = Field(description="model name")
    version: str = Field(description="version in the registry")
    alias: str = Field(description="alias under which it was found")
    engine: str = Field(description="library that made it")
    definition: dict[str, int | float | list[str]] = Field(description="what the answer means: horizon, thresholds")


class Passport(Strict):
    """What it takes to reproduce an answer."""

    decision_id: str = Field(description="id of this answer, also in the header X-Request-Id and in the log")
    moment: str = Field(description="the moment answered for, ISO 8601 UTC")
    contract_hash: str = Field(description="hash of the feature declarations behind the answer")
    models: dict[str, ModelPassport] = Field(description="models used, by what they answer")
    features_as_of: str | None = Field(description="moment of the last publish; null where none was needed or reachable")
    features_age_seconds: int | None = Field(description="age of that publish at `moment`")


class Churn(Strict):
    """The risk of leaving."""

    probability: float = Field(ge=0, le=1, description="calibrated P(no purchase within horizon_days)")
    band: str = Field(description="low, medium or high")


class Tier(Strict):
    """The spending tier to come."""

    likely: str = Field(description="median of the distribution")
    probabilities: dict[str, float] = Field(description="P of each tier over the next horizon_days")


class ScoreRow(Strict):
    """One member's scores."""

    member_id: str
    status: Status
    reason: Reason | None = Field(description="why the status is not OK, where the status alone does not say")
    fallback: Literal["none", "refused"] = Field(description="step of the ladder: none, or refused (no score at all)")
    as_of: str | None = Field(description="moment of this member's features")
    age_seconds: int | None = Field(description="their age at `moment`")
    churn: Churn | None
    tier: Tier | None
    lifecycle_stage: str | None = Field(description="new, growing, loyal, at_risk or dormant")
    rfm_tier: str | None = Field(description="regular, gold or diamond by the purchases of the last 365 days")


_PASSPORT_EXAMPLE: JsonDict = {
    "decision_id": "339ecb604db14a1aa9b6ef2a6d193149",
    "moment": "2018-01-01T15:00:00+00:00",
    "contract_hash": "0ef92787057801718125ab04b69fefbd712a04468a0398e92f490496e33c79fc",
    "models": {
        "churn": {
            "name": "churn",
            "version": "1",
            "alias": "champion",
            "engine": "xgboost",
            "definition": {"active_days": 84, "horizon_days": 28},
        }
    },
    "features_as_of": "2018-01-01T05:00:00+00:00",
    "features_age_seconds": 36000,
}
_SCORE_EXAMPLE: JsonDict = {
    "member_id": "1",
    "status": "OK",
    "reason": None,
    "fallback": "none",
    "as_of": "2018-01-01T05:00:00+00:00",
    "age_seconds": 36000,
    "churn": {"probability": 0.0142, "band": "low"},
    "tier": {"likely": "gold", "probabilities": {"regular": 0.213, "gold": 0.734, "diamond": 0.053}},
    "lifecycle_stage": "growing",
    "rfm_tier": "gold",
}


class ScoreResponse(Strict):
    """Scores in the order asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passport": _PASSPORT_EXAMPLE, "rows": [_SCORE_EXAMPLE]}]})

    passport: Passport
    rows: list[ScoreRow]


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
