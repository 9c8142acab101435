"""Training from facts to registered models, and the models' answers for everyone into the online store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from features.contract import CONTRACT
from features.errors import BundleRefused, NotEnoughData
from features.facts import Facts
from training.artifacts import BundleManifest, read_manifest
from training.audit import last_verdict
from training.candidacy import contender_of, decide_and_move, ground_for
from training.churn import ChurnDefinition, ChurnEngine, churn_days, engines_for, train_churn
from training.datasets import Snapshots
from training.lists.champion import Serving, serving_lists
from training.recommender import train_recommender
from training.registry import CHAMPION, RegisteredModel, recorded_figures, registered_models, version_of
from training.requirements import ModelCheck, check_model
from training.segments import champion_groups, segment_days, train_segments
from training.spending import spending_days
from training.tier import train_tier
from training.tracking import record, record_verdict
from training.trained import Trained, code_hash
from training.training_report import trained_with_report
from training.tuning import Search
from training.value import train_value
from training.verdict import Verdict

MODELS = ("churn", "tier", "value", "segments", "recommender")
CHURN = {"churn": ChurnDefinition()}


@dataclass(frozen=True, slots=True)
class Step:
    """One model to train: its name, its engine, and how it is trained.

    `in_need` marks a baseline that is trained only where nothing better serves: see `needed`. `churn` is
    what a churn model asks.
    """

    model: str
    engine: str
    train: Callable[[], Trained]
    in_need: bool = False
    churn: ChurnDefinition | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step: a registered version with its evidence, new or kept, or the requirement that was not met.

    Attributes
    ----------
    registered
        The version with the aliases it has now.
    verdict
        What the gate said of it, as plain JSON.
    """

    step: Step
    trained: Trained | None = None
    registered: RegisteredModel | None = None
    refused: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def champion(self) -> bool:
        """Whether it serves now."""
        return self.registered is not None and CHAMPION in self.registered.aliases

    @property
    def promoted(self) -> bool:
        """Whether this very run made it champion."""
        return self.trained is not None and self.champion


def steps(
    snapshots: Snapshots,
    models: tuple[str, ...] = MODELS,
    *,
    churn: Mapping[str, ChurnDefinition] | None = None,
    search: Search | None = None,
    mlruns: Path | None = None,
) -> list[Step]:
    """What there is to train, in order.

    Parameters
    ----------
    churn
        Name and definition of every churn model; the usual one alone if None.
    search
        How much is tuned before; nothing if None.
    mlruns
        Registry whose segments the new ones continue, and whose lists new ones are set beside; neither if None.
    """
    facts = snapshots.facts
    every = [
        *(step for name, one in (churn or CHURN).items() for step in _churn_steps(snapshots, name, one, search)),
        Step("tier", "xgboost", lambda: train_tier(snapshots, search=search)),
        Step("value", "xgboost", lambda: train_value(snapshots, engine="xgboost", search=search)),
        Step("value", "lightgbm", lambda: train_value(snapshots, engine="lightgbm", search=search)),
        Step("segments", "xgboost", lambda: train_segments(snapshots, before=champion_groups(mlruns) if mlruns else None)),
        Step("recommender", "xgboost", lambda: train_recommender(facts, search=search, before=_lists_before(mlruns))),
    ]
    return [step for step in every if base_name(step.model) in models or step.model in models]


def _lists_before(mlruns: Path | None) -> Serving | None:
    return serving_lists(mlruns) if mlruns is not None else None


def base_name(model: str) -> str:
    """The kind of question a model answers: churn for churn_h60_a180."""
    return "churn" if model.startswith("churn_h") else model


def snapshot_days(
    facts: Facts, models: tuple[str, ...] = MODELS, *, churn: Mapping[str, ChurnDefinition] | None = None
) -> list[int]:
    """Local days of every snapshot that training these models will ask for; models that lack data ask for none."""
    days: set[int] = set()
    for name, definition in (churn or CHURN).items():
        if name in models or base_name(name) in models:
            days.update(_or_none(lambda definition=definition: churn_days(facts, definition)))  # type: ignore[misc]
    if {"tier", "value"} & set(models):
        days.update(_or_none(lambda: spending_days(facts)))
    if "segments" in models:
        days.update(_or_none(lambda: segment_days(facts)))
    return sorted(days)


def needed(step: Step, mlruns: Path) -> bool:
    """Whether a step is to be done: a baseline only where no version of its model serves, or one that it made itself."""
    if not step.in_need:
        return True
    champion = next((m for m in registered_models(mlruns) if m.name == step.model and CHAMPION in m.aliases), None)
    if champion is None:
        return True
    try:
        return read_manifest(champion.bundle, sha256=champion.sha256).engine == step.engine
    except BundleRefused:
        return False


def _churn_steps(snapshots: Snapshots, name: str, definition: ChurnDefinition, search: Search | None) -> list[Step]:
    """Both libraries and, where neither serves in the end, BG/NBD; BG/NBD alone where the history is too short for trees."""
    try:
        engines = engines_for(snapshots.facts, definition)
    except NotEnoughData:
        engines = ("xgboost", "lightgbm")  # each of them is refused by name

    def step(engine: ChurnEngine) -> Step:
        return Step(
            name,
            engine,
            lambda: train_churn(snapshots, engine=engine, definition=definition, search=search, name=name),
            in_need=engine == "bgnbd" and len(engines) > 1,
            churn=definition,
        )

    return [step(engine) for engine in engines]


def train(
    steps_to_do: list[Step], mlruns: Path, snapshots: Snapshots, *, who: str, clock: Callable[[], datetime]
) -> Iterator[Outcome]:
    """Train each step, register it, and bring it before the gate; a step whose data do not suffice is refused by name.

    Parameters
    ----------
    who, clock
        What the record of promotions says of who acted and when.
    """
    checks = check_steps(snapshots.facts, steps_to_do)
    for step in steps_to_do:
        check = checks[step.model]
        if not needed(step, mlruns):
            continue
        if not check.ready:
            yield Outcome(step, refused=f"{check.refusal()}. Instead: {check.instead}")
            continue
        try:
            trained = trained_with_report(step.train, snapshots.facts, clock=clock)
        except NotEnoughData as error:
            yield Outcome(step, refused=f"{error}. Instead: {check.instead}")
        else:
            registered = record(mlruns, trained)
            verdict = gate(registered, trained, mlruns, snapshots, who=who, at=clock())
            now = version_of(mlruns, registered.name, registered.version)
            said = verdict.as_dict()
            yield Outcome(step, trained, now, metrics=trained.metrics, baselines=trained.baselines, verdict=said)


def check_steps(facts: Facts, steps_to_do: Sequence[Step]) -> dict[str, ModelCheck]:
    """What each model among the steps requires of the facts, in the order of the steps."""
    return {
        model: check_model(facts, model, churn) for model, churn in {step.model: step.churn for step in steps_to_do}.items()
    }


def gate(
    registered: RegisteredModel, trained: Trained, mlruns: Path, snapshots: Snapshots, *, who: str, at: datetime
) -> Verdict:
    """Bring a registered version before the gate, let it become champion or stay challenger, and record what was said."""
    ground = ground_for(snapshots, trained.predictor.manifest)
    verdict = decide_and_move(mlruns, contender_of(registered, trained), ground, who=who, at=at)
    record_verdict(mlruns, registered, verdict, trained)
    return verdict


def unchanged(steps_to_do: list[Step], mlruns: Path, facts: Facts) -> list[Outcome]:
    """Steps of which the newest version by that engine came from these very facts, features and code, with its evidence."""
    kept = []
    versions = registered_models(mlruns)
    for step in steps_to_do:
        found = _newest(versions, step)
        if found is None:
            continue
        registered, manifest = found
        same = manifest.contract_hash, manifest.lineage.get("facts_hash"), manifest.lineage.get("code")
        if same == (CONTRACT.hash, facts.manifest.hash, code_hash()):
            metrics, baselines = recorded_figures(mlruns, registered)
            entry = last_verdict(mlruns, registered.name, registered.version)
            said = entry.verdict if entry else {}
            kept.append(Outcome(step, registered=registered, metrics=metrics, baselines=baselines, verdict=said))
    return kept


def _newest(versions: list[RegisteredModel], step: Step) -> tuple[RegisteredModel, BundleManifest] | None:
    """The newest version of a step's model that its engine made and whose files are right."""
    for model in sorted(versions, key=lambda model: int(model.version), reverse=True):
        if model.name == step.model:
            try:
                manifest = read_manifest(model.bundle, sha256=model.sha256)
            except BundleRefused:
                continue
            if manifest.engine == step.engine:
                return model, manifest
    return None


def _or_none(days: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return days()
    except NotEnoughData:
        return ()
