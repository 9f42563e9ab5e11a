"""What a measurement's JSON holds: the benchmark's name, its numbers, and the conditions they were measured under."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vab.errors import VABError
from vab.files import write_atomically
from vab.generation import settings_file
from vab.pipeline import Pipeline
from vab.provenance import made_with

NOT_COMPARED = ("weights", "device", "vab", "torch")
"""Settings that say where a result was made, not what is made."""
INDEX_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "index": lambda row: f"{row['backend']} {row['kind']}",
    "clips": lambda row: f"{row['size']:,}",
    "build s": lambda row: f"{row['add_seconds'] + row['build_seconds']:.1f}",
    "open s": lambda row: f"{row['open_seconds']:.3f}",
    "recall": lambda row: f"{row['recall_10']:.3f}",
    "q/s": lambda row: f"{row['queries_a_second']:,.0f}",
    "/product": lambda row: f"{row['over_product']:.2f}",
    "ms a q": lambda row: f"{row['milliseconds_a_query']:.2f}",
    "/read": lambda row: f"{row['over_read']:.2f}",
}
"""Heads and cells of what ``vab bench index`` measured of an index, on the screen and on the page of results."""
REMEDY = "add --overwrite to make it again, or choose another output (-o)"


def conditions(
    *,
    clips: str,
    num_clips: int,
    num_expected: int | None = None,
    clip_seconds: float | None = None,
    codec: str | None = None,
    frame_rate: float | None = None,
    visual_fps: float | None = None,
    sampling: dict[str, Any] | None = None,
    seed: int | None = None,
    device: str,
    command: str,
    **more: Any,
) -> dict[str, Any]:
    """What a number must carry to be compared or measured again.

    Args:
        clips: name of the list that was measured on, such as a store and its split.
        num_clips: clips of it that were measured.
        num_expected: clips of it, or as many as were asked for; None: all were measured.
        clip_seconds: length of each clip; None: no sound was measured.
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
        "num_expected": num_clips if num_expected is None else num_expected,
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
    """The conditions that follow from a model: its weights, codec or autoencoder if it has one, rates and device."""
    found: dict[str, Any] = {"codec": None, "frame_rate": None}
    if (coder := audio_coder(pipeline)) is not None:
        found = {
            "codec": coder.name,
            "codec_fingerprint": coder.fingerprint,
            "frame_rate": coder.frame_rate if "codes" in pipeline.components else coder.rate,
        }
    return {
        **pipeline.provenance,
        **found,
        "visual_fps": next(iter(pipeline.condition_rates.values())),
        "device": str(pipeline.device),
    }


def audio_coder(pipeline: Pipeline) -> Any:
    """A model's codec, or the autoencoder of one that makes latents; None: it makes no sound."""
    return pipeline.components.get("codes" if "codes" in pipeline.components else "latents")


def write_record(path: Path, benchmark: str, numbers: dict[str, Any], conditions: dict[str, Any]) -> None:
    """Write a measurement as JSON, whole or not at all."""
    document = {"benchmark": benchmark, **numbers, "conditions": conditions}
    write_atomically(path, json.dumps(document, indent=2) + "\n")


def check_made_with(result: Path, wanted: dict[str, Any]) -> None:
    """Refuse a result whose JSON says that it was made otherwise than is asked for now.

    Raises:
        VABError: names what differs; or there is no JSON that can be read.
    """
    try:
        found = json.loads(settings_file(result).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise VABError(f"{settings_file(result)}: cannot be read as JSON; {REMEDY}") from error
    differences = list(_differences(found if isinstance(found, dict) else {}, wanted))
    if differences:
        raise VABError(f"{result}: was made with {', '.join(differences)}; {REMEDY}")


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """What differs, in words: ``seed 0 instead of 1``."""
    for name, value in wanted.items():
        if name in NOT_COMPARED:
            continue
        if isinstance(value, dict):
            inner = found.get(name)
            yield from _differences(inner if isinstance(inner, dict) else {}, value)
        elif found.get(name) != value:
            yield f"{name} {found.get(name)} instead of {value}"
