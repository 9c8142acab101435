"""The words on MLflow's pages: what a model answers, how it did, what the gate said of it, and where it came from."""

from collections.abc import Mapping

from training.trained import Trained
from training.verdict import Verdict

ANSWERS = {
    "churn": "How likely a member is to leave: P(no purchase in the next days of the horizon), for members who bought lately.",
    "tier": "Which tier (regular, gold, diamond) a member's spend of the coming horizon will reach, as probabilities.",
    "value": "How much a member will spend in the coming horizon, net, with an interval.",
    "segments": "Which of eight groups of customers a member belongs to.",
    "recommender": "What to offer a member next: bought before, liked by similar members, popular.",
}
SHOWN = (
    "auc",
    "qwk",
    "spearman",
    "agreement",
    "recall20",
    "average_precision",
    "lift_top_tenth",
    "calibration_error",
    "ece",
    "brier",
    "accuracy",
)
REPORT = "report.html"
LENGTH = 4900
"""MLflow keeps 5,000 characters of a description."""


def answers(model: str) -> str:
    """What a model answers, in a sentence; churn_h60_a180 answers as churn does."""
    return ANSWERS.get(model.split("_")[0], model)


def describe(trained: Trained, verdict: Verdict | None = None) -> str:
    """The description of a version in Markdown."""
    manifest = trained.predictor.manifest
    defined = ", ".join(f"{name} {_plain(value)}" for name, value in manifest.definition.items())
    parts = [f"**{answers(manifest.name)}**", f"{manifest.engine}; {defined}."]
    if trained.metrics:
        parts += ["**On the test window, beside its baselines**", _table(trained.metrics, trained.baselines, manifest.engine)]
    if trained.evidence is not None:
        parts.append(f"Test periods: {len(trained.evidence.judged)}; the charts of the run show the figures of each.")
    if REPORT in trained.files:
        parts.append(f"The whole evaluation, for marketing and for science: artifact `report/{REPORT}` of the run.")
    if verdict is not None:
        said = "let through" if verdict.promote else f"refused: {verdict.code}"
        parts.append(f"**The gate: {said}.** {verdict.sentence}")
        parts += [f"- {finding.reason.name}: {finding}" for finding in verdict.findings[1:]]
        parts += [f"- {note}" for note in verdict.notes]
    lineage = manifest.lineage
    source = f"facts `{str(lineage.get('facts_hash'))[:12]}` ({lineage.get('facts_source')})"
    rest = f"contract `{manifest.contract_hash[:12]}`, code `{str(lineage.get('code'))[:12]}`, seed {lineage.get('seed')}"
    parts.append(f"Made from {source}, {rest}.")
    return "\n\n".join(parts)[:LENGTH]


def _table(metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], engine: str) -> str:
    columns = [name for name in SHOWN if name in metrics][:5] or list(metrics)[:5]
    rows = [(f"**{engine}**", metrics), *baselines.items()]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, figures in rows:
        cells = [f"{figures[column]:.3f}" if column in figures else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _plain(value: object) -> str:
    return "/".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
