"""Cosines in one space of sound, pictures and words: which of a pair goes where, on networks that are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vab.errors import WeightsError
from vab.features.manifest import Clip
from vab.media import write_audio, write_clip
from vab.metrics.clap import Clap
from vab.metrics.imagebind import ImageBind
from vab.metrics.joint import ClapScorer, ImageBindScorer, Wav2ClipScorer
from vab.metrics.pairing import Pair, PairedSound
from vab.metrics.wav2clip import WIDTH, Wav2Clip

RATE = 16_000
SLANT = 0.6
"""Cosine that the generated sound has with everything of the true clip; the true sound has 1."""


class Space(Clap, ImageBind, Wav2Clip):
    """A loud sound lies on the first axis, as pictures and words do; a soft one slants to the second."""

    sample_rate = RATE
    name = fingerprint = "known"
    feature_shape: tuple[int, ...] = (WIDTH,)
    fps, frames_per_chunk, features_per_chunk = None, 1, 1
    image_size = 8

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.seen: list[tuple[float, float]] = []

    def embed_audio(self, audio: torch.Tensor) -> torch.Tensor:
        is_loud = audio.abs().max().item() > 0.5
        return self._place(1.0 if is_loud else SLANT)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([self.embed_text(text) for text in texts])

    def embed_text(self, text: str) -> torch.Tensor:
        self.heard.append(text)
        return self._place(1.0)

    def embed_video(self, video: str | Path, *, start: float, duration: float) -> torch.Tensor:
        self.seen.append((start, duration))
        return self._place(1.0)

    def preprocess(self, frames: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(frames), 3, 8, 8)

    def encode_frames(self, images: torch.Tensor) -> torch.Tensor:
        return 7 * self._place(1.0).expand(len(images), -1)

    @staticmethod
    def _place(cosine: float) -> torch.Tensor:
        place = torch.zeros(WIDTH)
        place[:2] = torch.tensor([cosine, (1 - cosine**2) ** 0.5])
        return place


def pair(folder: Path, *, has_pictures: bool = True, **more: Any) -> PairedSound:
    time = torch.arange(RATE) / RATE
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    write_audio(folder / "made.flac", [0.2 * tone], RATE)
    path = folder / ("true.mp4" if has_pictures else "true.flac")
    if has_pictures:
        frames: Sequence[np.ndarray] = [np.zeros((16, 16, 3), dtype=np.uint8)] * 10
        write_clip(path, frames, 10, 0.9 * tone, RATE)
    else:
        write_audio(path, [0.9 * tone], RATE)
    return PairedSound(Pair("clip", folder / "made.flac", Clip("clip", path, duration=1.0, **more)))


def test_imagebind_is_of_true_pictures(tmp_path: Path) -> None:
    space = Space()
    scorer = ImageBindScorer(space)
    numbers = scorer.add(pair(tmp_path))
    assert numbers == {"imagebind": pytest.approx(SLANT), "imagebind_of_truth": pytest.approx(1)}
    assert space.seen == [(0.0, 1.0)]
    assert set(numbers) == set(scorer.columns)


def test_clap_is_of_the_caption_or_else_the_labels(tmp_path: Path) -> None:
    space = Space()
    scorer = ClapScorer(space)
    expected = {"clap_audio": SLANT, "clap_text": SLANT, "clap_text_of_truth": 1.0}
    assert scorer.add(pair(tmp_path, caption="a bell", labels=("bell",))) == pytest.approx(expected)
    assert scorer.add(pair(tmp_path, labels=("bell", "rain"))) == pytest.approx(expected)
    assert scorer.add(pair(tmp_path)) == pytest.approx({"clap_audio": SLANT})
    assert space.heard == ["a bell", "bell, rain"]
    # All clips alike on either side: the distance is that of the two places.
    assert scorer.of_set()["fd_clap"] == pytest.approx(2 - 2 * SLANT, abs=1e-5)
    [few] = scorer.warnings()
    assert few.startswith("fd_clap: 3 clips for 512 features")


def test_clap_says_where_there_are_no_words(tmp_path: Path) -> None:
    scorer = ClapScorer(Space())
    scorer.add(pair(tmp_path))
    assert any(warning.startswith("clap_text: not measured") for warning in scorer.warnings())


def test_wav2clip_is_of_true_sound_and_with_an_encoder_of_pictures(tmp_path: Path) -> None:
    model, encoder = Space(), Space()
    assert Wav2ClipScorer(model, None).add(pair(tmp_path)) == {"wc": pytest.approx(SLANT)}
    scorer = Wav2ClipScorer(model, encoder)
    expected = {"wc": SLANT, "cc": SLANT, "cc_of_truth": 1.0}
    assert scorer.add(pair(tmp_path)) == pytest.approx(expected)
    assert scorer.settings()["cc_encoder"] == "known"
    assert scorer.add(pair(tmp_path, has_pictures=False)) == pytest.approx({"wc": SLANT})


def test_pictures_of_another_space_are_refused() -> None:
    narrow = Space()
    narrow.feature_shape = (768,)
    with pytest.raises(WeightsError, match="\\(768,\\), those of Wav2CLIP \\(512,\\)"):
        Wav2ClipScorer(Space(), narrow)
