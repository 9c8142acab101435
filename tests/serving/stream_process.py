"""A worker in a process of its own, to be killed: python stream_process.py URL PREFIX PARTITIONS."""

import sys

from tests.serving.stream_world import World


def main(url: str, prefix: str, partitions: str) -> None:
    """Work until killed, on leases that end soon; a line says that work begins."""
    worker = World(url, prefix, int(partitions)).worker(lease_ms=500)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    worker.run(stopped=lambda: False)


if __name__ == "__main__":
    main(*sys.argv[1:])
