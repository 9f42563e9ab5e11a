"""PANNs' Cnn14: its front end against librosa's, and a file of the true format with random weights."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from made_sounds import strikes

from vab.errors import WeightsError
from vab.metrics.panns import NUM_CLASSES, WIDTH, Cnn14, PannsTagger

RATE, WINDOW, HOP = 16_000, 512, 160


def state() -> dict[str, torch.Tensor]:
    """Random weights behind the front end that the official file carries: a Hann window's Fourier matrix, mel bands."""
    with torch.device("meta"):
        shapes = Cnn14(WINDOW).state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {
        key: torch.randn(value.shape, generator=generator) * 0.05
        if value.is_floating_point()
        else torch.zeros((), dtype=torch.long)
        for key, value in shapes.items()
    }
    tensors |= {key: torch.ones(value.shape) for key, value in shapes.items() if key.endswith("running_var")}
    turns = np.outer(np.arange(WINDOW), np.arange(WINDOW // 2 + 1)) / WINDOW
    matrix = np.exp(-2j * np.pi * turns) * librosa.filters.get_window("hann", WINDOW)[:, None]
    for name, part in (("real", matrix.real), ("imag", matrix.imag)):
        tensors[f"spectrogram_extractor.stft.conv_{name}.weight"] = torch.tensor(part.T[:, None]).float()
    mels = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=64, fmin=50, fmax=8000)
    tensors["logmel_extractor.melW"] = torch.tensor(mels.T).float()
    return tensors


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors' training script of 2020 wrote it: PyTorch's old format, a sampler's arrays, NumPy's old names."""
    path = tmp_path_factory.mktemp("panns") / "Cnn14_16k.pth"
    sampler = {"indexes1_per_class": [np.arange(5), np.arange(3)], "queue1": [1], "pointers1_of_classes": [0]}
    content = {"iteration": 660_000, "model": state(), "sampler": sampler}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    assert b"numpy._core.multiarray" in written
    path.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


def test_the_front_end_is_that_of_librosa() -> None:
    model = Cnn14(WINDOW)
    front_end = {key: value for key, value in state().items() if "extractor" in key}
    model.load_state_dict(front_end, strict=False)
    sound = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(
            y=sound[0].numpy(), sr=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=64, fmin=50, fmax=8000,
            pad_mode="reflect",
        ),
        top_db=None,
    )  # fmt: skip
    with torch.inference_mode():
        mels = model.log_mel(sound)
    assert mels.shape == (1, 1, RATE // HOP + 1, 64)
    assert np.abs(mels[0, 0].T.numpy() - expected).max() < 1e-2


def test_the_official_layout_loads_and_sounds_differ(official: Path) -> None:
    tagger = PannsTagger(official)
    assert tagger.sample_rate == RATE
    struck = tagger(strikes([0.5, 1.5], seconds=2.0))
    assert struck.probabilities.shape == (NUM_CLASSES,)
    assert struck.probabilities.sum().item() == pytest.approx(1, abs=1e-4)
    assert struck.embedding.shape == (WIDTH,)
    assert (struck.embedding >= 0).all()
    assert not torch.allclose(struck.embedding, tagger(torch.zeros(1, 2 * RATE)).embedding)
    short = strikes([0.1], seconds=0.3)
    padded = torch.nn.functional.pad(short, (0, RATE - short.shape[1]))
    assert torch.equal(tagger(short).embedding, tagger(padded).embedding)


def test_the_file_says_which_rate_it_is_of() -> None:
    with torch.device("meta"):
        assert Cnn14(1024).sample_rate == 32_000


def test_other_files_are_one_line(tmp_path: Path) -> None:
    key = "spectrogram_extractor.stft.conv_real.weight"
    for content, message in (
        ([1, 2], "not a checkpoint of PANNs"),
        ({"model": {"fc1.weight": torch.zeros(1)}}, "not a checkpoint of PANNs"),
        ({"model": {key: torch.zeros(129, 1, 256)}}, "a PANN of window 256"),
        ({"model": {key: torch.zeros(257, 1, 512)}}, "do not fit the architecture"),
    ):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=message):
            PannsTagger(tmp_path / "other.pth")
