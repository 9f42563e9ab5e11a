"""TiVA: its layout predictor, that conditions matter, that lengths do not, and the numbers it gave when it was made."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import shaken
from tiny_tiva import tiny_predictor_config, tiny_tiva_config

from vab.audio import load_autoencoder
from vab.config import to_dict
from vab.decoding.options import DiffusionOptions
from vab.features.batch import FeatureBatch
from vab.features.info import StreamInfo
from vab.metrics.curves import correlation
from vab.models.files import ModelCard
from vab.models.tiva.config import PredictorConfig, TiVAConfig
from vab.models.tiva.generate import TiVAGenerator, fade_in
from vab.models.tiva.model import TiVA
from vab.models.tiva.predictor import LayoutPredictor
from vab.nn.interpolation import sample_at
from vab.objectives.denoising import Denoising
from vab.objectives.layout import LayoutPrediction, masked_mean_square
from vab.objectives.options import DenoisingOptions, LayoutOptions
from vab.shapes import Tensor
from vab.timing import step_times

GOLDEN = Path(__file__).parents[1] / "golden" / "tiny-tiva.safetensors"


def made(config: TiVAConfig) -> TiVA:
    """Seeded weights far from their start, where the last convolution is silent."""
    torch.manual_seed(0)
    return shaken(TiVA(config).eval(), 0.1)


def inputs(config: TiVAConfig, seconds: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    predictor = config.predictor
    tokens = predictor.visual_layers * (1 + predictor.visual_cells)
    shapes = {
        "latents": (2, round(seconds * config.latent_rate), *config.latent_shape),
        "layout": (2, round(seconds * predictor.layout_rate), predictor.layout_bands),
        "features": (2, round(seconds * predictor.visual_fps), tokens, predictor.visual_dim),
    }
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {**drawn, "steps": torch.tensor([10.0, 900.0])}


def outputs() -> dict[str, Tensor]:
    config = tiny_tiva_config()
    model, given = made(config), inputs(config)
    with torch.no_grad():
        return {
            "layout": model.predictor(given["features"], 10),
            "noise": model(**given, is_dropped=torch.tensor([False, True])),
        }


def test_seeded_weights_give_the_recorded_numbers() -> None:
    expected, found = load_file(GOLDEN), outputs()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)


FLAT = tiny_tiva_config()
DEEP = TiVAConfig(
    predictor=tiny_predictor_config(),
    latent_shape=(4, 8),
    latent_rate=25.0,
    widths=(16, 16, 32),
    num_blocks=1,
    num_heads=4,
    semantic_dim=32,
)
"""With a frequency axis, as AudioLDM2's latents have."""


@pytest.mark.parametrize("config", [FLAT, DEEP], ids=["flat", "deep"])
def test_every_condition_matters(config: TiVAConfig) -> None:
    model, given = made(config), inputs(config, seconds=1.3)
    with torch.no_grad():
        noise = model(**given)
        assert noise.shape == given["latents"].shape
        for name in ("latents", "layout", "features"):
            changed = given[name].clone()
            changed[0, -1] = changed[0, -1].flip(-1)
            other = model(**given | {name: changed})
            assert not torch.allclose(other[0], noise[0], atol=1e-3)
            torch.testing.assert_close(other[1], noise[1])
        other = model(**given | {"steps": torch.tensor([11.0, 900.0])})
        assert not torch.allclose(other[0], noise[0], atol=1e-4)
        dropped = model(**given, is_dropped=torch.tensor([True, False]))
        assert not torch.allclose(dropped[0], noise[0], atol=1e-3)
        torch.testing.assert_close(dropped[1], noise[1])


def test_a_layout_acts_where_it_stands() -> None:
    """Without attention, which looks everywhere, what changes early does not reach late steps."""
    config = TiVAConfig(
        tiny_predictor_config(), (8,), 50.0, widths=(16,), num_blocks=1, num_heads=4, semantic_dim=32
    )
    model, given = made(config), inputs(config, seconds=4.0)
    for stage in (*model.generator.down, model.generator.middle, *model.generator.up):
        stage.attention = None  # type: ignore[assignment]
    changed = given["layout"].clone()
    changed[:, :5] += 1.0
    with torch.no_grad():
        difference = (model(**given | {"layout": changed}) - model(**given)).abs().amax(dim=(0, 2))
    assert difference[5:20].min() > 1e-3 and difference[60:].max() < 1e-5


def test_windowed_attention_looks_as_far_as_its_window() -> None:
    config = tiny_predictor_config()
    torch.manual_seed(0)
    predictor = LayoutPredictor(config).eval()
    for block in predictor.decoder:
        block.everywhere = torch.nn.Identity()  # type: ignore[assignment]
    predictor.decoder[0].everywhere.forward = lambda x, times: x  # type: ignore[method-assign]
    predictor.decoder[0].cross.forward = lambda x, *_, **__: torch.zeros_like(x)  # type: ignore[method-assign]
    features = torch.randn(1, 30, 10, 32)
    changed = features.clone()
    changed[:, 15:] = torch.randn(1, 15, 10, 32)
    with torch.no_grad():
        difference = (predictor(changed, 60) - predictor(features, 60)).abs().amax(dim=(0, 2))
    reach = round((config.window_seconds / 2 + 0.2) * config.layout_rate)
    assert difference[: 30 - reach].max() == 0 and difference[30 - reach :].max() > 1e-4


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, {"near patch", "far class", "first layer"}),
        ({"attention": ("everywhere",)}, {"far class", "first layer"}),
        ({"attention": ("near",)}, {"first layer"}),
        ({"attention": ("everywhere",), "class_layers": 1}, {"far class"}),
    ],
    ids=["whole", "everywhere", "near", "one layer"],
)
def test_a_predictor_sees_what_its_configuration_says(change: dict[str, Any], seen: set[str]) -> None:
    config = replace(tiny_predictor_config(), **change)
    torch.manual_seed(0)
    predictor = LayoutPredictor(config).eval()
    features = torch.randn(1, 30, 10, 32)
    assert ("patch_embedding.weight" in predictor.state_dict()) == ("near patch" in seen)
    # of what row 30 is made, at 3.05 s: frame 15 at 5 frames a second; tokens 0 and 5 are the layers' class tokens
    for name, frame, token in (("near patch", 15, 6), ("far class", 29, 5), ("first layer", 15, 0)):
        changed = features.clone()
        changed[:, frame, token] = torch.randn(32)
        with torch.no_grad():
            difference = (predictor(changed, 60) - predictor(features, 60))[:, 30].abs().max()
        assert (difference > 0) == (name in seen), name


def test_the_predictor_learns_and_layouts_stay_layouts() -> None:
    """A toy world whose brightness is its loudness."""
    config = PredictorConfig(
        visual_layers=1, visual_cells=1, visual_dim=4, visual_fps=5.0, layout_bands=2, width=16, num_heads=2,
        num_encoder_layers=1, num_decoder_layers=1, window_seconds=0.6,
    )  # fmt: skip
    torch.manual_seed(0)
    predictor = LayoutPredictor(config)
    is_loud = (torch.rand(32, 20) < 0.3).float()
    features = torch.randn(32, 20, 2, 4) * 0.1
    features[..., 0] += 2 * is_loud[:, :, None]
    layouts = 0.8 * is_loud.repeat_interleave(2, dim=1)[:, :, None].expand(-1, -1, 2)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=5e-3)
    is_valid = torch.ones(32, 40, dtype=torch.bool)
    for _ in range(60):
        loss = masked_mean_square(predictor(features, 40), layouts, is_valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < layouts.var() / 4
    assert predictor(features * 100, 40).amax() <= 1


def test_a_trained_generator_follows_a_layout_that_was_edited() -> None:
    """Toy latents that are high where the layout is loud; after some steps a moved event is heard where it moved."""
    config = TiVAConfig(
        tiny_predictor_config(), (2,), 25.0, widths=(16, 16), num_blocks=1, num_heads=4, semantic_dim=16
    )
    torch.manual_seed(0)
    objective = Denoising(TiVA(config), DenoisingOptions(layout="given"))
    parameters = [each for each in objective.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    size = 16
    for _ in range(120):
        is_loud = (torch.rand(size, 20, generator=generator) < 0.3).float()
        layout = is_loud[:, :, None].expand(-1, -1, 5)
        latents = sample_at(2 * layout[..., :2] - 0.6, 10.0, step_times(50, 25.0))
        features = torch.randn(size, 10, 10, 32, generator=generator)
        streams = {"latents": latents, "layout": layout, "clip-layers": features}
        is_valid = {name: torch.ones(each.shape[:2], dtype=torch.bool) for name, each in streams.items()}
        batch = FeatureBatch(streams, is_valid, ("",) * size, ((),) * size)
        loss = objective(batch, generator=generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scalars = objective.evaluate(batch, generator=generator)
    assert scalars["loss_with_true_layout"] < scalars["loss_with_predicted_layout"]

    card = ModelCard("tiva", to_dict(config), {}, window_seconds=2.0, overlap_seconds=0.4)
    made = TiVAGenerator(objective.model.eval(), card, {"latents": load_autoencoder("tiny-spectral")})
    layout = torch.zeros(50, 5)
    layout[7:9] = layout[40:42] = 1.0
    moved = layout.roll(-5, 0)
    settings = {"options": DiffusionOptions(num_steps=10, cfg_scale=1.0), "seeds": [0], "batch_size": 1}
    for drawn in (layout, moved):
        conditions = [{"clip-layers": torch.randn(25, 10, 32), "layout": drawn}]
        [sound] = made.generate(conditions, [5.0], **settings)  # type: ignore[arg-type]
        level = sound.latents.mean(dim=1)
        wanted = sample_at(drawn[None, :, :1], 10.0, step_times(125, 25.0))[0, :, 0]
        assert correlation(level, wanted) > 0.95


def test_stages_train_their_parts() -> None:
    model = made(FLAT)
    Denoising(model, DenoisingOptions(layout="given"))
    assert not any(each.requires_grad for each in model.predictor.parameters())
    Denoising(model, DenoisingOptions(layout="predicted"))
    assert all(each.requires_grad for each in model.predictor.parameters())


def denoising_batch(stream: str, rows: Tensor) -> FeatureBatch:
    given = inputs(FLAT)
    streams = {"latents": given["latents"], stream: rows, "clip-layers": given["features"]}
    is_valid = {name: torch.ones(each.shape[:2], dtype=torch.bool) for name, each in streams.items()}
    return FeatureBatch(streams, is_valid, ("",) * 2, ((),) * 2)


def test_without_layouts_the_true_ones_do_not_enter_the_loss() -> None:
    loud, silent = (denoising_batch("layout", torch.full((2, 10, 5), value)) for value in (1.0, 0.0))

    def loss(layout: Any, batch: FeatureBatch) -> Tensor:
        objective = Denoising(made(FLAT), DenoisingOptions(layout=layout))
        assert not any(each.requires_grad for each in objective.model.predictor.parameters())
        found = objective(batch, generator=torch.Generator().manual_seed(0))["loss"]
        measured = objective.evaluate(batch, generator=torch.Generator().manual_seed(0))
        key = "loss_with_true_layout" if layout == "given" else "loss"
        assert measured["loss"] == measured[key]
        return found

    assert loss("none", loud) == loss("none", silent) == loss("given", silent) != loss("given", loud)


def test_another_stream_stands_in_place_of_the_layout() -> None:
    predictor = replace(tiny_predictor_config(), layout_stream="onsets", layout_bands=1)
    config = replace(FLAT, predictor=predictor)
    assert config.streams == {"latents": 50.0, "onsets": 10.0, "clip-layers": 5.0}
    rows = torch.rand(2, 10, 1, generator=torch.Generator().manual_seed(0))
    batch = denoising_batch("onsets", rows)
    generator = torch.Generator().manual_seed(0)
    scalars = Denoising(made(config), DenoisingOptions(layout="given")).evaluate(batch, generator=generator)
    assert scalars["loss"] == scalars["loss_with_true_layout"] != scalars["loss_with_predicted_layout"]
    found = LayoutPrediction(LayoutPredictor(predictor), LayoutOptions()).evaluate(batch, generator=generator)
    torch.testing.assert_close(found["loss_of_mean"], rows.var(correction=0))
    wrong = {
        "onsets": StreamInfo("onsets", "vectors", "audio", 10.0, (5,), "", ""),
        "clip-layers": StreamInfo("clip-layers", "latents", "frames", 5.0, (10, 32), "", ""),
    }
    assert predictor.problems(wrong) == ["layout_bands is 1, the store has [5]"]


def test_padding_is_not_counted() -> None:
    first, second = torch.zeros(2, 5, 3), torch.ones(2, 5, 3)
    is_valid = torch.zeros(2, 5, dtype=torch.bool)
    is_valid[0, :2] = True
    second[0, 1] = 3.0
    assert masked_mean_square(first, second, is_valid) == (1 + 9) / 2
    assert masked_mean_square(first, second, torch.zeros(2, 5, dtype=torch.bool)) == 0


def test_windows_fade_into_each_other() -> None:
    done = torch.zeros(10, 1)
    fade_in(done, torch.ones(6, 1), 0, 0)
    fade_in(done, torch.full((6, 1), 3.0), 4, 6)
    torch.testing.assert_close(done[:, 0], torch.tensor([1, 1, 1, 1, 1.5, 2.5, 3, 3, 3, 3]))
    fade_in(done, torch.full((6, 1), 5.0), 8, 8)
    assert done[8:, 0].tolist() == [5, 5]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latent_shape": (8, 6), "widths": (16, 16, 16)}, "6 bands cannot be halved 2 times"),
        ({"latent_shape": (1, 2, 3)}, "latent_shape"),
        ({"widths": (12,)}, "heads of even width"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TiVAConfig(**{"num_heads": 4, "widths": (16,), **change})  # type: ignore[arg-type]


def test_a_predictor_has_no_more_class_tokens_than_layers() -> None:
    with pytest.raises(ValueError, match="class_layers"):
        PredictorConfig(visual_layers=2, class_layers=3)
