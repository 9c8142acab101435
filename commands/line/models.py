"""Commands that train, judge, explain, watch and promote models."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.line.options import AsJson, settings

models_app = typer.Typer(invoke_without_command=True)

ModelVersion = Annotated[str, typer.Argument(help="Name and version, churn@3; the name alone is the champion.")]


def train(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may stand several times.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train even where nothing has changed since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register models: churn, tier, value, recommender.

    Example: `rapport train --model churn --model tier`

    Exit code 20: the facts do not suffice for any of the models asked for.
    """
    from commands.train import TrainJob, outcome_figures
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    outcomes = TrainJob(settings(), screen).run(tuple(model or ()), again=again)
    screen.result({"models": [outcome_figures(outcome) for outcome in outcomes]})
    if all(outcome.refused for outcome in outcomes):
        raise typer.Exit(20)


def evaluate(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may stand several times.")] = None,
    engine: Annotated[
        Literal["xgboost", "lightgbm", "bgnbd"] | None, typer.Option(help="Another engine than the usual.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports; without it, reports in the data folder.")] = None,
    contact_cost: Annotated[float, typer.Option(help="Cost of one contact, in the shop's currency (an assumption).")] = 1.0,
    kept_gain: Annotated[float, typer.Option(help="Worth of a leaver who stays (an assumption).")] = 40.0,
    success_rate: Annotated[float, typer.Option(help="Share of contacted leavers who stay (an assumption).")] = 0.1,
    capacity: Annotated[float, typer.Option(help="Largest share of members that can be contacted.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Judge models on past periods beside their baselines, and write a report of each: HTML and JSON.

    Example: `rapport evaluate --model churn --contact-cost 0.5 --kept-gain 30`

    Exit code 20: the facts do not suffice for one test period.
    """
    from commands.evaluate import evaluate as run
    from features.screen import Screen
    from training.evaluation.campaign import Campaign

    screen = Screen(as_json=as_json)
    campaign = Campaign(contact_cost, kept_gain, success_rate, capacity)
    screen.result(run(settings(), screen, models=tuple(model or ()), engine=engine, out=out, campaign=campaign))


def retrain(
    model: Annotated[list[str] | None, typer.Option("--models", help="Only these models: churn,tier.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Train as if the facts ended at this day: 2017-12-01. Without it: all of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, judge and register models unattended; killed and run again it goes on where it was.

    Example: `rapport retrain --models churn,tier`

    Exit codes: 0 a model was promoted, 10 the champions stay, 20 the facts do not suffice, 75 another run is at work.
    """
    from commands.retrain import RetrainJob

    job = RetrainJob(settings(), as_json=as_json)
    report = job.run(tuple(model or ()), as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


def drift(
    as_of: Annotated[
        str | None, typer.Option(help="Day to look at: 2018-01-01. Without it: today, but no later than the facts reach.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what moved since the champions were trained, whether the scores feel it, and whether they are still right.

    Example: `rapport drift --as-of 2017-12-31 --json`

    Exit code 30: retraining is advised.
    """
    from commands.drift import DriftJob

    job = DriftJob(settings(), as_json=as_json)
    report = job.run(as_of)
    job.screen.result(report)
    if report["exit_code"]:
        raise typer.Exit(report["exit_code"])


def why(
    member: Annotated[str, typer.Argument(help="A member id.")],
    model: Annotated[Literal["churn", "tier"], typer.Option(help="Whose score to explain.")] = "churn",
    exact: Annotated[bool, typer.Option("--exact", help="By the tree library's own TreeSHAP; docs/reasons.md.")] = False,
    as_of: Annotated[str | None, typer.Option(help="As of this moment, from the facts; else as last published.")] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sentences.")] = "en",
    top: Annotated[int, typer.Option(min=1, help="How many reasons.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say why a member has the score they have, in words, and what one visit would change.

    Example: `rapport why 682 --as-of end-of-facts`
    """
    from commands.why import WhyJob
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(WhyJob(settings(), screen).run(member, model, as_of=as_of, exact=exact, language=language, top=top))


@models_app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Registered models: what there is, why the champion is champion, and how to change that: docs/promotion.md.

    Example: `rapport models --json`
    """
    if context.invoked_subcommand is None:
        from commands.models import ModelJobs

        ModelJobs(settings(), as_json=as_json).list_all()


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List registered versions and the aliases that point to them.

    Example: `rapport models list`
    """
    from commands.models import ModelJobs

    ModelJobs(settings(), as_json=as_json).list_all()


@models_app.command("show")
def models_show(version: ModelVersion, as_json: AsJson = False) -> None:
    """Show one version: where it came from, its figures, what the gate said, and what became of it.

    Example: `rapport models show churn@3`, or `rapport models show churn` for the champion
    """
    from commands.models import ModelJobs

    ModelJobs(settings(), as_json=as_json).show(version)


@models_app.command("compare")
def models_compare(one: ModelVersion, other: ModelVersion, as_json: AsJson = False) -> None:
    """Compare two versions on the very same rows, period by period, with paired intervals.

    Example: `rapport models compare churn@3 churn@2`
    """
    from commands.models import ModelJobs

    ModelJobs(settings(), as_json=as_json).compare(one, other)


@models_app.command("promote")
def models_promote(
    version: ModelVersion,
    force: Annotated[bool, typer.Option("--force", help="Whatever the gate says; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a version champion, if the gate lets it through; or by force, with a reason for the record.

    Example: `rapport models promote churn@3`

    Exit codes: 10 the gate refuses it, 75 somebody else promoted meanwhile or holds the registry.
    """
    from commands.models import ModelJobs

    ModelJobs(settings(), as_json=as_json).promote(version, force=force, reason=reason)


@models_app.command("rollback")
def models_rollback(
    name: Annotated[str, typer.Argument(help="Name of the model: churn.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Go back to the champion before this one; said again, one further back.

    Example: `rapport models rollback churn --reason "scores look wrong since Monday"`
    """
    from commands.models import ModelJobs

    ModelJobs(settings(), as_json=as_json).rollback(name, reason=reason)
