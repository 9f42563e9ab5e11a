"""Several processes that train one model, started by ``torchrun``: who is which, and what they agree on."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

RANK = int(os.environ.get("RANK", 0))
COUNT = int(os.environ.get("WORLD_SIZE", 1))


def device_of(name: str) -> torch.device:
    """This process's own GPU where the device is ``cuda``."""
    return torch.device(name, int(os.environ.get("LOCAL_RANK", 0))) if name == "cuda" else torch.device(name)


def replicated(module: nn.Module, device: torch.device) -> Any:
    """The module, its gradients averaged over all processes where there are several."""
    if COUNT == 1:
        return module
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None)


def highest(value: int, device: torch.device) -> int:
    """The highest of all processes' numbers."""
    if COUNT == 1:
        return value
    values = torch.tensor(value, device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)
