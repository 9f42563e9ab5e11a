"""``vab demo train``: the recipe of the bundled weights, each stage a configuration and the function of its command."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.classification.finetune import run as finetune
from tasks.classification.options import FinetuneOptions
from tasks.console import console, progress_bar
from tasks.demo.options import TrainOptions
from tasks.demo.training import material
from tasks.demo.training.codec import (
    CodecReconstruction,
    CodePieces,
    DecoderReconstruction,
    WaveformPieces,
)
from tasks.demo.training.options import (
    Amounts,
    CodecOptions,
    SpectralCodecOptions,
    SyncOptions,
    TowerOptions,
)
from tasks.demo.training.quantisers import DacQuantiser, EncodecQuantiser
from tasks.demo.training.sounds import SoundPieces, read_pool
from tasks.demo.training.spectral import SpectralReconstruction
from tasks.demo.training.sync import OffsetObjective
from tasks.demo.training.tower import TowerObjective
from tasks.demo.world import write_corpus
from tasks.demo.world.scene import SAMPLE_RATE
from tasks.demo.world.truth import NUM_STATE_QUANTITIES
from tasks.extraction.options import ExtractOptions
from tasks.extraction.run import run as extract
from tasks.options import command_line, read_options
from tasks.pretraining.options import PretrainOptions
from tasks.pretraining.run import run as pretrain
from tasks.retrieval.adapt import run as adapt
from tasks.retrieval.options import AdaptOptions
from vab.codecs import (
    DacCodec,
    DacConfig,
    EncodecCodec,
    EncodecConfig,
    SpectralCodec,
    SpectralConfig,
    build_dac,
    build_encodec,
    build_spectral,
    save_codec,
)
from vab.config import from_dict, read_yaml
from vab.errors import ConfigError, VABError
from vab.files import write_atomically
from vab.models.files import load_model, save_model
from vab.provenance import made_with
from vab.training.folder import run_folder
from vab.training.options import TrainingOptions
from vab.training.run import fit
from vab.visual import OpenClipEncoder, Preprocess, build_open_clip, save_encoder
from vab.visual.s3d import S3D, S3DConfig, S3DEncoder

CONFIGS = Path(__file__).parents[2] / "configs"
VISUAL_FPS = 8.0


@dataclass(frozen=True)
class System:
    """Configurations of what is trained for one codec; corpus and tower serve both."""

    suffix: str
    """Of the names of its folders and files."""
    codec: str
    vab: str
    refiner: str | None
    """Of the stage that completes its codes; None: the VAB makes all codebooks."""
    is_adapted: bool
    """Whether its VAB is adapted for search and for classes."""
    sizes: dict[str, int] = field(default_factory=dict)
    """What its codec changes in the models' configurations."""


SYSTEMS = {
    "dac": System("", "codec/demo.yaml", "vab/demo.yaml", "coarse_to_fine/demo.yaml", True),
    "encodec": System("-encodec", "codec/demo_encodec.yaml", "vab/demo_encodec.yaml", None, False),
    "spectral": System(
        "-spectral",
        "codec/demo_spectral.yaml",
        "vab/demo.yaml",
        "coarse_to_fine/demo.yaml",
        True,
        {"codebook_dim": 80},
    ),
}


def run(options: TrainOptions) -> int:
    """All stages; one that is finished is skipped, one that was stopped is resumed."""
    with run_folder(options.output):
        return Recipe(options).run()


class Recipe:
    """One run: its options, how much of everything, and its stages."""

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.system = SYSTEMS[options.codec]
        self.out = options.output
        amounts = CONFIGS / "demo" / ("quick.yaml" if options.quick else "full.yaml")
        self.amounts = from_dict(Amounts, read_yaml(amounts), source=str(amounts))
        self.store = self.out / f"store{self.system.suffix}"

    def run(self) -> int:
        """Every stage whose result is not there yet; exit code 0."""
        (self.out / "bundle").mkdir(parents=True, exist_ok=True)
        self._check_same_run()
        stages = [
            ("corpus", self.out / "corpus" / "manifest.csv", self.corpus),
            (
                "codec",
                self.weights("codec"),
                self.spectral_codec if self.options.codec == "spectral" else self.codec,
            ),
            ("visual tower", self.tower_weights, self.tower),
            ("features", self.out / f"features{self.system.suffix}.done", self.features),
        ]
        if self.system.refiner is not None:
            stages.append(("coarse-to-fine stage", self.weights("refiner"), self.refiner))
        stages.append(("VAB", self.weights("vab"), self.vab))
        if self.options.codec == "spectral":
            stages.append(("sync encoder", self.sync_weights, self.sync))
        if self.system.is_adapted:
            stages.append(("encoder for search", self.weights("search"), self.search))
            stages.append(("classifier", self.weights("classes"), self.classes))
        for name, result, stage in stages:
            if result.exists():
                console.print(f"{name}: there already, {result}", markup=False)
                continue
            began = time.perf_counter()
            stage()
            console.print(f"{name}: {time.perf_counter() - began:.0f} s, {result}", markup=False)
        console.print(f"try it: vab generate VIDEO --weights {self.weights('vab')}", markup=False)
        return 0

    def corpus(self) -> None:
        """Render the clips."""
        with progress_bar("clips") as progress:
            task = progress.add_task("rendering", total=sum(self.amounts.num_clips.values()))
            write_corpus(
                self.out / "corpus",
                self.amounts.num_clips,
                seed=self.options.seed,
                duration=material.CLIP_SECONDS,
                workers=self.options.workers,
                progress=lambda done, total: progress.update(task, completed=done),
            )

    def codec(self) -> None:
        """Train the codec, then its decoder alone on the codes that the codec gives by then."""
        training = self._training()
        options = read_options(
            CodecOptions, CONFIGS / self.system.codec, {"training": training, "decoder_training": training}
        )
        torch.manual_seed(self.options.seed)
        codec: DacCodec | EncodecCodec
        quantiser: DacQuantiser | EncodecQuantiser
        if options.type == "dac":
            dac = from_dict(DacConfig, options.network, source=self.system.codec)
            codec = DacCodec(build_dac(dac), dac)
            quantiser = DacQuantiser(codec.model)
        else:
            encodec = from_dict(EncodecConfig, options.network, source=self.system.codec)
            codec = EncodecCodec(build_encodec(encodec), encodec)
            quantiser = EncodecQuantiser(codec.model)
        rate, second = codec.sample_rate, int(codec.frame_rate)
        train = material.waveforms(self.out, "train", rate, self.amounts.num_codec_and_tower_clips)
        validation = material.waveforms(self.out, "validation", rate)
        fit(
            CodecReconstruction(codec.model, quantiser, warmup_batches=options.training.max_steps // 4),
            WaveformPieces(train, rate),
            WaveformPieces(validation, 4 * rate),
            options.training,
            self.out / f"codec{self.system.suffix}",
            resume=True,
            device=self.options.device,
        )
        codec.model.eval()
        train_codes, validation_codes = (
            material.codes(self.out / "cache" / f"codes-{split}{self.system.suffix}.npy", codec, sounds)
            for split, sounds in (("train", train), ("validation", validation))
        )
        fit(
            DecoderReconstruction(codec, quantiser),
            CodePieces(train, train_codes, second),
            CodePieces(validation, validation_codes, 4 * second),
            options.decoder_training,
            self.out / f"decoder{self.system.suffix}",
            resume=True,
            device=self.options.device,
        )
        save_codec(
            codec,
            self.weights("codec"),
            self._provenance(options.training) | {"decoder_steps": options.decoder_training.max_steps},
        )

    def spectral_codec(self) -> None:
        """Train the spectral codec, on recordings too."""
        options = read_options(
            SpectralCodecOptions, CONFIGS / self.system.codec, {"training": self._training()}
        )
        torch.manual_seed(self.options.seed)
        config = from_dict(SpectralConfig, options.network, source=self.system.codec)
        network, rate = build_spectral(config), config.sample_rate
        num_samples = round(options.piece_seconds * rate)
        pools = {
            "foley_world": material.waveforms(
                self.out, "train", rate, self.amounts.num_codec_and_tower_clips
            ).reshape(-1)
        }
        if self.options.recordings:
            pools["recordings"] = read_pool(self.options.recordings, rate)
        fit(
            SpectralReconstruction(
                network, options.loss, num_unquantised_batches=options.num_unquantised_batches
            ),
            SoundPieces(pools, options.shares, num_samples, rate),
            WaveformPieces(material.waveforms(self.out, "validation", rate), num_samples),
            options.training,
            self.out / f"codec{self.system.suffix}",
            resume=True,
            device=self.options.device,
        )
        save_codec(SpectralCodec(network, config), self.weights("codec"), self._provenance(options.training))

    def tower(self) -> None:
        """Train the visual encoder."""
        options = read_options(TowerOptions, CONFIGS / "visual" / "demo.yaml", {"training": self._training()})
        torch.manual_seed(self.options.seed)
        model = build_open_clip(options.network)
        preprocess = Preprocess(size=options.network["vision_cfg"]["image_size"])
        encoder = OpenClipEncoder(model, options.network, preprocess, name="demo-clip")
        size, rate = preprocess.size, options.frames_per_second
        fit(
            TowerObjective(
                model, encoder.tokenise, preprocess.mean, preprocess.std, num_quantities=NUM_STATE_QUANTITIES
            ),
            material.captioned_frames(self.out, "train", size, rate, self.amounts.num_codec_and_tower_clips),
            material.captioned_frames(self.out, "validation", size, rate),
            options.training,
            self.out / "tower",
            resume=True,
            device=self.options.device,
        )
        save_encoder(encoder, self.tower_weights, self._provenance(options.training), dtype=torch.float16)

    def sync(self) -> None:
        """Train a small S3D to tell how far sound and frames are apart."""
        options = read_options(
            SyncOptions, CONFIGS / "visual" / "demo_sync.yaml", {"training": self._training()}
        )
        config = from_dict(S3DConfig, options.network, source="network")
        torch.manual_seed(self.options.seed)
        network = S3D(config)
        clips = partial(
            material.sync_clips, self.out, config=config, options=options, sample_rate=SAMPLE_RATE
        )
        fit(
            OffsetObjective(network, SAMPLE_RATE),
            clips("train", num_clips=self.amounts.num_codec_and_tower_clips),
            clips("validation"),
            options.training,
            self.out / "sync",
            resume=True,
            device=self.options.device,
        )
        save_encoder(
            S3DEncoder(network, name="demo-sync"),
            self.sync_weights,
            self._provenance(options.training),
            dtype=torch.float32,
        )

    def features(self) -> None:
        """Extract codes and visual features of the corpus."""
        options = ExtractOptions(
            inputs=[str(self.out / "corpus" / "manifest.csv")],
            store=self.store,
            codec=str(self.weights("codec")),
            encoder=str(self.tower_weights),
            visual_fps=VISUAL_FPS,
            clip_seconds=material.CLIP_SECONDS,
            workers=self.options.workers,
            device=self.options.device,
        )
        if extract(options):
            raise VABError(f"{self.store}: no features could be extracted; failures.jsonl has the reasons")
        (self.out / f"features{self.system.suffix}.done").touch()

    def refiner(self) -> None:
        """Pretrain the coarse-to-fine stage."""
        assert self.system.refiner is not None
        self._pretrain("refiner", self.system.refiner)

    def vab(self) -> None:
        """Pretrain the VAB."""
        refiner = {} if self.system.refiner is None else {"refiner": str(self.weights("refiner"))}
        self._pretrain("vab", self.system.vab, refiner)

    def search(self) -> None:
        """Adapt the VAB for search."""
        out = self.out / f"search{self.system.suffix}"
        given = {
            "weights": str(self.weights("vab")),
            "store": [str(self.store)],
            "out": str(out),
            "training": self._training(),
        }
        adapt(read_options(AdaptOptions, CONFIGS / "retrieval" / "demo.yaml", given, self._running))
        _halve(out / "encoder.safetensors", self.weights("search"))

    def classes(self) -> None:
        """A linear probe: on Foley world it is ahead of a short fine-tuning, and takes a minute."""
        out = self.out / f"classes{self.system.suffix}"
        given = {
            "init": str(self.weights("vab")),
            "store": str(self.store),
            "out": str(out),
            "freeze": True,
            "training": {**self.amounts.classifier_training, "seed": self.options.seed},
        }
        finetune(
            read_options(FinetuneOptions, CONFIGS / "classification" / "demo.yaml", given, self._running)
        )
        _halve(out / "model.safetensors", self.weights("classes"))

    def weights(self, kind: str) -> Path:
        """File of a codec or model of the system that is made."""
        return self.out / "bundle" / f"demo-{kind}{self.system.suffix}.safetensors"

    @property
    def tower_weights(self) -> Path:
        """File of the visual encoder."""
        return self.out / "bundle" / "demo-clip.safetensors"

    @property
    def sync_weights(self) -> Path:
        """File of the encoder of the stream "sync"."""
        return self.out / "bundle" / "demo-sync.safetensors"

    def _pretrain(self, kind: str, config: str, more: dict[str, Any] | None = None) -> None:
        out = self.out / f"{kind}{self.system.suffix}"
        given = {
            "store": [str(self.store)],
            "out": str(out),
            "model": self.system.sizes,
            "codec_weights": str(self.weights("codec")),
            "training": self._training(),
        }
        pretrain(read_options(PretrainOptions, CONFIGS / config, given, more or {}, self._running))
        _halve(out / "model.safetensors", self.weights(kind))

    def _training(self) -> dict[str, Any]:
        """What replaces the training options of a configuration."""
        return {**self.amounts.training, "seed": self.options.seed}

    @property
    def _running(self) -> dict[str, Any]:
        return {"resume": True, "device": self.options.device}

    def _check_same_run(self) -> None:
        """Note what a folder's stages are of, so that a quick run's are never taken for the real ones.

        Raises:
            ConfigError: they are of something else.
        """
        path = self.out / "options.json"
        ours = {"seed": self.options.seed, "quick": self.options.quick}
        if path.exists() and (theirs := json.loads(path.read_text())) != ours:
            words = f"--seed {theirs['seed']}{' --quick' * theirs['quick']}"
            raise ConfigError(
                f"{self.out} holds stages of 'vab demo train {words}'; give another folder with -o"
            )
        write_atomically(path, json.dumps(ours) + "\n")

    def _provenance(self, training: TrainingOptions) -> dict[str, Any]:
        what = TrainOptions(codec=self.options.codec, quick=self.options.quick, seed=self.options.seed)
        return {
            "trained_on": "Foley world, rendered by this project",
            "command": command_line("demo train", what),
            "steps": training.max_steps,
            "licence": "Apache-2.0",
            **made_with(),
        }


def _halve(trained: Path, bundled: Path) -> None:
    """The same weights at half the size."""
    model, card = load_model(trained)
    save_model(bundled, model, card, dtype=torch.float16)
