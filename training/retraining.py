"""Retraining that runs itself: named steps from facts to registered models, each done once however often the run is killed."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import NotEnoughData
from features.facts import Facts
from features.measured import RunRecord
from training.audit import last_verdict
from training.churn_definition import ChurnDefinition
from training.datasets import Snapshots
from training.kept_work import KeptWork
from training.pipeline import Step, check_steps, gate, needed, snapshot_days, steps
from training.registry import CHAMPION, RegisteredModel, registered_models, version_of
from training.tracking import record as record_run
from training.trained import Trained, code_hash
from training.training_report import trained_with_report
from training.tuning import Search

EXIT_CODES = {"promoted": 0, "kept": 10, "not enough data": 20}
"""What a scheduler is told; besides 75 where another run holds the lock, and 1 where a step failed."""
SHOWN = ("auc", "calibration_error", "qwk", "spearman", "agreement", "recall20")
"""Figures of a fit that the record of its step names."""
Became = Literal["promoted", "kept", "not enough data"]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a run is for; equal purposes make equal models, so that one run's work serves the next."""

    models: tuple[str, ...]
    until_day: int
    facts_hash: str
    contract: str = CONTRACT.hash
    code: str = field(default_factory=code_hash)
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """A short name for all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one model by one engine. `label` is its version, empty if it has none."""

    model: str
    engine: str
    became: Became
    label: str = ""
    why: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(slots=True)
class Retraining:
    """One run. `record` holds its steps, `judged` what became of each model; promotions are recorded with `who` and `clock`.

    `churn` names the churn models and what they mean, `search` says how much is tuned before: as for `pipeline.steps`.
    """

    facts: Facts
    mlruns: Path
    work: KeptWork
    purpose: Purpose
    who: str
    clock: Callable[[], datetime]
    record: RunRecord = field(default_factory=RunRecord)
    judged: list[Judged] = field(default_factory=list)
    show: Callable[[str], None] = lambda name: None
    churn: Mapping[str, ChurnDefinition] | None = None
    search: Search | None = None

    def run(self) -> Became:
        """Do every step that is not done yet.

        Raises
        ------
        RapportError
            A step failed; what was done before stays done.
        """
        state = self.work.state()
        if state.get("finished"):
            return self._as_before(state)
        try:
            snapshots = Snapshots(self.facts)
            todo = self._ready(self._steps(snapshots))
            self._snapshots(snapshots, todo)
            for step in todo:
                if needed(step, self.mlruns):
                    self._do(step, snapshots)
        finally:
            self._keep_state(finished=False)
        self._keep_state(finished=True)
        self.work.drop_work()
        return self.became

    @property
    def became(self) -> Became:
        """What became of the run: promoted if any model was, not enough data if none could be trained."""
        outcomes = {judged.became for judged in self.judged}
        best: tuple[Became, ...] = ("promoted", "kept")
        return next((found for found in best if found in outcomes), "not enough data")

    def _as_before(self, state: dict[str, Any]) -> Became:
        """The same run ended before: nothing is left to promote.

        One that was killed while it put its work away told nobody how it ended: it ends now, as it would have.
        """
        told = not self.work.anything_left()
        for entry in state["judged"]:
            kept = "kept" if told and entry["became"] == "promoted" else entry["became"]
            self.judged.append(Judged(**entry | {"became": kept}))
        with self._step("everything") as step:
            step.reuse("facts, features, code and settings are those of the run before")
        self.work.drop_work()
        return self.became

    def _steps(self, snapshots: Snapshots) -> list[Step]:
        return steps(snapshots, self.purpose.models, churn=self.churn, search=self.search, mlruns=self.mlruns)

    def _ready(self, every: Sequence[Step]) -> list[Step]:
        with self._step("requirements") as record:
            checks = check_steps(self.facts, every)
            for model, check in checks.items():
                if not check.ready:
                    self._not_enough(model, "", f"{check.refusal()}. Instead: {check.instead}")
            record.found["ready"] = [model for model, check in checks.items() if check.ready]
        return [step for step in every if checks[step.model].ready]

    def _snapshots(self, snapshots: Snapshots, todo: Sequence[Step]) -> None:
        with self._step("snapshots") as record:
            if not todo:
                record.skip("there is nothing to train")
                return
            days = snapshot_days(self.facts, tuple(dict.fromkeys(step.model for step in todo)), churn=self.churn)
            built, there = self.work.snapshots(snapshots, days)
            record.found.update(days=len(days), built=built)
            if there and not built:
                record.reuse(f"all {there} lay there")

    def _do(self, step: Step, snapshots: Snapshots) -> None:
        trained = self._fit(step)
        if trained is not None:
            self._gate(step, trained, self._register(step, trained), snapshots)
        self._keep_state(finished=False)

    def _fit(self, step: Step) -> Trained | None:
        with self._step(f"fit {step.model} {step.engine}") as record:
            trained = self.work.fitted(step.model, step.engine)
            if trained is not None:
                record.reuse("an earlier run had fitted it")
                return trained
            try:
                trained = trained_with_report(step.train, self.facts, clock=self.clock)
            except NotEnoughData as error:
                record.skip(str(error))
                self._not_enough(step.model, step.engine, str(error))
                return None
            self.work.keep_fitted(step.model, step.engine, trained)
            record.found.update({name: round(float(trained.metrics[name]), 4) for name in SHOWN if name in trained.metrics})
        return trained

    def _register(self, step: Step, trained: Trained) -> RegisteredModel:
        with self._step(f"register {step.model} {step.engine}") as record:
            standing = _same_bundle(self.mlruns, step, self.work)
            if standing is not None:
                record.reuse(f"{standing.label} is this very model")
                return standing
            registered = record_run(self.mlruns, trained)
            record.found["version"] = registered.label
        return registered

    def _gate(self, step: Step, trained: Trained, registered: RegisteredModel, snapshots: Snapshots) -> None:
        with self._step(f"gate {step.model} {step.engine}") as record:
            said = last_verdict(self.mlruns, registered.name, registered.version)
            if said is not None:
                record.reuse("the gate had decided on it")
                why = str(said.verdict.get("sentence") or said.reason)
            else:
                why = gate(registered, trained, self.mlruns, snapshots, who=self.who, at=self.clock()).sentence
            serves = CHAMPION in version_of(self.mlruns, registered.name, registered.version).aliases
            promoted = serves and registered.label not in self.work.state().get("champions", [])
            became: Became = "promoted" if promoted else "kept"
            figures = dict(trained.metrics), _plain(trained.baselines)
            self.judged.append(Judged(step.model, step.engine, became, registered.label, why, *figures))
            record.found["became"] = became

    def _not_enough(self, model: str, engine: str, why: str) -> None:
        self.judged.append(Judged(model, engine, "not enough data", why=why))

    def _step(self, name: str) -> Any:
        self.show(name)
        return self.record.step(name)

    def _keep_state(self, *, finished: bool) -> None:
        before = self.work.state()
        self.work.write_state(
            {
                "finished": finished,
                "purpose": asdict(self.purpose),
                "champions": before.get("champions", []),
                "judged": [asdict(judged) for judged in self.judged],
                "record": self.record.to_json(),
            }
        )

    def begin(self) -> None:
        """Note which versions serve, so that a run that goes on knows which of them it made itself."""
        if not self.work.state():
            serving = [model.label for model in registered_models(self.mlruns) if CHAMPION in model.aliases]
            self.work.write_state({"finished": False, "purpose": asdict(self.purpose), "champions": serving})


def cut_off(facts: Facts, day: int) -> Facts:
    """The facts as training sees them if they ended when a local day begins.

    Raises
    ------
    NotEnoughData
        The facts do not reach that day.
    """
    if day > facts.manifest.until_day:
        raise NotEnoughData(
            f"the facts end with {calendar_day(facts.manifest.until_day - 1)}, before {calendar_day(day)}",
            remedy="import what is missing, or name an earlier --as-of",
        )
    return replace(facts, manifest=replace(facts.manifest, until_day=day))


def unfinished(folder: Path, *, but: str) -> Iterator[Path]:
    """Folders of runs that never ended and whose purpose is no longer that of today."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and path.name != but and not KeptWork(path).state().get("finished"):
            yield path


def _same_bundle(mlruns: Path, step: Step, work: KeptWork) -> RegisteredModel | None:
    """The version whose bundle is the one that was fitted, byte by byte."""
    sha256 = work.fitted_hash(step.model, step.engine)
    same = [m for m in registered_models(mlruns) if (m.name, m.sha256) == (step.model, sha256)]
    return same[-1] if same else None


def _plain(baselines: Any) -> dict[str, dict[str, float]]:
    return {name: {figure: float(value) for figure, value in figures.items()} for name, figures in baselines.items()}
