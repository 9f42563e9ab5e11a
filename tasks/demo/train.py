"""``vab demo train``: the recipe of the bundled weights, each stage a configuration and the function of its command."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.classification.finetune import run as finetune
from tasks.classification.options import FinetuneOptions
from tasks.console import console
from tasks.demo.options import TrainOptions
from tasks.demo.training import material
from tasks.demo.training.options import Amounts, CodecOptions, SyncOptions, TowerOptions
from tasks.demo.training.sounds import (
    SoundPieces,
    WaveformPieces,
    read_pool,
    recordings_in,
    write_long_recordings,
)
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
from tasks.record import conditions
from tasks.retrieval.adapt import run as adapt
from tasks.retrieval.options import AdaptOptions
from vab.codecs import SpectralCodec, SpectralConfig, save_codec
from vab.codecs.spectral import SpectralNetwork
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
VISUAL_FPS = 12.5
MIN_RECORDING_SECONDS = 4.0
"""Of the recordings that the VAB learns from: as long as its crops."""
JOINT_STAGE: dict[str, Any] = {
    "objective": {"layout": "predicted", "layout_weight": 1.0},
    "training": {"max_steps": 500, "learning_rate": 3e-4},
}
"""What TiVA's third stage has other than the second."""


def run(options: TrainOptions) -> int:
    """All stages; one that is finished is skipped, one that was stopped is resumed."""
    with run_folder(options.output):
        return Recipe(options).run()


class Recipe:
    """One run: its options, how much of everything, and its stages."""

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.out = options.output
        amounts = CONFIGS / "demo" / ("quick.yaml" if options.quick else "full.yaml")
        self.amounts = from_dict(Amounts, read_yaml(amounts), source=str(amounts))
        self.store = self.out / "store"
        self.stores = [self.store, self.out / "store-recordings"][: 1 + bool(options.recordings)]

    def run(self) -> int:
        """Every stage whose result is not there yet; exit code 0."""
        (self.out / "bundle").mkdir(parents=True, exist_ok=True)
        self._check_same_run()
        stages = [
            ("corpus", self.out / "corpus" / "manifest.csv", self.corpus),
            ("codec", self.codec_weights, self.codec),
            ("visual tower", self.weights("clip"), self.tower),
            ("features", self.out / "features.done", self.features),
            ("coarse-to-fine stage", self.weights("refiner"), self.refiner),
            ("VAB", self.weights("vab"), self.vab),
            ("sync encoder", self.weights("sync"), self.sync),
            ("V-AURA", self.weights("v-aura"), self.v_aura),
            ("encoder for search", self.weights("search"), self.search),
            ("classifier", self.weights("classes"), self.classes),
            ("MaskVAT", self.weights("maskvat"), self.maskvat),
            ("TiVA", self.weights("tiva"), self.tiva),
        ]
        for name, result, stage in stages:
            if result.exists():
                console.print(f"{name}: there already, {result}", markup=False)
                continue
            began = time.perf_counter()
            stage()
            seconds = round(time.perf_counter() - began)
            self._record(name, seconds)
            console.print(f"{name}: {seconds} s, {result}", markup=False)
        console.print(f"try it: vab generate VIDEO --weights {self.weights('vab')}", markup=False)
        return 0

    def corpus(self) -> None:
        """Render the clips."""
        write_corpus(
            self.out / "corpus",
            self.amounts.num_clips,
            seed=self.options.seed,
            duration=material.CLIP_SECONDS,
            workers=self.options.workers,
        )

    def codec(self) -> None:
        """Train the codec, on recordings too."""
        path = CONFIGS / "codec" / "demo.yaml"
        options = read_options(CodecOptions, path, {"training": self._training()})
        torch.manual_seed(self.options.seed)
        config = from_dict(SpectralConfig, options.network, source=str(path))
        network, rate = SpectralNetwork(config), config.sample_rate
        num_samples = round(options.piece_seconds * rate)
        pools = {
            "foley_world": material.waveforms(
                self.out, "train", rate, self.amounts.num_codec_and_tower_clips
            ).reshape(-1)
        }
        if self.options.recordings:
            pools["recordings"] = read_pool(recordings_in(self.options.recordings), rate)
        fit(
            SpectralReconstruction(
                network, options.loss, num_unquantised_batches=options.num_unquantised_batches
            ),
            SoundPieces(pools, options.shares, num_samples, rate),
            WaveformPieces(material.waveforms(self.out, "validation", rate), num_samples),
            options.training,
            self.out / "codec",
            resume=True,
            device=self.options.device,
        )
        save_codec(SpectralCodec(network, config), self.codec_weights, self._provenance(options.training))

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
        save_encoder(encoder, self.weights("clip"), self._provenance(options.training), dtype=torch.float16)

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
            self.weights("sync"),
            self._provenance(options.training),
            dtype=torch.float32,
        )

    def features(self) -> None:
        """Extract codes and visual features of the corpus, and codes of the longer recordings."""
        manifests = [self.out / "corpus" / "manifest.csv"]
        if self.options.recordings:
            manifests.append(self.out / "cache" / "recordings.csv")
            write_long_recordings(manifests[1], self.options.recordings, MIN_RECORDING_SECONDS)
        for store, manifest in zip(self.stores, manifests, strict=True):
            self._extract(
                ExtractOptions(
                    inputs=[str(manifest)],
                    store=store,
                    codec=str(self.codec_weights),
                    encoder=str(self.weights("clip")),
                    visual_fps=VISUAL_FPS,
                    clip_seconds=material.CLIP_SECONDS,
                    **self._decoding,
                )
            )
        (self.out / "features.done").touch()

    def refiner(self) -> None:
        """Pretrain the coarse-to-fine stage."""
        self._pretrain("refiner", "coarse_to_fine/demo.yaml", [self.store])

    def vab(self) -> None:
        """Pretrain the VAB, on the codes of recordings too: they have no frames."""
        self._pretrain("vab", "vab/demo.yaml", self.stores, {"refiner": str(self.weights("refiner"))})

    def search(self) -> None:
        """Adapt the VAB for search."""
        out = self.out / "search"
        given = {
            "weights": str(self.weights("vab")),
            "store": [str(self.store)],
            "out": str(out),
            "training": self._training(),
        }
        adapt(read_options(AdaptOptions, CONFIGS / "retrieval" / "demo.yaml", given, self._running))
        _quarter(out / "encoder.safetensors", self.weights("search"))

    def classes(self) -> None:
        """A linear probe: on Foley world it is ahead of a short fine-tuning, and takes a minute."""
        out = self.out / "classes"
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
        _quarter(out / "model.safetensors", self.weights("classes"))

    def v_aura(self) -> None:
        """Extract the sync features, and pretrain it."""
        self._add("sync", encoder=str(self.weights("sync")))
        self._pretrain("v-aura", "v_aura/demo.yaml", [self.store])

    def maskvat(self) -> None:
        """Extract what it reads besides, and pretrain it."""
        self._add("sync", encoder=str(self.weights("sync")))
        self._add("demo-audio", maker={"weights": str(self.weights("search"))})
        self._pretrain("maskvat", "maskvat/demo_seq2seq.yaml", [self.store])

    def tiva(self) -> None:
        """Extract what it reads, and pretrain it: its predictor, its generator on true layouts, both together."""
        layers = read_yaml(CONFIGS / "tiva" / "predictor_demo.yaml")["model"]
        self._add("clip-layers", encoder=f"layers:{self.weights('clip')}", visual_fps=layers["visual_fps"])
        self._add("latents", maker={"autoencoder": str(self.codec_weights)})
        self._add("layout")
        stages: dict[str, tuple[str, dict[str, Any]]] = {
            "predictor": ("predictor_demo", {}),
            "generator": ("demo", {}),
            "joint": ("demo", JOINT_STAGE),
        }
        trained: list[str] = []
        for kind, (config, more) in stages.items():
            out = self.out / f"tiva-{kind}"
            self._train_model(out, f"tiva/{config}.yaml", [self.store], {"init": trained, **more})
            trained = [str(out / "model.safetensors")]
        _quarter(out / "model.safetensors", self.weights("tiva"))

    def weights(self, kind: str) -> Path:
        """File of a model or the visual encoder."""
        return self.out / "bundle" / f"demo-{kind}.safetensors"

    @property
    def codec_weights(self) -> Path:
        """File of the codec."""
        return self.out / "bundle" / "spectral-16khz.safetensors"

    def _extract(self, options: ExtractOptions) -> None:
        if extract(options):
            raise VABError(f"{options.store}: no features could be extracted; failures.jsonl has the reasons")

    def _add(self, stream: str, **maker: Any) -> None:
        """Extract one more stream of the store; one that is there already stays."""
        self._extract(ExtractOptions(store=self.store, add=stream, **maker, **self._decoding))

    def _pretrain(
        self, kind: str, config: str, stores: list[Path], more: dict[str, Any] | None = None
    ) -> None:
        out = self.out / kind
        self._train_model(out, config, stores, more or {})
        _quarter(out / "model.safetensors", self.weights(kind))

    def _train_model(self, out: Path, config: str, stores: list[Path], more: dict[str, Any]) -> None:
        given = {
            "store": [str(store) for store in stores],
            "out": str(out),
            "codec_weights": str(self.codec_weights),
            "training": self._training(),
        }
        pretrain(read_options(PretrainOptions, CONFIGS / config, more, given, self._running))

    def _training(self) -> dict[str, Any]:
        """What replaces the training options of a configuration."""
        return {**self.amounts.training, "seed": self.options.seed}

    @property
    def _decoding(self) -> dict[str, Any]:
        return {"workers": self.options.workers, "device": self.options.device}

    @property
    def _running(self) -> dict[str, Any]:
        return {"resume": True, "device": self.options.device}

    def _record(self, stage: str, seconds: int) -> None:
        """Write how long a stage took, its last run where it was resumed, into training.json."""
        path = self.out / "training.json"
        done = json.loads(path.read_text())["seconds"] if path.exists() else {}
        num_clips = sum(self.amounts.num_clips.values())
        bundle = (self.out / "bundle").glob("*.safetensors")
        document = {
            "seconds": {**done, stage: seconds},
            "megabytes": sum(file.stat().st_size for file in bundle) / 1e6,
            "conditions": conditions(
                clips="Foley world",
                num_clips=num_clips,
                num_expected=num_clips,
                clip_seconds=material.CLIP_SECONDS,
                codec=self.codec_weights.stem,
                frame_rate=None,
                visual_fps=VISUAL_FPS,
                sampling=None,
                seed=self.options.seed,
                device=self.options.device,
                command=command_line("demo train", self.options),
            ),
        }
        write_atomically(path, json.dumps(document, indent=2) + "\n")

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
        what = TrainOptions(quick=self.options.quick, seed=self.options.seed)
        return {
            "trained_on": "Foley world, rendered by this project"
            + " (the codec also recordings and synthetic tones)" * bool(self.options.recordings),
            "command": command_line("demo train", what),
            "steps": training.max_steps,
            "licence": "Apache-2.0",
            **made_with(),
        }


def _quarter(trained: Path, bundled: Path) -> None:
    """The same weights at a quarter of the size."""
    model, card = load_model(trained)
    save_model(bundled, model, card, dtype=torch.int8)
