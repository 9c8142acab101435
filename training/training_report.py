"""Training a step with its report: what was learned, and the page on it that goes into the record of the run."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from features.contract import CONTRACT
from features.days import calendar_day
from features.errors import EvidenceRefused
from features.facts import Facts
from training.evaluation.sanity import without_thin
from training.predictors import Recommender
from training.report import Cost, Provenance, report_files
from training.trained import SEED, Trained, code_hash

NOT_WRITTEN = "not_written.txt"
TIMED_ROWS = 1000


def trained_with_report(train: Callable[[], Trained], facts: Facts, *, clock: Callable[[], datetime]) -> Trained:
    """What a step trains, with `report.html`, `report.json` and plots among its files.

    Evidence that fails a sanity check has no report: `not_written.txt` says why, and the gate judges such a version by itself.
    Test windows of too few rows are left out of the report where others are there.
    Models without evidence row by row have none either.

    Raises
    ------
    NotEnoughData
        Of the training.
    """
    began = time.perf_counter()
    trained = train()
    if trained.evidence is None:
        return trained
    fits = len(trained.evidence.judged) + 1
    cost = cost_of(trained, train_seconds=(time.perf_counter() - began) / fits)
    try:
        evidence, _ = without_thin(trained.evidence)
        found = report_files(evidence, provenance=provenance_of(facts, made_at=clock()), cost=cost)
    except EvidenceRefused as error:
        found = {NOT_WRITTEN: f"{error}\n".encode()}
    return replace(trained, files={**trained.files, **found})


def cost_of(trained: Trained, *, train_seconds: float) -> Cost:
    """Seconds of a fit, bytes of the bundle, and what a row of many costs to score; the last for models that score rows."""
    with tempfile.TemporaryDirectory() as folder:
        trained.predictor.save(Path(folder) / "bundle")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    if trained.examples is None or isinstance(trained.predictor, Recommender):
        return Cost(train_seconds, size)
    rows = trained.examples.matrix[:TIMED_ROWS]
    trained.predictor.score(rows)
    began = time.perf_counter()
    trained.predictor.score(rows)
    return Cost(train_seconds, size, (time.perf_counter() - began) / max(len(rows), 1) * 1e6)


def provenance_of(facts: Facts, *, made_at: datetime) -> Provenance:
    """Facts, features and code that a report rests on."""
    manifest = facts.manifest
    return Provenance(
        made_at=f"{made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        source=manifest.source,
        currency=manifest.currency,
        facts_hash=manifest.hash,
        facts_until=str(calendar_day(manifest.until_day - 1)),
        facts_until_day=manifest.until_day,
        contract_hash=CONTRACT.hash,
        code=code_hash(),
        rapport=version("rapport"),
        seed=SEED,
        settings={"thresholds": dict(facts.thresholds)} if facts.thresholds else {},
    )
