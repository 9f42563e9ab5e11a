"""``vab bench extract``: clips a second of an extraction, beside decoding alone and encoding alone."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tasks.bench.model import processor
from tasks.bench.options import BenchExtractOptions
from tasks.console import console, numbers_table
from tasks.options import command_line
from tasks.record import conditions, write_record
from vab.codecs import load_codec
from vab.device import choose_device
from vab.errors import VABError
from vab.features.extract import ExtractionOptions, extract
from vab.features.info import StreamInfo
from vab.features.makers import AudioInput, CodecMaker, FramesInput, StreamMaker, VisualMaker
from vab.features.manifest import Clip, load_manifest, merge
from vab.features.read import DecodedClip, ReadRequest, read_clip
from vab.files import check_outputs
from vab.shapes import Int, Tensor
from vab.timing import num_frames, num_samples
from vab.visual import load_visual


def run(options: BenchExtractOptions) -> int:
    """Print a table, write JSON if asked."""
    clips = merge(load_manifest(Path(path)) for path in options.inputs).clips
    if options.output:
        check_outputs([options.output], (clip.path for clip in clips))
    with tempfile.TemporaryDirectory() as folder:
        rates, frame_rate = _measure(clips, options, Path(folder))
    halves = (rates["decoding alone"], rates["encoding alone"])
    bounds = {
        "the slower half": min(halves),
        "both, one after the other": 1 / sum(1 / rate for rate in halves),
    }
    ratios = {name: rates["extraction"] / rate for name, rate in bounds.items()}
    _show(rates, ratios)
    if options.output:
        measured = conditions(
            clips=", ".join(Path(each).name for each in options.inputs),
            num_clips=len(clips),
            clip_seconds=options.clip_seconds,
            codec=options.codec,
            frame_rate=frame_rate,
            visual_fps=options.visual_fps,
            device=processor(choose_device(options.device)),
            command=command_line("bench extract", options),
        )
        write_record(options.output, "extraction", {"clips_a_second": rates, "share_of": ratios}, measured)
    return 0


def _measure(
    clips: Sequence[Clip], options: BenchExtractOptions, folder: Path
) -> tuple[dict[str, float], float]:
    device = choose_device(options.device)
    weights = "random" if options.weights == "random" else None
    codec = load_codec(options.codec, weights=weights, device=device)
    encoder = load_visual(options.encoder, weights=weights, device=device)
    makers: Mapping[str, StreamMaker] = {
        "codes": CodecMaker(codec, device),
        "clip": VisualMaker(encoder, encoder.fps or options.visual_fps, device),
    }
    settings = ExtractionOptions(clip_seconds=options.clip_seconds, num_workers=options.workers)
    unencoded: Mapping[str, StreamMaker] = {
        name: _Unencoded(maker, maker.describe(name)) for name, maker in makers.items()
    }
    extract(clips[:1], folder / "warm", makers, settings)
    seconds = defaultdict(list)
    for repeat in range(options.repeats):
        for name, chosen, reader in (
            ("decoding alone", unencoded, read_clip),
            ("encoding alone", makers, _undecoded),
            ("extraction", makers, read_clip),
        ):
            report = extract(clips, folder / f"{name} {repeat}", chosen, settings, reader=reader)
            if report.num_failed:
                raise VABError(
                    f"{report.num_failed} of {len(clips)} clips cannot be read; give only whole ones"
                )
            seconds[name].append(report.seconds)
    rates = {name: len(clips) / median(each) for name, each in seconds.items()}
    return rates, codec.frame_rate


@dataclass(frozen=True)
class _Unencoded(StreamMaker):
    """Prepares what a maker takes, and makes zeros of it."""

    maker: StreamMaker
    info: StreamInfo

    @property
    def reads(self) -> AudioInput | FramesInput:
        return self.maker.reads

    def describe(self, name: str) -> StreamInfo:
        return self.info

    def prepare(self, decoded: np.ndarray) -> Tensor:
        return self.maker.prepare(decoded)

    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        steps = self.info.num_steps(clip_seconds)
        return torch.zeros(self.info.batch_shape(len(clips), steps)), torch.full((len(clips),), steps)


def _undecoded(request: ReadRequest) -> DecodedClip:
    """Noise of a clip's full length."""
    noise: Any = np.random.default_rng(0)
    decoded: DecodedClip = {}
    for wanted in request.inputs:
        if isinstance(wanted, AudioInput):
            shape = (1, num_samples(request.clip_seconds, wanted.sample_rate))
            decoded[wanted] = noise.standard_normal(shape, np.float32)
        else:
            size = (num_frames(request.clip_seconds, wanted.fps), wanted.image_size, wanted.image_size, 3)
            decoded[wanted] = noise.integers(0, 256, size, np.uint8)
    return decoded


def _show(rates: Mapping[str, float], ratios: Mapping[str, float]) -> None:
    table = numbers_table("clips a second", "what", "clips a second")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:.2f}")
    console.print(table)
    for name, ratio in ratios.items():
        console.print(f"extraction has {ratio:.0%} of {name}", markup=False)
