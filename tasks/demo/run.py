"""``vab demo``: a clip that no training has seen gets its sound; and ``vab demo corpus``."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

import vab
from tasks.console import console, progress_bar
from tasks.demo.options import CorpusOptions, DemoOptions
from tasks.demo.world import FPS, SAMPLE_RATE, Scene, render, sample_scene, write_corpus
from tasks.pictures import draw_spectrogram, new_figure
from vab import media
from vab.pipeline import Generation
from vab.shapes import Float, Tensor

SPLIT = "test"
SCENE_SEED, SCENE_INDEX = 0, 3
NUM_PICTURES = 10


def run(options: DemoOptions) -> int:
    """Render, silence, generate, compare; exit code 0."""
    began = time.perf_counter()
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    scene = sample_scene(SCENE_SEED, SPLIT, SCENE_INDEX)
    frames, truth = render(scene)
    pictures = np.stack(list(frames))
    silent = out / "silent.mp4"
    media.write_clip(silent, pictures, FPS, None, SAMPLE_RATE)
    media.write_clip(out / "true.mp4", pictures, FPS, truth, SAMPLE_RATE)

    pipeline = vab.load("demo")
    generation = pipeline.generate(silent, seed=options.seed)
    generation.save(out / "generated.mp4")
    true_sound = torch.as_tensor(truth)
    coded = pipeline.codec.decode(pipeline.codec.encode(true_sound[None]))[0, :, : true_sound.shape[1]].cpu()
    draw(out / "picture.png", scene, pictures, true_sound, coded, generation)

    names = " and ".join(source.name.replace("_", " ") for source in scene.sources)
    times = ", ".join(f"{moment:.2f}" for moment in event_times(scene)) or "none, the sound is continuous"
    for line in (
        f"A rendered scene that no training has seen ({names}: {scene.captions[0]}) was written without sound.",
        f"From its pictures alone the bundled model made {generation.waveform.shape[1] / generation.sample_rate:.1f} s "
        f"of sound in {generation.settings['decoding']['num_steps']} decoding steps.",
        f"Things happen at (seconds): {times}. Lines mark them in the picture: the closer hits begin to them, the more "
        "the model has understood. These first weights are rough; the codec's row shows the best they could do.",
        "",
        f"  {out / 'generated.mp4'}  the clip with the generated sound",
        f"  {out / 'true.mp4'}  the clip with its true sound, to compare",
        f"  {silent}  what the model was given",
        f"  {out / 'picture.png'}  frames, true and generated spectrogram",
        "",
        f"{time.perf_counter() - began:.0f} s in all. Next: vab generate YOUR_VIDEO.mp4 -o out "
        "(these small weights know this rendered world only).",
    ):
        console.print(line, markup=False, soft_wrap=True)
    return 0


def corpus(options: CorpusOptions) -> int:
    """``vab demo corpus``: 90, 5 and 5 per cent of the clips in three splits."""
    with progress_bar("clips") as progress:
        task = progress.add_task("rendering", total=options.clips)
        manifest = write_corpus(
            options.output,
            options.clips,
            seed=options.seed,
            duration=options.duration,
            workers=options.workers,
            progress=lambda done, total: progress.update(task, completed=done),
        )
    console.print(f"{options.clips} clips in {options.output}, listed in {manifest}", markup=False)
    return 0


def event_times(scene: Scene) -> list[float]:
    """Moments of all visible impacts in a scene, in seconds."""
    return sorted(
        float(moment) for source in scene.sources if source.on_screen for moment in source.motion.event_times
    )


def draw(
    path: Path,
    scene: Scene,
    pictures: np.ndarray,
    truth: Float[Tensor, "1 L"],
    coded: Float[Tensor, "1 L"],
    generation: Generation,
) -> None:
    """Frames over true, coded and generated spectrogram, with a line at every event."""
    figure, (strip, above, middle, below) = new_figure(4)
    chosen = pictures[(np.arange(NUM_PICTURES) + 0.5).astype(int) * len(pictures) // NUM_PICTURES]
    strip.imshow(np.concatenate(list(chosen), axis=1), extent=(0, scene.duration, 0, 1), aspect="auto")
    strip.set_yticks([])
    strip.set_title(scene.captions[0], loc="left", fontsize=9)
    draw_spectrogram(above, truth, SAMPLE_RATE, title="true sound")
    draw_spectrogram(
        middle, coded, SAMPLE_RATE, title="true sound through the codec: the best that codes can do"
    )
    draw_spectrogram(
        below, generation.waveform, generation.sample_rate, title="generated from the pictures alone"
    )
    for axes in (above, middle, below):
        for moment in event_times(scene):
            axes.axvline(moment, color="white", linewidth=0.6, alpha=0.8)
    below.set_xlabel("seconds; lines mark the true events", fontsize=8)
    figure.savefig(path, dpi=110)
