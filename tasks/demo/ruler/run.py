"""``vab evaluate demo``: one table that says what a model of Foley world can do."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

import vab
from tasks.cli import main
from tasks.console import console, progress_bar
from tasks.demo.options import RulerOptions
from tasks.demo.ruler.classifier import ClassJudge
from tasks.demo.ruler.codec import distances, distances_by_level
from tasks.demo.ruler.material import (
    RulerClip,
    kept_sounds,
    partner_of,
    prepare_store,
    read_clips,
    training_sounds,
)
from tasks.demo.ruler.page import write_page
from tasks.demo.ruler.scores import score
from tasks.demo.ruler.systems import generate, num_levels, reconstruct, reconstruct_one, unconditional
from tasks.demo.world import CORPUS_VERSION, SAMPLE_RATE
from tasks.pictures import log_mel
from vab import __version__, media
from vab.config import to_dict
from vab.decoding.options import DecodingOptions
from vab.errors import VABError
from vab.files import write_atomically
from vab.pipeline import Pipeline
from vab.shapes import Float, Tensor

CODEC_BITS = "bits a second"
NUM_DIVERSITY_CLIPS = 36
NUM_LEVEL_CLIPS = 36


def run(options: RulerOptions) -> int:
    """Measure, print, write ``ruler.json`` and ``ruler.html``."""
    began = time.perf_counter()
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    pipeline = vab.load(options.weights, device=options.device)
    store = options.store or prepare_store(out, {"test": options.clips}, options.weights, pipeline)
    clips = read_clips(store, options.clips, pipeline)
    judge = train_judge(pipeline, out, options.judge_clips)
    decoding = pipeline.decoding_options(
        num_steps=options.steps, cfg_scale=options.cfg_scale, temperature=options.temperature
    )
    folder = sounds_folder(out, pipeline, decoding)

    truths = [clip.waveform for clip in clips]
    coded = reconstruct(truths, pipeline)
    generated = generate(
        "generating", clips, pipeline, decoding, seed=options.seed, folder=folder / f"seed-{options.seed}"
    )
    blind = generate(
        "unconditional",
        clips,
        pipeline,
        unconditional(decoding),
        seed=options.seed,
        folder=folder / "unconditional",
    )
    swapped = [generated[partner] for partner in partner_of(clips)]
    systems = {
        "true sound": truths,
        "codec reconstruction": coded,
        "generated": generated,
        "another clip's video": swapped,
        "unconditional": blind,
    }
    table = {name: score(sounds, clips, SAMPLE_RATE, judge) for name, sounds in systems.items()}
    _show(table)

    document: dict[str, Any] = {
        "systems": table,
        "codec": _codec_distances(clips, coded, pipeline),
        "codec_by_level": distances_by_level(truths[:NUM_LEVEL_CLIPS], pipeline),
        "tokens": _tokens(options, store, out),
        "diversity": _diversity(clips, generated, pipeline, decoding, options.seed, folder),
        "num_clips": len(clips),
        "num_clips_expected": options.clips,
        "clip_seconds": clips[0].waveform.shape[1] / SAMPLE_RATE,
        "visual_fps": pipeline.generator.visual_fps,
        "judge_clips": options.judge_clips,
        "decoding": to_dict(decoding),
        "seed": options.seed,
        "command": f"vab evaluate demo --weights {options.weights} --clips {options.clips} --seed {options.seed}",
        "device": str(pipeline.device),
        "machine": platform.machine(),
        "vab": __version__,
        "torch": torch.__version__,
        "seconds": time.perf_counter() - began,
        **pipeline.provenance,
    }
    _say(document)
    write_atomically(out / "ruler.json", json.dumps(document, indent=2) + "\n")
    page = write_page(out, clips, coded, generated, document)
    console.print(f"{out / 'ruler.json'}\n{page}", markup=False)
    return 0


def train_judge(pipeline: Pipeline, folder: Path, num_clips: int) -> ClassJudge:
    """The judge of classes, from sounds of training scenes and their reconstructions, both kept in ``folder``."""
    sounds, labels = training_sounds(num_clips, folder)
    codec = f"{pipeline.codec.fingerprint[:8]}-{num_levels(pipeline)}"
    through_codec = kept_sounds(
        folder / f"training-sounds-world{CORPUS_VERSION}-{num_clips}-codec{codec}.npy",
        "training sounds through the codec",
        list(sounds),
        lambda sound: reconstruct_one(sound[None], pipeline)[0].numpy(),
    )
    return ClassJudge(torch.cat([sounds, through_codec]), [*labels, *labels], SAMPLE_RATE)


def _codec_distances(
    clips: Sequence[RulerClip], coded: Sequence[Float[Tensor, "1 L"]], pipeline: Pipeline
) -> dict[str, Any]:
    """The codec's reconstruction and Opus's, with their bit rates."""
    truths = [clip.waveform for clip in clips]
    with progress_bar("clips") as progress:
        opus = [
            media.through_opus(truth, SAMPLE_RATE) for truth in progress.track(truths, description="Opus")
        ]
    config = pipeline.model.config
    bits = config.frame_rate * num_levels(pipeline) * float(np.log2(config.codebook_size))
    return {
        "codec": {CODEC_BITS: bits, **distances(coded, truths, SAMPLE_RATE)},
        "opus": {
            CODEC_BITS: float(np.mean([rate for _, rate in opus])),
            **distances([sound for sound, _ in opus], truths, SAMPLE_RATE),
        },
    }


def _tokens(options: RulerOptions, store: Path, out: Path) -> dict[str, Any]:
    """Accuracy on hidden codes, by the command that everybody uses."""
    path = out / "tokens.json"
    words = ["--weights", options.weights, "--store", str(store), "--device", options.device]
    if code := main(["evaluate", "tokens", *words, "-o", str(path)]):
        raise VABError(f"'vab evaluate tokens' failed with exit code {code}")
    metrics: dict[str, Any] = json.loads(path.read_text())["metrics"]
    return metrics


def _diversity(
    clips: Sequence[RulerClip],
    generated: Sequence[Float[Tensor, "1 L"]],
    pipeline: Pipeline,
    decoding: DecodingOptions,
    seed: int,
    folder: Path,
) -> dict[str, float]:
    """Log-mel distance in dB between two seeds of one clip, beside that between clips of different classes."""
    clips = clips[:NUM_DIVERSITY_CLIPS]
    again = generate(
        "another seed", clips, pipeline, decoding, seed=seed + 1, folder=folder / f"seed-{seed + 1}"
    )
    mels = [log_mel(sound, SAMPLE_RATE) for sound in generated[: len(clips)]]
    others = [log_mel(sound, SAMPLE_RATE) for sound in again]
    partners = partner_of(clips)
    return {
        "between_seeds": _mean_distance(mels, others),
        "between_clips": _mean_distance(mels, [mels[partner] for partner in partners]),
        "num_clips": len(clips),
    }


def _mean_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    pairs = [(a, b, min(a.shape[1], b.shape[1])) for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean([(a[:, :n] - b[:, :n]).abs().mean().item() for a, b, n in pairs]))


def sounds_folder(out: Path, pipeline: Pipeline, decoding: DecodingOptions) -> Path:
    """Where sounds of one model and one way of decoding are kept."""
    return (
        out
        / "sounds"
        / (
            f"{pipeline.provenance['weights_sha256'][:8]}-steps{decoding.num_steps}"
            f"-cfg{decoding.cfg_scale:g}-t{decoding.temperature:g}"
        )
    )


def _show(systems: dict[str, dict[str, Any]]) -> None:
    counts = next(iter(systems.values()))["num_clips"]
    table = Table(title="Foley world, held-out clips with one visible source", title_justify="left")
    table.add_column("")
    for column in (
        f"events F1 ±50 ms\n{counts['f1']} clips",
        f"±100 ms\n{counts['f1']}",
        f"loudness r\n{counts['loudness']}",
        f"brightness r\n{counts['brightness']}",
        f"class\n{counts['class']}",
    ):
        table.add_column(column, justify="right")
    for name, row in systems.items():
        numbers = (row["f1_50ms"], row["f1_100ms"], row["loudness"], row["brightness"])
        table.add_row(name, *(f"{number:.3f}" for number in numbers), f"{row['class']:.1%}")
    console.print(table)


def _say(document: dict[str, Any]) -> None:
    for name, row in document["systems"].items():
        shares = ", ".join(f"{kind} {share:.1%}" for kind, share in row["class_by_kind"].items())
        console.print(f"class of {name}: {shares}", markup=False)
    for name, row in document["codec"].items():
        console.print(
            f"{name}: {row[CODEC_BITS]:.0f} bits a second, log-mel distance {row['log_mel']:.2f} dB "
            f"({row['loudest_log_mel']:.2f} where it is loudest), SI-SDR {row['si_sdr']:.1f} dB",
            markup=False,
        )
    for row in document["codec_by_level"]:
        console.print(
            f"codec, first {row['levels']} of its levels: log-mel distance {row['log_mel']:.2f} dB "
            f"({row['loudest_log_mel']:.2f} where it is loudest)",
            markup=False,
        )
    diversity = document["diversity"]
    console.print(
        f"log-mel distance between two seeds of a clip {diversity['between_seeds']:.2f} dB, "
        f"between clips of different classes {diversity['between_clips']:.2f} dB",
        markup=False,
    )
