"""The front door: one command line over features, training and serving. Its commands stand in commands/line/."""

import os
import signal
import sys
import warnings
from typing import NoReturn

import typer

from commands.line.events import archive, kafka, parity, stream, triggers_app
from commands.line.facts import check, features_app, identity_app, import_app, simulate
from commands.line.models import drift, evaluate, models_app, retrain, train, why
from commands.line.shop import audience, demo, jobs_app, members_app, nightly, publish, rules_app, serve, status, stock_app
from features.disk import disk_full
from features.errors import RapportError

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
COMMANDS = (
    publish, archive, kafka, nightly, retrain, drift, check, audience, train, evaluate, why, serve, stream, parity, status,
    simulate, demo,
)  # fmt: skip
GROUPS = {
    "import": import_app,
    "features": features_app,
    "identity": identity_app,
    "models": models_app,
    "rules": rules_app,
    "stock": stock_app,
    "triggers": triggers_app,
    "members": members_app,
    "jobs": jobs_app,
}
for command in COMMANDS:  # in the order of `rapport --help`
    app.command()(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; errors of ours become a message, a remedy and an exit code. SIGTERM ends it as tidily as Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except RapportError as error:
        _refuse(error)
    except Exception as error:  # the one edge: a full disk comes as whatever the library that wrote makes of it
        full = disk_full(error)
        if full is None:
            raise
        _refuse(full)


def _refuse(error: RapportError) -> NoReturn:
    typer.secho(f"rapport: {error}", fg=typer.colors.RED, err=True)
    if error.remedy:
        typer.secho(f"         {error.remedy}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
