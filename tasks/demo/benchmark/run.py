"""``vab evaluate demo``: one table that says what a model of Foley world can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vab
from tasks.console import console, numbers_table, say
from tasks.demo.benchmark.classifier import ReferenceClassifier
from tasks.demo.benchmark.codec import beside_opus, by_codebooks
from tasks.demo.benchmark.material import (
    BenchmarkClip,
    measured_on,
    partner_of,
    prepare_store,
    read_clips,
    training_sounds,
)
from tasks.demo.benchmark.page import write_page
from tasks.demo.benchmark.scores import score
from tasks.demo.benchmark.systems import (
    generate,
    has_codes,
    num_codebooks,
    reconstruct,
    reconstruct_one,
    seconds_a_clip,
    sounds_folder,
    unconditional,
)
from tasks.demo.kept import kept_sounds
from tasks.demo.options import BenchmarkOptions
from tasks.demo.world import CORPUS_VERSION, SAMPLE_RATE
from tasks.evaluation.options import TokensOptions
from tasks.evaluation.tokens import measure as measure_tokens
from tasks.evaluation.tokens import predicts_masked
from tasks.record import audio_coder, write_record
from vab.features.store import FeatureStore
from vab.metrics.spectra import log_mel_distance
from vab.pipeline import Pipeline
from vab.shapes import Float, Tensor

NUM_DIVERSITY_CLIPS = 36
NUM_CODEBOOK_CLIPS = 36
COMMAND = "evaluate demo"


def run(options: BenchmarkOptions) -> int:
    """Measure, print, write ``benchmark.json`` and ``benchmark.html``."""
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    pipeline = vab.load(options.weights, device=options.device)
    store = options.store or prepare_store(out, {"test": options.clips}, options.weights, pipeline)
    clips = read_clips(store, options.clips, pipeline)
    classifier = train_classifier(pipeline, out, options.classifier_clips)
    decoding = pipeline.sampling_options(
        steps=options.steps, cfg_scale=options.cfg_scale, temperature=options.temperature
    )
    folder = sounds_folder(out, pipeline, decoding)
    seed = options.seed

    truths = [clip.waveform for clip in clips]
    coded = reconstruct(truths, pipeline)
    generated = generate("generating", clips, pipeline, decoding, seed=seed, folder=folder / f"seed-{seed}")
    blind = generate(
        "without frames",
        clips,
        pipeline,
        unconditional(decoding),
        seed=seed,
        folder=folder / "unconditional",
    )
    systems = {
        "true sound": truths,
        "codec reconstruction": coded,
        "generated": generated,
        "another clip's video": [generated[partner] for partner in partner_of(clips)],
        "predicted layout alone" if pipeline.predicted_rates else "unconditional": blind,
    }
    table = {name: score(sounds, clips, SAMPLE_RATE, classifier) for name, sounds in systems.items()}
    _show(table)

    varied = clips[:NUM_DIVERSITY_CLIPS]
    again = generate(
        "another seed", varied, pipeline, decoding, seed=seed + 1, folder=folder / f"seed-{seed + 1}"
    )
    numbers: dict[str, Any] = {
        "systems": table,
        "diversity": _diversity(varied, generated[: len(varied)], again),
        "seconds_a_clip": seconds_a_clip(clips[0], pipeline, decoding),
    }
    if has_codes(pipeline):
        numbers["codec"] = beside_opus(coded, truths, pipeline)
        numbers["codec_by_codebooks"] = by_codebooks(truths[:NUM_CODEBOOK_CLIPS], pipeline)
    if predicts_masked(pipeline):
        tokens = TokensOptions(store=store, weights=options.weights)
        numbers["tokens"] = measure_tokens(pipeline, FeatureStore(store), tokens).metrics
    _say(numbers)
    measured = measured_on(
        len(clips), pipeline, decoding, COMMAND, options, classifier_clips=options.classifier_clips
    )
    write_record(out / "benchmark.json", "demo", numbers, measured)
    page = write_page(out, clips, coded, generated, {**numbers, "conditions": measured})
    say(f"{out / 'benchmark.json'}\n{page}")
    return 0


def train_classifier(pipeline: Pipeline, folder: Path, num_clips: int) -> ReferenceClassifier:
    """The reference classifier, from sounds of training scenes and their reconstructions, kept in ``folder``."""
    sounds, labels = training_sounds(num_clips, folder)
    codec = audio_coder(pipeline).fingerprint[:8] + (
        f"-{num_codebooks(pipeline)}" if has_codes(pipeline) else ""
    )
    through_codec = kept_sounds(
        folder / f"training-sounds-world{CORPUS_VERSION}-{num_clips}-codec{codec}.npy",
        "training sounds through the codec",
        list(sounds),
        lambda sound: reconstruct_one(sound[None], pipeline)[0].numpy(),
    )
    return ReferenceClassifier(torch.cat([sounds, through_codec]), [*labels, *labels], SAMPLE_RATE)


def _diversity(
    clips: Sequence[BenchmarkClip],
    generated: Sequence[Float[Tensor, "1 L"]],
    again: Sequence[Float[Tensor, "1 L"]],
) -> dict[str, float]:
    """Log-mel distance in dB between two seeds of one clip, beside that between clips of different classes."""
    partners = partner_of(clips)
    return {
        "between_seeds": _mean_distance(generated, again),
        "between_clips": _mean_distance(generated, [generated[partner] for partner in partners]),
        "num_clips": len(clips),
    }


def _mean_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    lengths = [min(a.shape[1], b.shape[1]) for a, b in zip(ours, theirs, strict=True)]
    return float(
        np.mean(
            [
                log_mel_distance(a[:, :length], b[:, :length], SAMPLE_RATE)
                for a, b, length in zip(ours, theirs, lengths, strict=True)
            ]
        )
    )


def _show(systems: dict[str, dict[str, Any]]) -> None:
    counts = next(iter(systems.values()))["num_clips"]
    table = numbers_table(
        "Foley world, held-out clips with one visible source",
        "",
        f"events F1 ±50 ms\n{counts['f1']} clips",
        f"±100 ms\n{counts['f1']}",
        f"loudness r\n{counts['loudness']}",
        f"brightness r\n{counts['brightness']}",
        f"class\n{counts['class']}",
    )
    for name, row in systems.items():
        numbers = (row["f1_50ms"], row["f1_100ms"], row["loudness"], row["brightness"])
        table.add_row(name, *(f"{number:.3f}" for number in numbers), f"{row['class']:.1%}")
    console.print(table)


def _say(numbers: dict[str, Any]) -> None:
    lines = []
    for name, row in numbers["systems"].items():
        shares = ", ".join(f"{kind} {share:.1%}" for kind, share in row["class_by_kind"].items())
        lines.append(f"class of {name}: {shares}")
    distance = "log-mel distance {log_mel:.2f} dB ({loudest_log_mel:.2f} where it is loudest)"
    for name, row in numbers.get("codec", {}).items():
        bits = f"{name}: {row['bits_per_second']:.0f} bits a second, "
        lines.append(bits + distance.format(**row) + f", SI-SDR {row['si_sdr']:.1f} dB")
    for row in numbers.get("codec_by_codebooks", []):
        lines.append(f"codec, first {row['codebooks']} of its codebooks: " + distance.format(**row))
    lines.append(
        "log-mel distance between two seeds of a clip {between_seeds:.2f} dB, "
        "between clips of different classes {between_clips:.2f} dB".format(**numbers["diversity"])
    )
    lines.append(f"a clip alone takes {numbers['seconds_a_clip']:.1f} s")
    for line in lines:
        say(line)
