"""Features by Spark, behind the front door: where it runs, what it reads, and where the rows go."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands.features import FeatureJobs, write_features
from features.errors import ConfigurationError
from features.jobs import as_of_moment, facts_folder
from features.settings import Settings
from features.spark import SparkFacts, collect
from features.spark_output import write_on_spark
from features.spark_session import LOCAL, spark_session

UNDER_SPARK_SUBMIT = "PYSPARK_GATEWAY_PORT"
"""spark-submit sets it for the program it starts; which cluster to use is then its business."""


def master_of(settings: Settings) -> str | None:
    """Where Spark is to run; None where spark-submit knows."""
    return settings.spark_master or (None if UNDER_SPARK_SUBMIT in os.environ else LOCAL)


def build_to_file(jobs: FeatureJobs, as_of: str, out: str, *, facts: str | None, collected: bool) -> dict[str, Any]:
    """Features of all members as of a moment by Spark: into one Parquet file here, or into a folder that Spark writes."""
    if collected and "://" in out:
        raise ConfigurationError(f"only Spark can write to {out}", remedy="add --no-collect, or name a file of this machine")
    with spark_session(master_of(jobs.settings)) as session:
        chosen = dict(jobs.settings.thresholds)
        opened = SparkFacts.open(facts or facts_folder(jobs.settings), session, thresholds=chosen)
        moment = as_of_moment(as_of, opened)
        with jobs.screen.progress(f"features as of {moment:%Y-%m-%d %H:%M} on Spark", 1) as advance:
            if collected:
                rows = collect(opened, as_of=moment)
            else:
                written = write_on_spark(opened, out, as_of=moment)
            advance()
    if collected:
        write_features(iter([rows]), opened, moment, Path(out), lambda done=1: None)
        jobs.screen.say(f"{len(rows.member_ids):,} members x {rows.matrix.shape[1]} features as of {moment.isoformat()}: {out}")
        return {"members": len(rows.member_ids), "features": rows.matrix.shape[1], "out": out, "facts_hash": rows.facts_hash}
    jobs.screen.say(f"{written.members:,} members as of {written.as_of}: {out}")
    return asdict(written)
