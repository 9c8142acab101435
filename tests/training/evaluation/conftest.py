"""Fixtures of these tests: made-up evidence of each kind of answer."""

from made_up_evidence import every_evidence, risk_evidence

__all__ = ["every_evidence", "risk_evidence"]
