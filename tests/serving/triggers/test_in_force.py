"""Which triggers are in force, as files and published tags come and go."""

from pathlib import Path

import pytest

from serving.triggers.in_force import TriggersInForce

OF_A_TAG = """
[trigger.of_a_tag]
on = ["view"]
when = "preferred_store=7"
"""


def test_triggers_that_speak_of_a_tag_come_into_force_once_it_is_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shop.toml").write_text(OF_A_TAG)
    tags: set[str] = set()
    in_force = TriggersInForce(tmp_path, lambda: tags, refresh_s=0.0, again_s=0.0)
    assert in_force.now().triggers.triggers == ()
    in_force.now()
    assert in_force.refused is not None
    assert len(caplog.records) == 1  # the same problem is said once

    tags.add("preferred_store=7")
    assert [trigger.name for trigger in in_force.now().triggers.triggers] == ["of_a_tag"]
    assert in_force.refused is None


def test_a_file_that_becomes_unusable_leaves_all_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(OF_A_TAG.replace("preferred_store=7", "views_1d >= 3"))
    in_force = TriggersInForce(tmp_path, set, refresh_s=0.0)
    before = in_force.now()
    (tmp_path / "shop.toml").write_text("no triggers at all")
    assert in_force.now() is before
    assert in_force.refused is not None
