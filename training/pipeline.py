"""Training from facts to registered models, and the models' answers for everyone into the online store."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.contract import CONTRACT
from features.errors import BundleRefused, ModelMissing, NotEnoughData
from features.facts import Facts
from training.artifacts import read_manifest
from training.churn import ChurnDefinition, ChurnEngine, churn_days, engines_for, train_churn
from training.datasets import Snapshots
from training.recommender import train_recommender
from training.registry import CHALLENGER, CHAMPION, RegisteredModel, resolve
from training.requirements import TIER_DAYS, check_model
from training.tier import tier_cutoffs, train_tier
from training.tracking import record, recorded_figures
from training.trained import Trained, code_hash
from training.tuning import Search

MODELS = ("churn", "tier", "recommender")
CHURN = {"churn": ChurnDefinition()}


@dataclass(frozen=True, slots=True)
class Step:
    """One model to train: its name, its engine, the alias it gets, and how it is trained."""

    model: str
    engine: str
    alias: str
    train: Callable[[], Trained]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step: a registered version with its evidence, new or kept, or the requirement that was not met."""

    step: Step
    trained: Trained | None = None
    registered: RegisteredModel | None = None
    refused: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def steps(
    snapshots: Snapshots,
    models: tuple[str, ...] = MODELS,
    *,
    churn: Mapping[str, ChurnDefinition] | None = None,
    search: Search | None = None,
) -> list[Step]:
    """What there is to train, in order.

    Parameters
    ----------
    churn
        Name and definition of every churn model; the usual one alone if None.
    search
        How much is tuned before; nothing if None.
    """
    facts = snapshots.facts
    every = [
        *(step for name, one in (churn or CHURN).items() for step in _churn_steps(snapshots, name, one, search)),
        Step("tier", "xgboost", CHAMPION, lambda: train_tier(snapshots, horizon_days=TIER_DAYS)),
        Step("recommender", "implicit", CHAMPION, lambda: train_recommender(facts)),
    ]
    return [step for step in every if base_name(step.model) in models or step.model in models]


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
    if "tier" in models:
        cuts = _or_none(lambda: tier_cutoffs(facts, horizon_days=TIER_DAYS).days)
        days.update(cuts)
    return sorted(days)


def _churn_steps(snapshots: Snapshots, name: str, definition: ChurnDefinition, search: Search | None) -> list[Step]:
    """Both libraries, or BG/NBD where the history is too short for trees."""
    try:
        engines = engines_for(snapshots.facts, definition)
    except NotEnoughData:
        engines = ("xgboost", "lightgbm")  # each of them is refused by name
    chosen: list[ChurnEngine] = [engine for engine in engines if engine != "bgnbd"] or ["bgnbd"]

    def step(engine: ChurnEngine, alias: str) -> Step:
        return Step(
            name,
            engine,
            alias,
            lambda: train_churn(snapshots, engine=engine, definition=definition, search=search, name=name),
        )

    return [step(engine, CHALLENGER if place else CHAMPION) for place, engine in enumerate(chosen)]


def train(steps_to_do: list[Step], mlruns: Path, facts: Facts) -> Iterator[Outcome]:
    """Train, record and register each step, yielding each outcome; a step whose data do not suffice is refused by name."""
    checks = {model: check_model(facts, base_name(model)) for model in {step.model for step in steps_to_do}}
    for step in steps_to_do:
        check = checks[step.model]
        if not check.ready:
            yield Outcome(step, refused=f"{check.refusal()}. Instead: {check.instead}")
            continue
        try:
            trained = step.train()
        except NotEnoughData as error:
            yield Outcome(step, refused=str(error))
        else:
            registered = record(mlruns, trained, alias=step.alias)
            yield Outcome(step, trained, registered, metrics=trained.metrics, baselines=trained.baselines)


def unchanged(steps_to_do: list[Step], mlruns: Path, facts: Facts) -> list[Outcome]:
    """Steps whose aliased version came from these very facts, features and code, each with the evidence recorded then."""
    kept = []
    for step in steps_to_do:
        try:
            registered = resolve(mlruns, step.model, step.alias)
            manifest = read_manifest(registered.bundle, sha256=registered.sha256)
        except (ModelMissing, BundleRefused):
            continue
        same = (
            manifest.engine,
            manifest.contract_hash,
            manifest.lineage.get("facts_hash"),
            manifest.lineage.get("code"),
        )
        if same == (step.engine, CONTRACT.hash, facts.manifest.hash, code_hash()):
            metrics, baselines = recorded_figures(mlruns, registered)
            kept.append(Outcome(step, registered=registered, metrics=metrics, baselines=baselines))
    return kept


def _or_none(days: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return days()
    except NotEnoughData:
        return ()
