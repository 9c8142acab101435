"""Passports written once for several answers say the same as those written one by one."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from serving.batch import Reply
from serving.bundle import ModelSet
from serving.passports import PassportPrinter

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MODELS = ModelSet.of_champions({})


def printed(printer: PassportPrinter, reply: Reply, request_id: str, models: ModelSet = MODELS) -> Any:
    """The parsed answer."""
    return json.loads(printer.answer(reply, models, ("churn",), request_id=request_id))


def test_each_answer_has_its_own_id_rows_moment_runs_and_word_on_reasons() -> None:
    printer = PassportPrinter()
    reply = Reply([{"member_id": "1"}], NOW, None, [], "none")
    first, second = (printed(printer, replace(reply, rows=[{"member_id": i}]), i) for i in ("a", "b"))
    assert [answer["passport"].pop("decision_id") for answer in (first, second)] == ["a", "b"]
    assert [answer["rows"] for answer in (first, second)] == [[{"member_id": "a"}], [{"member_id": "b"}]]
    assert first["passport"] == second["passport"]
    others = {
        "moment": replace(reply, moment=NOW + timedelta(seconds=1)),
        "nightly": replace(reply, runs=[{"run": "7", "as_of": "x", "models": {}}]),
        "reasons": replace(reply, reasons="dropped"),
    }
    for name, other in others.items():
        answer = printed(printer, other, "c")
        assert answer["passport"] == printed(PassportPrinter(), other, "c")["passport"]
        assert answer["passport"][name] != first["passport"][name], name
    assert printed(printer, reply, "d")["passport"] == {**first["passport"], "decision_id": "d"}
