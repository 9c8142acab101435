"""The report's files: one page that needs nothing else and escapes everything, numbers that agree with it, plots."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from training.evaluation.summary import summarise
from training.evidence import Evidence
from training.report import Cost, Provenance, report_files, write_report

VOID = {"meta", "br", "hr", "img", "input", "link"}
MODELS = ("churn", "tier", "value", "segments", "recommender")


class Balanced(HTMLParser):
    """Complains about a tag that is closed before those opened inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def files(every_evidence: dict[str, Evidence]) -> dict[str, dict[str, bytes]]:
    """The report of each kind of model."""
    provenance = Provenance(made_at="2024-03-02", currency="EUR", facts_until="2024-03-01", facts_hash="f00d", source="made up")
    return {
        model: report_files(
            evidence, summary=summarise(evidence, draws=20), provenance=provenance, cost=Cost(3.25, 345_678, 2.1)
        )
        for model, evidence in every_evidence.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(files: dict[str, dict[str, bytes]], model: str) -> None:
    page = files[model]["report.html"].decode()
    parser = Balanced()
    parser.feed(page)

    assert parser.open == []
    assert not re.search(r"<(script|link|iframe|img)\b", page)
    assert not re.search(r"""(src|href)=["'](?!\#)""", page)
    assert "url(http" not in page
    assert "@import" not in page


@pytest.mark.parametrize("model", MODELS)
def test_no_placeholder_and_no_unknown_number_reaches_the_page(files: dict[str, dict[str, bytes]], model: str) -> None:
    parser = Balanced()
    parser.feed(files[model]["report.html"].decode())
    text = " ".join(parser.text)

    assert not re.search(r"\b(nan|inf|None|Undefined)\b", text)
    assert "{{" not in text


@pytest.mark.parametrize("model", MODELS)
def test_page_and_numbers_agree(files: dict[str, dict[str, bytes]], model: str) -> None:
    page, numbers = files[model]["report.html"].decode(), json.loads(files[model]["report.json"])

    assert numbers["report"]["title"] in page
    assert numbers["summary"]["model"] == model
    assert f"{numbers['summary']['headline']['value']:.3f}" in page
    for period in numbers["summary"]["periods"]:
        assert period["test_from"] in page


@pytest.mark.parametrize("model", MODELS)
def test_plots_are_pictures(files: dict[str, dict[str, bytes]], model: str) -> None:
    plots = {name: content for name, content in files[model].items() if name.startswith("plots/")}

    assert "plots/periods.png" in plots
    assert all(content.startswith(b"\x89PNG") for content in plots.values())
    assert ("plots/value.png" in plots) == (model == "churn")


def test_lineage_cost_and_assumptions_are_on_the_page(files: dict[str, dict[str, bytes]]) -> None:
    page = files["churn"]["report.html"].decode()

    for words in ("f00d", "346 kB", "3.2 s", "2.1 µs", "Assumed, not measured", "1.00 EUR", "40.00 EUR", "trees 102"):
        assert words in page


def test_the_same_evidence_makes_the_same_bytes(every_evidence: dict[str, Evidence]) -> None:
    one, other = (report_files(every_evidence["segments"]) for _ in range(2))

    assert one == other


def test_markup_in_names_is_escaped(risk_evidence: Evidence) -> None:
    bad = "<script>alert(1)</script> $\\oops$"
    judged = tuple(
        replace(one, others={bad: one.others["bgnbd"]}, slices={bad: one.slices["stage"]}, notes={bad: bad})
        for one in risk_evidence.judged
    )
    evidence = replace(risk_evidence, judged=judged, parameters={"seed": bad}, definition={"horizon_days": bad, bad: bad})

    found = report_files(evidence, summary=summarise(evidence, draws=5), provenance=Provenance(source=bad, currency=bad))

    assert "<script" not in found["report.html"].decode()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, files: dict[str, dict[str, bytes]]) -> None:
    folder = tmp_path / "a" / "reports"
    write_report(folder, "churn-2024-03-02", {"report.html": b"old", "report.json": b"{}"})

    written = write_report(folder, "churn-2024-03-02", files["churn"])

    assert written["html"].read_bytes() == files["churn"]["report.html"]
    assert sorted(path.name for path in folder.iterdir()) == ["churn-2024-03-02.html", "churn-2024-03-02.json"]


def test_the_page_on_lists_tells_every_question_and_what_the_lists_are_like(files: dict[str, dict[str, bytes]]) -> None:
    page, numbers = files["recommender"]["report.html"].decode(), json.loads(files["recommender"]["report.json"])

    further = {one["question"]: one for one in numbers["summary"]["further"]}
    assert set(further) == {"basket", "novel"}
    for one in further.values():
        assert f"{one['figures']['recall20']:.4f}" in page
    assert "answered by what sells best" in page
    assert "By how long members have been buying" in page
    assert "What the lists are like" in page
    assert "400 items" in page
    for absent in ("Slices of members", "Reliability", "Stability from period"):
        assert absent not in page
