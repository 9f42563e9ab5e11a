"""The whole path at toy size: video in, sound of its length out, the same for the same seed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import VISUAL_FPS, tiny_config, write_tiny_clip, write_tiny_model

import vab
from vab import media
from vab.checkpoint import load_tensors, save_tensors
from vab.decoding.options import DecodingOptions
from vab.errors import MediaError, VABError, WeightsError
from vab.features.manifest import Clip
from vab.generation import SaveOptions, gain_db
from vab.metrics.loudness import loudness
from vab.mixing import duck
from vab.models.masked import generate_codes
from vab.models.vab.model import VAB
from vab.windows import Windows


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 2.3)


def test_a_video_gets_sound_of_its_exact_length(weights: Path, clip: Path, tmp_path: Path) -> None:
    pipeline = vab.load(weights)
    generation = pipeline.generate(clip, seed=0)
    seconds = media.probe(clip).duration
    assert generation.waveform.shape == (1, round(seconds * 16000))
    generation.save(tmp_path / "out.mp4")
    assert media.probe(tmp_path / "out.mp4").duration == pytest.approx(seconds, abs=0.005)
    assert media.read_audio(tmp_path / "out.mp4", 16000).shape[1] == pytest.approx(seconds * 16000, abs=16)
    settings = json.loads((tmp_path / "out.mp4.json").read_text())
    assert (settings["seed"], settings["sample"], settings["clip"]) == (0, 0, "clip")
    assert settings["sampling"] == {"num_steps": 3, "cfg_scale": 2.0, "temperature": 1.0}


def test_one_seed_one_sound(weights: Path, clip: Path) -> None:
    pipeline = vab.load(weights)
    first = pipeline.generate(clip, seed=1).waveform
    assert torch.equal(first, pipeline.generate(clip, seed=1).waveform)
    assert not torch.equal(first, pipeline.generate(clip, seed=2).waveform)


@pytest.mark.parametrize(
    "change", [{"steps": 1}, {"cfg_scale": 1.0}, {"temperature": 20.0}, {"duration": 1.0}]
)
def test_every_option_of_generate_changes_the_sound(
    weights: Path, clip: Path, change: dict[str, float]
) -> None:
    pipeline = vab.load(weights)
    plain = pipeline.generate(clip, seed=1).waveform
    changed = pipeline.generate(clip, seed=1, **change).waveform  # type: ignore[arg-type]
    assert plain.shape != changed.shape or not torch.equal(plain, changed)


def test_a_sound_depends_on_seed_and_clip_not_on_batch_or_place(
    weights: Path, clip: Path, tmp_path: Path
) -> None:
    pipeline = vab.load(weights)
    other = write_tiny_clip(tmp_path / "other.mp4", 1.3, seed=3)
    alone = pipeline.generate(clip, seed=1)
    many = list(pipeline.generate_many([other, clip], seed=1, num_samples=2, batch_size=2))
    assert [(each.clip.id, each.settings["sample"]) for each in many] == [
        ("other", 0), ("other", 1), ("clip", 0), ("clip", 1)
    ]  # fmt: skip
    assert torch.equal(many[2].waveform, alone.waveform)
    assert not torch.equal(many[3].waveform, alone.waveform)
    # The same frames under another name get noise of their own.
    copy = Path(shutil.copy(clip, tmp_path / "copy.mp4"))
    assert not torch.equal(pipeline.generate(copy, seed=1).waveform, alone.waveform)


def test_a_clip_that_cannot_be_read_stops_the_others_only_when_nobody_listens(
    weights: Path, clip: Path, tmp_path: Path
) -> None:
    pipeline = vab.load(weights)
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    with pytest.raises(MediaError):
        list(pipeline.generate_many([bad, clip]))
    errors: list[str] = []
    done: list[float] = []
    made = list(
        pipeline.generate_many(
            [bad, clip], on_error=lambda which, error: errors.append(which.id), on_progress=done.append
        )
    )
    assert (errors, [each.clip.id for each in made]) == (["bad"], ["clip"])
    assert sum(done) == pytest.approx(2)


def test_running_out_of_memory_on_one_clip_is_that_clips_failure(
    weights: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = vab.load(weights)
    large = Path(shutil.copy(clip, tmp_path / "large.mp4"))
    encode = pipeline.encode_video

    def encode_small(path: Path, **stretch: float) -> torch.Tensor:
        if path == large:
            raise MemoryError("too large")
        return encode(path, **stretch)

    monkeypatch.setattr(pipeline, "encode_video", encode_small)
    errors: list[str] = []
    made = list(
        pipeline.generate_many(
            [large, clip], on_error=lambda which, error: errors.append(f"{which.id} {error}")
        )
    )
    assert (errors, [each.clip.id for each in made]) == (["large too large"], ["clip"])


def test_a_part_of_a_video_is_generated_and_cut_out(weights: Path, clip: Path, tmp_path: Path) -> None:
    pipeline = vab.load(weights)
    generation = pipeline.generate(Clip("part", clip, start=0.5, duration=1.0))
    generation.save(tmp_path / "part.mp4")
    assert media.probe(tmp_path / "part.mp4").duration == pytest.approx(1.0, abs=0.01)
    frames = [
        np.concatenate(list(media.iter_frames(path, 10, start=start, duration=1.0))).astype(int)
        for path, start in ((tmp_path / "part.mp4", 0.0), (clip, 0.5))
    ]
    assert np.abs(frames[0] - frames[1]).mean() < 15 < np.abs(frames[0][1:] - frames[1][:-1]).mean()
    with pytest.raises(MediaError, match="before the clip's start"):
        pipeline.generate(Clip("late", clip, start=9.0))
    with pytest.raises(ValueError, match="duration 0"):
        pipeline.generate(clip, duration=0.0)


def test_reprs_are_short_and_a_notebook_gets_a_player(weights: Path, clip: Path) -> None:
    pipeline = vab.load(weights, device="cpu")
    assert repr(pipeline) == f"Pipeline({str(weights)!r}, vab with tiny-encodec and tiny-clip, on cpu)"
    generation = pipeline.generate(clip, seed=4)
    assert repr(generation) == "Generation('clip', 2.30 s at 16000 Hz, seed 4)"
    assert generation._repr_html_().startswith('<audio controls src="data:audio/wav;base64,UklGR')


def noise(seconds: float, level: float = 0.02) -> torch.Tensor:
    return level * torch.randn(1, round(seconds * 16_000), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("options", "lufs", "peak"),
    [
        ({"loudness": -30.0}, -30.0, None),
        ({"loudness": -5.0}, None, -1.0),
        ({"loudness": -5.0, "peak": -6.0}, None, -6.0),
        ({"peak": -3.0}, None, -3.0),
    ],
)
def test_gain_reaches_the_loudness_or_the_peak(
    options: dict[str, float], lufs: float | None, peak: float | None
) -> None:
    waveform = noise(2.0)
    gain = gain_db(waveform, 16_000, loudness_lufs=options.get("loudness"), peak=options.get("peak"))
    found = loudness(waveform * 10 ** (gain / 20), 16_000)
    assert lufs is None or found.lufs == pytest.approx(lufs, abs=0.1)
    assert peak is None or found.peak_db == pytest.approx(peak, abs=0.1)
    assert gain_db(0 * waveform, 16_000, loudness_lufs=-20.0, peak=None) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"loudness": -30.0},
        {"peak": -20.0},
        {"mix": 0.0},
        {"mix": 0.0, "duck": 12.0},
        {"sample_rate": 48_000},
        {"stereo": True},
    ],
)
def test_every_save_option_changes_the_file_and_says_so(
    weights: Path, clip: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    generation = vab.load(weights).generate(clip)
    generation.save(tmp_path / "plain.wav")
    generation.save(tmp_path / "changed.wav", SaveOptions(**change))
    assert (tmp_path / "plain.wav").read_bytes() != (tmp_path / "changed.wav").read_bytes()
    settings = json.loads((tmp_path / "changed.wav.json").read_text())
    assert settings["save"] | change == settings["save"]
    audio = media.probe(tmp_path / "changed.wav").audio
    assert audio is not None
    assert audio.sample_rate == change.get("sample_rate", 16_000)
    assert audio.channels == (2 if "stereo" in change else 1)
    if "stereo" in change:
        assert torch.equal(
            media.read_audio(tmp_path / "changed.wav", 16_000),
            media.read_audio(tmp_path / "plain.wav", 16_000),
        )
    if "mix" in change:
        own = media.read_audio(clip, 16_000, duration=2.3)
        mixed = media.read_audio(tmp_path / "changed.wav", 16_000)
        if "duck" in change:
            own = duck(own, generation.waveform, 16_000, depth=change["duck"])
        gain = 10 ** (settings["gain_db"] / 20)
        torch.testing.assert_close(mixed, (generation.waveform + own) * gain, atol=2e-3, rtol=0)


def test_a_failure_leaves_no_json_without_its_result(weights: Path, clip: Path, tmp_path: Path) -> None:
    generation = vab.load(weights).generate(clip)
    with pytest.raises(MediaError):
        generation.save(tmp_path / "out.webm")
    assert list(tmp_path.iterdir()) == []


def test_sound_alone_is_saved_without_a_video(weights: Path, clip: Path, tmp_path: Path) -> None:
    generation = vab.load(weights).generate(clip)
    generation.save(tmp_path / "out.wav")
    read = media.read_audio(tmp_path / "out.wav", 16000)
    torch.testing.assert_close(read, generation.waveform, atol=1e-3, rtol=0)


def test_the_object_also_encodes_and_embeds(weights: Path, clip: Path) -> None:
    pipeline = vab.load(weights)
    codes = pipeline.encode_audio(clip, duration=1.0)
    assert codes.shape == (4, 50)
    assert pipeline.encode_video(clip, duration=1.0).shape == (5, tiny_config().visual_dim)
    for embedding in (
        pipeline.embed_audio(clip),
        pipeline.embed_video(clip),
        pipeline.embed_text("a dog barks"),
    ):
        assert embedding.shape == (32,)
        assert embedding.norm().item() == pytest.approx(1.0, abs=1e-4)


def test_several_texts_are_embedded_as_each_alone(weights: Path) -> None:
    pipeline = vab.load(weights)
    both = pipeline.embed_text(["a dog", "rain"])
    assert both.shape == (2, 32)
    torch.testing.assert_close(both[1], pipeline.embed_text("rain"))


def test_agreement_is_the_mean_cosine_of_windows_that_begin_together(weights: Path, clip: Path) -> None:
    pipeline = vab.load(weights)
    waveform, visual = media.read_audio(clip, 16000, duration=2.0), pipeline.encode_video(clip, duration=2.0)
    sound, pictures = pipeline.audio_windows(waveform), pipeline.video_windows(clip, duration=2.0)
    assert len(sound) == len(pictures) > 1
    expected = (sound * pictures).sum(dim=1).mean().item()
    assert pipeline.agreement(waveform, visual) == pytest.approx(expected, abs=1e-5)


def test_a_long_clip_takes_over_the_overlap_of_each_window() -> None:
    torch.manual_seed(0)
    model = VAB(tiny_config()).eval()
    windows = Windows.of(model.config.streams, 1.0, 0.4)
    assert (windows.num_steps, windows.num_frames) == (50, 5)
    assert [windows.first("codes", index) for index in range(3)] == [0, 30, 60]
    assert [windows.first("clip", index) for index in range(3)] == [0, 3, 6]
    assert [windows.count(steps) for steps in (1, 50, 51, 80, 81)] == [1, 1, 2, 2, 3]

    visual = torch.randn(14, model.config.visual_dim)
    options = DecodingOptions(num_steps=2, cfg_scale=2.0, temperature=1.0)
    done: list[int] = []
    arguments = {"windows": windows, "options": options}
    [long] = generate_codes(model, [{"clip": visual}], [140], seeds=[5], on_window=done.append, **arguments)
    [short] = generate_codes(model, [{"clip": visual}], [50], seeds=[5], **arguments)
    assert long.shape == (4, 140)
    assert torch.equal(long[:, :50], short)
    assert sum(done) == windows.count(140)


def test_a_clip_in_a_batch_is_the_clip_alone() -> None:
    torch.manual_seed(0)
    model = VAB(tiny_config()).eval()
    windows = Windows.of(model.config.streams, 1.0, 0.4)
    options = DecodingOptions(num_steps=2, cfg_scale=2.0, temperature=1.0)
    visual = [{"clip": torch.randn(frames, model.config.visual_dim)} for frames in (3, 12, 7)]
    lengths, seeds = [20, 111, 70], [7, 8, 9]
    together = generate_codes(
        model, visual, lengths, windows=windows, options=options, seeds=seeds, batch_size=2
    )
    for index in range(3):
        [alone] = generate_codes(
            model,
            visual[index : index + 1],
            [lengths[index]],
            windows=windows,
            options=options,
            seeds=[seeds[index]],
        )
        assert torch.equal(alone, together[index])


def test_windows_fit_any_rate() -> None:
    config = VAB(tiny_config()).config
    odd = Windows.of(config.streams | {"codes": 44100 / 512}, 2.0, 0.5)
    assert odd.num_steps == 173  # the last begins inside the window, as FeatureDataset counts
    assert odd.first("codes", 1) == round(odd.first("clip", 1) / VISUAL_FPS * 44100 / 512)
    with pytest.raises(ValueError, match="leave nothing"):
        Windows.of(config.streams, 1.0, 1.0)


def test_weights_of_another_codec_are_refused(weights: Path, tmp_path: Path) -> None:
    tensors, header = load_tensors(weights)
    header["components"]["codes"]["fingerprint"] = "0" * 16
    save_tensors(tmp_path / "other.safetensors", tensors, header)
    with pytest.raises(WeightsError, match="was trained with tiny-encodec"):
        vab.load(tmp_path / "other.safetensors")


def test_weights_without_their_codec_say_where_to_put_it(weights: Path, tmp_path: Path) -> None:
    tensors, header = load_tensors(weights)
    header["components"]["codes"]["name"] = "my-codec"
    save_tensors(tmp_path / "alone.safetensors", tensors, header)
    with pytest.raises(WeightsError, match=r"beside it \(my-codec\.safetensors\)"):
        vab.load(tmp_path / "alone.safetensors")


@pytest.mark.parametrize("damage", ["missing", "garbage", "tensor", "config", "type"])
def test_damaged_weights_are_one_line(weights: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.safetensors"
    tensors, header = load_tensors(weights)
    if damage == "garbage":
        path.write_bytes(b"not a safetensors file")
    elif damage == "tensor":
        tensors.pop("norm.weight")
        save_tensors(path, tensors, header)
    elif damage == "config":
        save_tensors(path, tensors, {**header, "config": {**header["config"], "width": "wide"}})
    elif damage == "type":
        save_tensors(path, tensors, {**header, "type": "nothing"})
    with pytest.raises(Exception, match=r"bad.safetensors|nothing") as caught:
        vab.load(path)
    assert isinstance(caught.value, VABError)
    assert "\n" not in str(caught.value)
