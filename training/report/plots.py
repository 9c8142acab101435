"""The plots of a report, each one figure: as SVG inside the page, as PNG beside it."""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from training.evaluation.intervals import wilson
from training.evaluation.summary import Summary
from training.report.formats import named

MODEL, OTHER, QUIET, BEST = "#0f5c63", "#b4572a", "#9aa5a8", "#c98a00"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rapport",
    "text.parse_math": False,  # names of slices are text, also with dollar signs
    "font.size": 10,
    "axes.edgecolor": "#7b8689",
    "axes.labelcolor": "#3b4649",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6ebec",
    "xtick.color": "#5b676a",
    "ytick.color": "#5b676a",
    "legend.frameon": False,
}


def plots(summary: Summary) -> dict[str, Figure]:
    """Every plot that the summary has numbers for, by name."""
    with matplotlib.rc_context(STYLE):
        found = {
            "value": value_plot(summary),
            "caught": caught_plot(summary),
            "reliability": reliability_plot(summary),
            "periods": periods_plot(summary),
            "slices": slices_plot(summary),
        }
    return {name: figure for name, figure in found.items() if figure is not None}


def svg(figure: Figure) -> str:
    """An SVG element to stand inside HTML, without header and metadata; the same bytes for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*pt"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", text, count=1), count=1
    )


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def value_plot(summary: Summary) -> Figure | None:
    """Net value for 1,000 members against the share contacted, with its interval and the plan."""
    if summary.money is None:
        return None
    curve, plan = summary.money.curve, summary.money.plan
    figure, axes = _figure(5.6, 3.4)
    axes.fill_between(curve.shares, curve.low, curve.high, color=MODEL, alpha=0.14, linewidth=0)
    axes.plot(curve.shares, curve.net, color=MODEL, linewidth=2)
    axes.axhline(0, color=QUIET, linewidth=1)
    axes.axvline(plan.share, color=OTHER, linewidth=1, linestyle="--")
    axes.plot([plan.share], [plan.net.value], "o", color=OTHER)
    axes.annotate(
        f"planned: {plan.share:.0%}", (plan.share, 0.02), xycoords=("data", "axes fraction"),
        xytext=(5, 0), textcoords="offset points", color=OTHER,
    )  # fmt: skip
    axes.plot([curve.best], [np.interp(curve.best, curve.shares, curve.net)], "D", color=BEST, markersize=5)
    axes.annotate(
        f"best in hindsight: {curve.best:.0%}", (curve.best, float(np.interp(curve.best, curve.shares, curve.net))),
        xytext=(7, 7), textcoords="offset points", color=BEST,
    )  # fmt: skip
    axes.set(xlabel="share of members contacted, highest risk first", ylabel="net value for 1,000 members")
    highest = float(curve.high.max())
    if highest > 0:  # the far end, where everybody is contacted, would flatten the part that matters
        axes.set_ylim(bottom=max(float(curve.low.min()), -highest), top=1.15 * highest)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def caught_plot(summary: Summary) -> Figure | None:
    """Part of everything that the top share holds, beside the best baseline and chance."""
    if summary.caught is None:
        return None
    figure, axes = _figure(5.6, 3.4)
    shares = summary.caught.shares
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, label="by chance")
    if summary.caught.baseline and summary.best_baseline:
        axes.plot(
            shares, summary.caught.baseline, color=OTHER, linewidth=1.5, linestyle="--", label=named(summary.best_baseline)
        )
    axes.plot(shares, summary.caught.model, color=MODEL, linewidth=2, label="this model")
    what = {"risk": "leavers", "tiers": "members of the top tier", "amount": "money"}.get(summary.task, "all")
    axes.set(xlabel="share of members, highest answer first", ylabel=f"share of all {what}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower right")
    return figure


def reliability_plot(summary: Summary) -> Figure | None:
    """Predicted against observed in ten groups of the newest period; of shares, with Wilson's interval."""
    if summary.calibration is None:
        return None
    groups = summary.calibration.groups
    amount = summary.task == "amount"
    scale = 0.01 if amount else 1.0
    predicted = np.array([group.predicted for group in groups]) * scale
    observed = np.array([group.observed for group in groups]) * scale
    figure, axes = _figure(4.6, 4.2)
    top = float(max(predicted.max(), observed.max())) * 1.08
    axes.plot([0, top], [0, top], color=QUIET, linewidth=1)
    if not amount:
        ends = [wilson(round(group.observed * group.rows), group.rows) for group in groups]
        spread = [[one.value - one.low for one in ends], [one.high - one.value for one in ends]]
        axes.errorbar(predicted, observed, yerr=spread, fmt="none", ecolor=MODEL, alpha=0.45)
    axes.plot(predicted, observed, "o-", color=MODEL, linewidth=1.2)
    axes.set(xlabel="forecast, mean of each tenth", ylabel="what really happened")
    if not amount:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def periods_plot(summary: Summary) -> Figure | None:
    """Difference to each baseline in each period, with its interval."""
    if not summary.gains:
        return None
    figure, axes = _figure(5.6, 0.9 + 0.33 * len(summary.gains) * len(summary.periods))
    places, labels = [], []
    for row, (name, period) in enumerate((name, period) for name in summary.gains for period in summary.periods):
        gain = period.gains[name]
        colour = MODEL if gain.verdict == "better" else OTHER if gain.verdict == "worse" else QUIET
        axes.plot([gain.low, gain.high], [row, row], color=colour, linewidth=2)
        axes.plot([gain.value], [row], "o", color=colour)
        places.append(row)
        labels.append(f"{name}, {period.test_from}")
    axes.axvline(0, color="#3b4649", linewidth=1)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlabel="less the baseline, 95 % interval")
    return figure


def slices_plot(summary: Summary) -> Figure | None:
    """Forecast less what happened in each slice with rows enough, with its interval."""
    known = [one for one in summary.slices if one.enough]
    if not known or summary.task == "lists":  # lists forecast no share
        return None
    figure, axes = _figure(5.6, 0.9 + 0.26 * len(known))
    scale = 0.01 if summary.task == "amount" else 100.0
    for row, one in enumerate(known):
        axes.plot([one.gap.low * scale, one.gap.high * scale], [row, row], color=MODEL, linewidth=2, alpha=0.5)
        axes.plot([one.gap.value * scale], [row], "o", color=MODEL)
    axes.axvline(0, color="#3b4649", linewidth=1)
    axes.set_yticks(range(len(known)), [f"{one.name}: {one.label}" for one in known])
    axes.invert_yaxis()
    unit = "" if summary.task == "amount" else ", percentage points"
    axes.set(xlabel=f"forecast less what happened{unit}")
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
