"""The page about cleaning names every rule with what it does, and every threshold with its default."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from features.cleaning import RULES, STANDARD, Policy

PAGE = (Path(__file__).parents[2] / "docs" / "cleaning.md").read_text()


def test_the_table_has_every_rule_with_its_action_in_the_order_of_the_report() -> None:
    assert re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE) == [(rule.code, rule.action) for rule in RULES]


def test_the_example_is_a_policy_and_names_every_threshold_with_its_default() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    content = tomllib.loads(example[1])["cleaning"]

    assert isinstance(Policy.of(content), Policy)
    for threshold in (field.name for field in fields(Policy) if field.name != "severity"):
        line = next(line for line in example[1].splitlines() if line.startswith(threshold))
        default = getattr(STANDARD, threshold)
        assert "default" in line
        assert content[threshold] == default or f"default {default}" in line
