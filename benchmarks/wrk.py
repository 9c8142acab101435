"""Load by wrk, a client in C that takes a tenth of the processor that one in Python does (`apt-get install wrk`)."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "WRK "
SCRIPT = """
local requests, place = {{{requests}}}, 0
request = function()
  place = place % #requests + 1
  return requests[place]
end
done = function(summary, latency)
  local wrong = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("{mark}[%d, %d, %f, %d]\\n", summary.requests, summary.duration, latency:percentile(99), wrong))
end
"""


@dataclass(frozen=True, slots=True)
class WrkBurst:
    """What one burst of load saw: answers a second and in all, their 99th percentile in ms, and whatever was no 200."""

    rps: float
    answers: int
    p99_ms: float
    others: int


def is_here() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def wrk_burst(port: int, requests: Sequence[bytes], *, connections: int, seconds: int) -> WrkBurst:
    """Load for some whole seconds on one thread; the requests are taken in turn."""
    texts = ",".join(json.dumps(request.decode("ascii")) for request in requests)  # escapes that Lua has as well
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(requests=texts, mark=MARK))
        script.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(Path(script.name))]
        command = ["wrk", *options, f"http://127.0.0.1:{port}/"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answers, took_us, p99_us, wrong = json.loads(printed.rpartition(MARK)[2])
    return WrkBurst(answers / took_us * 1e6, answers, p99_us / 1000, wrong)
