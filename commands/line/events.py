"""Commands that carry events into the streams, into live features and triggers, and into the facts."""

from pathlib import Path
from typing import Annotated

import typer

from commands.line.options import AsJson, settings

triggers_app = typer.Typer(no_args_is_help=True, help="What is said to whom the moment something happens: docs/triggers.md.")


def archive(
    every: Annotated[
        int, typer.Option(min=0, help="Seconds: to disk that often until told to end, and not into the facts.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Bring the events of the streams to disk and into the facts, each once. The nightly run begins with it.

    Example: `rapport archive --every 60`
    """
    from commands.events import EventJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(EventJobs(settings(), screen).archive(every_s=every))


def kafka(
    topic: Annotated[str, typer.Argument(help="Topic whose messages are events in JSON.")],
    config: Annotated[Path, typer.Option(help="JSON file with librdkafka's settings, bootstrap.servers at least.")],
    as_json: AsJson = False,
) -> None:
    """Bring the events of a Kafka topic into the streams until told to end; offsets are committed once they are there.

    Example: `rapport kafka shop.events --config kafka.json`
    """
    from commands.events import EventJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(EventJobs(settings(), screen).kafka(topic, config.read_text()))


def stream(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when no event is left.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply events to the live features of members, each once; any number of these may run: docs/realtime.md.

    Example: `rapport stream`
    """
    from commands.stream import StreamJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(StreamJobs(settings(), screen).run(until_idle=until_idle))


def parity(
    most: Annotated[int, typer.Option(min=1, help="Members compared; those active today first.")] = 10_000,
    bucket: Annotated[int | None, typer.Option(min=0, help="Bucket of the facts; else another one each day.")] = None,
    archive: Annotated[bool, typer.Option("--archive/--no-archive", help="Archive what the streams hold first.")] = True,
    as_json: AsJson = False,
) -> None:
    """Hold the live features of members against a batch build on the archived facts.

    Example: `rapport parity --most 2000`

    Exit code 1: there are mismatches. The last result is in /metrics.
    """
    from commands.stream import StreamJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    found = StreamJobs(settings(), screen).parity(most=most, bucket=bucket, archive=archive)
    screen.result(found)
    if found["mismatches"]:
        raise typer.Exit(1)


@triggers_app.command("check")
def triggers_check(
    files: Annotated[list[Path], typer.Argument(help="Files of triggers, such as triggers/shop.toml.")],
    replay: Annotated[str | None, typer.Option(help="A day of the facts: what would have fired, by trigger and arm.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check files of triggers and say in words what they mean; with --replay, what they would have fired on a day.

    Example: `rapport triggers check triggers/shop.toml --replay 2017-12-01`

    Nothing is sent. Exit code 2: a file says what triggers cannot say; every problem is told with its key, value and remedy.
    """
    from commands.triggers import TriggerJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(settings(), screen).check(files, replayed=replay))


@triggers_app.command("list")
def triggers_list(as_json: AsJson = False) -> None:
    """List the triggers in force and how often each fired as far back as their stream reaches.

    Example: `rapport triggers list`
    """
    from commands.triggers import TriggerJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(settings(), screen).list())


@triggers_app.command("due")
def triggers_due(as_json: AsJson = False) -> None:
    """Fire what was put off and is due by now: workers of `rapport stream` do so every second.

    Example: `rapport triggers due`
    """
    from commands.triggers import TriggerJobs
    from features.screen import Screen

    screen = Screen(as_json=as_json)
    screen.result(TriggerJobs(settings(), screen).due())
