"""VAB: what depends on what, and how many parameters the paper's sizes have."""

import pytest
import torch
from tiny import shaken

from vab.config import from_dict
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB

TINY = {
    "num_layers": 4, "num_encoder_layers": 2, "width": 32, "num_heads": 4, "num_codebooks": 3, "codebook_size": 16,
    "codebook_dim": 4, "frame_rate": 50.0, "visual_dim": 6, "visual_fps": 5.0,
}  # fmt: skip


def _model(**changes: object) -> VAB:
    torch.manual_seed(0)
    return shaken(VAB(from_dict(VABConfig, {**TINY, **changes}, source="test")).eval(), 0.05)


def _inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 17, (batch, 3, 100), generator=generator), torch.randn(
        batch, 10, 6, generator=generator
    )


def _count(modules: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in modules.parameters()) / 1e6


def test_the_papers_size_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        model = VAB(VABConfig())
    assert _count(model.blocks) == pytest.approx(403.03, abs=0.01)
    embeddings = _count(model.code_embedding.project) + _count(model.visual_embedding)
    assert _count(model.blocks[:12]) + embeddings == pytest.approx(253.19, abs=0.01)


def test_logits_have_one_score_a_code_and_no_mask_token() -> None:
    codes, visual = _inputs()
    assert _model()(codes, visual).shape == (2, 3, 100, 16)


def test_every_input_reaches_every_output() -> None:
    model = _model()
    codes, visual = _inputs(1)
    visual.requires_grad_()
    model(codes, visual)[0, 0, 50].sum().backward()
    assert visual.grad is not None
    assert (visual.grad.abs().sum(dim=-1) > 0).all()


def test_audio_expert_leaves_that_layers_visual_output_untouched() -> None:
    model = _model()
    x = torch.randn(1, 30, 32)
    bias = torch.zeros(1, 4, 30, 30)
    before = model.blocks[0](x, bias, 10)
    with torch.no_grad():
        for parameter in model.blocks[0].feed_forward.audio.parameters():
            parameter.zero_()
    after = model.blocks[0](x, bias, 10)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.equal(before[:, 10:], after[:, 10:])


def test_experts_are_in_the_first_layers_only_and_can_be_left_out() -> None:
    has_experts = [hasattr(block.feed_forward, "audio") for block in _model().blocks]
    assert has_experts == [True, True, False, False]
    assert not any(hasattr(block.feed_forward, "audio") for block in _model(has_experts=False).blocks)


def test_dropped_condition_does_not_see_the_frames() -> None:
    model = _model()
    codes, visual = _inputs()
    dropped = torch.tensor([True, True])
    assert torch.equal(
        model(codes, visual, is_dropped=dropped), model(codes, torch.randn_like(visual), is_dropped=dropped)
    )
    kept = model(codes, visual, is_dropped=~dropped)
    assert torch.equal(kept, model(codes, visual))
    assert not torch.equal(kept, model(codes, visual, is_dropped=dropped))


def test_padding_is_not_attended_to() -> None:
    model = _model()
    codes, visual = _inputs()
    is_valid = torch.ones(2, 100, dtype=torch.bool)
    is_valid[:, 60:] = False
    changed = codes.clone()
    changed[:, :, 60:] = 3
    first = model(codes, visual, is_valid=is_valid)[:, :, :60]
    assert torch.equal(first, model(changed, visual, is_valid=is_valid)[:, :, :60])
    assert not torch.equal(first, model(codes, visual)[:, :, :60])


def test_padding_frames_are_not_attended_to() -> None:
    model = _model()
    codes, visual = _inputs()
    is_valid = torch.ones(2, 10, dtype=torch.bool)
    is_valid[:, 6:] = False
    changed = visual.clone()
    changed[:, 6:] += 1
    first = model(codes, visual, is_valid_visual=is_valid)
    assert torch.equal(first, model(codes, changed, is_valid_visual=is_valid))
    assert not torch.equal(first, model(codes, visual))


def test_a_prepared_condition_gives_the_same_logits() -> None:
    model = _model()
    codes, visual = _inputs()
    is_dropped = torch.tensor([False, True])
    condition = model.condition({"clip": visual}, codes.shape[2], is_dropped=is_dropped)
    assert torch.equal(model.predict(codes, condition), model(codes, visual, is_dropped=is_dropped))


def test_encoding_one_modality_uses_the_first_layers_and_its_expert_alone() -> None:
    model = _model()
    codes, visual = _inputs()
    audio, video = model.encode(codes=codes), model.encode(visual=visual)
    assert audio.shape == (2, 100, 32)
    assert video.shape == (2, 10, 32)
    assert model.encode(codes, visual).shape == (2, 110, 32)
    with torch.no_grad():
        for block in model.blocks[2:]:
            for parameter in block.parameters():
                parameter.zero_()
        for block in model.blocks[:2]:
            for parameter in block.feed_forward.visual.parameters():
                parameter.zero_()
    assert torch.equal(model.encode(codes=codes), audio)
    assert not torch.equal(model.encode(visual=visual), video)
    with pytest.raises(ValueError, match="codes, visual"):
        model.encode()


def test_time_alibi_ties_a_step_to_the_frame_at_its_time() -> None:
    bias = _model(alibi="time")._bias(10, 100, None)
    nearest = bias[0, 0, 10:, :10].argmax(dim=1)
    expected = ((torch.arange(100) + 0.5) / 50 * 5).floor().long()
    assert torch.equal(nearest, expected)
    by_index = _model(alibi="index")._bias(10, 100, None)
    assert (by_index[0, 0, 10:, :10].argmax(dim=1) == 9).all()


def test_asymmetric_alibi_tells_before_from_after_and_frames_weigh_as_much_as_their_steps() -> None:
    plain = _model(alibi="time")._bias(10, 100, None)
    bias = _model(alibi="asymmetric")._bias(10, 100, None)
    query, first_step = 60, 10  # frames first
    before, after = slice(first_step, query), slice(query + 1, None)
    torch.testing.assert_close(bias[0, 0, query, before], plain[0, 0, query, before])
    torch.testing.assert_close(bias[0, 0, query, after], 4 * plain[0, 0, query, after])
    torch.testing.assert_close(bias[0, 1, query, before], 4 * plain[0, 1, query, before])
    torch.testing.assert_close(bias[0, 1, query, after], plain[0, 1, query, after])
    earlier_frame = 2
    weight, plain_weight = (b[0, 0, query, earlier_frame].exp() for b in (bias, plain))
    torch.testing.assert_close(weight, 10 * plain_weight)  # 50 steps and 5 frames a second


def test_rolling_all_positions_leaves_relative_attention_alone() -> None:
    bias = _model()._bias(10, 100, None)
    assert torch.equal(bias, bias.transpose(2, 3))


@pytest.mark.parametrize("change", [{"num_encoder_layers": 5}, {"num_encoder_layers": 0}, {"num_heads": 5}])
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"num_encoder_layers|heads"):
        VABConfig(**{**TINY, **change})  # type: ignore[arg-type]
