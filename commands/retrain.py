"""Retraining behind the front door: one run at a time, what became of each model, and where the time went."""

import getpass
import shutil
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from features.days import calendar_day
from features.errors import ConfigurationError, RapportError
from features.facts import Facts
from features.jobs import as_of_moment, only_run, open_facts
from features.measured import STEP_COLUMNS
from features.screen import Screen
from features.settings import Settings
from training.churn_definition import definitions
from training.kept_work import KeptWork
from training.pipeline import MODELS, base_name
from training.registry import CHAMPION, registered_models
from training.requirements import INSTEAD
from training.retraining import EXIT_CODES, Purpose, Retraining, cut_off, unfinished
from training.tracking import open_registry
from training.tuning import Search

PART_OF_A_MODEL = ("thresholds", "churn", "tuning_trials")
"""Settings that models depend on, as far as there are such."""


class RetrainJob:
    """Training that runs by itself."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.screen = Screen(as_json=as_json)

    def run(self, models: tuple[str, ...], as_of: str | None) -> dict[str, Any]:
        """Retrain; returns the report, which is kept as `state.json` of the run as well.

        Raises
        ------
        Busy
            Another run trains on this data folder.
        ConfigurationError
            No model has that name.
        """
        models = tuple(name.strip() for model in models for name in model.split(",") if name.strip())
        unknown = sorted(set(models) - set(MODELS))
        if unknown:
            raise ConfigurationError(f"no model is named {', '.join(unknown)}", remedy=f"choose from {', '.join(MODELS)}")
        with ExitStack() as stack:
            for job in ("retrain", "train"):
                stack.enter_context(only_run(self.settings, job))
            facts = open_facts(self.settings)
            if as_of is not None:
                facts = cut_off(facts, facts.local_day(as_of_moment(as_of, facts)))
            run = self._begin(facts, tuple(model for model in MODELS if model in models) or MODELS)
            try:
                became = run.run()
            except RapportError:
                self._show(run)
                raise
        self._show(run)
        unserved = self._unserved(run)
        for model, instead in unserved.items():
            self.screen.say(f"No version of {model} serves. Instead: {instead}.")
        return {
            "became": became,
            "exit_code": EXIT_CODES[became],
            "until": str(calendar_day(run.purpose.until_day)),
            "run": run.purpose.key,
            "models": [asdict(judged) for judged in run.judged],
            "unserved": unserved,
            **run.record.to_json(),
        }

    def _begin(self, facts: Facts, models: tuple[str, ...]) -> Retraining:
        """The run for these facts and models, begun or gone on with; work of runs for something else is removed."""
        open_registry(self.settings.mlruns_dir)
        chosen = tuple((name, repr(getattr(self.settings, name))) for name in PART_OF_A_MODEL if hasattr(self.settings, name))
        purpose = Purpose(models, facts.manifest.until_day, facts.manifest.hash, settings=chosen)
        folder = self.settings.data_dir / "retrain"
        for old in unfinished(folder, but=purpose.key):
            shutil.rmtree(old, ignore_errors=True)
        run = Retraining(
            facts,
            self.settings.mlruns_dir,
            KeptWork(folder / purpose.key),
            purpose,
            who=getpass.getuser(),
            clock=self.settings.clock,
            show=lambda name: self.screen.say(f"… {name}"),
            churn=definitions(self.settings.churn),
            search=Search(self.settings.tuning_trials, self.settings.data_dir / "tuning"),
        )
        run.begin()
        return run

    def _unserved(self, run: Retraining) -> dict[str, str]:
        """Models of the run that have no champion, with what there is instead."""
        serving = {model.name for model in registered_models(self.settings.mlruns_dir) if CHAMPION in model.aliases}
        names = dict.fromkeys(judged.model for judged in run.judged)
        return {name: INSTEAD[base_name(name)] for name in names if name not in serving}

    def _show(self, run: Retraining) -> None:
        self.screen.table("Retraining", STEP_COLUMNS, run.record.rows())
        for judged in run.judged:
            name = judged.label or judged.model
            engine = f" ({judged.engine})" if judged.engine else ""
            self.screen.say(f"{name}{engine}: {judged.became}. {judged.why}")
