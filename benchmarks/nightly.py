"""What it takes to score a million members and write the answers, from the state on disk to Redis.

make bench                                  JSON on the last line; --members sets the size
Real rows of Complete Journey are repeated until there are enough members, and lie on disk as last night's state does. Models
are the champions of `mlruns`, whatever there are, or ones trained here if there are none. score_s is scoring into the file that
is kept, and from it into a Redis of our own; score_with_reasons_s the same with the three strongest reasons of each score that
has reasons.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose features.py is no package

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import redis

from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.embedded import embedded_store
from features.errors import FactsMissing
from features.facts import Facts
from features.jobs import facts_folder
from features.measured import RunRecord
from features.online_store import RedisStore
from features.settings import Settings
from features.sources.complete_journey import import_complete_journey
from features.state import State, StateManifest
from training.answers import BLOCK, Champion, champions, scored
from training.publish_answers import publish_scores
from training.score_files import ScoreKey, path_of, read_scores, write_scores

BUCKETS = 8


@contextmanager
def own_server(folder: Path) -> Iterator[str]:
    """Redis on a socket of its own if it is installed, else the embedded Valkey."""
    program = shutil.which("redis-server")
    if program is None:
        with embedded_store(folder) as url:
            yield url
        return
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        while not socket.exists():
            time.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()


def some_facts(folder: Path) -> Facts:
    """The facts there are, else a small import."""
    try:
        return Facts.open(facts_folder(Settings.from_env(os.environ)))
    except FactsMissing:
        import_complete_journey(folder / "facts", households=300)
        return Facts.open(folder / "facts")


def some_models(facts: Facts, folder: Path) -> Sequence[Champion]:
    """The champions there are, else some trained on these facts."""
    found = champions(Settings.from_env(os.environ).mlruns_dir).able
    if found:
        return found
    from training.datasets import Snapshots
    from training.pipeline import MODELS, snapshot_days, steps, train

    models = tuple(model for model in MODELS if model != "recommender")  # lists are made apart from scores
    snapshots = Snapshots(facts)
    list(snapshots.prepare(snapshot_days(facts, models)))
    list(train(steps(snapshots, models), folder / "mlruns", snapshots, who="benchmark", clock=lambda: datetime.now(UTC)))
    return champions(folder / "mlruns").able


def state_of(folder: Path, rows: FeatureRows, facts: Facts, members: int) -> State:
    """A state on disk of so many members, each with the record of a real one."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for bucket, ids in enumerate(np.array_split(np.arange(members), BUCKETS)):
        records = rows.records[generator.integers(0, len(rows.records), len(ids))]
        arrays = {"members": np.char.zfill(ids.astype(np.str_), 8), "records": records, "present": np.zeros(len(ids), np.uint8)}
        for name, array in arrays.items():
            np.save(folder / f"{bucket:02d}.{name}.npy", array, allow_pickle=False)
    as_of = facts.midnight(rows.day).isoformat()
    return State(folder, StateManifest(CONTRACT.hash, as_of, rows.day, rows.facts_hash, {}, BUCKETS, [], ""))


def night(
    record: RunRecord, state: State, facts: Facts, models: Sequence[Champion], url: str, folder: Path
) -> tuple[float, float]:
    """Score everyone into a file and from there into the store; returns seconds passed, and of this process's processors."""
    store = RedisStore(url, prefix="rapport")
    as_of = state.as_of.isoformat()
    described = tuple(champion.described for champion in models)
    key = ScoreKey(as_of, state.manifest.day, facts.manifest.hash, CONTRACT.hash, (), described)
    begun, busy = time.perf_counter(), time.process_time()
    with record.step("edges"):
        known = state.scalars(facts, CONTRACT)
    with record.step("score"):
        write_scores(folder, key, scored(state.blocks(facts, CONTRACT, known, block=BLOCK), models))
    with record.step("publish"):
        publish_scores(read_scores(path_of(folder, key.day)), models, store, as_of=as_of, contract=CONTRACT.hash)
    return time.perf_counter() - begun, time.process_time() - busy


def main() -> None:
    """Print the figures, and as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000)
    members = parser.parse_args().members
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapport-", ignore_cleanup_errors=True)))
        facts = some_facts(folder)
        rows = build(facts, as_of=facts.midnight(facts.manifest.until_day))
        models = some_models(facts, folder)
        state = state_of(folder / "state", rows, facts, members)
        url = stack.enter_context(own_server(folder))
        record, with_reasons = RunRecord(), RunRecord()
        plain = [replace(champion, explained=False) for champion in models]
        seconds, cpu = night(record, state, facts, plain, url, folder / "scores")
        seconds_with_reasons, cpu_with_reasons = night(with_reasons, state, facts, models, url, folder / "scores")
        with redis.Redis.from_url(url) as client:
            held = client.info("memory")["used_memory"]
    for step in (*record.steps, *with_reasons.steps):
        print(f"{step.name:>10} {step.seconds:8.1f} s {step.peak_mb:6,} MB")
    found = {
        "members": members,
        "models": [champion.registered.label for champion in models],
        "score_s": round(seconds, 1),
        "score_with_reasons_s": round(seconds_with_reasons, 1),
        "score_cpu_s": round(cpu, 1),
        "score_with_reasons_cpu_s": round(cpu_with_reasons, 1),
        "peak_mb": max(step.peak_mb for step in (*record.steps, *with_reasons.steps)),
        "redis_bytes_per_member": round(held / members),
        "steps_s": {step.name: step.seconds for step in record.steps},
        "steps_with_reasons_s": {step.name: step.seconds for step in with_reasons.steps},
        "explained": [champion.name for champion in models if champion.explained],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
