"""Lists from facts: settings chosen on early windows, proved on three test periods, and what ships refitted on everything."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from features.contract import CONTRACT_HASH
from features.errors import NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.evidence import Evidence
from training.lists.baselines import BaselineLists
from training.lists.behaviour import Behaviour, behaviour
from training.lists.cutoffs import Cutoff, candidates_of, cutoff
from training.lists.evidence import Proof, evidence_of, figures, gains, listed_coverage
from training.lists.kept_settings import found_settings
from training.lists.proof import QUESTIONS, Question, candidate_recall, history_groups, model_lists, recalls, variety
from training.lists.ranker import examples, fit_ranker, together
from training.lists.settings import (
    ListPeriod,
    ListSettings,
    list_horizon,
    list_periods,
    period_of_today,
    search_day,
    searched_als,
)
from training.periods import Period
from training.predictors import GOLDEN_ROWS, Engine, Matrix, Recommender, TreeModel
from training.predictors.list_features import FEATURES
from training.predictors.list_sources import SOURCES
from training.predictors.lists import OWN_FREQUENCY, POPULARITY, RANKED
from training.trained import SEED, Trained, lineage
from training.tuning import Search

NAME = "recommender"
SERVING_BASELINES = {"own_frequency": OWN_FREQUENCY, "own_frequency_decayed": OWN_FREQUENCY, "popularity": POPULARITY}
"""Baselines that a bundle can answer by, and by what."""


@dataclass(slots=True)
class Workshop:
    """Cut-offs of one shop, each fitted once, and rankers that learn from them.

    Attributes
    ----------
    kept
        Examples of each cut-off a ranker learned from, by day; None where no item had enough buyers yet.
    """

    facts: Facts
    behaviour: Behaviour
    horizon_days: int
    settings: ListSettings
    seed: int
    engine: Engine
    kept: dict[int, Any] = field(default_factory=dict)

    def at(self, day: int) -> Cutoff:
        """Everything as of a local day."""
        return cutoff(self.behaviour, day=day, horizon_days=self.horizon_days, settings=self.settings.sources, seed=self.seed)

    def ranker(self, period: ListPeriod) -> tuple[TreeModel, Matrix]:
        """A ranker for a period, and golden rows of what it learned from."""
        for day in period.train:
            if day not in self.kept:
                self._learn(day)
        parts = [part for part in (self.kept[day] for day in period.train) if part is not None and len(part.rows)]
        if not parts:
            raise NotEnoughData(
                "no candidate was bought after any earlier cut-off: there is nothing for a ranker to learn from"
            )
        learned = together(parts)
        golden = learned.rows[:: max(1, len(learned.rows) // GOLDEN_ROWS)][:GOLDEN_ROWS]
        return fit_ranker(learned, self.settings.ranker, engine=self.engine, seed=self.seed), golden

    def recommender(self, of: Cutoff, period: ListPeriod) -> Recommender:
        """The recipe's recommender as of a cut-off."""
        ranker, golden = self.ranker(period)
        return Recommender(self.manifest(of, period), of.catalogue, ranker, golden)

    def _learn(self, day: int) -> None:
        try:
            of = self.at(day)
        except NotEnoughData:  # too early: no item had enough buyers yet
            self.kept[day] = None
        else:
            self.kept[day] = examples(of, candidates_of(of), seed=self.seed)

    def proof(self, period: ListPeriod) -> Proof:
        """The recipe judged at a test cut-off, once, beside the baselines."""
        of = self.at(period.test)
        recommender = self.recommender(of, period)
        baselines = BaselineLists.begun(of, seed=self.seed)
        candidates = candidates_of(of, seen=baselines.add)
        scores = recommender.rank(candidates)
        everything, new_only = baselines.everything, baselines.new_only
        mine = {question: model_lists(recommender, candidates, scores, question) for question in QUESTIONS}
        found: dict[Question, Any] = {
            question: recalls(of, question, mine[question], new_only if question == "novel" else everything)
            for question in QUESTIONS
        }
        notes = {
            "items": len(of.catalogue),
            "members": len(of.histories),
            "variety": {name: variety(lists, of) for name, lists in {"list": mine["repeats"], **everything}.items()},
            "candidate_recall": candidate_recall(of, candidates, SOURCES),
        }
        if of.day not in self.kept:
            self.kept[of.day] = examples(of, candidates, seed=self.seed)
        return Proof(
            Period(self.horizon_days, period.train, None, None, period.test),
            self.behaviour.bought.member_ids[of.members],
            found,
            history_groups(of, found["repeats"].rows),
            listed_coverage({"list": mine["repeats"], **everything}, len(of.catalogue)),
            notes,
        )

    def manifest(self, of: Cutoff, period: ListPeriod) -> BundleManifest:
        """What a bundle of this recipe says of itself."""
        als = self.settings.sources.als
        weighing = asdict(als.weighing) if als else {"alpha": 0.0, "regularization": 1.0, "count": "slow", "shape": "linear"}
        return BundleManifest(
            name=NAME,
            kind=Recommender.kind,
            engine=self.engine,
            contract_hash=CONTRACT_HASH,
            features=(),
            definition={"horizon_days": self.horizon_days},
            parameters={**weighing, "serves": RANKED, "features": list(FEATURES)},
            lineage=lineage(
                self.facts, seed=self.seed, days={"train": list(period.train), "until": of.day, "items": len(of.catalogue)}
            ),
        )


def train_recommender(
    facts: Facts,
    *,
    seed: int = SEED,
    engine: Engine = "xgboost",
    search: Search | None = None,
    done: Callable[[str], None] = lambda name: None,
) -> Trained:
    """A recommender with its evidence: settings named first, judged once a test period, then refitted on everything.

    Parameters
    ----------
    search
        How many ALS settings are tried before; none if None.
    done
        Called with the name of each step that ended.

    Raises
    ------
    NotEnoughData
        The history is too short, no item has enough buyers, or nobody bought anything in a test window.
    """
    began = time.process_time()
    shop = workshop(facts, seed=seed, engine=engine, search=search)
    done("settings")
    proofs = proved(shop, done)
    today = period_of_today(facts, horizon_days=shop.horizon_days)
    whole = shop.at(today.test)
    recommender = shop.recommender(whole, today)
    serves, why = what_serves(proofs, seed=seed)
    mine, theirs = figures(proofs)
    return Trained(
        recommender.serving(serves),
        metrics=mine,
        baselines=theirs,
        parameters={
            "engine": engine,
            "serves": serves,
            "serves_why": why,
            "seed": seed,
            "train_cpu_s": round(time.process_time() - began, 1),
            **settings_record(shop.settings),
        },
        evidence=evidence_served(proofs, serves, engine, shop.settings),
        files={"lists.json": json.dumps(report(proofs, shop.settings, seed=seed), indent=1, default=float).encode()},
    )


def workshop(facts: Facts, *, seed: int, engine: Engine, search: Search | None) -> Workshop:
    """The shop with the settings that everything after is made by.

    Raises
    ------
    NotEnoughData
        The history is too short.
    """
    horizon = list_horizon(facts)
    seen = behaviour(facts)
    settings = ListSettings()
    day = search_day(facts, horizon_days=horizon)
    if search is not None and search.trials > 0 and day is not None:
        trials, at = search.trials, day
        settings = found_settings(
            search,
            horizon_days=horizon,
            seed=seed,
            find=lambda: searched_als(seen, day=at, horizon_days=horizon, trials=trials, seed=seed),
        )
    return Workshop(facts, seen, horizon, settings, seed, engine)


def proved(shop: Workshop, done: Callable[[str], None] = lambda name: None) -> tuple[Proof, ...]:
    """The recipe judged on every test period, oldest first.

    Raises
    ------
    NotEnoughData
        Nobody who had bought before bought something of the catalogue in a test window.
    """
    proofs = []
    for period in list_periods(shop.facts, horizon_days=shop.horizon_days):
        try:
            proof = shop.proof(period)
        except NotEnoughData:  # too early; a later period may do
            continue
        if len(proof.by_question["repeats"].rows):
            proofs.append(proof)
        done(f"period of day {period.test}")
    if not proofs:
        raise NotEnoughData("no member who had bought before bought anything of the catalogue in a test window")
    return tuple(proofs)


def what_serves(proofs: Sequence[Proof], *, seed: int) -> tuple[str, str]:
    """The ranker if its gain over the best baseline that could serve is shown, or else that baseline; and why in words."""
    _, theirs = figures(proofs)
    best = max(SERVING_BASELINES, key=lambda name: theirs[name]["recall20"])
    shown = gains(proofs, "repeats", seed=seed)[best]
    said = f"recall@20 {shown.value:+.4f} ({shown.low:+.4f} to {shown.high:+.4f}) beside {best}"
    if shown.low > 0:
        return RANKED, f"The ranker: {said}."
    return SERVING_BASELINES[best], f"No gain shown over {best}, which serves: {said}."


def evidence_served(proofs: Sequence[Proof], serves: str, engine: str, settings: ListSettings) -> Evidence:
    """Row by row for the gate: of the ranker, or of the baseline if that is what serves."""
    proof = evidence_of(proofs, question="repeats", engine=engine, parameters=settings_record(settings))
    if serves == RANKED:
        return proof
    name = "popularity" if serves == POPULARITY else "own_frequency_decayed"
    judged = tuple(replace(one, answer=one.others[name]) for one in proof.judged)
    return replace(proof, judged=judged)


def settings_record(settings: ListSettings) -> dict[str, Any]:
    """The settings as a run records them."""
    als = settings.sources.als
    return {
        "trials": len(settings.tried),
        "at_edge": "; ".join(settings.at_edge),
        "ease_penalty": settings.sources.penalty or 0.0,
        **({f"als_{name}": value for name, value in asdict(als).items()} if als else {"als_factors": 0}),
        **{f"ranker_{name}": value for name, value in asdict(settings.ranker).items()},
    }


def report(proofs: Sequence[Proof], settings: ListSettings, *, seed: int) -> Mapping[str, Any]:
    """Figures period by period, by question and by length of history, gains with intervals, and candidate recall."""
    return {
        "settings": settings_record(settings),
        "als_tried": list(settings.tried),
        "gains": {
            question: {name: asdict(interval) for name, interval in gains(proofs, question, seed=seed).items()}
            for question in QUESTIONS
        },
        "periods": [_of_period(proof) for proof in proofs],
    }


def _of_period(proof: Proof) -> Mapping[str, Any]:
    def row(question: Question) -> Mapping[str, float]:
        found = proof.by_question[question]
        if not len(found.rows):
            return {}
        return {"list": float(found.model.mean()), **{name: float(v.mean()) for name, v in found.baselines.items()}}

    repeats = proof.by_question["repeats"]
    return {
        "test": proof.period.test,
        **{question: row(question) for question in QUESTIONS},
        "by_history": {
            str(group): {
                "members": int((proof.groups == group).sum()),
                "list": float(repeats.model[proof.groups == group].mean()),
                **{name: float(v[proof.groups == group].mean()) for name, v in repeats.baselines.items()},
            }
            for group in sorted(set(proof.groups.tolist()))
        },
        "coverage": dict(proof.coverage),
        **proof.notes,
    }
