"""``vab info``: what is installed, what it can run on, which weights are there."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from tasks.console import console, say
from tasks.info.options import InfoOptions
from vab import __version__
from vab.codecs.loading import PRESETS
from vab.models import model_names
from vab.weights import RANDOM, cache_dir, entries

PACKAGES = (
    "torch", "torchvision", "torchaudio", "lightning", "torchmetrics", "open_clip_torch", "encodec",
    "descript-audio-codec", "faiss-cpu", "scikit-learn", "av", "soxr",
)  # fmt: skip


def run(options: InfoOptions) -> int:
    """Print and return 0."""
    facts = collect()
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    say(f"vab {facts['vab']}, Python {facts['python']}, {facts['platform']}")
    say("  ".join(f"{name} {found}" for name, found in facts["packages"].items()))
    say("devices: " + "; ".join(facts["devices"]))
    say("codecs for vab extract: " + ", ".join(facts["codecs"]))
    say("models: " + ", ".join(facts["models"]))
    say(f"weights (downloads go to {facts['cache']}):")
    for entry in facts["weights"]:
        there = "there" if entry["is_present"] else "not there"
        say(f"  {entry['name']}: {there}, {entry['kind']}, {entry['licence']}; {entry['note']}")
        console.print(f"      from {entry['source']}", markup=False, soft_wrap=True, style="dim")
    return 0


def collect() -> dict[str, Any]:
    """Everything ``vab info`` says, as plain data."""
    devices = [f"cpu, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"]
    devices += [
        f"cuda:{index}, {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())
    ]
    return {
        "vab": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": devices,
        "codecs": [
            *(entry.name for entry in entries() if entry.kind == "codec" and entry.is_bundled),
            *(name for name, preset in PRESETS.items() if preset.weights != RANDOM),
        ],
        "models": model_names(),
        "cache": str(cache_dir()),
        "weights": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "is_present": entry.is_present,
                "licence": entry.licence,
                "note": entry.note,
                "source": "bundled" if entry.is_bundled else entry.source,
                "sha256": entry.sha256,
            }
            for entry in entries()
        ],
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
