"""SIGINT and SIGTERM as a wish to stop, to be met at the next step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopSignal:
    """Within it, the first SIGINT or SIGTERM is noted; the second does what it would do elsewhere."""

    number = 0
    """Of the signal; 0 = none has come."""

    def __enter__(self) -> StopSignal:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        signal.signal(number, self._before[number])
