"""README and docs name only commands, settings, files and codes that exist; what they promise is run in end_to_end/."""

import re
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import rapport
from features.settings import Settings
from serving.problems import CODES

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "mlruns" / "README.md", *ROOT.glob("docs/**/*.md")])
COMMAND = re.compile(r"^(?:RAPPORT_\w+=\S+ )?rapport ([a-z][^#\n]*)", re.MULTILINE)


def commands() -> list[str]:
    """Every `rapport …` line in a code block of any page."""
    blocks = [block for page in PAGES for block in re.findall(r"```(?:bash|console)\n(.*?)```", page.read_text(), re.DOTALL)]
    return sorted({part.strip() for block in blocks for part in COMMAND.findall(block.replace("&& rapport", "\nrapport"))})


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_pages_parse(command: str) -> None:
    command = command.replace("import --draft ", "import draft ")  # the other way to say it
    words = [word for word in command.split() if not word.startswith("--")]
    group = typer.main.get_command(rapport.app)
    path = []
    while words and hasattr(group, "commands") and words[0] in group.commands:
        path.append(words[0])
        group = group.commands[words.pop(0)]
    options = {option for parameter in group.params for option in parameter.opts}

    assert path, f"rapport {command} is no command"
    assert {word.split("=")[0] for word in command.split() if word.startswith("--")} <= options
    assert CliRunner().invoke(rapport.app, [*path, "--help"]).exit_code == 0


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets
    assert {"install", "demo", "test", "test-slow", "lint", "lock", "bench", "clean", "help"} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_readme_is_short_and_begins_with_two_commands() -> None:
    text = (ROOT / "README.md").read_text()

    assert len(text.splitlines()) < 150
    assert text.index("make demo") < text.index("make test") < text.index("## Step by step")


def test_every_problem_code_is_in_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text()

    assert [code for code in CODES if f"`{code}`" not in page] == []


def test_settings_named_in_the_pages_exist() -> None:
    known = set(Settings().to_env())
    named = {name for page in PAGES for name in re.findall(r"\bRAPPORT_[A-Z_]+", page.read_text())}

    assert named <= known
