"""What of Spark can be said without Spark: what to do when it is missing, what places are called, what edges rest on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from features.contract import CONTRACT
from features.errors import MissingDependency
from features.spark import edge_contract, location
from features.spark_session import spark_session

ROOT = Path(__file__).parents[2]


def test_without_pyspark_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)

    with pytest.raises(MissingDependency, match="not installed") as found, spark_session():
        pass
    assert "rapport[spark]" in found.value.remedy


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        (Path("/srv/facts"), "file:///srv/facts"),
        ("/srv/my facts/会员/", "file:///srv/my facts/会员"),
        ("s3a://bucket/facts/", "s3a://bucket/facts"),
        ("hdfs://name:8020/facts", "hdfs://name:8020/facts"),
    ],
)
def test_paths_get_a_scheme_and_addresses_keep_theirs(folder: Path | str, place: str) -> None:
    assert location(folder) == place


def test_the_way_to_a_cluster_does_not_lead_through_pandera() -> None:
    """Importing it sets SPARK_LOCAL_IP to 127.0.0.1, where no executor finds the driver."""
    code = "import os, sys, commands.spark; sys.exit('pandera' in sys.modules or 'SPARK_LOCAL_IP' in os.environ)"
    without = {name: value for name, value in os.environ.items() if name != "SPARK_LOCAL_IP"}  # the fixtures import it here

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=without, check=False).returncode == 0


def test_edges_rest_on_a_few_aggregates_and_on_all_that_these_need() -> None:
    small = edge_contract(CONTRACT)
    sources = {str(s) for feature in small.features for s in feature.sources()}

    assert small.quintiles == CONTRACT.quintiles
    assert {q.over for q in CONTRACT.quintiles} <= set(small.features)
    assert sources - {"day"} <= {a.name for a in small.aggregates}
    assert len(small.aggregates) < len(CONTRACT.aggregates) / 4
