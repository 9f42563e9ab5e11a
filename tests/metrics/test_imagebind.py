"""ImageBind: a small file of the true names, its towers against their sums written out, what it hears and sees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_sounds import strikes
from torch.nn import functional as F
from toy_imagebind import DEPTH, HEADS, JOINT, PATCH, STEM, imagebind_state

from vab.errors import MediaError, WeightsError
from vab.media import write_clip
from vab.metrics.imagebind import ImageBind
from vab.metrics.imagebind_inputs import SAMPLE_RATE, mel_pieces, picture_pieces

MEL_MEAN, MEL_STD = -4.268, 9.138


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return imagebind_state()


@pytest.fixture(scope="module")
def official(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagebind") / "imagebind_huge.pth"
    torch.save(state, path)
    return path


def by_hand(state: dict[str, torch.Tensor], modality: str, inputs: torch.Tensor) -> torch.Tensor:
    """The embeddings of a tower, every sum written out."""

    def norm(x: torch.Tensor, name: str, eps: float = 1e-6) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}weight"].T + state[f"{name}bias"]

    before, trunk = f"modality_preprocessors.{modality}", f"modality_trunks.{modality}"
    kernel = state[f"{before}.{STEM[modality]}.weight"]
    stride = PATCH if modality == "vision" else 10
    patches = []
    for top in range(0, inputs.shape[-2] - kernel.shape[-2] + 1, stride):
        for left in range(0, inputs.shape[-1] - kernel.shape[-1] + 1, stride):
            seen = inputs[..., top : top + kernel.shape[-2], left : left + kernel.shape[-1]]
            patches.append(seen.flatten(1) @ kernel.flatten(1).T)
    tokens = torch.stack(patches, dim=1)
    if modality == "audio":
        tokens = norm(tokens, f"{before}.rgbt_stem.norm_layer", 1e-5)
    x = torch.cat([state[f"{before}.cls_token"].expand(len(tokens), -1, -1), tokens], dim=1)
    x = x + state[f"{before}.pos_embedding_helper.pos_embed"]
    if modality == "vision":
        x = norm(x, f"{trunk}.pre_transformer_layer.0")
    for block in (f"{trunk}.blocks.{index}" for index in range(DEPTH)):
        q, k, v = linear(norm(x, f"{block}.norm_1"), f"{block}.attn.in_proj_").chunk(3, dim=-1)
        if modality == "audio":
            k, v = (
                torch.cat([each, state[f"{block}.attn.bias_{name}"].expand(len(each), -1, -1)], dim=1)
                for name, each in (("k", k), ("v", v))
            )
        q, k, v = (each.unflatten(-1, (HEADS[modality], -1)).transpose(1, 2) for each in (q, k, v))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
        x = x + linear((weights @ v).transpose(1, 2).flatten(2), f"{block}.attn.out_proj.")
        hidden = linear(norm(x, f"{block}.norm_2"), f"{block}.mlp.fc1.")
        x = x + linear(hidden * (1 + torch.erf(hidden / 2**0.5)) / 2, f"{block}.mlp.fc2.")
    heads = f"modality_heads.{modality}"
    return F.normalize(norm(x[:, 0], f"{heads}.0") @ state[f"{heads}.2.weight"].T, dim=-1)


def film(path: Path, picture: Callable[[int], np.ndarray], *, seconds: int = 4, fps: int = 10) -> Path:
    write_clip(path, [picture(index) for index in range(seconds * fps)], fps, None, SAMPLE_RATE)
    return path


def test_both_towers_are_their_sums(official: Path, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    model = ImageBind(official)
    sound = strikes([0.5, 1.5, 3.0])
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 64, 3), dtype=np.uint8)
    path = film(tmp_path / "clip.mp4", lambda index: noise[index])
    pictures = picture_pieces(path, 2 * PATCH, 0.0, 4.0)
    embeddings = {"audio": model.embed_audio(sound), "vision": model.embed_video(path, start=0, duration=4)}
    for modality, inputs in (("audio", mel_pieces(sound)), ("vision", pictures)):
        expected = F.normalize(by_hand(state, modality, inputs).mean(dim=0), dim=0)
        assert embeddings[modality].shape == (JOINT,)
        assert torch.allclose(embeddings[modality], expected, atol=1e-4), modality
        assert embeddings[modality].norm().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(embeddings["audio"], model.embed_audio(strikes([0.2])), atol=1e-3)


def test_a_sound_is_heard_at_its_beginning_middle_and_end() -> None:
    clock = torch.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 1000 * clock)[None]
    pieces = mel_pieces(tone * ((clock > 4) & (clock < 6)))
    assert pieces.shape == (3, 1, 128, 204)
    silence = mel_pieces(torch.zeros(1, 10 * SAMPLE_RATE))
    assert torch.equal(pieces[0], silence[0])
    assert torch.equal(pieces[2], silence[2])
    assert pieces[1].mean() > silence[1].mean()
    # Two seconds are 198 windows; the rest is filled with zeros before all is normalised.
    assert torch.allclose(pieces[..., 198:], torch.tensor(-MEL_MEAN / MEL_STD))
    # Bands lie evenly in mel from 20 Hz up.
    mel = 1127 * torch.log1p(torch.tensor([20.0, 1000.0, 8000.0]) / 700)
    place = ((mel[1] - mel[0]) / (mel[2] - mel[0]) * 129).item() - 1
    assert pieces[1, 0, :, 100].argmax().item() == pytest.approx(place, abs=1)
    assert torch.allclose(mel_pieces(tone + 0.3), mel_pieces(tone), atol=1e-2)
    assert mel_pieces(torch.zeros(1, 10)).shape == pieces.shape


def test_a_clip_is_seen_in_pairs_of_pictures_and_three_crops(tmp_path: Path) -> None:
    def picture(index: int) -> np.ndarray:
        frame = np.full((32, 96, 3), 5 * index, dtype=np.uint8)
        frame[:, 64:] = 255
        return frame

    pieces = picture_pieces(film(tmp_path / "wide.mp4", picture), 16, 0.0, 4.0)
    assert pieces.shape == (15, 3, 2, 16, 16)
    red = pieces[:, 0] * 0.26862954 + 0.48145466
    left, middle, right = red.view(5, 3, 2, 16, 16).transpose(0, 1)
    assert torch.allclose(right, torch.ones(()), atol=0.03)
    assert torch.allclose(left, middle, atol=0.03)
    # Pieces of 2 s begin every half second; each has the picture on display at its beginning and at its end.
    shown = torch.tensor([[5 * index, 5 * (index + 19)] for index in (0, 5, 10, 15, 20)]) / 255
    assert torch.allclose(left.mean(dim=(2, 3)), shown, atol=0.03)

    tall = film(tmp_path / "tall.mp4", lambda index: picture(index).transpose(1, 0, 2).copy())
    top, _, bottom = picture_pieces(tall, 16, 0.0, 4.0).view(5, 3, 3, 2, 16, 16).transpose(0, 1)
    assert (bottom > top + 0.1).all()
    # From the middle on, and shorter than a piece: every piece is the whole.
    late = picture_pieces(tmp_path / "wide.mp4", 16, 3.0, 1.0)
    assert torch.equal(late[:3], late[-3:])
    assert late[0, 0, 0].mean() > pieces[0, 0, 0].mean()


def test_no_pictures_is_an_error_of_media(official: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    with pytest.raises(MediaError):
        ImageBind(official).embed_video(tmp_path / "clip.mp4", start=0, duration=1)


def test_other_files_are_one_line(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    with pytest.raises(WeightsError, match="neither a file nor the name"):
        ImageBind(path)
    head, norm = "modality_heads.vision.2.weight", "modality_trunks.audio.blocks.1.norm_2.bias"
    for content, message in (
        ([1, 2], "not the state dict of ImageBind"),
        (
            {key: value for key, value in state.items() if ".audio." not in key},
            "no tower of ImageBind for audio",
        ),
        ({key: value for key, value in state.items() if key != head}, "no tower of ImageBind for vision"),
        (state | {head: torch.zeros(8, 20)}, "no tower of ImageBind for vision"),
        ({key: value for key, value in state.items() if key != norm}, "1 tensors missing"),
        (state | {"modality_trunks.vision.blocks.0.attn.bias_k": torch.zeros(1, 1, 32)}, "1 tensors unknown"),
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            ImageBind(path)
    torch.save(F.normalize, path)
    with pytest.raises(WeightsError, match="does not unpickle"):
        ImageBind(path)
