"""What a measurement's JSON holds: the benchmark's name, its numbers, and the conditions they were measured under."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vab.files import write_atomically
from vab.pipeline import Pipeline
from vab.provenance import made_with


def conditions(
    *,
    clips: str,
    num_clips: int,
    num_expected: int,
    clip_seconds: float,
    codec: str | None,
    frame_rate: float | None,
    visual_fps: float | None,
    sampling: dict[str, Any] | None,
    seed: int | None,
    device: str,
    command: str,
    **more: Any,
) -> dict[str, Any]:
    """What a number must carry to be compared or measured again.

    Args:
        clips: name of the list that was measured on, such as a store and its split.
        num_clips: clips of it that were measured.
        num_expected: clips of it, or as many as were asked for.
        clip_seconds: length of each clip.
        codec: name of the codec whose codes were used; None: of several, or none.
        frame_rate: steps of that codec a second.
        visual_fps: visual frames a second.
        sampling: options of the decoding; None: nothing was sampled.
        seed: None: nothing was random.
        device: cpu or cuda.
        command: that gave the numbers.
        more: of this benchmark alone, such as its weights.
    """
    return {
        "clips": clips,
        "num_clips": num_clips,
        "num_expected": num_expected,
        "clip_seconds": clip_seconds,
        "codec": codec,
        "frame_rate": frame_rate,
        "visual_fps": visual_fps,
        "sampling": sampling,
        "seed": seed,
        "device": device,
        "command": command,
        **more,
        **made_with(),
    }


def of_pipeline(pipeline: Pipeline) -> dict[str, Any]:
    """The conditions that follow from a model: its weights, codec, rates and device."""
    return {
        **pipeline.provenance,
        "codec": pipeline.codec.name,
        "codec_fingerprint": pipeline.codec.fingerprint,
        "frame_rate": pipeline.codec.frame_rate,
        "visual_fps": pipeline.visual_fps,
        "device": str(pipeline.device),
    }


def write_record(path: Path, benchmark: str, numbers: dict[str, Any], conditions: dict[str, Any]) -> None:
    """Write a measurement as JSON, whole or not at all."""
    document = {"benchmark": benchmark, **numbers, "conditions": conditions}
    write_atomically(path, json.dumps(document, indent=2) + "\n")
