"""The truth beside each clip: events, materials, captions and the state of every frame, as plain JSON."""

import hashlib
from typing import Any

import numpy as np

from tasks.demo.world.classes import CLASSES
from tasks.demo.world.scene import FPS, SAMPLE_RATE, Motion, Scene, Source

# Changes when the same seed gives other frames or sound, so that an old corpus is not taken for a new one.
CORPUS_VERSION = 2
_STATE_DECIMALS = 4
NUM_STATE_QUANTITIES = 8
_LOOKS = ("kind", "noun", "material", "colour")
_PLACE = ("size", "distance", "x", "base", "scale")


def source_state(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    """The state of ``source`` at ``times`` [T] seconds: numeric arrays [T], ``level`` among them."""
    return CLASSES[source.name].track(source, times)


def visible_state(truth: dict[str, Any], time: float) -> tuple[float, ...]:
    """How it stands with what is visible at ``time`` seconds, as numbers about 0 and of about unit size.

    Level, rate, distance, velocity, and how near the last and the next event are (on two scales of time); the
    largest of the sources', NaN where none has the quantity. A sound off screen has no part in it.
    """
    frame = min(int(time * FPS + 1e-6), truth["num_frames"] - 1)
    values = np.full(NUM_STATE_QUANTITIES, np.nan)
    for source in truth["sources"]:
        if not source["on_screen"]:
            continue
        state = {key: entries[frame] for key, entries in source["state"].items()}
        raw = [state.get("level"), state.get("rate"), state.get("distance"), state.get("velocity")]
        raw += [
            np.exp(-state[key] / scale) if key in state else None
            for scale in (0.1, 0.4)
            for key in ("since", "until")
        ]
        values = np.fmax(values, np.array([np.nan if value is None else value for value in raw]))
    means = (0.5, 0.5, 0.6, 0.0, 0.12, 0.12, 0.25, 0.25)
    sizes = (0.3, 0.3, 0.35, 4.0, 0.25, 0.25, 0.3, 0.3)
    return tuple(((values - means) / sizes).tolist())


def ground_truth(scene: Scene) -> dict[str, Any]:
    """Everything known about a clip, ready for JSON; ``sources[i]["state"]`` holds one value per frame."""
    return {
        "id": scene.clip_id,
        "version": CORPUS_VERSION,
        "seed": scene.seed,
        "split": scene.split,
        "index": scene.index,
        "duration": scene.num_frames / FPS,
        "fps": FPS,
        "num_frames": scene.num_frames,
        "sample_rate": SAMPLE_RATE,
        "background": scene.background,
        "label": scene.sources[0].name,
        "labels": [source.name for source in scene.sources],
        "captions": list(scene.captions),
        "distractors": [thing.shape for thing in scene.distractors],
        "events": sorted(
            (
                {"time": round(float(time), 6), "strength": round(float(strength), 4), "source": index}
                for index, source in enumerate(scene.sources)
                for time, strength in zip(
                    source.motion.event_times, source.motion.event_strengths, strict=True
                )
            ),
            key=lambda event: event["time"],
        ),
        "sources": [_source_entry(source, scene.frame_times) for source in scene.sources],
    }


def _source_entry(source: Source, times: np.ndarray) -> dict[str, Any]:
    return {
        "class": source.name,
        **{name: getattr(source, name) for name in _LOOKS},
        "rgb": list(source.rgb),
        **{name: round(getattr(source, name), 4) for name in _PLACE},
        "on_screen": source.on_screen,
        "event_times": np.round(source.motion.event_times, 6).tolist(),
        "event_strengths": np.round(source.motion.event_strengths, 4).tolist(),
        "event_values": source.motion.event_values.tolist(),
        "state": {
            key: np.round(values.astype(float), _STATE_DECIMALS).tolist()
            for key, values in source_state(source, times).items()
        },
    }


def source_from_truth(entry: dict[str, Any]) -> Source:
    """The source a truth's entry describes, with its events but without its curves: enough for words."""
    motion = Motion(
        np.array(entry["event_times"]), np.array(entry["event_strengths"]), np.array(entry["event_values"])
    )
    same: dict[str, Any] = {name: entry[name] for name in (*_LOOKS, *_PLACE, "on_screen")}
    same["rgb"] = tuple(entry["rgb"])
    return Source(name=entry["class"], noise_seed=0, motion=motion, **same)


def clip_name(seed: int, split: str, index: int) -> str:
    """The clip's name: sorts by index, and no two seeds share one."""
    return f"{split}_{index:06d}_{hashlib.sha256(f'{seed}/{split}/{index}'.encode()).hexdigest()[:8]}"
