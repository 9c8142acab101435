"""The evaluation behind the front door: a recipe over its test periods, its report in files, a short table on the screen."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from features.days import calendar_day
from features.facts import Facts
from features.jobs import only_run, open_facts
from features.screen import Screen
from features.settings import Settings
from training.datasets import Snapshots
from training.evaluation.campaign import Campaign
from training.evaluation.sanity import without_thin
from training.evaluation.summary import Summary, summarise
from training.evaluation.tasks import FIGURES, HEADLINE
from training.evidence import Evidence
from training.judging import ENGINES, evidence_of, recipe, snapshot_days, test_periods
from training.report import Cost, report_files, write_report
from training.report.list_words import further_worth
from training.report.words import verdict_of
from training.training_report import provenance_of
from training.tuning import Search

SHOWN = (
    "auc", "average_precision", "lift10", "ece", "qwk", "accuracy", "spearman", "total_bias", "coverage", "recall20", "hit20",
)  # fmt: skip


def evaluate(
    settings: Settings, screen: Screen, *, models: tuple[str, ...], engine: str | None, out: Path | None, campaign: Campaign
) -> dict[str, Any]:
    """Judge the recipes of these models (all there are without any), write a report of each, and return their figures."""
    every = tuple(model for model, engines in ENGINES.items() if engine is None or engine in engines)
    wanted = [(model, engine or ENGINES.get(model, ("xgboost",))[0]) for model in models or every]
    for model, chosen in wanted:
        recipe(model, chosen)
    snapshots = Snapshots(open_facts(settings))
    search = Search(settings.tuning_trials, settings.data_dir / "tuning")
    folder = out or settings.data_dir / "reports"
    reports = []
    with only_run(settings, "evaluate"):
        for model, chosen in wanted:
            _prepare(screen, snapshots, model, search)
            reports.append(_evaluate(screen, snapshots, model, chosen, folder, campaign, search))
    return {"reports": reports}


def until_day(facts: Facts) -> int:
    """First local day after the facts."""
    return facts.manifest.until_day


def _prepare(screen: Screen, snapshots: Snapshots, model: str, search: Search) -> None:
    days = snapshot_days(snapshots, model, tuning=search.trials > 0)
    if not days:
        return
    with screen.progress(f"features as of {len(days)} days", len(days)) as advance:
        for _ in snapshots.prepare(days):
            advance()


def _evaluate(
    screen: Screen, snapshots: Snapshots, model: str, engine: str, folder: Path, campaign: Campaign, search: Search
) -> dict[str, Any]:
    manifest = snapshots.facts.manifest
    provenance = provenance_of(snapshots.facts, made_at=datetime.now(UTC))
    began = perf_counter()
    with screen.progress(f"{model}, {engine}", len(test_periods(snapshots, model))) as advance:
        whole = evidence_of(snapshots, model, engine, search=search, done=advance)
    cost = Cost(train_seconds=(perf_counter() - began) / len(whole.judged))
    evidence, thin = without_thin(whole)
    for words in thin:
        screen.say(f"Left out: {words}.")
    with screen.progress("figures, intervals, report", 1) as advance:
        summary = summarise(evidence, campaign=campaign, until_day=until_day(snapshots.facts))
        files = report_files(evidence, summary=summary, provenance=provenance, cost=cost)
        advance()
    written = write_report(folder, f"{model}-{engine}-{calendar_day(manifest.until_day)}", files)
    _show(screen, evidence, summary)
    screen.say(f"Report: {written['html']}, its numbers: {written['json']}")
    return figures_of(summary, cost, written)


def figures_of(summary: Summary, cost: Cost, written: dict[str, Path]) -> dict[str, Any]:
    """One report for a program."""
    return {
        "model": summary.model,
        "engine": summary.engine,
        "verdict": verdict_of(summary)[0],
        "figures": dict(summary.figures),
        "baselines": {name: dict(found) for name, found in summary.baselines.items()},
        "gains": {name: asdict(gain) | {"verdict": gain.verdict} for name, gain in summary.gains.items()},
        "further": [
            {
                "question": one.question,
                "serves": one.serves,
                "figures": dict(one.figures),
                "baselines": {name: dict(found) for name, found in one.baselines.items()},
                "gains": {name: asdict(gain) | {"verdict": gain.verdict} for name, gain in one.gains.items()},
            }
            for one in summary.further
        ],
        "periods": [{"test_from": one.test_from, "rows": one.rows, "figures": dict(one.figures)} for one in summary.periods],
        "below_floor": [asdict(one) for one in summary.below_floor],
        "train_seconds": cost.train_seconds,
        "html": str(written["html"]),
        "json": str(written["json"]),
    }


def _show(screen: Screen, evidence: Evidence, summary: Summary) -> None:
    columns = [name for name in SHOWN if name in summary.figures]
    rows: list[tuple[object, ...]] = [("this model", *(summary.figures[name] for name in columns), "")]
    for name, gain in summary.gains.items():
        found = summary.baselines[name]
        shown = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}): {gain.verdict}"
        rows.append((name, *(found.get(column, "-") for column in columns), shown))
    title = f"{evidence.model}, {evidence.engine}: mean of {len(evidence.judged)} test periods"
    screen.table(
        title,
        (evidence.model, *(FIGURES[name].label for name in columns), f"gain in {FIGURES[HEADLINE[summary.task]].label} (95 %)"),
        rows,
    )
    screen.say(f"{verdict_of(summary)[0]}.")
    for sentence in further_worth(summary):
        screen.say(sentence)
