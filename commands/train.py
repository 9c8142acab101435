"""Training, judging and registering models, and what became of each, in words and for a program."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.errors import ConfigurationError
from features.jobs import only_run, open_facts
from features.screen import Screen
from features.settings import Settings
from training.registry import RegisteredModel

if TYPE_CHECKING:  # these take seconds to import: only the jobs that use them wait
    from training.datasets import Snapshots
    from training.pipeline import Outcome, Step

SHOWN_METRICS = (
    "auc", "average_precision", "lift_top_tenth", "calibration_error",
    "qwk", "accuracy", "spearman", "total_bias", "agreement", "recall20",
)  # fmt: skip


class TrainJob:
    """Every model asked for: trained, or kept where nothing has changed; then shown beside its baselines."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen

    def run(self, models: tuple[str, ...], *, again: bool) -> list[Outcome]:
        """Train, evaluate and register; models whose facts, code and features have not changed are kept."""
        from training.churn_definition import definitions
        from training.datasets import Snapshots
        from training.pipeline import MODELS, needed, steps, unchanged
        from training.tracking import open_registry

        unknown = set(models) - set(MODELS)
        if unknown:
            raise ConfigurationError(
                f"no model is named {', '.join(sorted(unknown))}", remedy=f"choose from {', '.join(MODELS)}"
            )
        wanted = models or MODELS
        facts = open_facts(self.settings)
        snapshots = Snapshots(facts)
        with only_run(self.settings, "train"):
            open_registry(self.settings.mlruns_dir)
            todo = steps(snapshots, wanted, churn=definitions(self.settings.churn), mlruns=self.settings.mlruns_dir)
            kept = [] if again else unchanged(todo, self.settings.mlruns_dir, facts)
            rest = [step for step in todo if step not in [outcome.step for outcome in kept]]
            if all(step.in_need for step in rest):
                rest = [step for step in rest if needed(step, self.settings.mlruns_dir)]
            outcomes = [*kept, *self._trained(rest, snapshots)]
        self._show_models(outcomes)
        return outcomes

    def _trained(self, todo: Sequence[Step], snapshots: Snapshots) -> list[Outcome]:
        from training.churn_definition import definitions
        from training.pipeline import snapshot_days, train

        if not todo:
            return []
        models = tuple({step.model for step in todo})
        days = snapshot_days(snapshots.facts, models, churn=definitions(self.settings.churn))
        if days:
            text = f"features as of {len(days)} days"
            with self.screen.progress(text, len(days)) as advance:
                for _ in snapshots.prepare(days):
                    advance()
        outcomes = []
        with self.screen.progress("training", len(todo)) as advance:
            for outcome in train(
                list(todo), self.settings.mlruns_dir, snapshots, who=getpass.getuser(), clock=self.settings.clock
            ):
                outcomes.append(outcome)
                advance()
        return outcomes

    def _show_models(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.refused:
                self.screen.say(f"{outcome.step.model} ({outcome.step.engine}) was not trained: {outcome.refused}")
            elif outcome.registered is not None:
                self.screen.say(_what_became(outcome, outcome.registered))
        for model in dict.fromkeys(outcome.step.model for outcome in outcomes):
            self._show_model(model, [o for o in outcomes if o.step.model == model and (o.metrics or o.baselines)])

    def _show_model(self, model: str, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        figures = {f"{o.step.engine}, {_label(o)}": o.metrics for o in outcomes}
        figures |= outcomes[0].baselines
        columns = [name for name in SHOWN_METRICS if any(name in row for row in figures.values())]
        rows = [(name, *(row.get(column, "-") for column in columns)) for name, row in figures.items()]
        self.screen.table(f"{model}: on the test window, beside its baselines", (model, *columns), rows)


def outcome_figures(outcome: Outcome) -> dict[str, Any]:
    """One training outcome for a program."""
    return {
        "model": outcome.step.model,
        "engine": outcome.step.engine,
        "registered": outcome.registered.label if outcome.registered else None,
        "aliases": list(outcome.registered.aliases) if outcome.registered else [],
        "trained": outcome.trained is not None,
        "promoted": outcome.promoted,
        "verdict": dict(outcome.verdict) or None,
        "refused": outcome.refused or None,
        "metrics": dict(outcome.metrics),
        "baselines": {name: dict(figures) for name, figures in outcome.baselines.items()},
    }


def _label(outcome: Outcome) -> str:
    """Name, version and aliases of what was registered."""
    registered = outcome.registered
    return f"{registered.label} ({', '.join(registered.aliases) or 'no alias'})" if registered else ""


def _what_became(outcome: Outcome, registered: RegisteredModel) -> str:
    """Whether a version was promoted or the champion kept, and why."""
    name = f"{registered.label} ({outcome.step.engine})"
    if outcome.trained is None:
        return f"{name} is current: facts, code and features are the same"
    said = outcome.verdict
    if outcome.promoted:
        return f"{name} is promoted. {said['sentence']}"
    against = f"{said['against']} stays champion" if said.get("against") else "there is no champion yet"
    return f"{name} is not promoted, {against}. {said['code']}: {said['sentence']} What to do: {said['remedy']}."
