"""Which version this is: that of the installed package, or of the archive it was started from, which is not installed."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def rapport_version() -> str:
    """Such as 0.1.0."""
    try:
        return version("rapport")
    except PackageNotFoundError:
        return str(tomllib.loads(PROJECT.read_text())["project"]["version"])
