"""Options of the ``vab evaluate`` commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.config import check_ranges

Families = list[Literal["onsets", "events", "spectra", "cepstra"]]
"""Metrics by what they look at."""


@dataclass(frozen=True, kw_only=True)
class TokensOptions:
    """Masked-token accuracy and loss by codebook, with the frames and without them: the gap is what vision adds.

    Measured with all codes masked, as generation begins, and by the ratios of the paper's pretraining with fixed seeds.
    """

    store: Path
    """Feature store, made with the codec and encoder of the weights."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or a model's .safetensors file."""
    split: str = "test"
    """Clips to measure on."""
    batch_size: int = 4
    """Clips a model pass; the spread between these batches says how sure the gain is."""
    seed: int = 0
    """Of the masks."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers and what they were measured on."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, batch_size=(1, 10**5))


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Measure generated sound against true sound: a folder against a folder, paired by file name.

    A file that is missing, unreadable, empty, silent, of another length or another rate is never replaced: the run is
    refused with a list of such files, or they are counted. What each number means: vab/metrics/README.md.
    """

    generated: Path
    """Folder of generated sound or video."""
    reference: Path
    """Folder of the true clips; a JSON with 'events' beside a clip, as in Foley world, gives true event times."""
    list: Path | None = None
    """Clips to compare: any list that 'vab extract' reads, or one id a line; default: all of the reference."""
    split: str | None = None
    """Of the list, such as test."""
    metrics: Families = field(default_factory=lambda: ["onsets", "events", "spectra", "cepstra"])
    """Families that need no weights."""
    codec: str | None = None
    """Codec for the Frechet distance on its codes (fdd): a name that 'vab info' lists, or a file."""
    contrastive: str | None = None
    """Weights of 'vab adapt', for the agreement of audio and frames."""
    classifier: str | None = None
    """Weights of 'vab finetune' on sound, for KL divergence, inception score and accuracy."""
    vggish: str | None = None
    """'vggish', downloaded once, or its file: for the Frechet audio distance (fad)."""
    panns: str | None = None
    """'panns-16khz' or 'panns-32khz', downloaded once, or a file of either: for KL divergence, inception score and
    Frechet distance by PANNs."""
    passt: str | None = None
    """'passt', downloaded once, or its file: for the same by PaSST, whose package is the extra vab[passt]."""
    clap: str | None = None
    """Folder of a CLAP in Hugging Face's format, such as laion/clap-htsat-unfused downloaded: for the cosine of sound
    and words, of sound and true sound, and Frechet distance; needs the extra vab[clap]."""
    imagebind: str | None = None
    """'imagebind', downloaded once, or its file: for the cosine of audio and frames; its weights are under
    CC-BY-NC-SA 4.0, not for commercial use."""
    synchformer: str | None = None
    """'synchformer', downloaded once, or its file: for the offset in time of audio and frames (desync, sync); slow
    without a GPU; its weights come from others under CC-BY-NC 4.0, not for commercial use."""
    wav2clip: str | None = None
    """'wav2clip', downloaded once, or its file: for the cosine of sound and true sound in CLIP's space (wc)."""
    clip: str | None = None
    """With --wav2clip, weights of OpenAI's CLIP ViT-B/32: 'openai', downloaded once by open_clip, or a file; for the
    cosine of audio and frames (cc)."""
    onset_threshold: float = 4.0
    """dB by which an onset rises above its surroundings."""
    onset_window: float = 0.05
    """Seconds within which two onsets are one event: another number than the threshold."""
    on_problem: Literal["refuse", "count"] = "refuse"
    """Refuse to measure while any file has a problem, or count the problems and measure the rest."""
    rank_by: str | None = None
    """Metric of single clips by which the page shows the ten best and the ten worst; default: odf_dtw, or multi_stft
    where that alone is measured, since only these two order published systems sensibly."""
    output: Path = short("o", default=Path("report.json"))
    """JSON with all numbers, clips and problems; a page to hear and see goes beside it."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class RetrievalOptions:
    """Find a clip's sound by its frames and its frames by its sound: R@1, R@5, R@10 and median rank, with chance.

    The answer is the very clip, not one of its class. Whatever is as similar as the answer counts as found before it.
    """

    store: list[Path]
    """Feature stores, made with the codec and encoder of the weights."""
    weights: str = "demo-search"
    """A name that 'vab info' lists, or a .safetensors file of 'vab adapt' or 'vab pretrain'."""
    split: str = "test"
    """Clips to search among."""
    clips: Path | None = None
    """List of clips instead of the whole split: CAV-MAE's JSON, MSR-VTT's JSON or CSV, or ids, one a line."""
    crop_seconds: float | None = None
    """Compare the first so many seconds of clips; by default the length that the weights were trained on."""
    through: Literal["matrix", "faiss"] = "matrix"
    """Rank by the full matrix of similarities, or by the exact FAISS index that 'vab index' uses."""
    batch_size: int = 32
    """Clips a model pass."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers and what they were measured on."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, batch_size=(1, 10**5), crop_seconds=(0.01, 3600))


@dataclass(frozen=True, kw_only=True)
class ListeningOptions:
    """Make a blinded listening test: one page for the listeners, one key that says which sound is whose.

    As in the paper's appendix A: overall quality and visual relevance, asked of pairs (ab) or of single clips (mos).
    Listeners send back the CSV that the page saves; 'vab evaluate answers' reads it with the key.
    """

    systems: list[str]
    """Two or more as NAME=FOLDER, files of one clip under one name; in ab the first meets each of the others."""
    kind: Literal["ab", "mos"] = "ab"
    """Pairs, or single clips rated 1 to 5."""
    videos: Path | None = None
    """Folder of the silent or true clips, whose frames go with files that are sound only."""
    num_clips: int = 20
    """Clips, drawn among those that every system has."""
    seed: int = 0
    """Of the drawing and of every order."""
    output: Path = short("o", default=Path("listening"))
    """Folder for test.html, which holds all media, and key.json, which listeners must not see."""

    def __post_init__(self) -> None:
        check_ranges(self, num_clips=(1, 10**6))


@dataclass(frozen=True, kw_only=True)
class AnswersOptions:
    """Analyse the answers of a listening test: mean, 95 % interval, preference and its sign test."""

    answers: list[Path] = positional()
    """CSV files that listeners sent back."""
    key: Path
    """The key.json of that test."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers."""


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """Cut a list of clips from VGGSound's own, to measure on and to hand on: '--list' of 'vab evaluate generation'.

    Many lists go by the name of "VGGSound test", since videos disappear. The list that is written says in its first
    lines which file it was cut from, with its SHA-256, and how; whoever has the same videos can measure on the same.
    """

    source: Path
    """The official vggsound.csv: youtube_id,start,label,split."""
    split: str = "test"
    """Clips to keep."""
    labels: list[str] = field(default_factory=list)
    """Of those, the ones of these classes; default: all."""
    media_root: Path | None = None
    """Of those, the ones whose file is in this folder, under any of the names that downloaders give."""
    output: Path = short("o", default=Path("list.csv"))
    """The list, in the format of the source."""


@dataclass(frozen=True)
class CodecOptions:
    """What codecs keep of pitch and spectrum: test tones, a glide, and log-mel distance on recordings, beside Opus.

    Tone share is the energy within 6 Hz of a steady tone's partials, cents the median error of its pitch; encode and
    decode are seconds of computation a second of audio. Writes codec.json and glide.png.
    """

    codecs: list[str] = positional(default_factory=lambda: ["spectral-16khz"])
    """Names that 'vab info' lists, or files."""
    audio: list[Path] = field(default_factory=list)
    """Files, or folders of recordings or videos, each measured on its own."""
    clips: int = 40
    """Of each folder at most so many files, evenly spread."""
    seconds: float = 5.0
    """Of each file, from its start."""
    num_codebooks: list[int] = field(default_factory=lambda: [4])
    """Measure the first so many codebooks as well as all."""
    num_tones: int = 24
    """Steady tones between 200 and 2500 Hz."""
    seed: int = 0
    """Of the tones' pitches."""
    output: Path = short("o", default=Path("out/codec"))
    """Folder for the numbers and the picture."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            clips=(1, 10**6),
            seconds=(0.01, 3600),
            num_codebooks=(1, 1000),
            num_tones=(1, 10**6),
        )


@dataclass(frozen=True, kw_only=True)
class ResultsOptions:
    """Write the page of results: the text of a template, its tables and numbers from the JSON files beside it.

    Each file is what a benchmark wrote: 'evaluate demo', 'sweep', 'ablation', 'refinement', 'tokens', 'retrieval',
    'codec', or 'finetune'. To add a measurement, copy its JSON into the folder, name it in the template, and re-run.
    """

    source: Path = Path("docs/results")
    """Folder of template.md and the JSON files."""
    output: Path = short("o", default=Path("docs/results.md"))
    """The page."""
