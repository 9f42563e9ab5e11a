"""Encoders that take stacks of frames at a rate of their own, and makers from other packages."""

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
from feature_fakes import FakeCodec, FakeEncoder, StackEncoder

from vab.errors import WeightsError
from vab.features import makers
from vab.features.makers import AudioInput, CodecMaker, FramesInput, StreamMaker, VisualMaker, load_maker
from vab.visual import TextEncoder, VisualEncoder, text_encoder


def frames(count: int, first: int = 0) -> np.ndarray:
    return (
        np.arange(first, first + count, dtype=np.uint8)[:, None, None, None]
        .repeat(4, 1)
        .repeat(4, 2)
        .repeat(3, 3)
    )


def test_chunks_give_their_features_at_the_encoder_s_own_rate() -> None:
    maker = VisualMaker(StackEncoder(), 25.0)
    stream = maker.describe("avclip")
    assert (stream.kind, stream.rate, stream.shape) == ("latents", 6.25, (3, 2))
    assert maker.reads == FramesInput(25.0, 4)
    clips = [maker.prepare(frames(50)), maker.prepare(frames(20, first=100))]
    features, lengths = maker.encode(clips, 2.0)
    assert features.shape == stream.batch_shape(2, 12) == (2, 12, 3, 2)
    assert lengths.tolist() == [12, 5]
    assert features[0, :, 0, 0].tolist() == [4 * n + 1.5 for n in range(12)]
    assert features[1, :5, 2, 1].tolist() == [101.5, 105.5, 109.5, 113.5, 117.5]
    assert (features[1, 5:] == features[1, 4]).all(), "beyond its end the last one repeats"
    with pytest.raises(ValueError, match="stack takes 25 frames a second, not 8"):
        VisualMaker(StackEncoder(), 8.0)


def test_codecs_and_encoders_are_makers() -> None:
    codec, visual = CodecMaker(FakeCodec()), VisualMaker(FakeEncoder(), 8.0)
    assert isinstance(codec, StreamMaker) and isinstance(visual, StreamMaker)
    assert codec.reads == AudioInput(1600)
    assert codec.describe("codes").batch_shape(3, 50) == (3, 2, 50)


def test_an_encoder_without_a_text_tower_says_so() -> None:
    assert isinstance(StackEncoder(), VisualEncoder) and not isinstance(StackEncoder(), TextEncoder)
    with pytest.raises(WeightsError, match="stack: has no text tower"):
        text_encoder(StackEncoder())


def loud(device: str) -> StreamMaker:
    return CodecMaker(FakeCodec(), device)


def test_other_packages_name_makers_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("loud", f"{__name__}:loud", makers.ENTRY_POINTS)
    monkeypatch.setattr(makers, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setattr(EntryPoint, "load", lambda self: loud)
    assert load_maker("loud", "cpu").describe("loud").name == "loud"
