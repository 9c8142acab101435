"""From evidence to files: the page, its numbers, its plots."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation.campaign import Campaign
from training.evaluation.summary import Summary, as_json, summarise
from training.evaluation.tasks import FIGURES, HEADLINE, LOSS
from training.evidence import Evidence
from training.report import formats, list_words, plots, words
from training.trained import SEED

PAGE = "page.html"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the model costs; None where it was not measured.

    Attributes
    ----------
    train_seconds
        Of the recipe on one test period, wall clock.
    bundle_bytes
        On disk.
    microseconds_per_row
        Scoring, in batches.
    """

    train_seconds: float | None = None
    bundle_bytes: int | None = None
    microseconds_per_row: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the evidence comes from: enough to make it again.

    Attributes
    ----------
    made_at
        When the report was written, as text; given by the caller.
    facts_until
        Last local day in the facts.
    facts_until_day
        The day after, as a number: to check that every horizon has passed.
    """

    made_at: str = ""
    source: str = ""
    currency: str = ""
    facts_hash: str = ""
    facts_until: str = ""
    facts_until_day: int | None = None
    contract_hash: str = ""
    code: str = ""
    rapport: str = ""
    seed: int = SEED
    version: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def report_files(
    evidence: Evidence,
    *,
    campaign: Campaign | None = None,
    provenance: Provenance | None = None,
    cost: Cost | None = None,
    summary: Summary | None = None,
) -> dict[str, bytes]:
    """`report.html`, `report.json` and `plots/*.png` of one recipe, by name.

    Parameters
    ----------
    summary
        The numbers, where they were computed already.

    Raises
    ------
    EvidenceRefused
        A sanity check fails: there is nothing to report.
    """
    provenance, cost = provenance or Provenance(), cost or Cost()
    if summary is None:
        summary = summarise(evidence, campaign=campaign, until_day=provenance.facts_until_day, seed=provenance.seed)
    figures = plots.plots(summary)
    drawn = {name: Markup(plots.svg(figure)) for name, figure in figures.items()}  # noqa: S704 # made by matplotlib from our numbers
    story = words.story(summary, currency=provenance.currency, facts_until=provenance.facts_until)
    page = _environment().get_template(PAGE).render(
        s=summary, story=story, plots=drawn, provenance=provenance, cost=cost,
        figures=FIGURES, headline=FIGURES[HEADLINE[summary.task]], loss=FIGURES[LOSS[summary.task]],
    )  # fmt: skip
    numbers = {
        "report": as_json(story),
        "summary": as_json(summary),
        "provenance": as_json(provenance),
        "cost": as_json(cost),
    }
    return {
        "report.html": page.encode(),
        "report.json": (json.dumps(numbers, indent=1, sort_keys=True, allow_nan=False) + "\n").encode(),
        **{f"plots/{name}.png": plots.png(figure) for name, figure in figures.items()},
    }


def write_report(folder: Path, name: str, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Write the page and its numbers as `<name>.html` and `<name>.json`; a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for kind in ("html", "json"):
        written[kind] = folder / f"{name}.{kind}"
        staged = written[kind].with_suffix(f".{kind}.new")
        staged.write_bytes(files[f"report.{kind}"])
        staged.replace(written[kind])
    return written


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number,
        "percent": formats.percent,
        "money": formats.money,
        "named": formats.named,
        "asked": lambda question: list_words.QUESTIONS.get(question, question),
        "plain": formats.plain,
        "bytes": _bytes,
    }
    return environment


def _bytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
