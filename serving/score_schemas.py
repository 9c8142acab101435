"""The public API of /v1/score: what can be asked of a member, and how each answer stands. The examples are sent by tests."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from serving.schemas import MAX_MEMBERS, PASSPORT_EXAMPLE, Identifier, Passport, Reason, Status, Strict

Output = Literal["churn", "tier", "value", "segment"]
OUTPUTS: tuple[Output, ...] = ("churn", "tier", "value", "segment")
MAX_REASONS = 10
MAX_STALENESS_S = 10 * 366 * 86_400
MAX_DEADLINE_MS = 10_000
MODEL_PATTERN = r"^(champion|challenger|[a-z][a-z0-9_]{0,63}@[1-9][0-9]{0,8})$"
Fallback = Literal["none", "nightly", "prior", "refused"]
FALLBACK_MEANING = {
    "none": "scored from the member's features as they stand in the store",
    "nightly": "the last nightly score, by the models and as of the moment that `nightly` in the passport names",
    "prior": "the mean of the last night's scores, of the member's lifecycle stage where that is known, else of everyone",
    "refused": "no answer at all",
}


class ScoreRequest(Strict):
    """Whom to score, for what, and within which limits."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"member_ids": ["1", "1001"]},
                {"member_ids": ["1"], "outputs": ["churn"], "explain": "top_k", "top_k": 3, "deadline_ms": 200},
            ]
        }
    )

    member_ids: list[Identifier] = Field(
        min_length=1, max_length=MAX_MEMBERS, description="members, answered in this order; one id may stand twice"
    )
    outputs: list[Output] | None = Field(
        default=None,
        min_length=1,
        max_length=len(OUTPUTS),
        description="what to answer; left out: churn and tier, and value and segment where such a model stands",
    )
    explain: Literal["none", "top_k"] = Field(default="none", description="top_k: the strongest reasons beside churn and tier")
    top_k: int = Field(default=3, ge=1, le=MAX_REASONS, description="reasons wanted of each score")
    language: Literal["en", "zh"] = Field(default="en", description="language of the sentences that tell reasons")
    model: Annotated[str, Field(pattern=MODEL_PATTERN)] = Field(
        default="champion",
        description="champion; challenger: those that stand, else the champion; or one version, such as churn@3, in its place",
    )
    max_staleness: int | None = Field(
        default=None,
        ge=0,
        le=MAX_STALENESS_S,
        description="seconds; older features are not scored, but answered from a lower step of the ladder",
    )
    deadline_ms: int | None = Field(
        default=None,
        ge=1,
        le=MAX_DEADLINE_MS,
        description="answer within this time: reasons are left out first, then scores come from lower steps of the ladder",
    )


class ScoreReason(Strict):
    """One reason of a score."""

    code: str = Field(description="a stable code, listed in docs/reasons.md")
    contribution: float = Field(description="what it adds to the score, in logits")
    direction: Literal["raises", "lowers"]
    actionable: bool = Field(description="whether marketing can move it")
    sentence: str = Field(description="the reason in words")


class Churn(Strict):
    """The risk of leaving."""

    probability: float = Field(ge=0, le=1, description="calibrated P(no purchase within horizon_days)")
    band: str | None = Field(description="low, medium or high; null where no model is at hand to say")
    low: float | None = Field(description="of `interval.group` members with this score, at least this share leaves ...")
    high: float | None = Field(description="... and at most this, in `interval.level` of cases; see the passport")
    reasons: list[ScoreReason] | None = Field(
        description="strongest first; null where not asked for, left out, or answered from a lower step, which has none"
    )


class Tier(Strict):
    """The spending tier to come."""

    likely: str | None = Field(description="median of the distribution")
    probabilities: dict[str, float] = Field(description="P of each tier over the next horizon_days")
    reasons: list[ScoreReason] | None = Field(description="why this tier and not the next most probable one; null as for churn")


class Value(Strict):
    """What the member will spend over the next horizon_days, in hundredths of the currency."""

    cents: float
    low_cents: float | None = Field(description="lower end of its interval; see the definition in the passport")
    high_cents: float | None


class Segment(Strict):
    """The customer group."""

    name: str


class ScoreRow(Strict):
    """One member's scores. An output that was not asked for is null, as is one that could not be answered."""

    member_id: str
    status: Status
    reason: Reason | None = Field(description="why the status is not OK, where the status alone does not say")
    fallback: Fallback = Field(description="step of the ladder that answered")
    as_of: str | None = Field(description="moment of what was answered from: the member's features, or the nightly run")
    age_seconds: int | None = Field(description="its age at `moment`")
    nightly_run: str | None = Field(description="number of the nightly run that answered, listed in the passport")
    churn: Churn | None
    tier: Tier | None
    value: Value | None
    segment: Segment | None
    lifecycle_stage: str | None = Field(description="new, growing, loyal, at_risk or dormant")
    rfm_tier: str | None = Field(description="regular, gold or diamond by the purchases of the last 365 days")


class NightlyRun(Strict):
    """A nightly run that some rows were answered from."""

    run: str
    as_of: str = Field(description="moment of the features it scored")
    models: dict[str, str] = Field(description="name and version of each model, by model")


class ScorePassport(Passport):
    """What it takes to reproduce the scores."""

    features_generation: str | None = Field(description="name of the publish that the features are of")
    nightly: list[NightlyRun] = Field(description="nightly runs that rows were answered from; most often none")
    reasons: Literal["none", "given", "dropped"] = Field(description="dropped: there was no time left for them")


_SCORE_EXAMPLE: JsonDict = {
    "member_id": "1",
    "status": "OK",
    "reason": None,
    "fallback": "none",
    "as_of": "2018-01-01T05:00:00+00:00",
    "age_seconds": 36000,
    "nightly_run": None,
    "churn": {"probability": 0.0142, "band": "low", "low": 0.0, "high": 0.04, "reasons": None},
    "tier": {"likely": "gold", "probabilities": {"regular": 0.213, "gold": 0.734, "diamond": 0.053}, "reasons": None},
    "value": None,
    "segment": None,
    "lifecycle_stage": "growing",
    "rfm_tier": "gold",
}


class ScoreResponse(Strict):
    """Scores in the order asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "passport": PASSPORT_EXAMPLE | {"features_generation": "5d3c…", "nightly": [], "reasons": "none"},
                    "rows": [_SCORE_EXAMPLE],
                }
            ]
        }
    )

    passport: ScorePassport
    rows: list[ScoreRow]
