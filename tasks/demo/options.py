"""Options of ``vab demo`` and its two helpers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import any_number, positional, short
from vab.config import check_ranges


@dataclass(frozen=True)
class DemoOptions:
    """Hear it work in under a minute, with no network: a silent clip that no training has seen gets its sound.

    Writes the clip with the generated sound and a picture of both, and says what it did and where the files are.
    """

    output: Path = short("o", default=Path("out/demo"))
    """Folder for the results."""
    seed: int = 0
    """Another seed, another sound."""


@dataclass(frozen=True)
class CorpusOptions:
    """Render Foley world: short videos of things that sound, with every event's time known.

    Splits of 90, 5 and 5 per cent, of disjoint scenes, or one of them alone. A seed gives the same corpus. Re-run to
    resume.
    """

    clips: int = 200
    """Clips in all."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """All three, or one alone: 500 test clips to search, say."""
    seed: int = 0
    """Another seed, other scenes."""
    duration: float = 10.0
    """Seconds a clip."""
    workers: int = 2
    """Processes that render."""
    output: Path = short("o", default=Path("out/foley"))
    """Folder for the videos, a JSON of ground truth beside each, and manifest.csv."""


@dataclass(frozen=True)
class TrainOptions:
    """Make the bundled weights from nothing, by the configurations in configs/ and the same functions as the commands.

    Corpus, codec, visual tower, features, coarse-to-fine stage, VAB, sync encoder, V-AURA, encoder for search,
    classifier, MaskVAT, TiVA.

    Stages whose result is there are skipped; re-run to resume. The full run takes about ten hours on two cores, most of
    them in trainings, which a GPU does in minutes; --quick takes minutes and proves the path.
    """

    output: Path = short("o", default=Path("out/bundle"))
    """Folder for all stages; the weights end up in its folder 'bundle'."""
    recordings: list[Path] = field(default_factory=list)
    """Folders of recordings that codec and VAB learn from too."""
    quick: bool = False
    """A few steps of everything on a few clips."""
    seed: int = 0
    """Of corpus and training."""
    workers: int = 2
    """Processes that render and decode."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """Measure a model of Foley world on held-out clips, whose every event is known.

    Events in time, loudness and brightness over time, class, beside what bounds them: the true sound, the codec's
    reconstruction, sound made for another clip's video, sound made without frames. Also the codec beside Opus, accuracy
    on masked codes with and without the frames, and how much two seeds differ. Writes benchmark.json and
    benchmark.html, with clips to see and hear. Re-run to resume.
    """

    output: Path = short("o", default=Path("out/benchmark"))
    """Folder for the numbers, the page and the sounds."""
    weights: str = "demo"
    """'demo', or a model's .safetensors file."""
    clips: int = 200
    """Held-out clips."""
    classifier_clips: int = 1000
    """True training sounds that the reference classifier learns from."""
    store: Path | None = None
    """Feature store of Foley world made for this model; one is rendered and extracted by default."""
    steps: int | None = None
    """Decoding steps; this and the next two are the weights' own by default."""
    cfg_scale: float | None = None
    """Guidance; 1 is none."""
    temperature: float | None = None
    """Noise on the confidence."""
    seed: int = 0
    """Of the generated sounds."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True)
class SweepOptions:
    """How steps, guidance, temperature and a choice of samples change what is heard, and what they cost.

    One at a time, of those that the model has; the others stay as the weights recommend (paper tables 16 to 18).
    Writes sweep.json and sweep.png. Re-run to resume.
    """

    output: Path = short("o", default=Path("out/sweep"))
    """Folder for the numbers, the picture and the sounds."""
    weights: str = "demo"
    """'demo', or a model's .safetensors file."""
    clips: int = 36
    """Held-out clips."""
    classifier_clips: int = 1000
    """True training sounds that the reference classifier learns from."""
    store: Path | None = None
    """Feature store of Foley world made for this model; one is rendered and extracted by default."""
    steps: list[int] = any_number([1, 2, 4, 8, 16, 32, 64])
    """Steps to try; this and the next three alone, without any value, are none."""
    cfg_scale: list[float] = any_number([1.0, 2.0, 3.0, 5.0, 8.0, 11.0])
    """Guidance to try."""
    temperature: list[float] = any_number([0.0, 1.0, 3.0, 10.0, 30.0])
    """Temperatures to try: of a masked model, noise on the confidence."""
    best_of: list[int] = any_number([1, 2, 4, 8])
    """Numbers of samples of which one is kept."""
    select: Literal["weights", "consensus"] = "weights"
    """Keep that which fits the frames best, by --select-weights, or that which is most like the others."""
    select_weights: str = "demo-search"
    """Weights that choose: of 'vab adapt' by agreement, of a scav by distance."""
    seed: int = 0
    """Of the generated sounds."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, clips=(1, 10**6), steps=(1, 10**4), best_of=(1, 1000))


@dataclass(frozen=True, kw_only=True)
class LayoutEditsOptions:
    """Edit the layouts of clips of Foley world and count how often the sound follows.

    Of an event with a second without another after it: erased, moved by half a second, heard once more half a second
    later. Each beside the unedited sound, where the same may be so by chance. Writes layout.json. Re-run to resume.
    """

    output: Path = short("o", default=Path("out/layout"))
    """Folder for the numbers and the sounds."""
    weights: str = "demo-tiva"
    """A model that follows a layout: 'demo-tiva', or the .safetensors file of a tiva."""
    clips: int = 20
    """Held-out clips."""
    store: Path
    """Feature store of Foley world with the model's streams."""
    seed: int = 0
    """Of the generated sounds."""
    device: str = "auto"
    """auto, cpu or cuda."""


Measure = Literal["generation", "retrieval", "probe", "prediction"]


@dataclass(frozen=True)
class AblationOptions:
    """Train small models that differ in one thing, and measure each with the benchmark.

    'alibi': distance in seconds, asymmetric or not, or by index; 'alibi_few_frames': the same at 1.25 frames a second,
    near the paper's rate; 'visual_rate': 12.5, 6.25 or 1.25 frames a second; 'experts': with or without; 'heads': 8 or
    4; 'learning_rate': 2e-3 or 1e-3; 'codebooks': 4 or 2; 'mask_ratio': mean 0.35 (and its minimum with it), 0.55 or
    0.75 (paper appendix C.5; minimum 0.5). Of V-AURA, named apart: 'v_aura_fusion': frames beside codes or before them;
    'v_aura_pattern': delay, parallel or flattened; 'v_aura_rate': sync features 25 or 12.5 times a second beside frames
    at 12.5, or both at 2.5. Of TiVA: 'tiva_predictor' (table 4): a layout predictor that sees class tokens of one layer
    or of all, attends everywhere, near or both, and to patches too; 'tiva_layout' (tables 3 and 5): a generator that
    follows true layouts, onset curves, onsets, or nothing. Writes ablation.json. Re-run to resume.
    """

    what: list[str] = positional(
        default_factory=lambda: [
            "alibi",
            "alibi_few_frames",
            "visual_rate",
            "experts",
            "heads",
            "learning_rate",
            "codebooks",
            "mask_ratio",
        ]
    )
    """Which comparisons; all of VAB by default."""
    store: Path = Path("out/bundle/store")
    """Feature store of Foley world with training and test clips, as 'vab demo train' leaves it."""
    output: Path = short("o", default=Path("out/ablation"))
    """Folder for the models and the numbers."""
    steps: int = 1200
    """Training steps of each model."""
    measure: list[Measure] = field(default_factory=list)
    """generation, the default: the benchmark's scores and the loss on masked codes. retrieval: after contrastive
    adaptation, recall of each clip's audio by its frames. probe: mean average precision of a linear probe on the frames
    alone. prediction, the default of 'tiva_predictor': error of the layouts."""
    clips: int = 100
    """Held-out clips."""
    classifier_clips: int = 1000
    """True training sounds that the reference classifier learns from."""
    seed: int = 0
    """Of the trainings and the generated sounds."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class CurationOptions:
    """Give a share of the training clips each other's sounds, find them by 'vab curate', and train on the rest.

    A small V-AURA for each similarity that a clip needs, and one on all clips (V-AURA, section IV): precision and
    recall of the swapped clips among those that are left out, and the benchmark's scores. Writes curation.json. Re-run
    to resume.
    """

    output: Path = short("o", default=Path("out/curation"))
    """Folder for the swapped store, the lists, the models and the numbers."""
    store: Path
    """Feature store of Foley world with training and test clips and V-AURA's streams."""
    swapped: float = 0.3
    """Share of the training clips that get another's sound."""
    min_similarity: list[float] = field(default_factory=lambda: [0.2, 0.3, 0.4])
    """Similarities to try."""
    weights: str = "demo-search"
    """Of the encoder for search that scores the clips."""
    steps: int = 1200
    """Training steps of each model."""
    clips: int = 100
    """Held-out clips."""
    classifier_clips: int = 1000
    """True training sounds that the reference classifier learns from."""
    seed: int = 0
    """Of the swap, the trainings and the generated sounds."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, swapped=(0, 1))
