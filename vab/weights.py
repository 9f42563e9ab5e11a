"""Named weights: bundled with the package, downloaded once, or a file of your own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from vab.checkpoint import load_tensors, save_tensors
from vab.download import check_sha256, download, sha256_of
from vab.errors import WeightsError

__all__ = [
    "RANDOM",
    "WeightsEntry",
    "cache_dir",
    "entries",
    "find",
    "load_tensors",
    "resolve",
    "save_tensors",
    "sha256_of",
]

Kind = Literal["codec", "encoder", "model", "metric"]

RANDOM = "random"
"""In place of a name or path: seeded random weights, for tests."""

_BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class WeightsEntry:
    """One set of weights that has a name."""

    name: str
    kind: Kind
    source: str
    """A URL, or the file name inside ``vab/bundled``."""
    licence: str
    sha256: str | None = None
    """The digest, or its known first digits; None = not known, not verified."""
    size: int | None = None
    """Bytes; about, where the digest is not known in full."""
    note: str = ""

    @property
    def is_bundled(self) -> bool:
        """Whether the file ships with the package."""
        return "://" not in self.source

    @property
    def path(self) -> Path:
        """Where the file lies, or would lie once downloaded."""
        if self.is_bundled:
            return _BUNDLED / self.source
        return cache_dir() / (self.name + PurePosixPath(self.source).suffix)

    @property
    def is_present(self) -> bool:
        """Whether the file is on this machine."""
        return self.path.is_file()


def _bundled(name: str, kind: Kind, note: str) -> WeightsEntry:
    return WeightsEntry(name, kind, f"{name}.safetensors", "Apache-2.0", note=note)


_ENTRIES = (
    _bundled(
        "spectral-16khz", "codec", "works at its step rate; trained on recordings, Foley world and tones"
    ),
    _bundled("demo-clip", "encoder", "open_clip tower, trained on Foley world"),
    _bundled(
        "demo-sync", "encoder", "small S3D, trained to tell how far audio and frames of Foley world are apart"
    ),
    _bundled("demo-vab", "model", "VAB, trained on Foley world"),
    _bundled("demo-refiner", "model", "coarse-to-fine stage, makes the codes that demo-vab leaves out"),
    _bundled("demo-search", "model", "the first layers of demo-vab, adapted for search"),
    _bundled(
        "demo-classes", "model", "the same, probed for the classes of Foley world, from audio and frames"
    ),
    _bundled("demo-maskvat", "model", "MaskVAT, the Seq2Seq network, trained on Foley world"),
    _bundled("demo-v-aura", "model", "V-AURA, trained on Foley world"),
    _bundled("demo-tiva", "model", "TiVA, trained on Foley world"),
    WeightsEntry(
        "audiogen-medium-codec",
        "codec",
        "https://huggingface.co/facebook/audiogen-medium/resolve/main/compression_state_dict.bin",
        "CC-BY-NC-4.0",
        sha256="5a520e64ca99226a9956f83b06df0617b713183fcdc384779883a6bb46dc1095",
        size=235_740_815,
        note="EnCodec 16 kHz, 50 Hz, 4 x 2048: the codec of VAB-Encodec",
    ),
    WeightsEntry(
        "encodec-24khz",
        "codec",
        "https://dl.fbaipublicfiles.com/encodec/v0/encodec_24khz-d7cc33bc.th",
        "MIT",
        sha256="d7cc33bc",
        size=93_000_000,
        note="EnCodec 24 kHz, 75 Hz, up to 32 x 1024",
    ),
    WeightsEntry(
        "dac-16khz",
        "codec",
        "https://github.com/descriptinc/descript-audio-codec/releases/download/0.0.5/weights_16khz.pth",
        "MIT",
        size=297_000_000,
        note="DAC 16 kHz, 50 Hz, 12 x 1024: the codec of VAB-DAC",
    ),
    WeightsEntry(
        "dac-44khz",
        "codec",
        "https://github.com/descriptinc/descript-audio-codec/releases/download/0.0.1/weights.pth",
        "MIT",
        size=307_000_000,
        note="DAC 44.1 kHz, 86.1 Hz, 9 x 1024",
    ),
    WeightsEntry(
        "eva02-l-14",
        "encoder",
        "https://huggingface.co/timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k"
        "/resolve/main/open_clip_model.safetensors",
        "MIT",
        size=856_000_000,
        note="EVA02-CLIP-L/14: the visual encoder of the paper",
    ),
    WeightsEntry(
        "vggish",
        "metric",
        "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        "Apache-2.0",
        sha256="10086976",
        size=288_000_000,
        note="VGGish: the features of the Frechet audio distance",
    ),
    WeightsEntry(
        "panns-16khz",
        "metric",
        "https://zenodo.org/records/3987831/files/Cnn14_16k_mAP%3D0.438.pth",
        "CC-BY-4.0",
        sha256="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
        size=358_668_570,
        note="PANNs Cnn14 at 16 kHz: KL divergence, inception score, Frechet distance",
    ),
    WeightsEntry(
        "panns-32khz",
        "metric",
        "https://zenodo.org/records/3987831/files/Cnn14_mAP%3D0.431.pth",
        "CC-BY-4.0",
        sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
        size=327_428_481,
        note="PANNs Cnn14 at 32 kHz: the same on a wider band",
    ),
    WeightsEntry(
        "passt",
        "metric",
        "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt",
        "Apache-2.0",
        sha256="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
        size=344_665_734,
        note="PaSST-S: KL divergence, inception score, Frechet distance; its network is in the extra vab[passt]",
    ),
    WeightsEntry(
        "imagebind",
        "metric",
        "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
        "CC-BY-NC-SA-4.0",
        size=4_800_000_000,
        note="ImageBind: cosine of frames and audio",
    ),
    WeightsEntry(
        "synchformer",
        "metric",
        "https://github.com/hkchengrex/MMAudio/releases/download/v0.1/synchformer_state_dict.pth",
        "MIT, trained from Motionformer's weights: CC-BY-NC-4.0",
        size=950_000_000,
        note="Synchformer trained on AudioSet: how far audio and frames are apart in time",
    ),
    WeightsEntry(
        "wav2clip",
        "metric",
        "https://github.com/descriptinc/lyrebird-wav2clip/releases/download/v0.1.0-alpha/Wav2CLIP.pt",
        "MIT",
        size=48_000_000,
        note="Wav2CLIP: sound in the space of CLIP ViT-B/32, cosines with true audio and frames",
    ),
)


def cache_dir() -> Path:
    """Folder of downloaded weights: ``$VAB_CACHE``, or ``~/.cache/vab``."""
    return Path(os.environ.get("VAB_CACHE") or Path.home() / ".cache" / "vab").expanduser()


def entries() -> Sequence[WeightsEntry]:
    """All named weights, the bundled ones first."""
    return _ENTRIES


def find(name: str) -> WeightsEntry | None:
    """The entry of that name, if there is one."""
    return next((entry for entry in _ENTRIES if entry.name == name), None)


def limits(path: Path) -> str | None:
    """What weights know, in a line, where they are bundled ones; None for others."""
    if path.resolve().parent != _BUNDLED.resolve():
        return None
    return (
        f"{path.stem}: small bundled weights that know a rendered world (18 kinds of sources) only; "
        "expect little of real videos"
    )


def resolve(name_or_path: str | Path, *, kind: Kind | None = None) -> Path:
    """The local file of named weights, downloaded if need be, or of a path.

    A registered name wins over a file of the same name; write ``./name`` for the file. ``kind`` is what an error
    offers.

    Raises:
        WeightsError: no such name or file; bundled weights that this installation lacks; a download that
            failed, with the place where the file can be put by hand; content of another SHA-256.
    """
    entry = find(str(name_or_path))
    if entry is None:
        path = Path(name_or_path).expanduser()
        if not path.exists():
            known = ", ".join(entry.name for entry in _ENTRIES if kind in (None, entry.kind))
            raise WeightsError(f"{name_or_path}: neither a file nor the name of weights (known: {known})")
        return path
    if entry.is_bundled:
        if not entry.is_present:
            raise WeightsError(
                f"{entry.name}: this installation lacks the bundled file {entry.path}; reinstall vab"
            )
        return entry.path
    if not entry.is_present:
        try:
            download(entry.source, entry.path, sha256=entry.sha256)
        except (WeightsError, OSError) as error:  # such as a folder that cannot be written
            digest = f"SHA-256 {entry.sha256}" if entry.sha256 else "SHA-256 not known"
            raise WeightsError(
                f"{entry.name}: {error}; fetch {entry.source} by other means ({digest}) "
                f"and place it at {entry.path}"
            ) from error
    _verify_once(entry)
    return entry.path


def _verify_once(entry: WeightsEntry) -> None:
    """Check a cached file's digest the first time it is used, as it may have been placed by hand."""
    if entry.sha256 is None:
        return
    stamp = entry.path.with_name(entry.path.name + ".verified")
    status = entry.path.stat()
    identity = f"{entry.sha256} {status.st_size} {status.st_mtime_ns}"
    if stamp.is_file() and stamp.read_text() == identity:
        return
    check_sha256(entry.path, entry.sha256)
    try:
        stamp.write_text(identity)
    except OSError:  # a read-only cache is verified at every use
        return
