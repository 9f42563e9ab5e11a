"""The studio: a page in the browser to generate, search, compare and classify; needs the extra ``vab[studio]``.

import vab

vab.studio.launch()
"""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vab.errors import ConfigError


def launch(
    weights: Sequence[str | Path] = ("demo",),
    *,
    index: Sequence[str | Path] = (),
    classes: str | Path = "demo-classes",
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_remote: bool = False,
    max_upload_mb: int = 200,
    max_seconds: float = 300.0,
    device: str = "auto",
) -> Any:
    """Serve the page; in a notebook it is shown below the cell.

    Args:
        weights: systems to generate with: names that ``vab info`` lists, or models' .safetensors files.
        index: folders of indexes to search, all built with the same weights; none = no search.
        classes: weights of a classifier.
        host: address to listen on.
        port: port to listen on; None = the first that is free from 7860 on.
        allow_remote: serve on an address that other machines can reach.
        max_upload_mb: largest file that may be sent.
        max_seconds: longest stretch of a file that is worked on.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        Gradio's ``Blocks``, served until its ``close()``.

    Raises:
        ConfigError: Gradio is not installed, or others could reach the address and ``allow_remote`` is not given.
        WeightsError: weights are absent.
        RetrievalError: an index is absent or damaged.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("the studio needs Gradio: python -m pip install 'vab[studio]'")
    is_remote = not _is_loopback(host)
    if is_remote and not allow_remote:
        raise ConfigError(
            f"{host}: whoever reaches this address could send files and see the indexed clips; add --allow-remote "
            "if that is meant"
        )
    from vab.studio.page import serve
    from vab.studio.work import Studio

    studio = Studio(
        weights, index=index, classes=classes, device=device, max_seconds=max_seconds, is_remote=is_remote
    )
    return serve(studio, host=host, port=port, max_upload_mb=max_upload_mb)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
