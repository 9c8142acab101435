"""The examples of deploy/ are read by their syntax, and every `rapport` command in them exists with its options."""

import ast
import configparser
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

import rapport
from features.settings import Settings, variable_of
from serving.metrics import METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
SERVE = ["bentoml", "serve", "serving.service:RapportService"]
COMMAND = re.compile(r"\brapport ((?:[a-z]+)(?: [^&|;>`\"\n]*)?)")


def commands(path: Path) -> list[str]:
    """What stands after `rapport` wherever a file calls it, comments and prose left out."""
    if path.name == "Containerfile":
        return []  # it installs
    if path.suffix == ".yaml":
        found = (container for document in yaml.safe_load_all(path.read_text()) for container in containers(document))
        words = [container["command"] for container in found if "command" in container]
        return [" ".join(command[1:]) for command in words if command[0] == "rapport"]
    if path.suffix == ".py":
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        text = "\n".join(value for value in texts if isinstance(value, str) and "exit code" not in value.lower())
    elif path.suffix in {".service", ".md", ""}:
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    else:
        return []  # settings and boards call no command
    if path.suffix == ".service":
        text = "\n".join(line for line in text.splitlines() if line.startswith("ExecStart"))
    return [found.strip() for found in COMMAND.findall(text)]


def containers(document: dict) -> list[dict]:
    """Containers of a Kubernetes object, or services of a compose file; none of anything else."""
    if "services" in document:
        return list(document["services"].values())
    if document.get("kind") not in {"CronJob", "Deployment"}:
        return []
    spec = document["spec"]["jobTemplate"]["spec"] if document["kind"] == "CronJob" else document["spec"]
    spec = spec["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


CALLS = [
    (path.relative_to(DEPLOY).as_posix(), command) for path in FILES if path.suffix != ".timer" for command in commands(path)
]


def test_there_are_commands_in_each_way_to_run() -> None:
    assert {path for path, _ in CALLS} >= {
        "README.md",
        "airflow/rapport_dag.py",
        "compose.yaml",
        "crontab",
        "kubernetes/cronjobs.yaml",
        "systemd/rapport-nightly.service",
        "systemd/rapport-retrain.service",
    }


@pytest.mark.parametrize(("path", "command"), CALLS)
def test_commands_exist_with_their_options(path: str, command: str) -> None:
    name, *words = shlex.split(command)
    group = typer.main.get_command(rapport.app)
    assert isinstance(group, typer.core.TyperGroup)

    assert name in group.commands, f"{path}: rapport {name} is no command"
    options = {option for parameter in group.commands[name].params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix in {".service", ".timer"}], ids=lambda path: path.name)
def test_units_are_read_and_timers_have_their_service(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd tells capitals apart
    unit.read_string(path.read_text())

    assert unit["Unit"]["Description"]
    if path.suffix == ".timer":
        assert unit["Timer"]["OnCalendar"]
        assert path.with_suffix(".service").exists()
    else:
        serves = path.stem == "rapport-server"
        assert unit["Service"]["Type"] == ("exec" if serves else "oneshot")
        if serves:
            assert unit["Service"]["ExecStart"].partition("bin/")[2].split()[:3] == SERVE


def test_the_crontab_has_five_times_and_a_command_a_line() -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    settings = [line.partition("=")[0] for line in lines if re.match(r"^\w+=", line)]
    jobs = [line for line in lines if not re.match(r"^\w+=", line)]

    assert all(re.match(r"^(?:[\d*,/-]+\s+){5}rapport ", line) for line in jobs)
    assert len(jobs) == 3
    known = {variable_of(name) for name in Settings.__dataclass_fields__}
    assert {name for name in settings if name.startswith("RAPPORT_")} <= known


def test_cron_jobs_never_run_twice_at_once_and_do_not_retry_what_is_no_failure() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "cronjobs.yaml").read_text()))

    assert [document["metadata"]["name"] for document in documents] == ["rapport-nightly", "rapport-retrain"]
    for document in documents:
        assert document["spec"]["concurrencyPolicy"] == "Forbid"
        job = document["spec"]["jobTemplate"]["spec"]
        rule = job["podFailurePolicy"]["rules"][1]["onExitCodes"]
        assert rule["containerName"] in {container["name"] for container in containers(document)}
        assert 75 in rule["values"]
        assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_the_dags_are_python_that_only_calls_commands() -> None:
    tree = ast.parse((DEPLOY / "airflow" / "rapport_dag.py").read_text())

    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"airflow", "airflow.operators.bash"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_the_readme_names_every_file() -> None:
    text = (DEPLOY / "README.md").read_text()

    for path in FILES:
        assert path.name == "README.md" or path.name in text or path.suffix == ".timer", path


def _expressions(node: object) -> Iterator[str]:
    """Every PromQL expression below a node of a dashboard or of rules."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "expr":
                yield str(value)
            else:
                yield from _expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _expressions(value)


def test_dashboard_and_alarms_ask_for_series_and_labels_that_there_are() -> None:
    declared = {metric.name: metric for metric in METRICS}
    texts = [
        json.loads((DEPLOY / "grafana" / "rapport.json").read_text()),
        yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text()),
    ]
    asked = [expression for text in texts for expression in _expressions(text)]
    assert len(asked) > 15
    used = set()
    for expression in asked:
        for name, selector in re.findall(r"(rapport_[a-z_]+)(\{[^}]*\})?", expression):
            metric = declared.get(name) or declared[re.sub(r"_(bucket|sum|count)$", "", name)]
            used.add(metric.name)
            labels = dict(metric.labels)
            for label, value in re.findall(r'([a-z]+)=~?"([^"]*)"', selector):
                assert set(value.split("|")) <= set(labels[label])
    assert used == set(declared)


def test_alarms_are_in_the_operators_page() -> None:
    page = (DEPLOY.parent / "docs" / "operate.md").read_text()
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        assert f"`{rule['alert']}`" in page
    for metric in METRICS:
        assert f"`{metric.name}`" in page
