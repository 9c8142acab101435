"""The job behind `rapport simulate`: a made-up retailer into a folder, and what a person sees of it."""

from pathlib import Path

from features.errors import ConfigurationError
from features.screen import Screen
from features.sources.simulator import Simulated, members_for, simulate


def run(
    out: Path,
    *,
    members: int | None,
    rows: int | None,
    days: int,
    seed: int,
    lines_per_order: float,
    events_per_line: float,
    force: bool,
    as_json: bool,
) -> Simulated:
    """Simulate so many members, or as many as buy about so many lines.

    Raises
    ------
    ConfigurationError
        Neither or both are given, a number is out of range, or the folder is not free.
    """
    if (members is None) == (rows is None):
        raise ConfigurationError("a simulation needs either members or rows", remedy="for example --members 1000")
    count = members or members_for(rows or 1, days=days, seed=seed, lines_per_order=lines_per_order)
    screen = Screen(as_json=as_json)
    with screen.progress("simulating members", count) as advance:
        simulated = simulate(
            out,
            members=count,
            days=days,
            seed=seed,
            lines_per_order=lines_per_order,
            events_per_line=events_per_line,
            force=force,
            progress=advance,
        )
    screen.table("SIMULATED: no real shop, no real person", ("table", "rows"), sorted(simulated.rows.items()))
    screen.say(f"Import it: rapport import --mapping {simulated.mapping}")
    screen.result(
        {
            "simulated": True,
            "folder": str(out),
            "mapping": str(simulated.mapping),
            "members": count,
            "days": days,
            "seed": seed,
            "rows": simulated.rows,
        }
    )
    return simulated
