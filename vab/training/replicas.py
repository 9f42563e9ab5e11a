"""Several processes that train one model, started by ``torchrun``, through Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.fabric import Fabric

RANK = int(os.environ.get("RANK", 0))


def make_fabric(device: str) -> Fabric:
    """Fabric for this process: alone, or one of those that ``torchrun`` started, which average their gradients.

    Of several processes on one machine each has its own GPU, where ``device`` is ``cuda``.
    """
    from lightning.fabric import Fabric

    count, count_here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator=device,
        devices=count_here,
        num_nodes=count // count_here,
        strategy="ddp" if count > 1 else "auto",
    )
    fabric.launch()
    return fabric
