"""Lists from facts: settings chosen on early windows, proved on three test periods, and what ships refitted on everything."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from features.contract import CONTRACT_HASH
from features.errors import NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest
from training.evidence import Evidence
from training.lists.baselines import BaselineLists, Lists
from training.lists.behaviour import Behaviour, behaviour
from training.lists.champion import Serving, lists_by
from training.lists.cutoffs import Cutoff, candidates_of, cutoff
from training.lists.evidence import Proof, evidence_of, figures
from training.lists.kept_settings import found_settings
from training.lists.proof import QUESTIONS, Listed, candidate_recall, caps_cost, coverages, served_lists, variety
from training.lists.ranker import examples, fit_ranker, together
from training.lists.record import report, settings_record
from training.lists.served import what_serves
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
from training.predictors.list_order import RANKED
from training.predictors.list_sources import SOURCES
from training.trained import SEED, Trained, lineage
from training.tuning import Search

NAME = "recommender"


@dataclass(slots=True)
class Workshop:
    """Cut-offs of one shop, each fitted once, and rankers that learn from them.

    Attributes
    ----------
    kept
        Examples of each cut-off a ranker learned from, by day; None where no item had enough buyers yet.
    in_full
        Whether to judge ALS with its library's defaults too, and what caps on categories cost: for reports.
    before
        The version that serves, to be asked about the windows that it has not seen.
    """

    facts: Facts
    behaviour: Behaviour
    horizon_days: int
    settings: ListSettings
    seed: int
    engine: Engine
    kept: dict[int, Any] = field(default_factory=dict)
    in_full: bool = False
    before: Serving | None = None

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
        baselines = BaselineLists.begun(of, seed=self.seed, library_defaults=self.in_full)
        candidates = candidates_of(of, seen=baselines.add)
        listed = Listed(*served_lists(recommender, candidates), baselines.everything, baselines.new_only, self._by_champion(of))
        if of.day not in self.kept:
            self.kept[of.day] = examples(of, candidates, seed=self.seed)
        return Proof(
            Period(self.horizon_days, period.train, None, None, period.test),
            self.behaviour.bought.member_ids[of.members],
            {question: listed.recalls(of, question) for question in QUESTIONS},
            {
                "items": len(of.catalogue),
                "members": len(of.histories),
                "variety": {name: variety(lists, of) for name, lists in listed.beside("repeats").items()},
                "variety_novel": {name: variety(lists, of) for name, lists in listed.beside("novel").items()},
                "coverage": coverages(listed.beside("repeats"), of),
                "coverage_novel": coverages(listed.beside("novel"), of),
                "candidate_recall": candidate_recall(of, candidates, SOURCES),
                **({"caps": caps_cost(recommender, candidates, of)} if self.in_full else {}),
            },
        )

    def _by_champion(self, of: Cutoff) -> Mapping[str, tuple[Lists, Lists]]:
        before = self.before
        if before is None or before.saw(of.day):
            return {}
        return {before.label: lists_by(before, self.behaviour, of)}

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
    before: Serving | None = None,
    done: Callable[[str], None] = lambda name: None,
) -> Trained:
    """A recommender with its evidence: settings named first, judged once a test period, then refitted on everything.

    Parameters
    ----------
    search
        How many ALS settings are tried before; none if None.
    before
        The version that serves; it is asked about test windows after its training.
    done
        Called with the name of each step that ended.

    Raises
    ------
    NotEnoughData
        The history is too short, no item has enough buyers, or nobody bought anything in a test window.
    """
    began = time.process_time()
    shop = replace(workshop(facts, seed=seed, engine=engine, search=search), before=before)
    done("settings")
    proofs = proved(shop, done)
    today = period_of_today(facts, horizon_days=shop.horizon_days)
    whole = shop.at(today.test)
    recommender = shop.recommender(whole, today)
    served = what_serves(proofs, seed=seed)
    mine, theirs = figures(proofs, served.by_question())
    return Trained(
        recommender.serving(served.mixed, served.new),
        metrics=mine,
        baselines=theirs,
        parameters={
            "engine": engine,
            **served.record(),
            "seed": seed,
            "train_cpu_s": round(time.process_time() - began, 1),
            **settings_record(shop.settings),
        },
        evidence=evidence_of(proofs, serves=served.by_question(), engine=engine, parameters=settings_record(shop.settings)),
        files={"lists.json": json.dumps(report(proofs, shop.settings, served, seed=seed), indent=1, default=float).encode()},
    )


def evidence(
    facts: Facts,
    *,
    engine: Engine,
    search: Search | None = None,
    seed: int = SEED,
    done: Callable[[], None] = lambda: None,
) -> Evidence:
    """Evidence of the recipe over its test periods, without anything that ships; `done` is called after each.

    Raises
    ------
    NotEnoughData
        As `train_recommender`.
    """
    shop = replace(workshop(facts, seed=seed, engine=engine, search=search), in_full=True)
    proofs = proved(shop, lambda name: done())
    serves = what_serves(proofs, seed=seed).by_question()
    return evidence_of(proofs, serves=serves, engine=engine, parameters=settings_record(shop.settings))


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
