"""The front door: one command line over features, training and serving. What a command does stands in those packages."""

import os
import secrets
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from features.errors import RapportError
from features.settings import Settings, variable_of

warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # pandera imports it; we do not
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Heavy imports stand inside the commands, so that `rapport --help` and `rapport serve` do not wait for all of them.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The model service behind a retailer's member marketing. Settings come from the environment: docs/settings.md.",
)
import_app = typer.Typer(no_args_is_help=True, invoke_without_command=True)
features_app = typer.Typer(no_args_is_help=True, help="Compute and document features.")
app.add_typer(import_app, name="import")
app.add_typer(features_app, name="features")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
AsOf = Annotated[
    str,
    typer.Option(help="Moment to compute for: 2018-01-01 (its local midnight), a moment with zone, or end-of-facts."),
]
Households = Annotated[int | None, typer.Option(min=1, help="Only this many households, for a quick look.")]


@import_app.callback()
def import_(
    context: typer.Context,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that says what is where: docs/import.md.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a shop's own tables into facts, checked and cleaned.

    Example: `rapport import --mapping shop.toml`
    """
    if context.invoked_subcommand is None and mapping is not None:
        from rapport_jobs import Jobs, import_figures

        jobs = Jobs(_settings(), as_json=as_json)
        jobs.screen.result(import_figures(jobs.import_mapping(mapping)))


@import_app.command("complete-journey")
def import_complete_journey(households: Households = None, as_json: AsJson = False) -> None:
    """Bring the Complete Journey data set into facts, checked and cleaned.

    Example: `rapport import complete-journey`
    """
    from rapport_jobs import Jobs, import_figures

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(import_figures(jobs.import_complete_journey(households)))


@features_app.command("build")
def features_build(
    as_of: AsOf,
    out: Annotated[str, typer.Option(help="Parquet file to write.")],
    engine: Annotated[Literal["duckdb", "spark"], typer.Option(help="What computes them: docs/spark.md.")] = "duckdb",
    facts: Annotated[str | None, typer.Option(help="Spark: facts elsewhere, for example s3a://bucket/facts.")] = None,
    collect: Annotated[bool, typer.Option(help="Spark: one file from here, or a folder written by Spark.")] = True,
    as_json: AsJson = False,
) -> None:
    """Compute every feature of every member as of a moment, into a Parquet file.

    Example: `rapport features build --as-of 2017-12-03 --out features.parquet`
    """
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    if engine == "duckdb":
        jobs.screen.result(jobs.build_to_file(as_of, Path(out)))
        return
    from rapport_spark import build_to_file

    jobs.screen.result(build_to_file(jobs, as_of, out, facts=facts, collected=collect))


@features_app.command("document")
def features_document(
    folder: Annotated[Path, typer.Option(help="Folder to write the pages to.")] = Path("docs"),
) -> None:
    """Write the pages of docs/ that come from the code: features, facts, settings, OpenAPI.

    Example: `rapport features document --folder docs`
    """
    from rapport_jobs import Jobs

    Jobs(_settings(), as_json=False).document(folder)


@app.command()
def publish(as_of: AsOf, as_json: AsJson = False) -> None:
    """Compute features and write them, and the champions' scores and lists, for all members into the online store.

    Example: `rapport publish --as-of end-of-facts`
    """
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(jobs.publish(as_of))


@app.command()
def train(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may stand several times.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train even where nothing has changed since.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and register models: churn, tier, recommender.

    Example: `rapport train --model churn --model tier`

    Exit code 20: the facts do not suffice for any of the models asked for.
    """
    from rapport_jobs import Jobs, outcome_figures

    jobs = Jobs(_settings(), as_json=as_json)
    outcomes = jobs.train(tuple(model or ()), again=again)
    jobs.screen.result({"models": [outcome_figures(outcome) for outcome in outcomes]})
    if all(outcome.refused for outcome in outcomes):
        raise typer.Exit(20)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List registered models and the aliases that point to them.

    Example: `rapport models --json`
    """
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(jobs.models())


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Serving processes.")] = None,
    now: Annotated[str | None, typer.Option(help="Answer as of this moment, to replay the past.")] = None,
) -> None:
    """Serve scores and lists over HTTP until Ctrl-C.

    Example: `RAPPORT_API_KEYS=a-long-secret rapport serve --port 3000`
    """
    from rapport_jobs import Jobs

    given = {} if now is None else {variable_of("now"): now}
    configured = Settings.from_env({**os.environ, **given})
    configured = replace(configured, port=port or configured.port, workers=workers or configured.workers)
    raise typer.Exit(Jobs(configured, as_json=False).serve())


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what is there: facts, published features, models.

    Example: `rapport status --json`
    """
    from rapport_jobs import Jobs

    jobs = Jobs(_settings(), as_json=as_json)
    jobs.screen.result(jobs.status())


@app.command()
def demo(
    serve_after: Annotated[bool, typer.Option("--serve/--no-serve", help="Go on serving until Ctrl-C.")] = True,
    households: Households = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole chain on real data: facts, features, online store, models, live answers.

    Example: `rapport demo --no-serve --json`
    """
    from rapport_demo import run

    run(
        replace(_settings(), api_keys=(secrets.token_urlsafe(24),)),
        households,
        serve_after=serve_after,
        as_json=as_json,
    )


def _settings() -> Settings:
    return Settings.from_env(os.environ)


def main() -> None:
    """Run a command; errors of ours become a message, a remedy and an exit code. SIGTERM ends it as tidily as Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except RapportError as error:
        typer.secho(f"rapport: {error}", fg=typer.colors.RED, err=True)
        if error.remedy:
            typer.secho(f"         {error.remedy}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
