"""The jobs of `rapport models`: what is registered, why, and who serves. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import ConfigurationError, FactsMissing, PromotionRefused
from features.screen import Screen
from features.settings import Settings
from training.audit import Entry, Signed, entries, last_verdict, move_champion, roll_back
from training.registry import RegisteredModel, recorded_figures, registered_models, resolve, version_of

if TYPE_CHECKING:
    from training.gate.contender import Contender, Ground
    from training.verdict import Difference

FIGURES = ("auc", "qwk", "spearman", "agreement", "recall20", "calibration_error", "ece", "lift_top_tenth")


class ModelJobs:
    """Every job around registered versions, on one set of settings and one screen."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.mlruns: Path = settings.mlruns_dir
        self.screen = Screen(as_json=as_json)

    def list_all(self) -> None:
        """Every version, its aliases, and what the gate last said of it."""
        found = registered_models(self.mlruns)
        said = {(entry.model, entry.version): entry for entry in entries(self.mlruns)}
        rows = [_row(model, said.get((model.name, model.version))) for model in found]
        self.screen.table("Registered models", ("model", "alias", "last decision", "bundle", "run"), rows)
        self.screen.say(f"Runs, figures and plots: {mlflow_command(self.settings)}   then http://127.0.0.1:5000")
        self.screen.result({"models": [{**asdict(m), "bundle": str(m.bundle)} for m in found]})

    def show(self, text: str) -> None:
        """Where a version came from, its figures, the gate's verdict, and its history."""
        from training.artifacts import read_manifest

        model = self._named(text)
        manifest = read_manifest(model.bundle, sha256=model.sha256)
        metrics, baselines = recorded_figures(self.mlruns, model)
        history = [entry for entry in entries(self.mlruns, model.name) if model.version in (entry.version, entry.before)]
        judged = last_verdict(self.mlruns, model.name, model.version)
        lineage = {name: value for name, value in manifest.lineage.items() if name != "cutoffs"}
        self.screen.table(
            f"{model.label} ({', '.join(model.aliases) or 'no alias'})",
            ("what", "value"),
            [
                ("made by", manifest.engine),
                *((name, _shown(value)) for name, value in manifest.definition.items()),
                *((name, _shown(value)) for name, value in lineage.items()),
                ("contract", manifest.contract_hash),
                ("bundle sha256", model.sha256),
                ("run", model.run_id),
            ],
        )
        self._figures(model, metrics, baselines)
        self._groups(manifest.parameters.get("profiles", []))
        if judged is not None:
            self._say_verdict(judged.verdict)
        self._history(history)
        self.screen.result(
            {
                "model": {**asdict(model), "bundle": str(model.bundle)},
                "engine": manifest.engine,
                "definition": manifest.definition,
                "profiles": manifest.parameters.get("profiles", []),
                "lineage": {**manifest.lineage, "contract_hash": manifest.contract_hash, "files": manifest.files},
                "metrics": metrics,
                "baselines": baselines,
                "verdict": judged.verdict if judged else None,
                "history": [asdict(entry) | {"verdict": None} for entry in history],
            }
        )

    def compare(self, one: str, other: str) -> None:
        """Two versions on the same rows, period by period and over all, with paired intervals."""
        from training.candidacy import recorded_contender
        from training.gate.comparison import beside, calibration, quality
        from training.gate.measures import measure_of

        first, second = (recorded_contender(self.mlruns, self._named(text)) for text in (one, other))
        label, measure = second.registered.label, measure_of(first.manifest.name)
        if measure is None or first.evidence is None or second.evidence is None:
            self._compare_figures(first, second)
            return
        pairs = beside(first.evidence, second.evidence)
        if not pairs:
            raise ConfigurationError(
                f"{first.registered.label} and {label} were not judged on the same windows and members",
                remedy="train both on the same facts",
            )
        parts = [(_window(pair.judged.period.test), (pair,)) for pair in pairs] + [("all", pairs)]
        found = [(name, quality(part, measure, label), calibration(part, measure, label)) for name, part in parts]
        rows = [(name, *_cells(difference)) for name, gain, error in found for difference in (gain, error)]
        columns = ("test window from", "figure", first.registered.label, label, "difference", "95 % interval", "shows")
        self.screen.table(f"{first.registered.label} beside {label}, on the same members", columns, rows)
        self.screen.result(
            {"periods": [{"from": name, "quality": asdict(gain), "calibration": asdict(error)} for name, gain, error in found]}
        )

    def promote(self, text: str, *, force: bool, reason: str) -> None:
        """Ask the gate and move the alias, or move it by force.

        Raises
        ------
        PromotionRefused
            The gate keeps the champion.
        """
        if force and not reason.strip():
            raise ConfigurationError("--force needs a --reason, for the record", remedy='add --reason "…"')
        model = self._named(text)
        champion = self._champion_version(model.name)
        if champion == model.version:
            self.screen.say(f"{model.label} is the champion already.")
            self.screen.result({"model": model.name, "champion": model.version, "promoted": False})
            return
        entry = self._force(model, champion, reason) if force else self._by_gate(model)
        before = f"{model.name}@{entry.before}" if entry.before else "none"
        self.screen.say(f"{model.label} is champion now, in place of {before}. {entry.reason}")
        self.screen.say(f'To go back: rapport models rollback {model.name} --reason "…"')
        self.screen.result({**asdict(entry), "champion": model.version, "promoted": True})

    def rollback(self, name: str, *, reason: str) -> None:
        """Point the alias at the champion before this one."""
        signed = Signed(getpass.getuser(), self.settings.clock(), reason)
        entry = roll_back(self.mlruns, name, signed=signed)
        self.screen.say(f"{name}@{entry.after} is champion again, in place of {name}@{entry.before}.")
        self.screen.result(asdict(entry))

    def _force(self, model: RegisteredModel, champion: str | None, reason: str) -> Entry:
        from training.artifacts import read_manifest

        signed = Signed(getpass.getuser(), self.settings.clock(), reason)
        read_manifest(model.bundle, sha256=model.sha256)
        return move_champion(self.mlruns, model.name, expected=champion, to=model.version, signed=signed, action="forced")

    def _by_gate(self, model: RegisteredModel) -> Entry:
        from training.candidacy import decide_and_move, known_of, recorded_contender

        contender = recorded_contender(self.mlruns, model)
        verdict = decide_and_move(
            self.mlruns,
            contender,
            self._ground(contender),
            who=getpass.getuser(),
            at=self.settings.clock(),
            known=known_of(last_verdict(self.mlruns, model.name, model.version)),
        )
        if verdict.promote:
            self._say_verdict(verdict.as_dict())
        else:
            for finding in verdict.findings[1:]:
                self.screen.say(f"Also {finding.reason.name}: {finding}")
            self.screen.result({"model": model.name, "promoted": False, "verdict": verdict.as_dict()})
            raise PromotionRefused(
                f"the gate refuses {model.label}: {verdict.code}. {verdict.sentence}",
                remedy=f'{verdict.remedy}; or by hand: "rapport models promote {model.label} --force --reason …"',
            )
        return next(entry for entry in reversed(entries(self.mlruns, model.name)) if entry.version == model.version)

    def _ground(self, contender: Contender) -> Ground | None:
        """The facts a version was made from, if they are still the ones in the data folder."""
        from features.facts import Facts
        from features.jobs import facts_folder
        from training.candidacy import ground_for
        from training.datasets import Snapshots

        try:
            facts = Facts.open(facts_folder(self.settings))
        except FactsMissing:
            return None
        if facts.manifest.hash != contender.manifest.lineage.get("facts_hash"):
            return None
        return ground_for(Snapshots(facts), contender.manifest)

    def _compare_figures(self, first: Contender, second: Contender) -> None:
        names = [name for name in first.metrics if name in second.metrics]
        rows = [(name, first.metrics[name], second.metrics[name], first.metrics[name] - second.metrics[name]) for name in names]
        columns = ("figure", first.registered.label, second.registered.label, "difference")
        self.screen.table("Recorded figures: no rows are kept, so that there is no interval and no gain shown", columns, rows)
        self.screen.result({"figures": {name: [mine, theirs] for name, mine, theirs, _ in rows}})

    def _named(self, text: str) -> RegisteredModel:
        """The version that churn@3 names, or the champion of churn."""
        name, _, version = text.partition("@")
        return version_of(self.mlruns, name, version) if version else resolve(self.mlruns, name)

    def _champion_version(self, name: str) -> str | None:
        found = [m.version for m in registered_models(self.mlruns) if m.name == name and "champion" in m.aliases]
        return found[0] if found else None

    def _figures(self, model: RegisteredModel, metrics: dict[str, float], baselines: dict[str, dict[str, float]]) -> None:
        columns = [name for name in FIGURES if name in metrics]
        rows = [(model.label, metrics), *baselines.items()]
        shown = [(name, *(figures.get(column, "-") for column in columns)) for name, figures in rows]
        self.screen.table("On the test window, beside its baselines", ("", *columns), shown)

    def _groups(self, told: list[dict[str, Any]]) -> None:
        """What the members of each group are like; nothing for models without groups."""
        if told:
            from training.segment_profiles import COLUMNS, cells

            shown = [place for place, name in enumerate(COLUMNS) if name not in ("客群", "channel", "diamond")]
            rows = [tuple(cells(one)[place] for place in shown) for one in told]
            self.screen.table("Groups, as of the training", tuple(COLUMNS[place] for place in shown), rows)
            for one in told:
                self.screen.say(f"{one['name']}: {one['sentence']} Marketing: {one['action']}.")

    def _say_verdict(self, verdict: Any) -> None:
        said = "lets it through" if verdict["promote"] else f"refuses it: {verdict['code']}"
        self.screen.say(f"[bold]The gate {said}.[/bold] {verdict['sentence']}")
        for reason in verdict["reasons"]:
            self.screen.say(f"  {reason['code']}: {reason['sentence']} What to do: {reason['remedy']}.")
        for note in verdict["notes"]:
            self.screen.say(f"  {note}")

    def _history(self, history: list[Entry]) -> None:
        rows = [(e.at[:19], e.who, e.action, e.version or "-", e.before or "-", e.after or "-", e.reason) for e in history]
        self.screen.table("History", ("when", "who", "what", "version", "champion before", "after", "why"), rows)


def mlflow_command(settings: Settings) -> str:
    """How to open MLflow's own page on our registry."""
    return f"mlflow ui --backend-store-uri sqlite:///{settings.mlruns_dir}/mlflow.db"


def _row(model: RegisteredModel, entry: Entry | None) -> tuple[str, str, str, str, str]:
    code = entry.verdict.get("code", "") if entry else ""
    said = f"{entry.action}{f' ({code})' if code and entry.action == 'kept' else ''}" if entry else "-"
    return model.label, ", ".join(model.aliases) or "-", said, model.sha256[:12], model.run_id[:12]


def _cells(difference: Difference) -> tuple[str, float, float, float, str, str]:
    covers = not (difference.low > 0 or difference.high < 0)
    better = difference.gain > 0 if difference.name not in ("ece", "total error") else difference.gain < 0
    shows = "no gain shown" if covers else ("better" if better else "worse")
    interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
    return difference.name, difference.value, difference.other, difference.gain, interval, shows


def _window(day: int) -> str:
    from features.days import calendar_day

    return str(calendar_day(day))


def _shown(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
