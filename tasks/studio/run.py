"""``vab studio``: serve the page until stopped."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict

from tasks.console import say, warn
from tasks.studio.options import StudioOptions
from vab import studio


def run(options: StudioOptions) -> int:
    """Serve until stopped, by SIGTERM too: files of open tabs are removed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if options.allow_remote:
        warn(
            f"vab studio: whoever reaches {options.host} sees the indexed clips and can send files; no log-in"
        )
    page = studio.launch(**asdict(options))
    say(f"{page.local_url} (stop with Ctrl-C)")
    page.block_thread()
    return 0
