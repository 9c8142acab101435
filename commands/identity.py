"""The jobs of `rapport identity`: why two ids are one member, and which identifiers a person should look at."""

from dataclasses import asdict
from typing import Any

from rich.markup import escape

from features.identifiers import canonical_kind, hash_identifier, identity_key
from features.identity import Resolution, read_resolution, require_same_key
from features.identity_why import Explanation, Step, why
from features.jobs import facts_folder
from features.screen import Screen
from features.settings import Settings

SHOWN_ROWS = 50
SHOWN_CANDIDATES = 3
WORDS = {
    "shared": "seen with several registered members",
    "chained": "linked to several registered members through other weak identifiers",
    "crowded": "seen with more others than one person has",
}
LINKED = "One member, {}: {} observations link the two."
REVIEW = "Two members, {} and {}: the only chain there is uses identifiers that join nobody."
NO_LINK = "Two members, {} and {}: no chain of observations leads from one to the other."


def explain(settings: Settings, one: str, other: str, *, as_json: bool) -> Explanation:
    """Show the shortest chain of observations between two ids, or why there is none."""
    screen = Screen(as_json=as_json)
    resolution = read_resolution(facts_folder(settings))
    found = why(resolution, *(_alias(text, resolution, settings) for text in (one, other)))
    screen.say(_verdict(found))
    if found.chain:
        rows = [(escape(step.observation_id) or "-", _shown(step), WORDS.get(step.review, "-")) for step in found.chain]
        screen.table("From the first id to the second", ("seen together in", "identifier", "joins nobody, because"), rows)
    screen.result(asdict(found))
    return found


def review(settings: Settings, *, as_json: bool) -> None:
    """Show what joins nobody, and how many identifiers lead to whom."""
    screen = Screen(as_json=as_json)
    resolution = read_resolution(facts_folder(settings))
    counts = resolution.counts()
    screen.table("Identities", ("what", "how many"), [(name.replace("_", " "), count) for name, count in counts.items()])
    first = resolution.review.slice(0, None if as_json else SHOWN_ROWS).to_pylist()
    screen.table(
        f"For review: {min(SHOWN_ROWS, len(first))} of {resolution.review.num_rows:,}",
        ("kind", "hash begins", "reason", "members", "among them"),
        [_review_row(row) for row in first[:SHOWN_ROWS]],
    )
    screen.result({**counts, "review": first})


def _review_row(row: dict[str, Any]) -> tuple[str, str, str, int, str]:
    among = escape(", ".join(row["candidates"][:SHOWN_CANDIDATES]))
    return escape(row["identifier_kind"]), row["identifier"][:16], WORDS[row["reason"]], row["members"], among


def _alias(text: str, resolution: Resolution, settings: Settings) -> str:
    """What `why` understands: `kind:identifier` with the identifier hashed; ids as they are."""
    kind, colon, value = text.partition(":")
    if not colon or resolution.has(text):
        return text
    key = identity_key(settings.identity_key)
    require_same_key(resolution, key)
    return f"{canonical_kind(kind)}:{hash_identifier(kind, value, key, country=resolution.policy.country)}"


def _verdict(found: Explanation) -> str:
    """One sentence. It names the members that the ids lead to, not the ids as they were typed."""
    if found.reason == "unknown":
        absent = [name for name, member in zip(("first", "second"), found.members, strict=True) if not member]
        return f"Nothing was ever seen of the {' and the '.join(absent)} id."
    members = [escape(member) for member in found.members]
    if found.reason == "linked":
        return LINKED.format(members[0], len(found.chain) - 1)
    return (REVIEW if found.reason == "review" else NO_LINK).format(*members)


def _shown(step: Step) -> str:
    return escape(f"{step.kind} {step.identifier}")
