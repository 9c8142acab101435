"""What the stream's workers and the last comparison with the batch left in the store, as Prometheus reads it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_HELP = {
    "rapport_stream_events_total": ("counter", "events by what the stream's workers did with them"),
    "rapport_live_compared": ("gauge", "members compared with the batch last time"),
    "rapport_live_mismatches": ("gauge", "values that differed from the batch last time"),
    "rapport_live_missing": ("gauge", "members of the facts whom the store did not know"),
    "rapport_live_extra": ("gauge", "members of the store whom the facts did not know"),
    "rapport_live_differing": ("gauge", "members by feature that differed"),
    "rapport_live_largest_error": ("gauge", "largest difference by feature; +Inf where one side had no value"),
}


def gauges_text(tally: Mapping[bytes, bytes], parity: bytes | None) -> str:
    """The series in Prometheus' text format; those of which nothing is known are left out."""
    found: dict[str, list[tuple[str, float]]] = {}
    for outcome, count in sorted(tally.items()):
        found.setdefault("rapport_stream_events_total", []).append((f'{{outcome="{outcome.decode()}"}}', float(count)))
    for name, label, value in _of_parity(_read(parity)):
        found.setdefault(name, []).append((label, value))
    return "".join(line + "\n" for name, series in found.items() for line in _family(name, series))


def _family(name: str, series: list[tuple[str, float]]) -> Iterator[str]:
    kind, meaning = _HELP[name]
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for label, value in series:
        yield f"{name}{label} {'+Inf' if value == float('inf') else f'{value:.12g}'}"


def _read(parity: bytes | None) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(parity or b"{}")
    except ValueError:
        return {}
    return content


def _of_parity(content: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    for name, key in (("compared", "members"), ("mismatches", "mismatches"), ("missing", "missing"), ("extra", "extra")):
        if key in content:
            yield f"rapport_live_{name}", "", float(content[key])
    for feature, difference in sorted(content.get("differences", {}).items()):
        largest = difference["largest"]
        yield "rapport_live_differing", f'{{feature="{feature}"}}', float(difference["members"])
        yield "rapport_live_largest_error", f'{{feature="{feature}"}}', float("inf") if largest is None else float(largest)
