"""Classifiers as a library: distributions of sounds, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, write_tiny_clip, write_tiny_model

from vab.classification import Classifier
from vab.config import to_dict
from vab.errors import WeightsError
from vab.models.files import load_model, save_model
from vab.models.vab.classifier import MODEL_TYPE, Modality, VABClassifier, VABClassifierConfig


def _write(folder: Path, modality: Modality) -> Path:
    _, card = load_model(write_tiny_model(folder / "vab.safetensors"))
    config = VABClassifierConfig(["dog", "rain", "hum"], modality, tiny_config())
    torch.manual_seed(0)
    model = VABClassifier(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    save_model(folder / "c.safetensors", model, replace(card, type=MODEL_TYPE, config=to_dict(config)))
    return folder / "c.safetensors"


def test_a_sound_is_a_distribution_and_its_file_the_same_but_for_scale(tmp_path: Path) -> None:
    classifier = Classifier.load(_write(tmp_path, "audio"), device="cpu")
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
    classifier = Classifier.load(_write(tmp_path, "both"), device="cpu")
    with pytest.raises(WeightsError, match="looks at frames; fine-tune one with --modality audio"):
        classifier.probabilities(torch.zeros(1, 16000))
    with pytest.raises(WeightsError, match="a 'vab' names no classes"):
        Classifier.load(tmp_path / "vab.safetensors", device="cpu")
