"""A scene to frames and audio."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from tasks.demo.world.background import CANVAS_SIZE, MARGIN, SUPERSAMPLE, draw_distractor, paint_place
from tasks.demo.world.classes import CLASSES
from tasks.demo.world.pen import Pen
from tasks.demo.world.scene import FPS, SAMPLE_RATE, Distractor, Scene, Source
from tasks.demo.world.truth import source_state

# An hour's sound is made in pieces of this length that overlap by a short cross-fade.
PIECE_SAMPLES = 60 * SAMPLE_RATE
FADE_SAMPLES = SAMPLE_RATE // 50
STATE_FRAMES = 60 * FPS

# Peak of a full-strength impact and RMS of a continuous sound at full level, both at distance 1.
IMPACT_PEAK = 0.95
CONTINUOUS_RMS = 0.16
TEXTURE_RMS = 0.14
OFF_SCREEN_GAIN = 0.5
ROOM_TONE_RMS = 1e-3
CEILING = 0.95
# A source that hardly sounds in a piece is not amplified beyond this share of full scale's inverse.
QUIETEST_REFERENCE = 0.05


def render(scene: Scene) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Frames uint8 [192, 192, 3], one at a time, and the waveform float32 [1, L] at ``SAMPLE_RATE``."""
    return render_frames(scene), render_waveform(scene)


def render_frames(scene: Scene) -> Iterator[np.ndarray]:
    """The frames of the clip at ``FPS``, drawn one at a time."""
    place = paint_place(scene.background, scene.background_seed)
    # What stands still is painted once.
    standing = [thing for thing in scene.distractors if thing.drift == 0.0]
    _paint_distractors(place, standing, 0.0, (MARGIN, MARGIN))
    flying = [thing for thing in scene.distractors if thing.drift > 0.0]
    seen = [source for source in scene.sources if source.on_screen]
    for first in range(0, scene.num_frames, STATE_FRAMES):
        times = np.arange(first, min(first + STATE_FRAMES, scene.num_frames)) / FPS
        tracks = [source_state(source, times) for source in seen]
        for step, time in enumerate(times):
            shift = _camera(scene, float(time))
            left, top = MARGIN - shift[0], MARGIN - shift[1]
            canvas = place.crop((left, top, left + CANVAS_SIZE, top + CANVAS_SIZE))
            _paint_distractors(canvas, flying, float(time), shift)
            draw = ImageDraw.Draw(canvas, "RGBA")
            for source, track in zip(seen, tracks, strict=True):
                origin = (source.x * CANVAS_SIZE + shift[0], source.base * CANVAS_SIZE + shift[1])
                pen = Pen(draw, origin, source.scale * CANVAS_SIZE)
                CLASSES[source.name].draw(
                    pen, source, {key: float(values[step]) for key, values in track.items()}
                )
            yield np.asarray(canvas.reduce(SUPERSAMPLE))


def _camera(scene: Scene, time: float) -> tuple[int, int]:
    """How far the picture has moved, in canvas pixels, at most ``MARGIN``."""
    across, along = (
        round(amplitude * CANVAS_SIZE * np.sin(2 * np.pi * frequency * time + phase))
        for amplitude, frequency, phase in scene.camera
    )
    return int(np.clip(across, -MARGIN, MARGIN)), int(np.clip(along, -MARGIN, MARGIN))


def _paint_distractors(
    image: Image.Image, things: list[Distractor], time: float, shift: tuple[int, int]
) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    for thing in things:
        x = thing.x + thing.drift * np.sin(0.5 * time + thing.phase)
        y = thing.y + 0.4 * thing.drift * np.sin(0.8 * time + thing.phase)
        origin = (x * CANVAS_SIZE + shift[0], y * CANVAS_SIZE + shift[1])
        draw_distractor(Pen(draw, origin, thing.scale * CANVAS_SIZE), thing)


def render_waveform(scene: Scene) -> np.ndarray:
    """The sound of the clip, float32 [1, L] at ``SAMPLE_RATE``, within ±``CEILING``."""
    total = scene.num_samples
    room = np.random.default_rng([scene.background_seed, 1])
    out = np.zeros(total, np.float32)
    # Room tone: soft noise with the weight towards the low end, drawn in pieces like everything else.
    for start in range(0, total, PIECE_SAMPLES):
        noise = room.standard_normal(min(PIECE_SAMPLES, total - start), dtype=np.float32)
        out[start : start + len(noise)] = ROOM_TONE_RMS * 0.75 * (noise + np.roll(noise, 1))
    for source in scene.sources:
        _add_source(out, source)
    peak = float(np.abs(out).max())
    if peak > CEILING:
        out *= CEILING / peak
    return out[None]


def _add_source(out: np.ndarray, source: Source) -> None:
    total, gain = len(out), 0.0
    for start in range(0, total, PIECE_SAMPLES):
        stop = min(start + PIECE_SAMPLES, total)
        begin = max(0, start - FADE_SAMPLES)
        sound = CLASSES[source.name].sound(source, begin, stop)
        if start == 0:
            # One gain for the whole clip, or its level would jump between pieces.
            gain = _gain(source, sound, start, stop)
        sound = (gain * sound).astype(np.float32)
        if begin < start:
            ramp = np.linspace(0.0, 1.0, start - begin, dtype=np.float32)
            sound[: start - begin] *= ramp
        if stop < total:
            # The next piece fades in over the end of this one.
            sound[-FADE_SAMPLES:] *= np.linspace(1.0, 0.0, FADE_SAMPLES, dtype=np.float32)
        out[begin:stop] += sound


def _gain(source: Source, sound: np.ndarray, start: int, stop: int) -> float:
    distance = source.distance * (1.0 if source.on_screen else 1.0 / OFF_SCREEN_GAIN)
    if source.kind == "impact":
        # Notes peak at 1 for a full-strength blow.
        return IMPACT_PEAK / distance
    times = np.arange(start, stop, SAMPLE_RATE // FPS) / SAMPLE_RATE
    level = source_state(source, times)["level"]
    # What full level would give, from what this piece's levels gave.
    reference = float(np.sqrt(np.mean(sound**2))) / max(float(np.sqrt(np.mean(level**2))), 1e-6)
    target = CONTINUOUS_RMS if source.kind == "continuous" else TEXTURE_RMS
    return target / max(reference, QUIETEST_REFERENCE) / distance
