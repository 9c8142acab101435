"""The loop that runs, remembered: Python 3.11 asks the system who it is each time it is asked for the loop."""

import asyncio


class RunningLoop:
    """What `asyncio.get_running_loop` gives, for something that lives on one loop at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> asyncio.AbstractEventLoop:
        """The loop that called this."""
        if self._loop is None or not self._loop.is_running():
            self._loop = asyncio.get_running_loop()
        return self._loop
