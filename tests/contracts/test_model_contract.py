"""Every model that is found has the parts that the commands ask for (``vab/models/base.py``)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tiny import shaken, tiny_components, tiny_config
from tiny_maskvat import tiny_maskvat_config, tiny_scav_config
from tiny_tiva import tiny_predictor_config, tiny_tiva_config

from vab.audio import load_autoencoder
from vab.codecs import load_codec
from vab.config import from_dict, to_dict
from vab.errors import ConfigError, WeightsError
from vab.features.batch import FeatureBatch
from vab.features.info import CodecFacts, StreamInfo, StreamSize
from vab.models import find_model, model_names
from vab.models.base import CodeRefiner, ModelConfig, Sound, SoundGenerator, TrainableModel
from vab.models.files import ModelCard
from vab.models.v_aura.config import VAURAConfig
from vab.training.objective import Objective

SECONDS = 1.0
CONFIGS: dict[str, Any] = {
    "maskvat": tiny_maskvat_config("hybrid"),
    "scav": tiny_scav_config(),
    "tiva": tiny_tiva_config(),
    "tiva-predictor": tiny_predictor_config(),
    "v_aura": VAURAConfig(
        num_layers=2,
        width=32,
        fused_visual_width=12,
        num_heads=4,
        feed_forward_width=48,
        num_codebooks=4,
        codebook_size=64,
        frame_rate=50.0,
        conditions={"clip": StreamSize(tiny_config().visual_dim, 5.0), "sync": StreamSize(6, 12.5)},
    ),
    "vab": tiny_config(),
    "vab-refiner": dataclasses.replace(tiny_config(), num_given_codebooks=2),
}
"""A small configuration of each model that can be trained by 'vab pretrain'."""


COMPONENTS = {"codes": load_codec("tiny-encodec"), "latents": load_autoencoder("tiny-spectral")}


def test_every_model_that_is_trained_is_checked_here() -> None:
    assert [name for name in model_names() if find_model(name).objective] == list(CONFIGS)


STREAMS = {
    "sync": StreamInfo("sync", "vectors", "frames", 12.5, (6,), "s", "6"),
    "beats": StreamInfo("beats", "vectors", "audio", 6.25, (7,), "b", "7"),
    "codes": StreamInfo("codes", "codes", "audio", 50.0, (4,), "c", "1", "int16", CodecFacts(16000, 320, 64)),
    "clip": StreamInfo("clip", "vectors", "frames", 5.0, (32,), "e", "2"),
    "latents": StreamInfo("latents", "latents", "audio", 50.0, (8,), "s", "3"),
    "layout": StreamInfo("layout", "vectors", "audio", 10.0, (5,), "layout", "4"),
    "clip-layers": StreamInfo("clip-layers", "latents", "frames", 5.0, (10, 32), "l", "5"),
}
"""What a store holds that all of them can be trained on."""


def _batch(config: Any, size: int = 2) -> FeatureBatch:
    generator = torch.Generator().manual_seed(0)
    streams, is_valid = {}, {}
    for name in config.streams:
        info = STREAMS[name]
        steps = info.num_steps(SECONDS)
        shape = info.batch_shape(size, steps)
        is_codes = info.codec is not None
        streams[name] = (
            torch.randint(0, 64, shape, generator=generator)
            if is_codes
            else torch.randn(shape, generator=generator)
        )
        is_valid[name] = torch.ones(size, steps, dtype=torch.bool)
    return FeatureBatch(streams, is_valid, tuple(map(str, range(size))), ((),) * size)


def _card(name: str) -> ModelCard:
    return ModelCard(
        name, to_dict(CONFIGS[name]), tiny_components(), window_seconds=SECONDS, overlap_seconds=0.2
    )


def _model(name: str) -> Any:
    torch.manual_seed(0)
    return shaken(find_model(name).model(CONFIGS[name]).eval())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_says_what_it_reads_and_what_does_not_fit(name: str) -> None:
    config = CONFIGS[name]
    assert isinstance(config, ModelConfig)
    assert set(config.streams) <= set(STREAMS)
    assert config.problems(STREAMS) == []
    for name in config.streams:
        if STREAMS[name].kind != "codes":
            wide = dataclasses.replace(STREAMS[name], shape=(999,))
            assert any("999" in problem for problem in config.problems(STREAMS | {name: wide}))
    assert from_dict(type(config), to_dict(config), source="test") == config


@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_starts_from_the_codec_and_has_a_loss_that_reaches_it(name: str) -> None:
    folder, model = find_model(name), _model(name)
    assert folder.objective is not None and folder.objective_options is not None
    if isinstance(model, TrainableModel):
        before = torch.cat([each.flatten() for each in model.parameters()])
        model.start_from({"codes": load_codec("tiny-encodec")})
        assert not torch.equal(before, torch.cat([each.flatten() for each in model.parameters()]))
    objective = folder.objective(model, folder.objective_options())
    assert isinstance(objective, Objective)
    batch = _batch(model.config)
    losses = [objective(batch, generator=torch.Generator().manual_seed(seed))["loss"] for seed in (1, 1)]
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    scalars = objective.evaluate(batch, generator=torch.Generator().manual_seed(1))
    assert scalars and all(value.isfinite() for value in scalars.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_it_generates_or_refines_each_clip_by_its_own_seed(name: str) -> None:
    folder, model, card = find_model(name), _model(name), _card(name)
    if folder.sampling is None:
        pytest.skip("neither a generator nor a refiner")
    fields = {field.name for field in dataclasses.fields(folder.sampling)}
    options = from_dict(folder.sampling, {"num_steps": 2} if "num_steps" in fields else {}, source="test")
    batch = _batch(model.config, size=3)

    def made(rows: list[int], batch_size: int) -> list[Any]:
        conditions = [batch.clips()[row] for row in rows]
        seeds = [7 + row for row in rows]
        windows: list[int] = []
        settings: dict[str, Any] = {"options": options, "batch_size": batch_size, "on_window": windows.append}
        if folder.refiner is not None:
            refiner = folder.refiner(model, card)
            assert isinstance(refiner, CodeRefiner)
            codes = [batch.streams["codes"][row] for row in rows]
            refined = refiner.refine(codes, conditions, seeds=seeds, **settings)
            assert sum(windows) == sum(refiner.num_windows(each.shape[1]) for each in codes)
            assert all(torch.equal(a[:2], b[:2]) for a, b in zip(refined, codes, strict=True))
            return list(refined)
        assert folder.generator is not None
        generator = folder.generator(model, card, COMPONENTS)
        assert isinstance(generator, SoundGenerator)
        assert set(generator.condition_rates) <= set(model.config.streams)
        sounds = generator.generate(conditions, [SECONDS] * len(rows), seeds=seeds, **settings)
        assert sum(windows) == len(rows) * generator.num_windows(SECONDS)
        assert all(isinstance(sound, Sound) for sound in sounds)
        waveforms = [torch.cat(list(sound.pieces()), dim=1) for sound in sounds]
        assert (
            [each.shape[1] for each in waveforms]
            == [sound.num_samples for sound in sounds]
            == [16000] * len(rows)
        )
        return waveforms

    together = made([0, 1, 2], 2)
    assert not torch.equal(together[0], together[1])
    [alone] = made([2], 1)
    torch.testing.assert_close(alone, together[2])


@pytest.mark.parametrize("name", CONFIGS)
def test_an_unknown_option_is_refused_with_the_list_of_known_ones(name: str) -> None:
    folder = find_model(name)
    for kind in filter(None, (folder.config, folder.objective_options, folder.sampling)):
        known = [field.name for field in dataclasses.fields(kind)]
        with pytest.raises(ConfigError, match="no option nonesuch; known: " + ", ".join(known)):
            from_dict(kind, {"nonesuch": 1}, source="test")


def test_every_variant_has_its_parts_and_an_unknown_name_is_refused() -> None:
    for name in model_names():
        folder = find_model(name)
        assert dataclasses.is_dataclass(folder.config)
        assert issubclass(folder.model, torch.nn.Module)
        assert (folder.objective is None) == (folder.objective_options is None)
        assert (folder.sampling is None) == (folder.generator is None and folder.refiner is None)
    with pytest.raises(WeightsError, match="no model is called 'nonesuch'"):
        find_model("nonesuch")
