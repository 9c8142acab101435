"""The public API around members: one member's view, erasure, audiences, and the models there are; with examples."""

from typing import Any

from pydantic import ConfigDict, Field

from serving.schemas import Strict

MAX_PAGE = 10_000
MAX_EXPRESSION = 4_000


class MemberProfile(Strict):
    """What was bought, in a few words. Null where it is not known."""

    lifecycle_stage: str | None = Field(description="new, growing, loyal, at_risk or dormant")
    rfm_tier: str | None = Field(description="regular, gold or diamond")
    last_purchase: str | None = Field(description="local day of the last purchase, ISO 8601")
    spend_cents_365d: int | None = Field(description="net spend of the last 365 days, in cents")
    recency_score: int | None = Field(description="quintile, 5 for the most recent")
    frequency_score: int | None = Field(description="quintile, 5 for the most frequent")
    monetary_score: int | None = Field(description="quintile, 5 for the largest spend")


class MemberReason(Strict):
    """One reason of a score."""

    code: str = Field(description="stable code: docs/reasons.md")
    adds: float = Field(description="what it adds to the log-odds")


class MemberScore(Strict):
    """What one model last said of the member, at night."""

    model: str = Field(description="name and version, churn@3")
    kind: str = Field(description="churn, tier, value or segments")
    definition: dict[str, int | float | str | list[str] | list[float]] = Field(description="what the answer means")
    as_of: str = Field(description="moment it was made for, ISO 8601")
    age_seconds: int = Field(description="its age at the moment of the answer")
    values: dict[str, float | str | None] = Field(description="its numbers and labels; null where the model does not apply")
    reasons: list[MemberReason] = Field(description="strongest first; none for kinds without reasons")


class Consent(Strict):
    """What the member said about marketing."""

    marketing: bool | None = Field(description="agreed, refused, or null: the source does not say")
    opted_out: bool = Field(description="refused: nothing personal may be sent or shown")


_MEMBER: dict[str, Any] = {
    "member_id": "138****5678",
    "moment": "2018-01-01T15:00:00+00:00",
    "features_as_of": "2018-01-01T05:00:00+00:00",
    "features_age_seconds": 36000,
    "profile": {
        "lifecycle_stage": "growing",
        "rfm_tier": "gold",
        "last_purchase": "2017-12-30",
        "spend_cents_365d": 184310,
        "recency_score": 5,
        "frequency_score": 4,
        "monetary_score": 4,
    },
    "scores": [
        {
            "model": "churn@1",
            "kind": "churn",
            "definition": {"active_days": 84, "horizon_days": 28},
            "as_of": "2018-01-01T05:00:00+00:00",
            "age_seconds": 36000,
            "values": {"probability": 0.0142},
            "reasons": [{"code": "BOUGHT_RECENTLY", "adds": -1.31}],
        }
    ],
    "tags": ["tier=gold", "stage=growing", "consent=yes"],
    "tags_as_of": "2018-01-01T05:00:00+00:00",
    "consent": {"marketing": True, "opted_out": False},
    "list_expires_seconds": 136800,
}


class MemberView(Strict):
    """One member, for people: what is known and said of them, and how old it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MEMBER]})

    member_id: str = Field(description="the id asked for; masked where it is itself personal, a phone number or an e-mail")
    moment: str = Field(description="the moment answered for, ISO 8601 UTC")
    features_as_of: str | None = Field(description="moment of the last publish")
    features_age_seconds: int | None = Field(description="its age at `moment`")
    profile: MemberProfile
    scores: list[MemberScore] = Field(description="the last nightly answers; POST /v1/score answers as of now")
    tags: list[str] = Field(description="docs/tags.md")
    tags_as_of: str | None = Field(description="moment of the tags; null if none were published")
    consent: Consent
    list_expires_seconds: int | None = Field(description="how long the recommendation list stays; null without one")


_RECEIPT: dict[str, Any] = {
    "receipt": "0b1f5a6e0c9d4c7f8a2b3c4d5e6f7081",
    "requested_at": "2018-01-01T15:00:00+00:00",
    "online": {"erased_at": "2018-01-01T15:00:00+00:00", "keys": 5, "tags": 41},
    "files": {"erased_at": None, "due": "2018-01-02T15:00:00+00:00"},
}


class ErasedOnlineView(Strict):
    """What was taken out of the online store."""

    erased_at: str = Field(description="moment, ISO 8601 UTC")
    keys: int = Field(description="keys of the member's own that were deleted; 0 if there were none any more")
    tags: int = Field(description="tags in which the member's bit was cleared")


class ErasedFilesView(Strict):
    """What is owed by the nightly job."""

    erased_at: str | None = Field(description="moment at which files were last rid of the member; null while that is owed")
    due: str | None = Field(description="by when the next nightly run has to have done it; null once it is done")


class ErasureReceipt(Strict):
    """Proof that an erasure was asked for, and what was done. The same member always has the same receipt."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECEIPT]})

    receipt: str
    requested_at: str = Field(description="moment of the first request, ISO 8601 UTC")
    online: ErasedOnlineView
    files: ErasedFilesView


class AudienceRequest(Strict):
    """Whom to choose, in words."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"expression": "tier=diamond and not silent_30d", "limit": 100},
                {"expression": "stage in (at_risk, dormant)", "limit": 0},
            ]
        }
    )

    expression: str = Field(min_length=1, max_length=MAX_EXPRESSION, description="tags in words: docs/audience.md")
    limit: int = Field(default=1000, ge=0, le=MAX_PAGE, description="ids wanted on this page; 0 only counts")
    cursor: str | None = Field(
        default=None, max_length=64, pattern=r"^[0-9a-z]{1,32}-[0-9]{1,12}$", description="`next_cursor` of the page before"
    )
    include_opted_out: bool = Field(default=False, description="with those who refused marketing, for analysis only")


class AudienceResponse(Strict):
    """How many, and who."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "count": 3,
                    "opted_out": 1,
                    "consent_unknown": 0,
                    "as_of": "2018-01-01T05:00:00+00:00",
                    "age_seconds": 36000,
                    "member_ids": ["1", "1001"],
                    "next_cursor": "a8d0c1e9b7f64d25-1002",
                }
            ]
        }
    )

    count: int = Field(description="members in the audience, on all pages")
    opted_out: int = Field(description="members who fit but refused marketing; left out unless asked for")
    consent_unknown: int = Field(description="members in the audience who never said whether they agree")
    as_of: str = Field(description="moment of the tags")
    age_seconds: int = Field(description="their age")
    member_ids: list[str] = Field(description="ids of this page")
    next_cursor: str | None = Field(description="for the next page; null on the last one")


_MODEL: dict[str, Any] = {
    "name": "churn",
    "version": "1",
    "aliases": ["champion"],
    "serving": True,
    "usable": True,
    "kind": "churn",
    "engine": "xgboost",
    "features": 174,
    "contract_hash": "0ef92787057801718125ab04b69fefbd712a04468a0398e92f490496e33c79fc",
    "bundle_sha256": "9b74c9897bac770ffc029102a200c5de3f1a6a2b7a5c1f0a4f6d3e2c1b0a9f8e",
    "definition": {"active_days": 84, "horizon_days": 28},
    "lineage": {"facts_hash": "5d41402abc4b2a76b9719d911017c592", "rapport": "0.1.0", "seed": 0},
    "figures": {"auc": 0.861},
    "baselines": {"recency": {"auc": 0.769}},
}


class ModelView(Strict):
    """One registered version."""

    name: str
    version: str
    aliases: list[str] = Field(description="names that point to it now: champion, challenger")
    serving: bool = Field(description="whether the process that answers uses it")
    usable: bool = Field(description="whether its files are as they were registered; if not, what is in them is not told")
    kind: str | None
    engine: str | None = Field(description="library that made it")
    features: int | None = Field(description="how many features it sees")
    contract_hash: str | None = Field(description="hash of the feature declarations it was trained on")
    bundle_sha256: str = Field(description="hash that vouches for its files")
    definition: dict[str, Any] | None = Field(description="what its answers mean: horizon, thresholds")
    lineage: dict[str, Any] | None = Field(description="what it was made from: facts, code, seed, cut-offs")
    figures: dict[str, float | None] = Field(description="metrics on its newest test window")
    baselines: dict[str, dict[str, float | None]] = Field(description="the same of its baselines")


class ModelsResponse(Strict):
    """Every registered version, by name and version."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"models": [_MODEL], "missing": ["tier", "recommender"]}]})

    models: list[ModelView]
    missing: list[str] = Field(description="models without a champion")
