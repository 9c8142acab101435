"""Commands that bring facts in, say what they suffice for, compute features of them, and make a shop up."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from commands.line.options import AsJson, AsOf, Households, settings


class _Import(typer.core.TyperGroup):
    """`rapport import --draft FILES` is another way to say `rapport import draft FILES`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options of a command that takes files cannot stand before the names of other commands: so it is one itself."""
        named = ["draft", *(arg for arg in args if arg != "--draft")] if "--draft" in args else args
        return super().parse_args(ctx, named)


import_app = typer.Typer(no_args_is_help=True, invoke_without_command=True, cls=_Import)
features_app = typer.Typer(no_args_is_help=True, help="Compute and document features.")
identity_app = typer.Typer(no_args_is_help=True, help="Who is who: identifiers and the members they lead to.")


@import_app.callback()
def import_(
    context: typer.Context,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that says what is where: docs/import.md.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Read all files, also those that were imported before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a shop's own tables into facts, checked and cleaned.

    Example: `rapport import --draft sales.csv items.csv --out shop.toml`, then `rapport import --mapping shop.toml`
    """
    if context.invoked_subcommand is None and mapping is not None:
        from commands.imports import ImportJobs, mapped_figures
        from features.screen import Screen

        screen = Screen(as_json=as_json)
        screen.result(mapped_figures(ImportJobs(settings(), screen).mapped(mapping, again=again)))


@import_app.command("draft")
def import_draft(
    files: Annotated[list[Path], typer.Argument(help="A shop's files: CSV, JSON lines or Parquet.")],
    out: Annotated[Path | None, typer.Option(help="File to write the mapping to; without it, the screen.")] = None,
) -> None:
    """Propose a mapping from the columns and values of some files; `# ?` marks what to look at.

    Example: `rapport import draft sales.csv items.csv --out shop.toml`
    """
    from commands.imports import ImportJobs
    from features.screen import Screen

    text = ImportJobs(settings(), Screen(as_json=False)).draft(files, out)
    if out is None:
        typer.echo(text, nl=False)


@import_app.command("complete-journey")
def import_complete_journey(households: Households = None, as_json: AsJson = False) -> None:
    """Bring the Complete Journey data set into facts, checked and cleaned.

    Example: `rapport import complete-journey`
    """
    from commands.imports import ImportJobs, import_figures
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(import_figures(ImportJobs(settings(), screen).complete_journey(households)))


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
    from commands.features import FeatureJobs
    from features.screen import Screen

    jobs = FeatureJobs(settings(), Screen(as_json=as_json))
    if engine == "duckdb":
        jobs.screen.result(jobs.build_to_file(as_of, Path(out)))
        return
    from commands.spark import build_to_file

    jobs.screen.result(build_to_file(jobs, as_of, out, facts=facts, collected=collect))


@features_app.command("refresh")
def features_refresh(as_of: AsOf, as_json: AsJson = False) -> None:
    """Bring the kept aggregates of everyone from the last midnight to this one, reading what the days between touched.

    Example: `rapport features refresh --as-of 2017-12-03`
    """
    from commands.features import FeatureJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(FeatureJobs(settings(), screen).refresh(as_of))


@features_app.command("snapshots")
def features_snapshots(
    first: Annotated[str, typer.Option("--from", help="First day: 2017-06-01.")],
    last: Annotated[str, typer.Option("--to", help="Last day: 2017-12-01, or end-of-facts.")],
    every: Annotated[int, typer.Option(min=1, help="Days from one snapshot to the next.")],
    out: Annotated[Path, typer.Option(help="Folder to write one Parquet file a snapshot into.")],
    as_json: AsJson = False,
) -> None:
    """Compute every feature of every member as of many midnights, reading the facts once, for training elsewhere.

    Example: `rapport features snapshots --from 2017-06-01 --to 2017-12-01 --every 30 --out snapshots`
    """
    from commands.features import FeatureJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(FeatureJobs(settings(), screen).snapshots(first, last, every, out))


@features_app.command("document")
def features_document(
    folder: Annotated[Path, typer.Option(help="Folder to write the pages to.")] = Path("docs"),
) -> None:
    """Write the pages of docs/ that come from the code: features, facts, settings, OpenAPI.

    Example: `rapport features document --folder docs`
    """
    from commands.document import document
    from features.screen import Screen

    document(folder, Screen(as_json=False))


@identity_app.command("why")
def identity_why(
    one: Annotated[str, typer.Argument(help="A member id, an anonymous id, or kind:identifier, such as phone:…")],
    other: Annotated[str, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Show by which observations two ids are one member, or why they are not. Identifiers are hashed, never shown.

    Example: `rapport identity why 4711 anon-9d00549a47492e06`
    """
    from commands.identity import explain

    explain(settings(), one, other, as_json=as_json)


@identity_app.command("review")
def identity_review(as_json: AsJson = False) -> None:
    """List the identifiers that join nobody, because they lead to several members or are seen with too many others.

    Example: `rapport identity review --json`
    """
    from commands.identity import review

    review(settings(), as_json=as_json)


def check(as_json: AsJson = False) -> None:
    """Say what the facts suffice for: per feature family and per model, with the evidence and what serves instead.

    Example: `rapport check`

    Exit code 20: no model can be trained on them.
    """
    from commands.check import check as run
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    found = run(settings(), screen)
    screen.result(found)
    if not found["ready"]:
        raise typer.Exit(20)


def simulate(
    out: Annotated[Path, typer.Option(help="New or empty folder to write to.")],
    members: Annotated[int | None, typer.Option(min=1, help="Registered members.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Instead of members: about how many order lines.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Days, from 2024-01-01 on.")] = 365,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    lines_per_order: Annotated[float, typer.Option(min=1, help="Mean lines of an order.")] = 9.0,
    events_per_line: Annotated[float, typer.Option(min=0, help="Browsing events for each order line; 0 for none.")] = 0.3,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier simulation in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make up a grocer of any size whose truth is known: docs/simulate.md.

    Example: `rapport simulate --members 1000 --days 365 --seed 1 --out simulated`
    """
    from commands.simulate import run

    run(
        out,
        members=members,
        rows=rows,
        days=days,
        seed=seed,
        lines_per_order=lines_per_order,
        events_per_line=events_per_line,
        force=force,
        as_json=as_json,
    )
