"""The pages of docs/ that come from the code."""

from pathlib import Path

from features.contract import CONTRACT
from features.document import facts_page, features_page, settings_page, tags_page
from features.screen import Screen
from serving.openapi import as_json as openapi_page


def document(folder: Path, screen: Screen) -> None:
    """Write the pages that come from the code."""
    pages = {"features.md": features_page(CONTRACT), "facts.md": facts_page(), "settings.md": settings_page()}
    for name, text in {**pages, "tags.md": tags_page(), "openapi.json": openapi_page()}.items():
        (folder / name).write_text(text)
        screen.say(f"wrote {folder / name}")
