"""Rapport by Airflow: import, nightly, drift, and retraining where drift asks for it. Each task is one command."""

import pendulum
from airflow import DAG
from airflow.operators.bash import BashOperator

SETTINGS = "set -a; . /etc/rapport.env; set +a; "
DONE_ALL_THE_SAME = [30]
"""Exit code of `rapport nightly` where it is done and a model could not answer: shown as skipped, see its report."""
NOTHING_NEW = [10, 20]
"""Exit codes of `rapport retrain` where the champions stay or the facts do not suffice."""

with DAG(
    "rapport_nightly",
    schedule="30 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    tags=["rapport"],
) as nightly:
    bring = BashOperator(task_id="import", bash_command=SETTINGS + "rapport import --mapping /srv/rapport/shop.toml")
    score = BashOperator(
        task_id="nightly", bash_command=SETTINGS + "rapport nightly --json", skip_on_exit_code=DONE_ALL_THE_SAME
    )
    bring >> score

with DAG(
    "rapport_retrain",
    schedule="0 6 * * 0",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=30)},
    tags=["rapport"],
) as retrain:
    BashOperator(
        task_id="retrain_if_drift_asks",
        bash_command=SETTINGS + "rapport drift --json && exit 10; [ $? -eq 30 ] && rapport retrain --json",
        skip_on_exit_code=NOTHING_NEW,
    )
