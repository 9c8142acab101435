"""The five kinds of answers and the figures each is judged by: a risk, ordered tiers, groups, an amount, lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics, weighted
from training.evidence import Evidence, Judged

Task = Literal["risk", "tiers", "groups", "amount", "lists"]
Answer = NDArray[np.float64]
Truth = NDArray[np.generic]
Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FigureName:
    """How a figure is called in reports, what it means, whether more is better, and its digits."""

    name: str
    label: str
    meaning: str
    more_is_better: bool = True
    digits: int = 3


FIGURES: Mapping[str, FigureName] = {
    figure.name: figure
    for figure in (
        FigureName("auc", "AUC", "chance that one who left was ranked above one who stayed"),
        FigureName("average_precision", "PR-AUC", "area under the precision-recall curve"),
        FigureName("lift10", "lift, top 10 %", "how much more often it happened among the top tenth than among all", digits=2),
        FigureName("brier", "Brier", "mean squared error of the probability", more_is_better=False, digits=4),
        FigureName("log_loss", "log loss", "mean negative log-likelihood", more_is_better=False),
        FigureName("ece", "ECE", "distance of predicted from observed shares, ten groups of equal size", more_is_better=False),
        FigureName("qwk", "QWK", "agreement on the ordered tiers beyond chance, distance squared"),
        FigureName("accuracy", "share right", "share of members whose tier or group was right"),
        FigureName("spearman", "Spearman", "correlation of ranks"),
        FigureName("total_bias", "total bias", "how far the predicted total lies above the real one"),
        FigureName("mean_error", "mean error", "mean distance from the real amount", more_is_better=False, digits=0),
        FigureName("caught10", "money in top 10 %", "part of all money that the top tenth by answer spent"),
        FigureName("recall20", "Recall@20", "share of what a member bought that their list of twenty named, mean of members"),
        FigureName("hit20", "one or more hits", "share of members whose list named something that they bought"),
        FigureName("precision20", "Precision@20", "share of the twenty places whose item was bought, mean of members"),
        FigureName("coverage", "coverage", "share of members whose amount lies in the model's interval"),
    )
}
HEADLINE: Mapping[Task, str] = {"risk": "auc", "tiers": "qwk", "groups": "accuracy", "amount": "spearman", "lists": "recall20"}
LOSS: Mapping[Task, str] = {
    "risk": "brier", "tiers": "log_loss", "groups": "log_loss", "amount": "mean_error", "lists": "recall20",
}  # fmt: skip
PLACES = 20
"""Length of the lists that are judged."""


def task_of(evidence: Evidence) -> Task:
    """What kind of answer the evidence is about, from the shape of the answer and the type of the truth."""
    if not evidence.judged:
        raise ValueError(f"evidence of {evidence.model} has no test period")
    first = evidence.judged[0]
    if "question" in evidence.definition:
        return "lists"
    if first.answer.ndim == 2:
        return "tiers" if evidence.model == "tier" or "tiers" in evidence.definition else "groups"
    return "risk" if first.truth.dtype == np.bool_ else "amount"


def figures(task: Task, truth: Truth, answer: Answer, *, said: Positions | None = None) -> dict[str, float]:
    """Every figure that an answer allows: a ranking without probabilities has ranking figures only.

    Parameters
    ----------
    said
        Position of the tier or group that a recipe's own rule made of the answer; without it, that of `decided`.
    """
    if task == "risk":
        return _risk(truth, answer)
    if task == "amount":
        return _amount(truth, answer)
    if task == "lists":
        return _lists(truth, answer)
    return _classes(task, truth, answer, decided(task, answer) if said is None else said)


def model_figures(task: Task, judged: Judged) -> dict[str, float]:
    """Figures of the model in one period, with the coverage of its intervals where it gives any on amounts."""
    found = figures(task, judged.truth, judged.answer, said=said_by(task, judged))
    if task == "amount" and judged.low is not None and judged.high is not None:
        inside = (judged.truth.astype(np.float64) >= judged.low) & (judged.truth.astype(np.float64) <= judged.high)
        found["coverage"] = float(inside.mean())
    return found


def headline_statistic(task: Task, truth: Truth, answer: Answer, *, said: Positions | None = None) -> weighted.Statistic:
    """The figure by which models are compared, as a function of row weights; `said` as in `figures`."""
    if task == "risk":
        return weighted.auc(truth.astype(np.bool_), answer)
    if task == "amount":
        return weighted.spearman(answer, truth.astype(np.float64))
    if task == "lists":
        return weighted.mean(answer)
    actual, predicted = truth.astype(np.int64), decided(task, answer) if said is None else said
    if task == "tiers":
        return weighted.quadratic_weighted_kappa(actual, predicted)
    return weighted.mean(actual == predicted)


def loss_statistic(task: Task, truth: Truth, answer: Answer) -> weighted.Statistic | None:
    """The loss by which calibration is compared (less is better), as a function of row weights; None for a mere ranking."""
    if task == "amount":
        return weighted.mean(np.abs(answer - truth.astype(np.float64)))
    if task == "risk":
        return weighted.mean((answer - truth.astype(np.float64)) ** 2) if is_probability(answer) else None
    return weighted.mean(_surprise(truth, answer)) if answer.ndim == 2 else None


def said_by(task: Task, judged: Judged) -> Positions | None:
    """Position of the tier or group the recipe said of every row, by its own rule where it has one; None for other answers.

    The rule is `cuts` among the notes of the period: how many of them the expected position reaches.
    """
    if judged.answer.ndim == 1:
        return None
    cuts = judged.notes.get("cuts")
    if task != "tiers" or cuts is None:
        return decided(task, judged.answer)
    expected = (judged.answer * np.arange(judged.answer.shape[1])).sum(axis=1)
    return np.asarray(np.digitize(expected, cuts), dtype=np.int64)


def decided(task: Task, answer: Answer) -> NDArray[np.int64]:
    """Position of the tier or group that an answer comes down to.

    Positions stay as they are. Of probabilities over tiers it is the median, the lowest tier not exceeded more often than
    not; over groups the likeliest.
    """
    if answer.ndim == 1:
        return np.rint(answer).astype(np.int64)
    if task == "tiers":
        return np.asarray((np.cumsum(answer, axis=1) >= 0.5 - 1e-9).argmax(axis=1), dtype=np.int64)
    return np.asarray(answer.argmax(axis=1), dtype=np.int64)


def is_probability(answer: Answer) -> bool:
    """Whether every number lies between 0 and 1."""
    return bool(np.all((answer >= -1e-9) & (answer <= 1 + 1e-9)))


def ranking(task: Task, answer: Answer) -> Answer:
    """One number a row to put members in order by: the risk, the amount, the probability of the top tier."""
    last: Answer = answer[:, -1] if answer.ndim == 2 else answer
    return last


def happened_at_top(task: Task, truth: Truth, classes: int) -> NDArray[np.float64]:
    """What `ranking` is held against: left or not, the amount, in the top tier or not."""
    if task in ("risk", "amount", "lists"):
        return truth.astype(np.float64)
    return np.asarray(truth.astype(np.int64) == classes - 1, dtype=np.float64)


def real_and_said(task: Task, one: Judged) -> tuple[Answer, Answer]:
    """What happened and what was said, as one number a row that the other is held against."""
    classes = one.answer.shape[1] if one.answer.ndim == 2 else 0
    return happened_at_top(task, one.truth, classes), ranking(task, one.answer)


def tier_calibration(truth: Truth, answer: Answer) -> list[float]:
    """Expected calibration error of each class's probability."""
    return [
        metrics.expected_calibration_error(truth.astype(np.int64) == position, answer[:, position])
        for position in range(answer.shape[1])
    ]


def _risk(truth: Truth, answer: Answer) -> dict[str, float]:
    happened = truth.astype(np.bool_)
    everyone = np.ones(len(happened))
    found = {
        "auc": weighted.auc(happened, answer)(everyone),
        "average_precision": weighted.average_precision(happened, answer)(everyone),
        "lift10": metrics.lift(happened, answer, share=0.1) if happened.any() else float("nan"),
    }
    if is_probability(answer):
        found["brier"] = float(((answer - happened) ** 2).mean())
        found["log_loss"] = metrics.log_loss(happened, answer)
        found["ece"] = metrics.expected_calibration_error(happened, answer)
    return found


def _classes(task: Task, truth: Truth, answer: Answer, said: Positions) -> dict[str, float]:
    actual = truth.astype(np.int64)
    found = {"accuracy": float((actual == said).mean())}
    if task == "tiers":
        found = {"qwk": weighted.quadratic_weighted_kappa(actual, said)(np.ones(len(actual)))} | found
    return found | _class_losses(truth, answer)


def _class_losses(truth: Truth, answer: Answer) -> dict[str, float]:
    if answer.ndim == 1:
        return {}
    return {"log_loss": float(_surprise(truth, answer).mean()), "ece": float(np.mean(tier_calibration(truth, answer)))}


def _amount(truth: Truth, answer: Answer) -> dict[str, float]:
    actual = truth.astype(np.float64)
    return {
        "spearman": metrics.spearman(actual, answer),
        "total_bias": metrics.total_bias(actual, answer),
        "mean_error": float(np.abs(actual - answer).mean()),
        "caught10": metrics.share_caught(actual, answer, share=0.1),
    }


def _lists(truth: Truth, answer: Answer) -> dict[str, float]:
    """Of answers that are recalls of lists, and of how many items each member bought."""
    return {
        "recall20": float(answer.mean()),
        "hit20": float((answer > 0).mean()),
        "precision20": float((answer * truth.astype(np.float64)).mean() / PLACES),
    }


def _surprise(truth: Truth, answer: Answer) -> NDArray[np.float64]:
    said = np.take_along_axis(answer, truth.astype(np.int64)[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.clip(said, 1e-15, 1)), dtype=np.float64)
