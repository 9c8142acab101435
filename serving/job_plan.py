"""What is decided once for all of a bulk job, so that it goes on after a kill as it began."""

from dataclasses import dataclass
from typing import Any

from serving.job_tables import TableColumn, list_columns, score_columns

PART = 20_000
"""Members of one part: what is worked out again after a kill, at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for all of a job. `models` are name and version, `sha256` the hashes of their bundles, by name.

    `list_order` says what puts lists in order, as `list_schemas.ListOrder`; None where no lists were asked for.
    """

    moment: str
    members: int
    refused_lines: int
    models: dict[str, str]
    sha256: dict[str, str]
    tiers: tuple[str, ...]
    part: int
    list_order: dict[str, Any] | None = None

    def columns(self, output: str) -> tuple[TableColumn, ...]:
        """Columns of an output's file."""
        return score_columns(self.tiers) if output == "scores" else list_columns()
