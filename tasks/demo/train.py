"""``vab demo train``: the bundled weights from nothing, each stage with the project's own commands."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.cli import main
from tasks.console import console, progress_bar
from tasks.demo.options import TrainOptions
from tasks.demo.training.codec import (
    CodecReconstruction,
    CodePieces,
    DecoderReconstruction,
    WaveformPieces,
)
from tasks.demo.training.quantisers import DacQuantiser, EncodecQuantiser, Quantiser
from tasks.demo.training.tower import FrameCaptions, TowerObjective
from tasks.demo.world import frame_captions, write_corpus
from tasks.demo.world.truth import NUM_STATE_QUANTITIES, visible_state
from vab import __version__, media, timing
from vab.codecs import (
    DacCodec,
    DacConfig,
    EncodecCodec,
    EncodecConfig,
    build_dac,
    build_encodec,
    save_codec,
)
from vab.codecs.frozen import FrozenCodec
from vab.errors import ConfigError, StoppedError, VABError
from vab.files import complete_file, write_atomically
from vab.models.files import load_model, save_model
from vab.training.folder import run_folder
from vab.training.options import TrainingOptions
from vab.training.run import fit
from vab.visual import OpenClipEncoder, Preprocess, build_open_clip, save_encoder

CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLE_RATE = 16_000
VISUAL_FPS = 8.0
CAPTIONED_FPS = 4.0
CLIP_SECONDS = 10.0
ENCODEC = EncodecConfig(
    sample_rate=SAMPLE_RATE,
    n_filters=32,
    dimension=16,  # as many as four bytes a step can fill
    ratios=(2, 4, 5, 8),  # most of the rate goes in the first step down: twice the filters for the same time
    lstm=0,
    num_codebooks=4,
    codebook_size=256,
)
DAC = DacConfig(
    sample_rate=SAMPLE_RATE,
    encoder_dim=16,
    encoder_rates=(8, 5, 4, 2),  # for the same reason
    latent_dim=16,
    decoder_dim=256,
    decoder_rates=(2, 4, 5, 8),
    num_codebooks=12,
    codebook_size=256,
)
TOWER: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 96, "layers": 6, "width": 192, "head_width": 48, "patch_size": 12},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
}


@dataclass(frozen=True)
class System:
    """What is made for one architecture of codec; corpus and tower serve both."""

    suffix: str
    """Of the names of its folders and files."""
    new_codec: Callable[[], FrozenCodec]
    """Untrained."""
    quantiser: Callable[[Any], Quantiser]
    """Around a codec's network."""
    codec_steps: int
    vab: str
    """Configuration of its VAB."""
    refiner: str | None
    """Configuration of the stage that completes its codes; None = the VAB makes all levels."""
    is_adapted: bool
    """Whether its VAB is adapted for search and for classes."""


SYSTEMS = {
    "dac": System(
        suffix="",
        new_codec=lambda: DacCodec(build_dac(DAC), DAC),
        quantiser=DacQuantiser,
        codec_steps=1600,
        vab="vab/demo.yaml",
        refiner="coarse_to_fine/demo.yaml",
        is_adapted=True,
    ),
    "encodec": System(
        suffix="-encodec",
        new_codec=lambda: EncodecCodec(build_encodec(ENCODEC), ENCODEC),
        quantiser=EncodecQuantiser,
        codec_steps=5000,
        vab="vab/demo_encodec.yaml",
        refiner=None,
        is_adapted=False,
    ),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    num_clips: dict[str, int]
    num_codec_and_tower_clips: int
    """Of the training clips, the first, from which codec and tower learn. These they know by heart; what learns from
    their features should meet others too."""
    codec: TrainingOptions
    decoder: TrainingOptions
    """Of the codec, alone and on the codes that it has by then."""
    tower: TrainingOptions
    overrides: tuple[str, ...]
    """Of the models' configurations."""
    classifier_overrides: tuple[str, ...]
    """Of the classifier's, which counts in epochs."""


def full_plan(seed: int, system: System) -> Plan:
    """Over three hours on two cores."""
    return Plan(
        num_clips={"train": 2400, "validation": 64, "test": 200},
        num_codec_and_tower_clips=1600,
        codec=TrainingOptions(
            max_steps=system.codec_steps,
            batch_size=8,
            learning_rate=1e-3,
            warmup_steps=200,
            betas=(0.8, 0.99),
            precision="32",
            seed=seed,
            validate_every=1000,
            checkpoint_every=500,
        ),
        decoder=TrainingOptions(
            max_steps=2000,
            batch_size=8,
            learning_rate=1e-3,
            warmup_steps=100,
            betas=(0.8, 0.99),
            precision="32",
            seed=seed,
            validate_every=500,
            checkpoint_every=250,
        ),
        tower=TrainingOptions(
            max_steps=2000,
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
        overrides=(f"--training.seed={seed}",),
        classifier_overrides=(f"--training.seed={seed}",),
    )


def quick_plan(seed: int) -> Plan:
    """Minutes: proves that every stage runs, not that it learns much."""
    few: dict[str, Any] = {"seed": seed, "log_every": 1, "validate_every": 10, "checkpoint_every": 10}
    return Plan(
        num_clips={"train": 24, "validation": 4, "test": 4},
        num_codec_and_tower_clips=12,
        codec=TrainingOptions(max_steps=20, batch_size=4, learning_rate=1e-3, precision="32", **few),
        decoder=TrainingOptions(max_steps=20, batch_size=4, learning_rate=1e-3, precision="32", **few),
        tower=TrainingOptions(max_steps=20, batch_size=16, learning_rate=1e-3, **few),
        overrides=(
            f"--training.seed={seed}",
            "--training.max_steps=20",
            "--training.batch_size=4",
            "--training.warmup_steps=2",
            "--training.log_every=1",
            "--training.validate_every=10",
            "--training.checkpoint_every=10",
        ),
        classifier_overrides=(f"--training.seed={seed}", "--training.epochs=1", "--training.batch_size=4"),
    )


def run(options: TrainOptions) -> int:
    """All stages; one that is finished is skipped, one that was stopped goes on."""
    with run_folder(options.output):
        return _run(options)


def _run(options: TrainOptions) -> int:
    system = SYSTEMS[options.codec]
    plan = quick_plan(options.seed) if options.quick else full_plan(options.seed, system)
    out = options.output
    (out / "bundle").mkdir(parents=True, exist_ok=True)
    _claim(options)
    vab_weights = _weights(options, "vab")
    stages = [
        ("corpus", out / "corpus" / "manifest.csv", _corpus),
        ("codec", _weights(options, "codec"), _codec),
        ("visual tower", _tower_weights(options), _tower),
        ("features", out / f"features{system.suffix}.done", _features),
    ]
    if system.refiner is not None:
        stages.append(("coarse-to-fine stage", _weights(options, "refiner"), _refiner))
    stages.append(("VAB", vab_weights, _vab))
    if system.is_adapted:
        stages.append(("encoder for search", _weights(options, "search"), _search))
        stages.append(("classifier", _weights(options, "classes"), _classes))
    for name, result, stage in stages:
        if result.exists():
            console.print(f"{name}: there already, {result}", markup=False)
            continue
        began = time.perf_counter()
        stage(options, plan)
        console.print(f"{name}: {time.perf_counter() - began:.0f} s, {result}", markup=False)
    console.print(f"try it: vab generate VIDEO --weights {vab_weights}", markup=False)
    return 0


def _claim(options: TrainOptions) -> None:
    """Note what a folder's stages are of, so that a toy run's are never taken for the real ones.

    Raises:
        ConfigError: they are of something else.
    """
    path = options.output / "options.json"
    ours = {"seed": options.seed, "quick": options.quick}
    if path.exists() and (theirs := json.loads(path.read_text())) != ours:
        words = f"--seed {theirs['seed']}{' --quick' * theirs['quick']}"
        raise ConfigError(
            f"{options.output} holds stages of 'vab demo train {words}'; give another folder with -o"
        )
    write_atomically(path, json.dumps(ours) + "\n")


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
    torch.manual_seed(options.seed)
    system = SYSTEMS[options.codec]
    codec = system.new_codec()
    quantiser = system.quantiser(codec.model)
    train = _waveforms(options.output, "train", plan.num_codec_and_tower_clips)
    validation = _waveforms(options.output, "validation")
    fit(
        CodecReconstruction(codec.model, quantiser, warmup_batches=plan.codec.max_steps // 4),
        WaveformPieces(train, SAMPLE_RATE),
        WaveformPieces(validation, 4 * SAMPLE_RATE),
        plan.codec,
        options.output / f"codec{system.suffix}",
        resume=True,
        device=options.device,
    )
    train_codes, validation_codes = (
        _codes(options, codec, sounds, split)
        for sounds, split in ((train, "train"), (validation, "validation"))
    )
    second = int(codec.frame_rate)
    fit(
        DecoderReconstruction(codec, quantiser),
        CodePieces(train, train_codes, second),
        CodePieces(validation, validation_codes, 4 * second),
        plan.decoder,
        options.output / f"decoder{system.suffix}",
        resume=True,
        device=options.device,
    )
    provenance = {**_provenance(options, plan.codec), "decoder_steps": plan.decoder.max_steps}
    save_codec(codec, _weights(options, "codec"), provenance)


def _tower(options: TrainOptions, plan: Plan) -> None:
    torch.manual_seed(options.seed)
    model = build_open_clip(TOWER)
    preprocess = Preprocess(size=TOWER["vision_cfg"]["image_size"])
    encoder = OpenClipEncoder(model, TOWER, preprocess, name="demo-clip")
    fit(
        TowerObjective(
            model, encoder.tokenise, preprocess.mean, preprocess.std, num_quantities=NUM_STATE_QUANTITIES
        ),
        _frame_captions(options.output, "train", plan.num_codec_and_tower_clips),
        _frame_captions(options.output, "validation"),
        plan.tower,
        options.output / "tower",
        resume=True,
        device=options.device,
    )
    save_encoder(
        encoder,
        _tower_weights(options),
        _provenance(options, plan.tower),
        dtype=torch.float16,
    )


def _features(options: TrainOptions, plan: Plan) -> None:
    out, suffix = options.output, SYSTEMS[options.codec].suffix
    _command(
        "extract", str(out / "corpus" / "manifest.csv"), "--store", str(out / f"store{suffix}"),
        "--codec", str(_weights(options, "codec")), "--encoder", str(_tower_weights(options)),
        "--visual-fps", str(VISUAL_FPS), "--clip-seconds", str(CLIP_SECONDS), "--workers", str(options.workers),
        "--device", options.device,
    )  # fmt: skip
    (out / f"features{suffix}.done").touch()


def _refiner(options: TrainOptions, plan: Plan) -> None:
    config = SYSTEMS[options.codec].refiner
    assert config is not None
    _pretrain(options, plan, "refiner", config)


def _vab(options: TrainOptions, plan: Plan) -> None:
    system = SYSTEMS[options.codec]
    refiner = () if system.refiner is None else ("--refiner", str(_weights(options, "refiner")))
    _pretrain(options, plan, "vab", system.vab, *refiner)


def _pretrain(options: TrainOptions, plan: Plan, kind: str, config: str, *more: str) -> None:
    """A model from its configuration."""
    out, suffix = options.output, SYSTEMS[options.codec].suffix
    run_folder = out / f"{kind}{suffix}"
    _command(
        "pretrain", "--config", str(CONFIGS / config), *plan.overrides,
        "--store", str(out / f"store{suffix}"), "--out", str(run_folder),
        "--codec-weights", str(_weights(options, "codec")), *more, "--resume", "--device", options.device,
    )  # fmt: skip
    _halve(run_folder / "model.safetensors", _weights(options, kind))


def _search(options: TrainOptions, plan: Plan) -> None:
    out = options.output / "search"
    _command(
        "adapt", "--config", str(CONFIGS / "retrieval/demo.yaml"), *plan.overrides,
        "--weights", str(_weights(options, "vab")), "--store", str(options.output / "store"), "--out", str(out),
        "--resume", "--device", options.device,
    )  # fmt: skip
    _halve(out / "encoder.safetensors", _weights(options, "search"))


def _classes(options: TrainOptions, plan: Plan) -> None:
    """A linear probe: on Foley world it is ahead of a short fine-tuning, and takes a minute."""
    out = options.output / "classes"
    _command(
        "finetune", "--config", str(CONFIGS / "classification/demo.yaml"), *plan.classifier_overrides,
        "--init", str(_weights(options, "vab")), "--store", str(options.output / "store"), "--out", str(out),
        "--freeze", "--resume", "--device", options.device,
    )  # fmt: skip
    _halve(out / "model.safetensors", _weights(options, "classes"))


def _halve(trained: Path, bundled: Path) -> None:
    """The same weights at half the size."""
    model, card = load_model(trained)
    save_model(bundled, model, card, dtype=torch.float16)


def _weights(options: TrainOptions, kind: str) -> Path:
    """File of a codec or model of the system that is made."""
    return options.output / "bundle" / f"demo-{kind}{SYSTEMS[options.codec].suffix}.safetensors"


def _tower_weights(options: TrainOptions) -> Path:
    return options.output / "bundle" / "demo-clip.safetensors"


def _command(*arguments: str) -> None:
    """Run another verb, so that the demo proves the commands that everybody uses."""
    console.print(f"vab {' '.join(arguments)}", markup=False, style="dim")
    code = main(arguments)
    if code > 128:
        raise StoppedError(f"'vab {arguments[0]}' was stopped; what it did so far is kept", code - 128)
    if code:
        raise VABError(
            f"'vab {arguments[0]}' failed with exit code {code}; what it did so far is kept, run again"
        )


def _clips(out: Path, split: str, num_clips: int | None) -> list[Path]:
    return sorted((out / "corpus" / split).glob("*.mp4"))[:num_clips]


def _waveforms(out: Path, split: str, num_clips: int | None = None) -> np.ndarray:
    """Sound of a split's first clips, int16 [clips, L], decoded once."""
    cache = out / "cache" / f"waveforms-{split}.npy"
    if not cache.exists():
        clips = _clips(out, split, num_clips)
        length = timing.num_samples(CLIP_SECONDS, SAMPLE_RATE)
        waveforms = np.zeros((len(clips), length), np.int16)
        with progress_bar("clips") as progress:
            for row, clip in enumerate(progress.track(clips, description=f"sound of {split}")):
                sound = media.read_audio(clip, SAMPLE_RATE, duration=CLIP_SECONDS)[0].numpy()
                waveforms[row] = np.clip(sound * 32768, -32768, 32767)
        with complete_file(cache) as partial:
            np.save(partial, waveforms)
    return np.load(cache, mmap_mode="r")


def _codes(options: TrainOptions, codec: FrozenCodec, waveforms: np.ndarray, split: str) -> np.ndarray:
    """Codes of a split's sounds, uint8 [clips, K, S], encoded once."""
    cache = options.output / "cache" / f"codes-{split}{SYSTEMS[options.codec].suffix}.npy"
    if not cache.exists():
        codec.model.eval()
        rows = []
        with progress_bar("clips") as progress:
            for sound in progress.track(waveforms, description=f"codes of {split}"):
                waveform = torch.tensor(sound, device=codec.device).float().div(32768)
                rows.append(codec.encode(waveform[None, None])[0].to("cpu", torch.uint8).numpy())
        with complete_file(cache) as partial:
            np.save(partial, np.stack(rows))
    return np.load(cache, mmap_mode="r")


def _frame_captions(out: Path, split: str, num_clips: int | None = None) -> FrameCaptions:
    """Frames of a split's first clips at the tower's size, decoded once, with captions from the truths."""
    clips = _clips(out, split, num_clips)
    size = TOWER["vision_cfg"]["image_size"]
    cache = out / "cache" / f"frames-{split}.npy"
    num_frames = timing.num_frames(CLIP_SECONDS, CAPTIONED_FPS)
    if not cache.exists():
        frames = np.zeros((len(clips), num_frames, size, size, 3), np.uint8)
        with progress_bar("clips") as progress:
            for row, clip in enumerate(progress.track(clips, description=f"frames of {split}")):
                pieces = media.iter_frames(clip, CAPTIONED_FPS, duration=CLIP_SECONDS, max_size=size)
                frames[row] = np.concatenate(list(pieces))
        with complete_file(cache) as partial:
            np.save(partial, frames)
    truths = [json.loads(clip.with_suffix(".json").read_text()) for clip in clips]
    times = timing.frame_times(num_frames, CAPTIONED_FPS).numpy()
    return FrameCaptions(
        np.load(cache, mmap_mode="r"),
        times,
        lambda index, time, generator: frame_captions(truths[index], time, generator),
        lambda index, time: visible_state(truths[index], time),
    )


def _provenance(options: TrainOptions, training: TrainingOptions) -> dict[str, Any]:
    words = [f"--seed {options.seed}"]
    if options.codec != "dac":
        words.append(f"--codec {options.codec}")
    if options.quick:
        words.append("--quick")
    return {
        "trained_on": "Foley world, rendered by this project",
        "command": f"vab demo train {' '.join(words)}",
        "steps": training.max_steps,
        "licence": "Apache-2.0",
        "vab": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
