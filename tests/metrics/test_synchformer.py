"""Synchformer: a small file of the true names, its parts against their sums written out, what it sees and hears."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_sounds import strikes
from torch.nn import functional as F
from toy_synchformer import BANDS, DEPTH, PATCH, PICTURE_STEPS, SIDE, SOUND_STEPS, synchformer_state

from vab.errors import MediaError, WeightsError
from vab.media import write_clip
from vab.metrics import synchformer
from vab.metrics.synchformer import OFFSETS, Synchformer, mean_offset
from vab.metrics.synchformer_inputs import (
    AV_BENCHMARK,
    SAMPLE_RATE,
    V_AURA,
    View,
    mel_segments,
    picture_segments,
)

SIZE = PATCH * SIDE
STEP = SAMPLE_RATE * 32 // 100
"""Samples from one segment to the next."""


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return synchformer_state()


@pytest.fixture(scope="module")
def official(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synchformer") / "synchformer_state_dict.pth"
    torch.save(state, path)
    return path


def film(path: Path, picture: Callable[[int], np.ndarray], *, seconds: float = 8, fps: int = 25) -> Path:
    write_clip(path, [picture(index) for index in range(round(seconds * fps))], fps, None, SAMPLE_RATE)
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 4, 6, 3), dtype=np.uint8)
    enlarged = pixels.repeat(12, axis=1).repeat(12, axis=2)
    return film(tmp_path_factory.mktemp("film") / "clip.mp4", lambda index: enlarged[index])


class Sums:
    """The network, every sum written out."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state

    def norm(self, x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt()
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def linear(self, x: torch.Tensor, name: str, *, end: str = ".") -> torch.Tensor:
        return x @ self.state[f"{name}{end}weight"].T + self.state[f"{name}{end}bias"]

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        heads: int,
        is_seen: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of [B, N, D]; ``is_seen`` [N, N] says which token looks at which, by default each at all."""
        q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (query, key, value))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if is_seen is not None:
            scores = scores.masked_fill(~is_seen, float("-inf"))
        return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)

    def mlp(self, x: torch.Tensor, first: str, second: str) -> torch.Tensor:
        hidden = self.linear(x, first)
        return self.linear(hidden * (1 + torch.erf(hidden / 2**0.5)) / 2, second)

    def patches(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        """[..., H, W] to [..., rows * columns, D], rows first."""
        kernel = self.state[f"{name}.weight"]
        size = kernel.shape[-1]
        found = [
            x[..., top : top + size, left : left + size].flatten(1) @ kernel.flatten(1).T
            for top in range(0, x.shape[-2] - size + 1, stride)
            for left in range(0, x.shape[-1] - size + 1, stride)
        ]
        return torch.stack(found, dim=1) + self.state[f"{name}.bias"]

    def pool(self, groups: torch.Tensor, name: str) -> torch.Tensor:
        """[B, N, D] to [B, D]."""
        x = torch.cat([self.state[f"{name}.cls_token"].expand(len(groups), -1, -1), groups], dim=1)
        normed = self.norm(x, f"{name}.norm1", 1e-6)
        q, k, v = self.linear(normed, f"{name}.self_attn.in_proj", end="_").chunk(3, dim=-1)
        x = x + self.linear(self.attend(q, k, v, heads=12), f"{name}.self_attn.out_proj")
        return (x + self.mlp(self.norm(x, f"{name}.norm2", 1e-6), f"{name}.linear1", f"{name}.linear2"))[:, 0]

    def see(self, segments: torch.Tensor) -> torch.Tensor:
        """[S, 3, 16, H, W] to [S, 8, D]."""
        name, places = "vfeat_extractor", SIDE**2
        moments = [
            self.patches(segments[:, :, 2 * step : 2 * step + 2], f"{name}.patch_embed_3d.proj", PATCH)
            + self.state[f"{name}.pos_embed"][:, 1:]
            + self.state[f"{name}.temp_embed"][:, step : step + 1]
            for step in range(PICTURE_STEPS)
        ]
        first = self.state[f"{name}.cls_token"] + self.state[f"{name}.pos_embed"][:, :1]
        x = torch.cat([first.expand(len(segments), -1, -1), *moments], dim=1)
        # Token 0 is for the whole; token 1 + step * places + place for a place at a moment.
        index = torch.arange(PICTURE_STEPS * places)
        of = {"timeattn": index % places, "attn": index // places}
        for block in (f"{name}.blocks.{number}" for number in range(DEPTH["pictures"])):
            for attention, norm in (("timeattn", "norm3"), ("attn", "norm1")):
                is_seen = torch.ones(1 + len(index), 1 + len(index), dtype=torch.bool)
                is_seen[1:, 1:] = of[attention][:, None] == of[attention][None]
                normed = self.norm(x, f"{block}.{norm}", 1e-6)
                q, k, v = self.linear(normed, f"{block}.{attention}.qkv").chunk(3, dim=-1)
                mixed = self.attend(q, k, v, heads=12, is_seen=is_seen)
                x = x + self.linear(mixed, f"{block}.{attention}.proj")
            x = x + self.mlp(self.norm(x, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1", f"{block}.mlp.fc2")
        x = self.norm(x, f"{name}.norm", 1e-6)[:, 1:]
        groups = [x[:, step * places : (step + 1) * places] for step in range(PICTURE_STEPS)]
        tokens = torch.stack([self.pool(group, f"{name}.spatial_attn_agg") for group in groups], dim=1)
        return self.linear(tokens, "vproj")

    def hear(self, segments: torch.Tensor) -> torch.Tensor:
        """[S, 1, 128, 66] to [S, 6, D]."""
        name = "afeat_extractor.ast"
        firsts = [self.state[f"{name}.embeddings.{each}_token"] for each in ("cls", "distillation")]
        patches = self.patches(segments, f"{name}.embeddings.patch_embeddings.projection", 10)
        x = torch.cat([*(first.expand(len(segments), -1, -1) for first in firsts), patches], dim=1)
        x = x + self.state[f"{name}.embeddings.position_embeddings"]
        for layer in (f"{name}.encoder.layer.{number}" for number in range(DEPTH["sound"])):
            normed = self.norm(x, f"{layer}.layernorm_before", 1e-12)
            names = ("query", "key", "value")
            q, k, v = (self.linear(normed, f"{layer}.attention.attention.{each}") for each in names)
            x = x + self.linear(self.attend(q, k, v, heads=12), f"{layer}.attention.output.dense")
            normed = self.norm(x, f"{layer}.layernorm_after", 1e-12)
            x = x + self.mlp(normed, f"{layer}.intermediate.dense", f"{layer}.output.dense")
        x = self.norm(x, f"{name}.layernorm", 1e-12)[:, 2:]
        columns = [x[:, torch.arange(BANDS) * SOUND_STEPS + step] for step in range(SOUND_STEPS)]
        pooled = [self.pool(column, "afeat_extractor.freq_attn_agg") for column in columns]
        return self.linear(torch.stack(pooled, dim=1), "aproj")

    def compare(self, seen: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        """[14, 8, D] and [14, 6, D] to probabilities [21]."""
        name = "transformer"
        v, a = (self.norm(each.flatten(0, 1)[None], f"{name}.{norm}", 1e-5)
                for each, norm in ((seen, "vis_in_lnorm"), (heard, "aud_in_lnorm")))  # fmt: skip
        x = torch.cat([self.state[f"{name}.OFF_tok"], v, self.state[f"{name}.MOD_tok"], a], dim=1)
        x = x + self.state[f"{name}.pos_emb_cfg.pos_emb"]
        for block in (f"{name}.blocks.{number}" for number in range(DEPTH["joint"])):
            normed = self.norm(x, f"{block}.ln1", 1e-5)
            q, k, value = (self.linear(normed, f"{block}.attn.{each}") for each in ("query", "key", "value"))
            x = x + self.linear(self.attend(q, k, value, heads=8), f"{block}.attn.proj")
            x = x + self.mlp(self.norm(x, f"{block}.ln2", 1e-5), f"{block}.mlp.0", f"{block}.mlp.2")
        logits = self.linear(self.norm(x, f"{name}.ln_f", 1e-5)[:, 0], f"{name}.off_head")
        return logits.softmax(dim=-1)[0]


def test_all_three_parts_are_their_sums(official: Path, state: dict[str, torch.Tensor], noise: Path) -> None:
    model, sums = Synchformer(official), Sums(state)
    sound = strikes([0.5, 1.5, 3.0, 6.5], seconds=8.0)
    seen = model.see(noise, AV_BENCHMARK, start=0.0, duration=8.0)
    by_hand = sums.see(picture_segments(noise, AV_BENCHMARK, SIZE, start=0.0, duration=8.0))
    assert seen.shape == (24, PICTURE_STEPS, 24)
    assert torch.allclose(seen, by_hand, atol=1e-4)
    heard = sums.hear(mel_segments(sound, AV_BENCHMARK))
    expected = [sums.compare(by_hand[part], heard[part]) for part in (slice(0, 14), slice(10, 24))]
    answers = model.answers(seen, sound, AV_BENCHMARK)
    assert answers.shape == (2, 21)
    assert torch.allclose(answers, torch.stack(expected), atol=1e-4)
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)


def test_the_last_seconds_are_in_the_second_answer_alone(official: Path, noise: Path) -> None:
    model = Synchformer(official)
    seen = model.see(noise, AV_BENCHMARK, start=0.0, duration=8.0)
    early, late = (strikes(times, seconds=8.0) for times in ([1.0], [1.0, 5.0, 6.0, 7.0]))
    first, second = model.answers(seen, early, AV_BENCHMARK), model.answers(seen, late, AV_BENCHMARK)
    assert torch.equal(first[0], second[0])
    assert not torch.allclose(first[1], second[1], atol=1e-4)


def test_it_is_the_same_again_and_however_many_at_once(
    official: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Synchformer(official)
    seen = model.see(noise, V_AURA, start=0.0, duration=8.0)
    assert torch.equal(seen, Synchformer(official).see(noise, V_AURA, start=0.0, duration=8.0))
    monkeypatch.setattr(synchformer, "_SEGMENTS_AT_ONCE", 1)
    assert torch.allclose(seen, model.see(noise, V_AURA, start=0.0, duration=8.0), atol=1e-5)


def test_an_answer_is_a_fifth_of_a_second() -> None:
    assert len(OFFSETS) == 21
    assert (OFFSETS[0], OFFSETS[9], OFFSETS[10], OFFSETS[18], OFFSETS[20]) == (-2.0, -0.2, 0.0, 1.6, 2.0)
    answers = torch.zeros(2, 21)
    answers[0, 0], answers[1, 13] = 1, 1
    assert mean_offset(answers) == pytest.approx((2.0 + 0.6) / 2)
    assert mean_offset(torch.eye(21)[[10, 10]]) == 0


@pytest.mark.parametrize(
    ("view", "seconds", "count"),
    [
        (AV_BENCHMARK, 8.0, 24),
        (AV_BENCHMARK, 10.0, 24),
        (AV_BENCHMARK, 4.8, 14),
        (AV_BENCHMARK, 4.7, 13),
        (V_AURA, 10.0, 14),
        (V_AURA, 2.56, 14),
        (V_AURA, 0.5, 14),
    ],
)
def test_segments_are_as_many_as_the_view_has(view: View, seconds: float, count: int, tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", lambda index: np.zeros((32, 32, 3), dtype=np.uint8), seconds=seconds)
    assert picture_segments(path, view, SIZE, start=0.0, duration=seconds).shape == (count, 3, 16, SIZE, SIZE)
    sound = torch.zeros(1, round(seconds * SAMPLE_RATE))
    assert mel_segments(sound, view).shape == (count, 1, 128, 66)
    assert view.fits(seconds) == (count >= 14)


def test_pictures_come_at_their_time_in_the_middle_square(tmp_path: Path) -> None:
    def picture(index: int) -> np.ndarray:
        frame = np.full((64, 128, 3), index, dtype=np.uint8)
        frame[:, :24] = frame[:, -24:] = 255  # outside the central square
        return frame

    path = film(tmp_path / "wide.mp4", picture)
    for view, first in ((AV_BENCHMARK, 0), (V_AURA, 2)):
        segments = picture_segments(path, view, SIZE, start=0.0, duration=8.0)
        shown = (segments * 0.5 + 0.5).mean(dim=(1, 3, 4)) * 255
        expected = first + 8 * torch.arange(len(segments))[:, None] + torch.arange(16)[None]
        assert (shown - expected).abs().max() < 3
    late = picture_segments(path, AV_BENCHMARK, SIZE, start=3.0, duration=5.0)
    assert len(late) == 14
    assert late[0].mean().item() * 127.5 + 127.5 == pytest.approx(75 + 7.5, abs=3)


def test_a_view_of_v_aura_sees_less_of_a_picture(tmp_path: Path) -> None:
    frame = np.zeros((256, 256, 3), dtype=np.uint8)
    frame[:8] = frame[-8:] = 255  # of the 16 that it cuts away
    path = film(tmp_path / "square.mp4", lambda index: frame, seconds=5)
    whole, middle = (
        picture_segments(path, view, 224, start=0, duration=5) for view in (AV_BENCHMARK, V_AURA)
    )
    assert whole[0, 0, 0, 0].mean() > 0.9
    assert middle.max() < -0.9


def test_a_short_clip_begins_again_for_v_aura(tmp_path: Path) -> None:
    short = film(
        tmp_path / "short.mp4", lambda index: np.full((32, 32, 3), 3 * index, dtype=np.uint8), seconds=2.56
    )
    shown = picture_segments(short, V_AURA, SIZE, start=0, duration=2.56).mean(dim=(1, 3, 4)) * 127.5 + 127.5
    expected = 3 * ((2 + 8 * torch.arange(14)[:, None] + torch.arange(16)[None]) % 64)
    assert (shown - expected).abs().max() < 4
    sound = strikes([1.0], seconds=2.56)
    repeated = torch.cat([sound, sound], dim=1)
    assert torch.equal(mel_segments(sound, V_AURA), mel_segments(repeated, V_AURA))


def test_sound_is_heard_at_its_time_and_place() -> None:
    clock = torch.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 1000 * clock)[None]
    segments = mel_segments(tone * ((clock >= 3.2) & (clock < 3.84)), AV_BENCHMARK)
    silence = (np.log(1e-6) + 4.2677393) / (2 * 4.5689974)
    is_heard = [(segment[0, :, :65] > silence + 1e-4).any().item() for segment in segments]
    # Segments begin every 0.32 s: the tenth is the tone's own, and its neighbours hear half of it.
    assert [index for index, each in enumerate(is_heard) if each] == [9, 10, 11]
    # The 65 windows of a segment are filled up to 66 with zeros, before all is normalised.
    assert torch.allclose(segments[..., 65], torch.tensor(4.2677393 / (2 * 4.5689974)))
    # Bands lie evenly in mel from 0 to 8000 Hz.
    mel = 2595 * torch.log10(1 + torch.tensor([1000.0, 8000.0]) / 700)
    assert segments[10, 0, :, 32].argmax().item() == pytest.approx((129 * mel[0] / mel[1]).item() - 1, abs=1)


def test_a_later_sound_moves_by_segments() -> None:
    sound = strikes([0.7, 2.0, 5.1], seconds=8.0)
    later = F.pad(sound, (STEP, 0))[:, : sound.shape[1]]
    segments, moved = mel_segments(sound, AV_BENCHMARK), mel_segments(later, AV_BENCHMARK)
    assert torch.equal(moved[1:], segments[:-1])
    assert not torch.allclose(moved, segments, atol=1e-3)
    # V-AURA's begin 0.08 s into the clip.
    skipped = sound[:, round(0.08 * SAMPLE_RATE) :]
    assert torch.equal(mel_segments(sound, V_AURA), mel_segments(skipped, AV_BENCHMARK)[:14])


def test_what_is_too_short_has_no_answer(official: Path, noise: Path) -> None:
    model = Synchformer(official)
    seen = model.see(noise, AV_BENCHMARK, start=0.0, duration=4.0)
    for sound in (torch.zeros(1, 8 * SAMPLE_RATE), torch.zeros(1, 100)):
        with pytest.raises(ValueError, match="of 14"):
            model.answers(seen, sound, AV_BENCHMARK)


def test_no_pictures_is_an_error_of_media(official: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    with pytest.raises(MediaError):
        Synchformer(official).see(tmp_path / "clip.mp4", V_AURA, start=0, duration=1)


def test_other_files_are_one_line(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    with pytest.raises(WeightsError, match="neither a file nor the name"):
        Synchformer(path)
    head, norm = "transformer.off_head.weight", "vfeat_extractor.blocks.1.norm3.bias"
    for content, message in (
        ([1, 2], "not the state dict of Synchformer"),
        ({"model": state}, "not the state dict of Synchformer"),
        ({key: value for key, value in state.items() if key != head}, "holds no Synchformer"),
        (state | {head: torch.zeros(21, 20)}, "holds no Synchformer"),
        (state | {head: torch.zeros(2, 24)}, "1 tensors of another shape"),
        ({key: value for key, value in state.items() if key != norm}, "1 tensors missing"),
        (state | {"transformer.sync_head.weight": torch.zeros(2, 24)}, "1 tensors unknown"),
        ({key: value for key, value in state.items() if key.startswith("vfeat")}, "holds no Synchformer"),
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            Synchformer(path)


def test_a_training_checkpoint_is_not_unpickled_and_the_file_to_use_is_named(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "24-01-04T16-39-21.pt"
    torch.save({"model": state, "args": F.normalize}, path)
    with pytest.raises(
        WeightsError, match=r"does not unpickle.*Synchformer; use the file that 'vab info' names"
    ):
        Synchformer(path)
