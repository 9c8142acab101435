"""The pages made from the code are what the code makes today."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from features.contract import CONTRACT
from features.declarations import Family
from features.document import facts_page, features_page, settings_page, tags_page
from features.tags import PATTERNS, TAGS, TOPICS
from serving.openapi import as_json

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("features.md", lambda: features_page(CONTRACT)),
        ("facts.md", facts_page),
        ("settings.md", settings_page),
        ("tags.md", tags_page),
        ("openapi.json", as_json),
    ],
)
def test_the_page_is_up_to_date(name: str, made: Callable[[], str]) -> None:
    assert (DOCS / name).read_text() == made(), f'docs/{name} is behind the code: run "make docs"'


def test_every_declaration_has_its_row_on_the_page_of_features() -> None:
    rows = [line for line in (DOCS / "features.md").read_text().splitlines() if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == [
        *(f.name for family in get_args(Family) for f in CONTRACT.features if f.family == family),
        *(aggregate.name for aggregate in CONTRACT.aggregates),
        *(threshold.name for threshold in CONTRACT.thresholds),
    ]
    for row in rows:
        assert row.replace("\\|", "").count("|") in {5, 6, 7}


def test_every_tag_has_its_row_on_the_page_of_tags() -> None:
    rows = [line.split("`")[1] for line in (DOCS / "tags.md").read_text().splitlines() if line.startswith("| `")]

    assert set(TAGS) <= set(rows)
    assert len(rows) == len(TAGS) + len(PATTERNS) + len(TOPICS)
