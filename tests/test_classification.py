"""Classifiers as a library: distributions of sounds, and what is refused."""

from pathlib import Path

import pytest
import torch
from tiny import write_tiny_classifier, write_tiny_clip

from vab.classification import Classifier
from vab.errors import WeightsError


def test_a_sound_is_a_distribution_and_its_file_the_same_but_for_scale(tmp_path: Path) -> None:
    classifier = Classifier.load(write_tiny_classifier(tmp_path / "c.safetensors", "audio"), device="cpu")
    clip = write_tiny_clip(tmp_path / "clip.mp4", 2.3)
    sound = classifier.pipeline.codec.sample_rate
    assert sound == classifier.sample_rate
    waveform = torch.randn(1, 3 * sound, generator=torch.Generator().manual_seed(0)) * 0.1
    found = classifier.probabilities(waveform)
    assert found.shape == (3,) and found.sum().item() == pytest.approx(1)
    assert not torch.allclose(found, classifier.probabilities(waveform * 0), atol=1e-4)
    overall = classifier.classify(clip)
    assert overall.times == [] and overall.seconds == pytest.approx(2.3, abs=0.05)
    assert ((overall.overall > 0) & (overall.overall < 1)).all()


def test_frames_are_missed_and_a_whole_vab_is_refused(tmp_path: Path) -> None:
    classifier = Classifier.load(write_tiny_classifier(tmp_path / "c.safetensors", "both"), device="cpu")
    with pytest.raises(WeightsError, match="looks at frames; fine-tune one with --modality audio"):
        classifier.probabilities(torch.zeros(1, 16000))
    with pytest.raises(WeightsError, match="a 'vab' names no classes"):
        Classifier.load(tmp_path / "vab.safetensors", device="cpu")
