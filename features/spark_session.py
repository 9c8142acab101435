"""A Spark session of ours: started quietly, named in one place, stopped after use; and a private view of somebody else's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import ibis

from features.errors import MissingDependency

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOCAL = "local[2]"
_EVERYWHERE = {"spark.ui.showConsoleProgress": "false"}
_ON_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.maxResultSize": "0",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "8",
}
"""Nothing listens to the outside, and the shuffles of one small machine are not cut into two hundred pieces."""
_QUERY = {"spark.sql.session.timeZone": "UTC", "spark.sql.timestampType": "TIMESTAMP_NTZ", "spark.sql.ansi.enabled": "true"}
"""Moments are UTC without a zone, as in the facts, and what overflows is an error and not a wrong number."""
_LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.console.ref = console
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c: %m%n%ex
"""


@contextmanager
def spark_session(master: str | None = LOCAL) -> Iterator[SparkSession]:
    """A session for the length of the block; one that runs already in this process is used and left running.

    Parameters
    ----------
    master
        Where Spark runs. None leaves it to spark-submit and spark-defaults.conf.

    Raises
    ------
    MissingDependency
        PySpark is not installed, or there is no Java.
    """
    session_class = _session_class()
    running = session_class.getActiveSession()
    if running is not None:
        yield running
        return
    session = _start(session_class, master)
    try:
        yield session
    finally:
        session.stop()


def own_view(session: SparkSession) -> SparkSession:
    """A session on the same cluster with settings and views of its own, so that the caller's stay as they are."""
    view = session.newSession()
    with _unworried():
        ibis.pyspark.connect(view)  # from here on Ibis can write text for Spark
    for name, value in _QUERY.items():
        view.conf.set(name, value)
    return view


def _session_class() -> type[SparkSession]:
    try:
        with _unworried():
            from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingDependency(
            "PySpark is not installed", remedy='install it: pip install "rapport[spark]", or make spark in a checkout'
        ) from error
    found: type[SparkSession] = SparkSession
    return found


def _start(session_class: type[SparkSession], master: str | None) -> SparkSession:
    from pyspark.errors import PySparkRuntimeError

    builder = session_class.builder.appName("rapport")
    local = master is not None and master.startswith("local")
    with TemporaryDirectory() as folder, _unworried():
        if master is not None:
            builder = builder.master(master)
        for name, value in {**_EVERYWHERE, **(_on_this_machine(Path(folder)) if local else {})}.items():
            builder = builder.config(name, value)
        try:
            return builder.getOrCreate()
        except PySparkRuntimeError as error:
            raise MissingDependency(
                f"Spark does not start: {error.getCondition()}",
                remedy="install Java 17 or newer, and see that `java -version` or JAVA_HOME finds it",
            ) from error


def _on_this_machine(folder: Path) -> dict[str, str]:
    """Settings of a session of one process; where it logs to is said in a file that Java reads when it starts."""
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING)
    return {**_ON_THIS_MACHINE, "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{logging}"}


@contextmanager
def _unworried() -> Iterator[None]:
    """PySpark 4.3 warns of pandas 3. Nothing here passes through pandas: queries are text and rows are Arrow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield
