"""``vab demo``: a clip that no training has seen gets its sound; and ``vab demo corpus``."""

from __future__ import annotations

import time

import numpy as np
import torch

import vab
from tasks.console import say
from tasks.demo.options import CorpusOptions, DemoOptions
from tasks.demo.picture import draw_clip
from tasks.demo.world import FPS, SAMPLE_RATE, ground_truth, render, sample_scene, write_corpus
from vab import media
from vab.metrics.onsets import event_scores

SPLIT = "test"
SCENE_SEED, SCENE_INDEX = 0, 1
WINDOW = 0.1
"""Seconds by which a beginning may miss its event."""


def run(options: DemoOptions) -> int:
    """Render, silence, generate, compare; exit code 0."""
    began = time.perf_counter()
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    scene = sample_scene(SCENE_SEED, SPLIT, SCENE_INDEX)
    rendered, truth = render(scene)
    frames = np.stack(list(rendered))
    silent = out / "silent.mp4"
    media.write_clip(silent, frames, FPS, None, SAMPLE_RATE)
    media.write_clip(out / "true.mp4", frames, FPS, truth, SAMPLE_RATE)

    pipeline = vab.load("demo")
    generation = pipeline.generate(silent, seed=options.seed)
    generation.save(out / "generated.mp4")
    true_sound = torch.as_tensor(truth)
    coded = pipeline.codec.decode(pipeline.codec.encode(true_sound[None]))[0, :, : true_sound.shape[1]].cpu()
    events = torch.tensor([event["time"] for event in ground_truth(scene)["events"]], dtype=torch.float64)
    rows = {
        "true sound": true_sound,
        "true sound through the codec: the best that codes can do": coded,
        "generated from the frames alone": generation.waveform,
    }
    draw_clip(out / "picture.png", silent, scene.captions[0], rows, events.tolist())
    met = event_scores(generation.waveform, SAMPLE_RATE, events, window=WINDOW)

    names = " and ".join(source.name.replace("_", " ") for source in scene.sources)
    for line in (
        f"A rendered scene that no training has seen ({names}: {scene.captions[0]}) was written without sound.",
        f"From its frames alone the bundled model made {generation.waveform.shape[1] / generation.sample_rate:.1f} s "
        f"of sound in {generation.settings['sampling']['num_steps']} decoding steps.",
        f"{met.num_true} things happen in it. The generated sound has {met.num_detected} sudden beginnings; "
        f"{met.num_matched} of them lie within {WINDOW:g} s of a true one.",
        "",
        f"  {out / 'generated.mp4'}  the clip with the generated sound",
        f"  {out / 'true.mp4'}  the clip with its true sound, to compare",
        f"  {silent}  what the model was given",
        f"  {out / 'picture.png'}  frames, true and generated spectrogram",
        "",
        f"{time.perf_counter() - began:.0f} s in all. Next: vab generate YOUR_VIDEO.mp4 -o out "
        "(these small weights know this rendered world only).",
    ):
        say(line)
    return 0


def corpus(options: CorpusOptions) -> int:
    """``vab demo corpus``: 90, 5 and 5 per cent of the clips in three splits, or all of them in one."""
    manifest = write_corpus(
        options.output,
        options.clips if options.split == "all" else {options.split: options.clips},
        seed=options.seed,
        duration=options.duration,
        workers=options.workers,
    )
    say(f"{options.clips} clips in {options.output}, listed in {manifest}")
    return 0
