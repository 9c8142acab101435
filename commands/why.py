"""The job of `rapport why`: one member's score, the reasons for it in words, and what one visit would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from features.codec import decode
from features.contract import CONTRACT
from features.days import day_of
from features.derive import derive, model_columns
from features.errors import ConfigurationError, NothingPublished
from features.jobs import as_of_moment, open_facts, store_url
from features.online_store import RedisStore
from features.screen import Screen
from features.settings import Settings
from training.predictors import AnyPredictor, ChurnPredictor, TierPredictor
from training.predictors.counterfactual import one_visit
from training.predictors.reason_codes import CODE_NAMES
from training.predictors.reason_sentences import LANGUAGES, Language
from training.predictors.reasons import Explainable, Explanations, Reason, explain, reasons
from training.registry import RegisteredModel, load, require_contract, resolve

Model = Literal["churn", "tier"]
WORTH_SAYING = 0.005
"""Smallest change of a probability that one visit is said to make."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one member as of a moment: their aggregates, the local day, and the numbers of the population."""

    records: NDArray[np.void]
    day: int
    as_of: datetime
    edges: dict[str, float]


@dataclass(frozen=True, slots=True)
class WhyJob:
    """Explaining one score, on one set of settings and one screen."""

    settings: Settings
    screen: Screen

    def run(self, member: str, model: Model, *, as_of: str | None, exact: bool, language: Language, top: int) -> dict[str, Any]:
        """Show a member's score and why it is so; returns the same for a program.

        Raises
        ------
        ModelMissing
            No champion of that model is registered.
        NothingPublished
            No moment is named, and nothing was published to take one from.
        ConfigurationError
            Nothing is known of the member as of then, or the model is of a kind without reasons.
        """
        registered = resolve(self.settings.mlruns_dir, model)
        predictor = explainable(load(registered))
        known = self._published(member) if as_of is None else self._from_facts(member, as_of)
        features = derive(CONTRACT, known.records, day=known.day, edges=known.edges)
        found: dict[str, Any] = {"member_id": member, "model": registered.label, "as_of": known.as_of.isoformat()}
        silence = float(features[0, CONTRACT.feature_names.index("days_since_last_purchase")])
        if isinstance(predictor, ChurnPredictor) and not silence <= predictor.manifest.definition["active_days"]:
            return self._not_active(found, predictor)
        matrix = np.ascontiguousarray(features[:, model_columns(CONTRACT)])
        explanations = explain(predictor, matrix, exact=exact, top=top)
        found |= _score(predictor, matrix, explanations)
        spoken = {each: reasons(explanations, matrix, CONTRACT.model_features, each)[0] for each in LANGUAGES}
        visit = one_visit(predictor, CONTRACT, known.records, day=known.day, edges=known.edges)
        found |= {"one_visit_today": _moved(predictor, explanations, visit.before, visit.after)}
        self._show(found, predictor, registered, spoken[language])
        return found | _told(explanations, spoken, exact=exact)

    def _published(self, member: str) -> Known:
        """From the online store, as of the last publish."""
        with store_url(self.settings) as url:
            store = RedisStore(url, prefix=self.settings.key_prefix)
            stamp, values = store.read_stamp(), store.read_aggregates([member])
            store.close()
        if stamp is None:
            raise NothingPublished("no features were published", remedy='name a moment ("--as-of end-of-facts"), or publish')
        zone = ZoneInfo(stamp.time_zone)
        moment = stamp.as_of_moment.astimezone(zone)
        if values[0] is None:
            raise _unknown(moment)
        edges = {name: float("nan") if value is None else value for name, value in stamp.edges.items()}
        return Known(decode(CONTRACT, [values[0]]).records, day_of(moment, zone), moment, edges)

    def _from_facts(self, member: str, as_of: str) -> Known:
        """From the facts, as of any moment; everyone's features are built, as the numbers of the population belong to it."""
        from features.build import build  # DuckDB and Ibis take a second: a published member is explained without

        facts = open_facts(self.settings)
        moment = as_of_moment(as_of, facts)
        with self.screen.progress(f"features as of {moment:%Y-%m-%d %H:%M}", 1) as advance:
            rows = build(facts, as_of=moment)
            advance()
        here = np.flatnonzero(rows.member_ids == member)
        if not len(here):
            raise _unknown(moment)
        return Known(rows.records[here], rows.day, moment, dict(rows.edges))

    def _not_active(self, found: dict[str, Any], predictor: ChurnPredictor) -> dict[str, Any]:
        days = predictor.manifest.definition["active_days"]
        self.screen.say(f"No risk of leaving is given for members without a purchase in the last {days} days: they have left.")
        return found | {"probability": None, "reason": "not_active", "reasons": []}

    def _show(self, found: dict[str, Any], predictor: Explainable, registered: RegisteredModel, told: Sequence[Reason]) -> None:
        self.screen.say(f"Member {escape(found['member_id'])} as of {found['as_of'][:16]}, by {registered.label}")
        self.screen.step(_headline(found, predictor))
        effect = {"raises": "raises it", "lowers": "lowers it"}
        rows = [
            (f"{reason.contribution:+.2f}", effect[reason.direction], reason.sentence, _act(reason), reason.code)
            for reason in told
        ]
        self.screen.table("Why", ("weight", "effect", "what we see", "can be acted on", "code"), rows)
        said = sum(reason.contribution for reason in told)
        rest = found["logit"] - found["base"] - said
        self.screen.say(
            f"Weights are log-odds and add up: start {found['base']:+.2f}, these {said:+.2f}, all others {rest:+.2f}, "
            f"together {found['logit']:+.2f}{_to_probability(found, predictor)}."
        )
        visit = found["one_visit_today"]
        if visit is not None:
            self.screen.say(f"One usual visit today: {visit['of']} {visit['before']:.0%} → {visit['after']:.0%}.")


def explainable(predictor: AnyPredictor) -> Explainable:
    """The predictor, if it is of a kind that has reasons and was made for the features of this process."""
    require_contract(predictor)
    if not isinstance(predictor, ChurnPredictor | TierPredictor):
        raise ConfigurationError(f"{predictor.manifest.name} is of kind {predictor.kind}, which has no reasons")
    return predictor


def _unknown(moment: datetime) -> ConfigurationError:
    return ConfigurationError(
        f"nothing is known of this member as of {moment:%Y-%m-%d %H:%M}", remedy="check the id, or name another --as-of"
    )


def _score(predictor: Explainable, matrix: NDArray[np.float32], explanations: Explanations) -> dict[str, Any]:
    scores = predictor.score(matrix)
    sums = {"base": float(explanations.base[0]), "logit": float(explanations.logit[0])}
    if isinstance(predictor, ChurnPredictor):
        return {"probability": float(scores[0]), "band": predictor.band(float(scores[0])), **sums}
    towards, against = _tiers(predictor, explanations)
    tiers = {name: float(p) for name, p in zip(predictor.tiers, scores[0], strict=True)}
    return {"likely": towards, "rather_than": against, "probabilities": tiers, **sums}


def _tiers(predictor: TierPredictor, explanations: Explanations) -> tuple[str, str]:
    if explanations.towards is None or explanations.against is None:
        raise ValueError("these are no explanations of tiers")
    return predictor.tiers[explanations.towards[0]], predictor.tiers[explanations.against[0]]


def _headline(found: dict[str, Any], predictor: Explainable) -> str:
    definition = predictor.manifest.definition
    if isinstance(predictor, ChurnPredictor):
        return (
            f"Risk of leaving {found['probability']:.1%} ({found['band']}): no purchase in the next "
            f"{definition['horizon_days']} days"
        )
    chance = found["probabilities"][found["likely"]]
    return (
        f"Heading for {found['likely']} ({chance:.1%}) in the next {definition['horizon_days']} days; "
        f"below: why {found['likely']} rather than {found['rather_than']}"
    )


def _to_probability(found: dict[str, Any], predictor: Explainable) -> str:
    if not isinstance(predictor, ChurnPredictor):
        return ""
    raw = f"{1 / (1 + np.exp(-found['logit'])):.1%}"
    calibrated = f"{found['probability']:.1%}"
    return f", which is {raw}" if raw == calibrated else f", which is {raw} before calibration and {calibrated} after it"


def _act(reason: Reason) -> str:
    return "yes" if reason.actionable else "no"


def _moved(
    predictor: Explainable, explanations: Explanations, before: NDArray[np.float64], after: NDArray[np.float64]
) -> dict[str, Any] | None:
    """What one usual visit today would do to the probability shown; None where it does nothing worth saying."""
    of, then, now = "risk of leaving", before[0], after[0]
    if isinstance(predictor, TierPredictor):
        likely = _tiers(predictor, explanations)[0]
        column = predictor.tiers.index(likely)
        of, then, now = f"chance of {likely}", before[0, column], after[0, column]
    if np.isnan(now) or abs(now - then) < WORTH_SAYING:
        return None
    return {"of": of, "before": float(then), "after": float(now)}


def _told(explanations: Explanations, spoken: dict[Language, list[Reason]], *, exact: bool) -> dict[str, Any]:
    texts = zip(*(spoken[each] for each in LANGUAGES), strict=True)
    told = [{**asdict(each[0]), "sentence": dict(zip(LANGUAGES, (r.sentence for r in each), strict=True))} for each in texts]
    return {
        "reasons": told,
        "contributions": dict(zip(CODE_NAMES, explanations.contributions[0].tolist(), strict=True)),
        "method": "tree_shap_by_library" if exact else "tree_shap_by_tables",
    }
