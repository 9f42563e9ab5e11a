"""``vab demo train``: the bundled weights from nothing, each stage with the project's own commands."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything

from tasks.cli import main
from tasks.console import console, progress_bar
from tasks.demo.options import TrainOptions
from tasks.demo.training.codec import CodecReconstruction, WaveformPieces
from tasks.demo.training.tower import FrameCaptions, ImageTextContrast
from tasks.demo.world import frame_captions, write_corpus
from vab import __version__, media, timing
from vab.codecs import EncodecCodec, EncodecConfig, build_encodec, save_codec
from vab.errors import VABError
from vab.models.files import load_model, save_model
from vab.training.options import TrainingOptions
from vab.training.run import fit
from vab.vision import OpenClipEncoder, Preprocess, build_open_clip, save_encoder

CONFIG = Path(__file__).parents[2] / "configs" / "vab" / "demo.yaml"
SAMPLE_RATE = 16_000
VISUAL_FPS = 8.0
CAPTIONED_FPS = 4.0
CLIP_SECONDS = 10.0
CODEC = EncodecConfig(
    sample_rate=SAMPLE_RATE,
    n_filters=32,
    dimension=64,
    ratios=(2, 4, 5, 8),  # most of the rate goes in the first step down: twice the filters for the same time
    lstm=0,
    num_codebooks=4,
    codebook_size=256,
)
TOWER: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 96, "layers": 6, "width": 192, "head_width": 48, "patch_size": 12},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
}


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    num_clips: dict[str, int]
    codec: TrainingOptions
    tower: TrainingOptions
    vab_overrides: tuple[str, ...]


def full_plan(seed: int) -> Plan:
    """About two hours on two cores."""
    return Plan(
        num_clips={"train": 1600, "validation": 64, "test": 200},
        codec=TrainingOptions(
            max_steps=6000,
            batch_size=8,
            learning_rate=1e-3,
            warmup_steps=200,
            betas=(0.8, 0.99),
            precision="32",
            seed=seed,
            validate_every=1000,
            checkpoint_every=500,
        ),
        tower=TrainingOptions(
            max_steps=1300,
            batch_size=128,
            learning_rate=1e-3,
            warmup_steps=100,
            betas=(0.9, 0.98),
            weight_decay=0.05,
            precision="bf16",
            seed=seed,
            validate_every=250,
            checkpoint_every=100,
        ),
        vab_overrides=(f"--training.seed={seed}",),
    )


def quick_plan(seed: int) -> Plan:
    """Minutes: proves that every stage runs, not that it learns much."""
    few: dict[str, Any] = {"seed": seed, "log_every": 1, "validate_every": 10, "checkpoint_every": 10}
    return Plan(
        num_clips={"train": 24, "validation": 4, "test": 4},
        codec=TrainingOptions(max_steps=20, batch_size=4, learning_rate=1e-3, precision="32", **few),
        tower=TrainingOptions(max_steps=20, batch_size=16, learning_rate=1e-3, **few),
        vab_overrides=(
            f"--training.seed={seed}",
            "--training.max_steps=20",
            "--training.batch_size=4",
            "--training.warmup_steps=2",
            "--training.log_every=1",
            "--training.validate_every=10",
            "--training.checkpoint_every=10",
        ),
    )


def run(options: TrainOptions) -> int:
    """All stages; one that is finished is skipped, one that was stopped goes on."""
    plan = quick_plan(options.seed) if options.quick else full_plan(options.seed)
    out, bundle = options.output, options.output / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    for name, result, stage in (
        ("corpus", out / "corpus" / "manifest.csv", _corpus),
        ("codec", bundle / "demo-codec.safetensors", _codec),
        ("visual tower", bundle / "demo-clip.safetensors", _tower),
        ("features", out / "features.done", _features),
        ("VAB", bundle / "demo-vab.safetensors", _vab),
    ):
        if result.exists():
            console.print(f"{name}: there already, {result}", markup=False)
            continue
        began = time.perf_counter()
        stage(options, plan)
        console.print(f"{name}: {time.perf_counter() - began:.0f} s, {result}", markup=False)
    console.print(f"try it: vab generate VIDEO --weights {bundle / 'demo-vab.safetensors'}", markup=False)
    return 0


def _corpus(options: TrainOptions, plan: Plan) -> None:
    with progress_bar("clips") as progress:
        task = progress.add_task("rendering", total=sum(plan.num_clips.values()))
        write_corpus(
            options.output / "corpus",
            plan.num_clips,
            seed=options.seed,
            duration=CLIP_SECONDS,
            workers=options.workers,
            progress=lambda done, total: progress.update(task, completed=done),
        )


def _codec(options: TrainOptions, plan: Plan) -> None:
    seed_everything(options.seed, verbose=False)
    model = build_encodec(CODEC)
    fit(
        CodecReconstruction(model, warmup_batches=plan.codec.max_steps // 16),
        WaveformPieces(_waveforms(options.output, "train"), SAMPLE_RATE),
        WaveformPieces(_waveforms(options.output, "validation"), 4 * SAMPLE_RATE),
        plan.codec,
        options.output / "codec",
        resume=True,
        device=options.device,
    )
    codec = EncodecCodec(model, CODEC, name="demo-codec")
    save_codec(codec, options.output / "bundle" / "demo-codec.safetensors", _provenance(options, plan.codec))


def _tower(options: TrainOptions, plan: Plan) -> None:
    seed_everything(options.seed, verbose=False)
    model = build_open_clip(TOWER)
    preprocess = Preprocess(size=TOWER["vision_cfg"]["image_size"])
    encoder = OpenClipEncoder(model, TOWER, preprocess, name="demo-clip")
    fit(
        ImageTextContrast(model, encoder.tokenise, preprocess.mean, preprocess.std),
        _frame_captions(options.output, "train"),
        _frame_captions(options.output, "validation"),
        plan.tower,
        options.output / "tower",
        resume=True,
        device=options.device,
    )
    save_encoder(
        encoder,
        options.output / "bundle" / "demo-clip.safetensors",
        _provenance(options, plan.tower),
        dtype=torch.float16,
    )


def _features(options: TrainOptions, plan: Plan) -> None:
    out = options.output
    _command(
        "extract", str(out / "corpus" / "manifest.csv"), "--store", str(out / "store"),
        "--codec", str(out / "bundle" / "demo-codec.safetensors"),
        "--encoder", str(out / "bundle" / "demo-clip.safetensors"),
        "--visual-fps", str(VISUAL_FPS), "--clip-seconds", str(CLIP_SECONDS), "--workers", str(options.workers),
        "--device", options.device,
    )  # fmt: skip
    (out / "features.done").touch()


def _vab(options: TrainOptions, plan: Plan) -> None:
    out = options.output
    _command(
        "pretrain", "--config", str(CONFIG), *plan.vab_overrides,
        "--store", str(out / "store"), "--out", str(out / "vab"), "--codec-weights",
        str(out / "bundle" / "demo-codec.safetensors"),
        "--resume", "--device", options.device,
    )  # fmt: skip
    model, card = load_model(out / "vab" / "model.safetensors")
    save_model(out / "bundle" / "demo-vab.safetensors", model, card, dtype=torch.float16)


def _command(*arguments: str) -> None:
    """Run another verb, so that the demo proves the commands that everybody uses."""
    console.print(f"vab {' '.join(arguments)}", markup=False, style="dim")
    if code := main(arguments):
        raise VABError(
            f"'vab {arguments[0]}' failed with exit code {code}; what it did so far is kept, run again"
        )


def _clips(out: Path, split: str) -> list[Path]:
    return sorted((out / "corpus" / split).glob("*.mp4"))


def _waveforms(out: Path, split: str) -> np.ndarray:
    """Sound of all clips of a split, int16 [clips, L], decoded once."""
    cache = out / "cache" / f"waveforms-{split}.npy"
    if not cache.exists():
        clips = _clips(out, split)
        length = timing.num_samples(CLIP_SECONDS, SAMPLE_RATE)
        waveforms = np.zeros((len(clips), length), np.int16)
        with progress_bar("clips") as progress:
            for row, clip in enumerate(progress.track(clips, description=f"sound of {split}")):
                sound = media.read_audio(clip, SAMPLE_RATE, duration=CLIP_SECONDS)[0].numpy()
                waveforms[row] = np.clip(sound * 32768, -32768, 32767)
        _save(cache, waveforms)
    return np.load(cache, mmap_mode="r")


def _frame_captions(out: Path, split: str) -> FrameCaptions:
    """Frames of a split at the tower's size, decoded once, with captions from the sidecars."""
    clips = _clips(out, split)
    size = TOWER["vision_cfg"]["image_size"]
    cache = out / "cache" / f"frames-{split}.npy"
    num_frames = timing.num_frames(CLIP_SECONDS, CAPTIONED_FPS)
    if not cache.exists():
        frames = np.zeros((len(clips), num_frames, size, size, 3), np.uint8)
        with progress_bar("clips") as progress:
            for row, clip in enumerate(progress.track(clips, description=f"frames of {split}")):
                pieces = media.iter_frames(clip, CAPTIONED_FPS, duration=CLIP_SECONDS, max_size=size)
                frames[row] = np.concatenate(list(pieces))
        _save(cache, frames)
    sidecars = [json.loads(clip.with_suffix(".json").read_text()) for clip in clips]
    times = timing.frame_times(num_frames, CAPTIONED_FPS).numpy()
    return FrameCaptions(
        np.load(cache, mmap_mode="r"),
        times,
        lambda index, time, generator: frame_captions(sidecars[index], time, generator),
    )


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, array)
    temporary.rename(path)


def _provenance(options: TrainOptions, training: TrainingOptions) -> dict[str, Any]:
    return {
        "trained_on": "Foley world, rendered by this project",
        "command": f"vab demo train --seed {options.seed}" + (" --quick" if options.quick else ""),
        "steps": training.max_steps,
        "licence": "Apache-2.0",
        "vab": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
