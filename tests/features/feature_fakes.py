"""Small stand-ins: stores without extraction, networks without weights, readers that misbehave."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vab.codecs.base import Codec
from vab.errors import MediaError
from vab.features.batch import FeatureBatch
from vab.features.extract import ExtractionOptions, ExtractionReport, add_stream, extract
from vab.features.info import StoreInfo
from vab.features.makers import AudioInput, CodecMaker, FramesInput, StreamMaker, VisualMaker
from vab.features.manifest import Clip
from vab.features.read import DecodedClip, ReadRequest
from vab.features.shards import ShardArrays
from vab.features.writer import StoreWriter
from vab.visual.base import VisualEncoder

SAMPLE_RATE, HOP = 1600, 32  # 50 steps a second, as the paper's codecs


class FakeCodec(Codec):
    """Code 0 of a step is the loudness of its hop, so sound can be recognised in the store."""

    name, fingerprint = "fake-codec", "c" * 16
    sample_rate, hop_length, num_codebooks, codebook_size, codebook_dim = SAMPLE_RATE, HOP, 2, 1000, 4
    frame_rate = SAMPLE_RATE / HOP
    codebooks = torch.zeros(2, 1000, 4)

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        self.batch_sizes.append(len(waveform))
        hops = waveform.unflatten(2, (-1, HOP)).mean(dim=3)
        return (hops * 100).round().long().expand(-1, 2, -1)


class FakeEncoder(VisualEncoder):
    """Features are the mean colour of a frame."""

    name, fingerprint, feature_shape, image_size = "fake-clip", "e" * 16, (3,), 4
    fps, frames_per_chunk, features_per_chunk = None, 1, 1

    def preprocess(self, frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames[:, :4, :4]).permute(0, 3, 1, 2).float()

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(dim=(2, 3))


class StackEncoder(VisualEncoder):
    """Eight frames in, two features of three patches out: mean brightness of each half, as AVCLIP and TiVA's are."""

    name, fingerprint, image_size, feature_shape = "stack", "f" * 16, 4, (3, 2)
    fps, frames_per_chunk, features_per_chunk = 25.0, 8, 2

    def preprocess(self, frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float()

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        halves = frames.unflatten(0, (-1, 4)).mean(dim=(1, 2, 3, 4))
        return halves[:, None, None].expand(-1, 3, 2)


def fake_makers(
    visual_fps: float = 4.0, codec: FakeCodec | None = None, encoder: FakeEncoder | None = None
) -> dict[str, StreamMaker]:
    return {
        "codes": CodecMaker(codec or FakeCodec()),
        "clip": VisualMaker(encoder or FakeEncoder(), visual_fps),
    }


def read_fake(request: ReadRequest) -> DecodedClip:
    """What a clip is shows in its id: ``silent-``, ``blind-``, ``bad-``, ``crash-``, ``hang-``, ``short-``."""
    kind, number = request.clip.id.split("-")
    if kind == "bad":
        raise MediaError(f"{request.clip.path}: cannot be read")
    if kind == "odd":
        raise RuntimeError("two\nlines")
    if kind == "crash":
        os.abort()
    if kind == "hang":
        time.sleep(60)
    seconds = 1.0 if kind == "short" else request.clip_seconds
    decoded: DecodedClip = {}
    for wanted in request.inputs:
        if isinstance(wanted, AudioInput) and kind != "silent":
            decoded[wanted] = np.full((1, round(seconds * wanted.sample_rate)), int(number) / 100, np.float32)
        elif isinstance(wanted, FramesInput) and kind != "blind":
            decoded[wanted] = np.full((round(seconds * wanted.fps), 4, 4, 3), int(number), np.uint8)
    return decoded


def fake_clips(*ids: str) -> list[Clip]:
    return [Clip(id=name, path=Path(f"{name}.mp4"), split="train", labels=(name[0],)) for name in ids]


def fake_info(visual_fps: float = 8.0, clip_seconds: float = 10.0, embed_dim: int = 3) -> StoreInfo:
    clip = VisualMaker(FakeEncoder(), visual_fps).describe("clip")
    return StoreInfo.of(
        [CodecMaker(FakeCodec()).describe("codes"), replace(clip, shape=(embed_dim,))], clip_seconds
    )


def ramp_arrays(info: StoreInfo, seconds: list[float]) -> ShardArrays:
    """Features that tell the clip (second codebook or number) and the time of each step."""
    arrays = ShardArrays.zeros(len(seconds), info)
    for n, length in enumerate(seconds):
        for name, stream in info.streams.items():
            features = arrays.streams[name][n] if stream.kind == "codes" else arrays.streams[name][n].T
            features[0] = torch.arange(info.num_steps(name))
            features[1] = n
            arrays.num_steps[name][n] = round(length * stream.rate)
    return arrays


def ramp_batch(info: StoreInfo, seconds: list[float]) -> FeatureBatch:
    arrays = ramp_arrays(info, seconds)
    return FeatureBatch(
        streams={
            name: array.float() if array.is_floating_point() else array.long()
            for name, array in arrays.streams.items()
        },
        is_valid={
            name: torch.arange(info.num_steps(name)) < lengths[:, None]
            for name, lengths in arrays.num_steps.items()
        },
        ids=tuple(map(str, range(len(seconds)))),
        labels=tuple((str(n),) for n in range(len(seconds))),
    )


def make_store(path: Path, info: StoreInfo, seconds: list[float], shard_size: int = 3) -> Path:
    """A store of ramps, ids ``clip-N``, alternately ``train`` and ``test``."""
    arrays = ramp_arrays(info, seconds)
    clips = [
        Clip(
            id=f"clip-{n}",
            path=Path(f"clip-{n}.mp4"),
            split=("train", "test")[n % 2],
            labels=(f"even{n % 2}", "all"),
        )
        for n in range(len(seconds))
    ]
    with StoreWriter(path, info) as writer:
        writer.plan(clips, shard_size=shard_size, group_size=2)
        for group in writer.pending():
            keep = torch.tensor(
                [any(clip.id == f"clip-{n}" for clip in group.clips) for n in range(len(seconds))]
            )
            writer.write(group, arrays.rows(keep), {})
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store by its name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def extract_fakes(folder: Path) -> ExtractionReport:
    """Forty clips of which every seventh fails, written one by one."""
    ids = [f"{'bad' if n % 7 == 3 else 'full'}-{n}" for n in range(40)]
    options = ExtractionOptions(clip_seconds=1.0, shard_size=15, batch_size=1)
    return extract(fake_clips(*ids), folder, fake_makers(), options, reader=read_fake)


def add_to_fakes(folder: Path) -> ExtractionReport:
    """A faster stream of the clips of ``extract_fakes``, written one by one."""
    options = ExtractionOptions(clip_seconds=1.0, shard_size=15, batch_size=1)
    return add_stream(folder, "clip25", VisualMaker(FakeEncoder(), 25.0), options, reader=read_fake)


if __name__ == "__main__":
    {"extract": extract_fakes, "add": add_to_fakes}[sys.argv[1]](Path(sys.argv[2]))
