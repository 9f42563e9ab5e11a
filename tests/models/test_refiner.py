"""The coarse-to-fine stage: what is given stays, what is predicted depends on it, and a VAB's sound goes through it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from tiny import VISUAL_FPS, shaken, tiny_components, tiny_config, write_tiny_clip, write_tiny_model

import vab
from tasks.demo.benchmark.systems import encode_one, num_codebooks
from vab import media
from vab.checkpoint import load_tensors, save_tensors
from vab.codecs.sound import CodedSound
from vab.config import from_dict, to_dict
from vab.decoding.options import DecodingOptions
from vab.errors import VABError, WeightsError
from vab.features.batch import FeatureBatch
from vab.features.manifest import Clip
from vab.models.base import CodeRefiner
from vab.models.files import Component, ModelCard, load_model, save_model
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.models.vab.refine import VABRefiner
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions, MaskRatio
from vab.shapes import Tensor

TINY = {
    "num_layers": 2, "num_encoder_layers": 2, "has_experts": False,
    "width": 32, "num_heads": 4, "num_codebooks": 5, "num_given_codebooks": 2, "codebook_size": 16,
    "codebook_dim": 4, "frame_rate": 50.0, "visual_dim": 6, "visual_fps": VISUAL_FPS,
}  # fmt: skip
ROOT = Path(__file__).parents[2]
OPTIONS = DecodingOptions(num_steps=3, cfg_scale=2.0, temperature=1.0)


def _model(**changes: object) -> VAB:
    torch.manual_seed(0)
    return shaken(VAB(from_dict(VABConfig, {**TINY, **changes}, source="test")).eval(), 0.1)


def _card(model: VAB, **changes: object) -> ModelCard:
    fields: dict[str, object] = {
        "type": "vab-refiner",
        "config": to_dict(model.config),
        "components": {"codes": Component("c", "1"), "clip": Component("e", "2")},
        "sampling": to_dict(OPTIONS),
        "window_seconds": 1.0,
        "overlap_seconds": 0.4,
    }
    return ModelCard(**{**fields, **changes})  # type: ignore[arg-type]


def _codes(*lengths: int, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 16, (5, length), generator=generator) for length in lengths]


def _frames(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(length, 6, generator=generator) for length in lengths]


def _refine(codes: list[Tensor], visual: list[Tensor] | None, **changes: object) -> list[Tensor]:
    refiner = VABRefiner(model := _model(), _card(model))
    assert isinstance(refiner, CodeRefiner)
    arguments = {"options": OPTIONS, "seeds": range(len(codes)), "batch_size": 2, **changes}
    conditions = None if visual is None else [{"clip": each} for each in visual]
    return refiner.refine(codes, conditions, **arguments)  # type: ignore[arg-type]


def test_the_papers_size() -> None:
    document = yaml.safe_load((ROOT / "configs/coarse_to_fine/paper.yaml").read_text())
    with torch.device("meta"):
        model = VAB(from_dict(VABConfig, document["model"], source="paper.yaml"))
    assert len(model.blocks) == 16
    assert len(model.heads) == 8
    # A block: attention 4 D^2 + 4 D, feed-forward 8 D^2 + 5 D, two layer norms 4 D.
    assert sum(each.numel() for each in model.blocks.parameters()) == 16 * (12 * 1280**2 + 13 * 1280)


def test_logits_are_of_the_fine_levels_alone() -> None:
    codes = torch.stack(_codes(40, 40))
    assert _model()(codes, torch.stack(_frames(4, 4))).shape == (2, 3, 40, 16)


def test_every_level_and_every_frame_is_read() -> None:
    model = _model()
    [codes], [visual] = _codes(40), _frames(4)
    plain = model(codes[None], visual[None])
    for level in range(5):
        changed = codes.clone()
        changed[level, 20] = (changed[level, 20] + 1) % 16
        assert not torch.equal(model(changed[None], visual[None])[..., 10, :], plain[..., 10, :])
    assert not torch.equal(model(codes[None], visual[None] + 1), plain)
    dropped = torch.tensor([True])
    assert torch.equal(
        model(codes[None], visual[None] + 1, is_dropped=dropped),
        model(codes[None], visual[None], is_dropped=dropped),
    )


def test_only_fine_codes_are_masked_and_counted() -> None:
    model = _model()
    [codes], [visual] = _codes(40), _frames(4)
    batch = FeatureBatch(
        {"codes": codes[None], "clip": visual[None]},
        {"codes": torch.arange(40)[None] < 30, "clip": torch.ones(1, 4, dtype=torch.bool)},
        ("clip",),
        ((),),
    )
    seen: list[Tensor] = []
    model.code_embedding.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    objective = MaskedPrediction(model, MaskedPredictionOptions(MaskRatio(0.99, 0.001, 0.98, 1.0)))
    loss = objective(batch, generator=torch.Generator().manual_seed(0))["loss"]
    assert loss.item() > 0
    [masked] = seen
    assert torch.equal(masked[:, :2], codes[None, :2])
    assert (masked[:, 2:, :30] == 16).float().mean() > 0.9
    assert torch.equal(masked[..., 30:], codes[None, :, 30:])
    metrics = objective.evaluate(batch, generator=torch.Generator().manual_seed(0))
    codebooks = {name for name in metrics if name.startswith("accuracy_with_vision/")}
    assert codebooks == {f"accuracy_with_vision/codebook_{codebook}" for codebook in (2, 3, 4)}


def test_coarse_codes_stay_and_fine_ones_are_filled_in() -> None:
    codes, visual = _codes(70, 20, 131), _frames(7, 2, 13)
    refined = _refine(codes, visual)
    for before, after in zip(codes, refined, strict=True):
        assert after.shape == before.shape
        assert torch.equal(after[:2], before[:2])
        assert int(after.max()) < 16
    # What stood in the fine levels counts for nothing.
    fine_replaced = [torch.cat([each[:2], torch.zeros_like(each[2:])]) for each in codes]
    assert all(map(torch.equal, _refine(fine_replaced, visual), refined))
    coarse_alone = [each[:2] for each in codes]
    assert all(map(torch.equal, _refine(coarse_alone, visual), refined))


def test_a_clip_in_a_batch_is_the_clip_alone() -> None:
    codes, visual = _codes(70, 20, 131), _frames(7, 2, 13)
    together = _refine(codes, visual, seeds=[4, 5, 6])
    for index in range(3):
        [alone] = _refine(codes[index : index + 1], visual[index : index + 1], seeds=[4 + index])
        assert torch.equal(alone, together[index])


@pytest.mark.parametrize(
    "change",
    [
        {"options": DecodingOptions(1, 2.0, 1.0)},
        {"options": DecodingOptions(3, 1.0, 1.0)},
        {"options": DecodingOptions(3, 2.0, 30.0)},
        {"seeds": [9]},
    ],
)
def test_every_option_of_refining_changes_the_codes(change: dict[str, object]) -> None:
    codes, visual = _codes(60), _frames(6)
    assert not torch.equal(_refine(codes, visual)[0], _refine(codes, visual, **change)[0])


def test_without_pictures_guidance_counts_for_nothing() -> None:
    codes = _codes(60)
    [blind] = _refine(codes, None)
    assert torch.equal(blind, _refine(codes, None, options=DecodingOptions(3, 5.0, 1.0))[0])
    assert not torch.equal(blind, _refine(codes, _frames(6))[0])


def test_progress_counts_every_window() -> None:
    done: list[int] = []
    refiner = VABRefiner(model := _model(), _card(model))
    codes = _codes(70, 20, 131)
    _refine(codes, None, on_window=done.append)
    assert sum(done) == sum(refiner.num_windows(each.shape[1]) for each in codes)


@pytest.mark.parametrize(
    "change", [{"num_given_codebooks": -1}, {"num_given_codebooks": 5}, {"num_heads": 5}]
)
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"num_given_codebooks|heads"):
        VABConfig(**{**TINY, **change})  # type: ignore[arg-type]


def test_weights_of_the_former_kind_are_a_refiner(tmp_path: Path) -> None:
    tensors, header = load_tensors(ROOT / "vab/bundled/demo-refiner.safetensors")
    current, components = header["config"], header.pop("components")
    former = {
        "type": "coarse_to_fine",
        "config": {
            name: value
            for name, value in current.items()
            if name not in ("num_given_codebooks", "num_encoder_layers", "has_experts", "alibi")
        }
        | {"num_coarse_codebooks": current["num_given_codebooks"]},
        "codec": components["codes"],
        "encoder": components["clip"],
        "decoding": header.pop("sampling"),
    }
    save_tensors(tmp_path / "former.safetensors", tensors, header | former)
    model, card = load_model(tmp_path / "former.safetensors")
    config = model.config
    assert isinstance(config, VABConfig)
    assert (card.type, config.num_given_codebooks, config.alibi) == ("vab-refiner", 4, "time")
    assert {name: each.name for name, each in card.components.items()} == {
        "codes": "spectral-16khz",
        "clip": "demo-clip",
    }
    assert card.sampling_options() == DecodingOptions(num_steps=8, cfg_scale=1.0, temperature=1.0)


def test_a_model_without_given_codebooks_does_not_refine() -> None:
    with pytest.raises(WeightsError, match="num_given_codebooks is 0"):
        VABRefiner(model := _model(num_given_codebooks=0), _card(model))


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAB of two of the tiny codec's levels, whose card names a refiner that makes all four."""
    folder = tmp_path_factory.mktemp("chain")
    torch.manual_seed(1)
    model = _model(
        num_codebooks=4,
        num_given_codebooks=2,
        codebook_size=64,
        codebook_dim=16,
        visual_dim=tiny_config().visual_dim,
    )
    card = _card(model, components=tiny_components())
    save_model(folder / "fine.safetensors", model, card)
    plain = write_tiny_model(folder / "plain.safetensors", config=tiny_config(num_codebooks=2))
    tensors, header = load_tensors(plain)
    header["components"]["refiner"] = to_dict(Component.of_file(folder / "fine.safetensors"))
    save_tensors(folder / "chained.safetensors", tensors, header)
    return folder


def test_the_pipeline_chains_a_refiner_when_the_weights_say_so(chained: Path, tmp_path: Path) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 1.7)
    done: list[float] = []
    pipeline = vab.load(chained / "chained.safetensors", device="cpu")
    refined = pipeline.generate(clip, seed=3, on_progress=done.append)
    plain = vab.load(chained / "plain.safetensors", device="cpu").generate(clip, seed=3)
    assert isinstance(refined.sound, CodedSound) and isinstance(plain.sound, CodedSound)
    assert plain.sound.codes.shape[0] == 2
    assert refined.sound.codes.shape[0] == 4
    assert torch.equal(refined.sound.codes[:2], plain.sound.codes)
    seconds = media.probe(clip).require_video().duration
    assert refined.waveform.shape == plain.waveform.shape == (1, round(seconds * 16000))
    assert not torch.equal(refined.waveform, plain.waveform)
    assert len(done) == pipeline.generator.num_windows(seconds) == 6
    assert sum(done) == pytest.approx(1)
    assert refined.settings["components"]["refiner"]["name"] == "fine"
    assert refined.settings["refiner_sampling"]["num_steps"] == 3
    assert "refiner" not in plain.settings["components"]


def test_without_guidance_by_pictures_no_stage_sees_them(chained: Path, tmp_path: Path) -> None:
    pipeline = vab.load(chained / "chained.safetensors", device="cpu")
    blind = [
        pipeline.generate(
            Clip("same", write_tiny_clip(tmp_path / f"{seed}.mp4", seed=seed)), cfg_scale=0.0, seed=3
        )
        for seed in (1, 2)
    ]
    assert torch.equal(blind[0].waveform, blind[1].waveform)


@pytest.mark.parametrize(("name", "levels"), [("chained", 4), ("plain", 2)])
def test_the_benchmarks_bound_has_the_codebooks_that_generated_sound_has(
    chained: Path, name: str, levels: int
) -> None:
    pipeline = vab.load(chained / f"{name}.safetensors", device="cpu")
    codes = encode_one(0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)), pipeline)
    assert codes.shape[0] == num_codebooks(pipeline) == levels


@pytest.mark.parametrize("damage", ["gone", "another", "rate", "codec", "kind"])
def test_a_refiner_that_does_not_fit_is_one_line(chained: Path, tmp_path: Path, damage: str) -> None:
    fine, model = tmp_path / "fine.safetensors", tmp_path / "chained.safetensors"
    tensors, header = load_tensors(chained / "fine.safetensors")
    if damage == "rate":
        header["config"]["visual_fps"] = 2 * VISUAL_FPS
    elif damage == "codec":
        header["components"]["codes"]["fingerprint"] = "0" * 16
    elif damage == "kind":
        tensors, header = load_tensors(chained / "plain.safetensors")
    if damage != "gone":
        save_tensors(fine, tensors, header)
    tensors, header = load_tensors(chained / "chained.safetensors")
    if damage not in ("gone", "another"):
        header["components"]["refiner"] = to_dict(Component.of_file(fine))
    elif damage == "another":
        header["components"]["refiner"]["fingerprint"] = "0" * 16
    save_tensors(model, tensors, header)
    with pytest.raises(VABError) as caught:
        vab.load(model, device="cpu")
    assert "\n" not in str(caught.value)


def test_what_only_refines_generates_nothing_and_the_other_way_round(chained: Path) -> None:
    assert vab.load(chained / "fine.safetensors", device="cpu").refiner.num_codebooks == 4
    with pytest.raises(WeightsError, match="no audio from frames"):
        _ = vab.load(chained / "fine.safetensors", device="cpu").generator
    with pytest.raises(WeightsError, match="without a refiner"):
        _ = vab.load(chained / "plain.safetensors", device="cpu").refiner
