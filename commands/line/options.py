"""What several commands of the front door take: options that mean the same everywhere, and settings from the environment."""

import os
from typing import Annotated

import typer

from features.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
AsOf = Annotated[
    str,
    typer.Option(help="Moment to compute for: 2018-01-01 (its local midnight), a moment with zone, or end-of-facts."),
]
Households = Annotated[int | None, typer.Option(min=1, help="Only this many households, for a quick look.")]


def settings() -> Settings:
    """Settings as the environment has them when a command runs."""
    return Settings.from_env(os.environ)
