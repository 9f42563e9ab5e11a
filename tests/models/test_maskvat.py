"""MaskVAT: what depends on what in each of its networks, its losses, and the neutral values of its options."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_maskvat import SECONDS, tiny_batch, tiny_maskvat, tiny_maskvat_config

from vab.config import to_dict
from vab.features.info import StreamSize
from vab.models.files import ModelCard
from vab.models.masked import generate_codes
from vab.models.maskvat.config import MaskVATConfig, MaskVATPredictionOptions, MaskVATSampling
from vab.models.maskvat.model import MaskVAT
from vab.models.maskvat.objective import MaskVATPrediction
from vab.shapes import Tensor
from vab.timing import nearest_steps
from vab.windows import Windows

GOLDEN = Path(__file__).parents[1] / "golden/tiny-maskvat.safetensors"
NETWORKS = ("adaln", "seq2seq", "hybrid")
SMALL = {"num_layers": 1, "width": 8, "codebook_size": 16, "codebook_dim": 4}
"""Of the recorded weights."""


def _inputs(model: MaskVAT) -> tuple[Tensor, dict[str, Tensor]]:
    streams = tiny_batch(model.config).streams
    codes = streams.pop("codes")
    codes[:, :, ::2] = model.config.mask_token_id
    return codes, {name: streams[name] for name in model.config.conditions}


@pytest.mark.parametrize("network", NETWORKS)
def test_every_stream_matters_unless_it_is_dropped(network: str) -> None:
    model = tiny_maskvat(network)
    codes, conditions = _inputs(model)
    plain = model(codes, conditions)
    assert plain.shape == (2, 4, 50, 64)
    is_dropped = torch.tensor([True, False])
    dropped = model(codes, conditions, is_dropped=is_dropped)
    torch.testing.assert_close(dropped[1], plain[1])
    for name in conditions:
        changed = conditions | {name: conditions[name] + 1}
        assert not torch.allclose(model(codes, changed), plain)
        torch.testing.assert_close(model(codes, changed, is_dropped=is_dropped)[0], dropped[0])
    other = codes.clone()
    other[:, 3, 10] = 7
    assert not torch.allclose(model(other, conditions)[:, 0], plain[:, 0])


@pytest.mark.parametrize("network", NETWORKS)
def test_padding_is_not_attended_to(network: str) -> None:
    model = tiny_maskvat(network)
    codes, conditions = _inputs(model)
    is_valid = {"codes": (torch.arange(50) < 30).expand(2, -1), "clip": (torch.arange(5) < 3).expand(2, -1)}
    first = model(codes, conditions, is_valid=is_valid)[:, :, :30]
    changed = codes.clone()
    changed[:, :, 30:] = 3
    frames = conditions["clip"].clone()
    frames[:, 3:] += 1
    again = model(changed, conditions | {"clip": frames}, is_valid=is_valid)[:, :, :30]
    torch.testing.assert_close(first, again)
    nothing = {name: torch.zeros_like(valid) for name, valid in is_valid.items()}
    assert model(codes, conditions, is_valid=nothing).isfinite().all()


def test_without_modulation_a_hybrid_is_a_seq2seq() -> None:
    hybrid, seq2seq = tiny_maskvat("hybrid"), MaskVAT(tiny_maskvat_config("seq2seq")).eval()
    state = {name: value for name, value in hybrid.state_dict().items() if not name.endswith("modulation")}
    seq2seq.load_state_dict(state)
    codes, conditions = _inputs(hybrid)
    assert not torch.allclose(hybrid(codes, conditions), seq2seq(codes, conditions))
    with torch.no_grad():
        for name, parameter in hybrid.named_parameters():
            if name.endswith("modulation"):
                parameter.zero_()
    assert torch.equal(hybrid(codes, conditions), seq2seq(codes, conditions))


def test_adaln_sees_at_each_step_the_frame_of_its_time() -> None:
    nearest = nearest_steps(50, 50.0, 5, 5.0)
    assert nearest.tolist() == [step // 10 for step in range(50)]
    assert nearest_steps(862, 44100 / 512, 80, 8.0)[-1] == 79
    model = tiny_maskvat("adaln", num_layers=1)
    with torch.no_grad():  # the attention adds nothing: only modulation brings a condition to a step
        model.get_parameter("blocks.0.attend.out.weight").zero_()
        model.get_parameter("blocks.0.attend.out.bias").zero_()
    codes, conditions = _inputs(model)
    frames = conditions["clip"].clone()
    frames[:, 2] += 1
    is_changed = (model(codes, conditions) != model(codes, conditions | {"clip": frames})).any(3).any(1)
    assert is_changed[0].nonzero().flatten().tolist() == list(range(20, 30))


@pytest.mark.parametrize("network", NETWORKS)
def test_guidance_and_diversity_have_neutral_values(network: str) -> None:
    model = tiny_maskvat(network)
    windows = Windows.of({"codes": 50.0, "clip": 5.0, "sync": 12.5}, SECONDS, 0.2)
    conditions = tiny_batch(model.config, 1).clips()

    def codes(seed: int = 1, **options: Any) -> Tensor:
        given = MaskVATSampling(**{"num_steps": 8, "cfg_scale": 1.0, **options})
        [made] = generate_codes(model, conditions, [50], windows=windows, options=given, seeds=[seed])
        return made

    plain = codes()
    assert torch.equal(plain, codes())  # gamma 0 is the conditional branch alone
    with torch.no_grad():
        for null in model.null.values():
            null.add_(5.0)
    assert torch.equal(plain, codes())
    assert not torch.equal(plain, codes(cfg_scale=4.0))
    assert not torch.equal(plain, codes(temperature=0.0))
    assert torch.equal(codes(temperature=0.0), codes(temperature=0.0))


def test_without_diversity_the_order_of_unmasking_has_no_noise() -> None:
    model = tiny_maskvat("seq2seq")
    with torch.no_grad():  # sure of every code, so that sampling cannot differ either
        model.head.weight.mul_(200)
    windows = Windows.of({"codes": 50.0, "clip": 5.0, "sync": 12.5}, SECONDS, 0.2)
    conditions = tiny_batch(model.config, 1).clips()

    def codes(seed: int, temperature: float) -> Tensor:
        options = MaskVATSampling(num_steps=4, cfg_scale=1.0, temperature=temperature)
        [made] = generate_codes(model, conditions, [50], windows=windows, options=options, seeds=[seed])
        return made

    assert (codes(1, 0.0) == codes(2, 0.0)).float().mean() > 0.95
    assert (codes(1, 1e6) == codes(2, 1e6)).float().mean() < 0.9


@pytest.mark.parametrize("network", NETWORKS)
def test_the_auxiliary_losses_are_what_they_say(network: str) -> None:
    model = tiny_maskvat(network)
    batch = tiny_batch(model.config, 3)

    def losses(**options: Any) -> dict[str, Tensor]:
        torch.manual_seed(1)
        objective = MaskVATPrediction(model, MaskVATPredictionOptions(condition_drop_prob=0.0, **options))
        return objective(batch, generator=torch.Generator().manual_seed(1))

    full, none = losses(), losses(regression_weight=0.0, contrastive_weight=0.0)
    if network == "adaln":
        assert full == none
        return
    assert none.keys() == {"loss"}
    assert full.keys() == {"loss", "regression/beats", "contrastive/beats"}
    total = none["loss"] + full["regression/beats"] + full["contrastive/beats"]
    torch.testing.assert_close(full["loss"], total)
    doubled = losses(regression_weight=2.0)
    torch.testing.assert_close(doubled["loss"], total + full["regression/beats"])
    batch.is_valid["beats"][:, 4:] = False
    changed = losses()
    batch.streams["beats"][:, 4:] += 9
    assert losses()["loss"] == changed["loss"] != full["loss"]


def test_a_clip_without_one_target_still_counts_for_the_others() -> None:
    model = tiny_maskvat("seq2seq", targets={"demo-audio": StreamSize(5, 10.0), "beats": StreamSize(7, 6.25)})
    batch = tiny_batch(model.config)
    objective = MaskVATPrediction(model, MaskVATPredictionOptions(condition_drop_prob=0.0))

    def losses() -> dict[str, Tensor]:
        return objective(batch, generator=torch.Generator().manual_seed(1))

    whole = losses()
    batch.is_valid["demo-audio"][0] = False
    partial = losses()
    assert partial["regression/demo-audio"] != whole["regression/demo-audio"]
    for name in ("regression/beats", "contrastive/beats"):
        assert partial[name] == whole[name]


def test_dropped_conditions_are_not_drawn_to_the_audio() -> None:
    model = tiny_maskvat("seq2seq")
    batch = tiny_batch(model.config)
    objective = MaskVATPrediction(model, MaskVATPredictionOptions(condition_drop_prob=1.0))
    parts = objective(batch, generator=torch.Generator().manual_seed(0))
    assert parts["regression/beats"] == parts["contrastive/beats"] == 0
    parts["loss"].backward()


def test_masking_is_by_cosine_and_can_be_vabs() -> None:
    model = tiny_maskvat("adaln")
    batch = tiny_batch(model.config)
    found = [
        MaskVATPrediction(model, MaskVATPredictionOptions(masking=masking))(
            batch, generator=torch.Generator().manual_seed(0)
        )["loss"]
        for masking in ("cosine", "gaussian")
    ]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "hybrid", "conditions": {"clip": StreamSize(8, 5.0)}}, "one more, such as 'sync'"),
        ({"network": "adaln"}, "no encoder"),
        ({"conditions": {}}, "needs conditions"),
        ({"targets": {"clip": StreamSize(8, 5.0)}}, "one part alone"),
        ({"width": 18}, "heads"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskVATConfig(**{**vars(tiny_maskvat_config("seq2seq")), **changes})


def test_a_card_holds_the_streams() -> None:
    card = ModelCard("maskvat", to_dict(tiny_maskvat_config("hybrid")), {})
    assert card.sampling_options() == MaskVATSampling(num_steps=32, cfg_scale=4.0, temperature=8.0)


@pytest.mark.parametrize("network", NETWORKS)
def test_recorded_weights_give_the_recorded_numbers(network: str) -> None:
    """``python tests/models/test_maskvat.py`` records them anew; that needs a line in CHANGELOG."""
    recorded = load_file(GOLDEN)
    model = MaskVAT(tiny_maskvat_config(network, **SMALL)).eval()
    model.load_state_dict({name: recorded[f"{network}/{name}"] for name in model.state_dict()})
    torch.testing.assert_close(_logits(model), recorded[f"{network}/logits"], atol=1e-4, rtol=1e-4)


def _logits(model: MaskVAT) -> Tensor:
    codes, conditions = _inputs(model)
    return model(codes, conditions, is_dropped=torch.tensor([False, True]))[..., ::10, ::8].contiguous()


if __name__ == "__main__":
    from safetensors.torch import save_file

    recorded: dict[str, Tensor] = {}
    for kind in NETWORKS:
        tiny = tiny_maskvat(kind, **SMALL)
        recorded |= {f"{kind}/{name}": value.clone() for name, value in tiny.state_dict().items()}
        with torch.no_grad():
            recorded[f"{kind}/logits"] = _logits(tiny)
    save_file(recorded, GOLDEN)
