"""The report on a model: one HTML page that needs nothing else, the same numbers as JSON, and the plots as PNG."""

from training.report.files import Cost, Provenance, report_files, write_report

__all__ = ["Cost", "Provenance", "report_files", "write_report"]
