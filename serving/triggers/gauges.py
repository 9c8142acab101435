"""What triggers came to, as whoever fired them left it in the store, in Prometheus' text format."""

from collections.abc import Iterator, Mapping

OUTCOMES = "outcome"
FIRED = "fired"
LATENCY_SUM, LATENCY_COUNT = "us", "events"
"""Fields of the tally: `outcome:<outcome>`, `fired:<trigger>:<arm>`, microseconds from events to messages and their number.

Names of triggers and arms are the shop's own, from its files, and no caller makes one.
"""


def trigger_text(tally: Mapping[bytes, bytes]) -> str:
    """The series; nothing where nothing was counted."""
    counts = {name.decode(): int(count) for name, count in sorted(tally.items())}
    return "".join(line + "\n" for line in (*_outcomes(counts), *_fired(counts), *_seconds(counts)))


def _outcomes(counts: Mapping[str, int]) -> Iterator[str]:
    found = [(name.partition(":")[2], count) for name, count in counts.items() if name.startswith(f"{OUTCOMES}:")]
    if found:
        yield "# HELP rapport_triggers_total conditions of triggers that held, by what became of it"
        yield "# TYPE rapport_triggers_total counter"
    for outcome, count in found:
        yield f'rapport_triggers_total{{outcome="{outcome}"}} {count}'


def _fired(counts: Mapping[str, int]) -> Iterator[str]:
    found = [(name.split(":"), count) for name, count in counts.items() if name.startswith(f"{FIRED}:")]
    if found:
        yield "# HELP rapport_triggers_fired_total messages published, by trigger and arm"
        yield "# TYPE rapport_triggers_fired_total counter"
    for (_, trigger, arm), count in found:
        yield f'rapport_triggers_fired_total{{trigger="{trigger}",arm="{arm}"}} {count}'


def _seconds(counts: Mapping[str, int]) -> Iterator[str]:
    if LATENCY_COUNT in counts:
        yield "# HELP rapport_trigger_seconds time from an event to its message, in seconds"
        yield "# TYPE rapport_trigger_seconds summary"
        yield f"rapport_trigger_seconds_sum {counts.get(LATENCY_SUM, 0) / 1e6:.6f}"
        yield f"rapport_trigger_seconds_count {counts[LATENCY_COUNT]}"
