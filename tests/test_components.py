"""Conditions of any stream: at generation they are what the extraction makes, and long videos come in pieces."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from features.feature_fakes import FakeCodec, FakeEncoder, StackEncoder
from tiny import tiny_components, tiny_config, write_tiny_clip, write_tiny_model

import vab
from vab.checkpoint import load_tensors, save_tensors
from vab.errors import WeightsError
from vab.features import makers
from vab.features.extract import ExtractionOptions, add_stream, extract
from vab.features.makers import CodecMaker, StreamMaker, VisualMaker
from vab.features.manifest import Clip
from vab.features.store import FeatureStore
from vab.models.files import ModelCard
from vab.pipeline import Pipeline

CARD = ModelCard("vab-encoder", {}, {})


class Stack(StackEncoder):
    """One feature of four frames: rounding to whole features differs between the whole and its pieces."""

    frames_per_chunk, features_per_chunk = 4, 1

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.unflatten(0, (-1, 4)).mean(dim=(1, 2, 3, 4))[:, None, None].expand(-1, 3, 2)


def pipeline_of(rates: dict[str, float], **components: Any) -> Pipeline:
    pipeline = Pipeline(torch.nn.Identity(), CARD, components, provenance={})
    pipeline._generator = SimpleNamespace(condition_rates=rates, sample_rate=16000)  # type: ignore[assignment]
    return pipeline


@pytest.mark.parametrize("seconds", [1.1, 6.03, 6.1])
def test_features_at_generation_are_those_of_the_extraction(tmp_path: Path, seconds: float) -> None:
    video = write_tiny_clip(tmp_path / "clip.mp4", seconds)
    stream_makers: dict[str, StreamMaker] = {
        "clip": VisualMaker(FakeEncoder(), 8.0),
        "stack": VisualMaker(Stack(), 25.0),
        "wide": VisualMaker(StackEncoder(), 25.0),
    }
    rates = {name: maker.describe(name).rate for name, maker in stream_makers.items()}
    assert rates == {"clip": 8.0, "stack": 6.25, "wide": 6.25}
    clips = [Clip("clip", video), Clip("part", video, start=0.3, duration=0.7)]
    options = ExtractionOptions(clip_seconds=seconds)
    extract(clips, tmp_path / "store", {"clip": stream_makers["clip"]}, options)
    for name in ("stack", "wide"):
        add_stream(tmp_path / "store", name, stream_makers[name], options)
    stored = FeatureStore(tmp_path / "store").read([0, 1])
    # As an encoder or as a maker of another package: one path.
    pipeline = pipeline_of(rates, clip=FakeEncoder(), stack=Stack(), wide=stream_makers["wide"])
    for row, clip in enumerate(clips):
        made = pipeline.encode_conditions(clip.path, start=clip.start, duration=clip.duration)
        for name, features in made.items():
            expected = stored.streams[name][row, stored.is_valid[name][row]]
            assert features.dtype == torch.float32 and len(features) > 0
            assert torch.equal(features.half().float(), expected), name


def test_a_long_video_is_encoded_in_pieces_of_whole_chunks(tmp_path: Path) -> None:
    sizes = []

    class Counting(StackEncoder):
        def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
            sizes.append(len(frames))
            return super().encode_frames(frames)

    video = write_tiny_clip(tmp_path / "clip.mp4", 7.0)
    features = pipeline_of({"wide": 6.25}, wide=Counting()).encode_video(video, stream="wide")
    assert features.shape == (44, 3, 2) and sizes == [64, 64, 48]


def test_a_component_of_another_rate_or_without_frames_is_refused() -> None:
    frames = np.zeros((8, 4, 4, 3), np.uint8)
    with pytest.raises(WeightsError, match=r"stack makes 6\.25 steps of 'wide' a second, the model takes 5"):
        pipeline_of({"wide": 5.0}, wide=StackEncoder()).encode_frames(frames, "wide")
    with pytest.raises(WeightsError, match="fake-codec makes 'pitch' of audio"):
        pipeline_of({"pitch": 50.0}, pitch=CodecMaker(FakeCodec())).encode_frames(frames, "pitch")
    with pytest.raises(WeightsError, match="without the stream 'wide'"):
        pipeline_of({"wide": 6.25}).encode_frames(frames, "wide")


def other(device: str) -> StreamMaker:
    return VisualMaker(StackEncoder(), 25.0, device)


def test_what_an_installed_package_makes_is_a_component_and_what_only_training_reads_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("stack", f"{__name__}:other", makers.ENTRY_POINTS)
    monkeypatch.setattr(makers, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setattr(EntryPoint, "load", lambda self: other)
    tensors, header = load_tensors(write_tiny_model(tmp_path / "tiny.safetensors"))
    assert set(header["components"]) == set(tiny_components())
    header["components"] |= {
        "stack": {"name": "stack", "fingerprint": StackEncoder.fingerprint},
        "pitch": {"name": "absent", "fingerprint": "0" * 16},
        "wrong": {"name": "tiny-clip", "fingerprint": "0" * 16},
    }
    save_tensors(tmp_path / "tiny.safetensors", tensors, header)
    pipeline = vab.load(tmp_path / "tiny.safetensors")
    assert pipeline.condition_rates == {"clip": tiny_config().visual_fps}
    assert isinstance(pipeline.components["stack"], VisualMaker)
    with pytest.raises(WeightsError, match="goes with absent"):
        pipeline.components["pitch"]
    with pytest.raises(WeightsError, match="was trained with tiny-clip 0000"):
        pipeline.components["wrong"]
