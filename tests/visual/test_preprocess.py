"""Our batched transform against open_clip's own, which is Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from vab.errors import ConfigError
from vab.visual.preprocess import Preprocess

SIZES = [(240, 320), (1080, 1920), (64, 48), (225, 224), (37, 500), (200, 20), (32, 32), (1, 1), (1, 16)]


def picture(height: int, width: int) -> np.ndarray:
    """Smooth random colours: noise of single pixels is not what videos show."""
    rng = np.random.default_rng(height + width)
    rough = rng.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clip(size: tuple[int, int], resize_mode: str, interpolation: str) -> None:
    frame = picture(*size)
    theirs = image_transform_v2(
        PreprocessCfg(size=64, resize_mode=resize_mode, interpolation=interpolation, fill_color=90),
        is_train=False,
    )
    ours = Preprocess(size=64, resize_mode=resize_mode, interpolation=interpolation, fill_color=90)
    expected = theirs(Image.fromarray(frame))
    difference = (ours(frame[None])[0] - expected).abs() * torch.tensor(ours.std).view(3, 1, 1) * 255
    assert difference.mean() < 0.2
    assert difference.max() < 2.5  # of 255 grey values


def test_batch_equals_singles() -> None:
    frames = np.stack([picture(90, 160) + shift for shift in np.arange(5, dtype=np.uint8)])
    ours = Preprocess(size=32)
    together = ours(frames)
    assert together.shape == (5, 3, 32, 32)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.cat([ours(frame[None]) for frame in frames]))


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([picture(90, 160)] * 5)
    expected = Preprocess(size=32)(frames)
    monkeypatch.setattr("vab.visual.preprocess._BYTES_PER_BATCH", 1)
    assert torch.equal(Preprocess(size=32)(frames), expected)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (3, 9000)])
def test_strips_stay_small(size: tuple[int, int]) -> None:
    """Enlarged whole, such a frame would fill a gigabyte."""
    frame = picture(*size)
    result = Preprocess(size=224)(frame[None])
    assert result.shape == (1, 3, 224, 224)
    height, width = size
    middle = frame[max(0, height // 2 - 1) : height // 2 + 2, max(0, width // 2 - 1) : width // 2 + 2]
    grey = result[0] * torch.tensor(Preprocess().std).view(3, 1, 1) + torch.tensor(Preprocess().mean).view(
        3, 1, 1
    )
    expected = torch.from_numpy(middle.reshape(-1, 3).mean(axis=0) / 255)
    assert (grey[:, 112, 112] - expected).abs().max() < 0.1


def test_read_only_sliced_and_empty_frames() -> None:
    frames = np.stack([picture(40, 50)] * 4)
    expected = Preprocess(size=32)(frames)
    frames.flags.writeable = False
    assert torch.equal(Preprocess(size=32)(frames), expected)
    assert torch.equal(Preprocess(size=32)(frames[::2]), expected[::2])
    assert Preprocess(size=32)(frames[:0]).shape == (0, 3, 32, 32)
    mirrored = Preprocess(size=32)(np.ascontiguousarray(frames[:, :, ::-1]))
    assert torch.equal(Preprocess(size=32)(frames[:, :, ::-1]), mirrored)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 3, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 3), np.float32),
        np.zeros((2, 0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="frames must be uint8"):
        Preprocess()(frames)


def test_from_open_clips_json() -> None:
    values = {"size": [32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "mode": "RGB", "interpolation": "random"}
    ours = Preprocess.from_dict(values)
    assert ours == Preprocess(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert Preprocess.from_dict({"mean": None}) == Preprocess()
    for wrong in ({"size": [32, 64]}, {"interpolation": "nearest"}, {"resize_mode": "odd"}):
        with pytest.raises(ConfigError):
            Preprocess.from_dict(wrong)
