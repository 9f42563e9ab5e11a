"""Commands that save what they have done when they are stopped, and resume when they are run again."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tasks.console import errors


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it."""


def run_resumable(name: str, action: Callable[[], int]) -> int:
    """The action's exit code, or 130 after Ctrl-C and 143 after SIGTERM.

    Args:
        name: of the command, for the message.
        action: what to run; it must have saved its work when ``KeyboardInterrupt`` leaves it.
    """

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        return action()
    except KeyboardInterrupt as stop:
        errors.print(
            f"{name}: stopped; what is done is saved, re-run to resume", markup=False, soft_wrap=True
        )
        return 143 if isinstance(stop, Terminated) else 130
    finally:
        signal.signal(signal.SIGTERM, before)
