"""What V-AURA sees of codes and frames, by gradients; generation with and without a cache; windows."""

import dataclasses
from typing import Any

import pytest
import torch
from tiny import shaken

from vab.decoding.options import AutoregressiveOptions
from vab.decoding.patterns import Pattern
from vab.device import on_device
from vab.features.batch import FeatureBatch
from vab.features.info import StreamSize
from vab.models.v_aura.config import VAURAConfig
from vab.models.v_aura.generate import generate_codes
from vab.models.v_aura.model import VAURA
from vab.objectives.next_token import NextTokenPrediction, codebook_cross_entropy
from vab.objectives.options import NextTokenOptions
from vab.windows import Windows

CONFIG = VAURAConfig(
    num_layers=2,
    width=32,
    fused_visual_width=12,
    num_heads=2,
    feed_forward_width=48,
    num_codebooks=3,
    codebook_size=20,
    frame_rate=10.0,
    conditions={"clip": StreamSize(6, 5.0)},
)
GREEDY = AutoregressiveOptions(cfg_scale=2.0, temperature=0.0)


def model_of(**changes: Any) -> VAURA:
    torch.manual_seed(0)
    return shaken(VAURA(dataclasses.replace(CONFIG, **changes)).eval())


def inputs(steps: int = 8, frames: int = 4, size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, CONFIG.codebook_size, (size, 3, steps), generator=generator)
    return codes, torch.randn(size, frames, 6, generator=generator)


def seen_frames(model: VAURA, codebook: int, step: int) -> list[int]:
    codes, visual = inputs()
    visual.requires_grad_(True)
    [gradient] = torch.autograd.grad(model(codes, {"clip": visual})[0, codebook, step].square().sum(), visual)
    return gradient[0].abs().sum(dim=1).nonzero().flatten().tolist()


def seen_codes(model: VAURA, codebook: int, step: int) -> set[tuple[int, int]]:
    """Places whose code changes a prediction."""
    codes, visual = inputs(size=1)
    before = model(codes, {"clip": visual})[0, codebook, step]
    found = set()
    for other in range(3):
        for at in range(codes.shape[2]):
            changed = codes.clone()
            changed[0, other, at] = (changed[0, other, at] + 1) % CONFIG.codebook_size
            if not torch.equal(model(changed, {"clip": visual})[0, codebook, step], before):
                found.add((other, at))
    return found


@pytest.mark.parametrize("pattern", ["parallel", "delay", "flattened"])
@pytest.mark.parametrize("codebook", [0, 2])
def test_a_code_is_predicted_from_earlier_columns_alone(pattern: Any, codebook: int) -> None:
    layout = Pattern.of(pattern, 3, 8)
    column = (layout.steps[codebook] == 4).nonzero().item()
    earlier = {
        (other, int(layout.steps[other, at]))
        for other in range(3)
        for at in range(int(column))
        if layout.steps[other, at] >= 0
    }
    assert seen_codes(model_of(pattern=pattern), codebook, 4) == earlier
    if pattern != "parallel" and codebook:
        assert (codebook - 1, 4) in earlier, "the coarser code of the same step"


def test_a_step_sees_its_own_frame_and_those_before() -> None:
    model = model_of(pattern="parallel")
    # Two steps a frame; the frame stands beside the codes that come before the step: one step ahead.
    assert [seen_frames(model, 0, step) for step in range(8)] == [
        list(range(step // 2 + 1)) for step in range(8)
    ]
    # A finer codebook is written later, with the frames up to then.
    assert seen_frames(model_of(), 2, 3) == [0, 1, 2]
    assert seen_frames(model_of(fusion="prepend"), 0, 0) == [0, 1, 2, 3], "all stand before the codes"


def test_frames_stand_by_their_time_whatever_the_rates_and_padding_fills_the_rest() -> None:
    model = model_of(frame_rate=44100 / 512, conditions={"clip": StreamSize(6, 12.5)}, pattern="parallel")
    condition = model.condition({"clip": torch.randn(1, 32, 6)}, model.pattern(221))
    embedded = model.visual_embedding(torch.randn(1, 32, 6))
    assert condition.shape == (1, 221, embedded.shape[2])
    changes = [s for s in range(1, 221) if not torch.equal(condition[0, s], condition[0, s - 1])]
    # Frame f begins at step ceil(f * 6.89); the last step, at 2.554 s, is still of frame 31.
    assert changes == [-(-f * 441 // 64) for f in range(1, 32)]
    late = model.condition({"clip": torch.randn(1, 30, 6)}, model.pattern(221))
    assert torch.equal(late[0, 207:], model.visual_padding.expand(14, -1))
    assert not torch.equal(late[0, 206], model.visual_padding)


def test_streams_of_different_rates_stand_side_by_side() -> None:
    model = model_of(conditions={"clip": StreamSize(6, 5.0), "sync": StreamSize(4, 10.0)}, pattern="parallel")
    codes, clip = inputs()
    streams = {"clip": clip, "sync": torch.randn(2, 8, 4)}
    for stream in streams.values():
        stream.requires_grad_(True)
    logits = model(codes, streams)[0, 0, 5]
    gradients = torch.autograd.grad(logits.square().sum(), list(streams.values()))
    seen = [each[0].abs().sum(dim=1).nonzero().flatten().tolist() for each in gradients]
    assert seen == [[0, 1, 2], [0, 1, 2, 3, 4, 5]]
    prepended = model_of(conditions=model.config.conditions, fusion="prepend")
    assert prepended.condition(streams, prepended.pattern(8)).shape == (2, 5, 32), (
        "a frame of 'clip' each, and padding"
    )
    with pytest.raises(ValueError, match="name a stream"):
        model_of(conditions={})


def test_a_dropped_condition_and_padding_hide_the_frames() -> None:
    for fusion in ("concat", "prepend"):
        model = model_of(fusion=fusion)
        codes, visual = inputs()
        other = visual + 1
        dropped = torch.tensor([False, True])
        first, second = (model(codes, {"clip": each}, is_dropped=dropped) for each in (visual, other))
        assert not torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
        is_valid = torch.tensor([[True, True, False, False]]).expand(2, -1)
        other = visual.clone()
        other[:, 2:] += 1
        assert torch.equal(
            *(model(codes, {"clip": each}, is_valid={"clip": is_valid}) for each in (visual, other))
        )


def test_prediction_in_pieces_from_a_cache_is_that_of_the_whole() -> None:
    for changes in ({}, {"fusion": "prepend"}, {"pattern": "flattened"}):
        model = model_of(**changes)
        codes, visual = inputs()
        pattern = model.pattern(8)
        before = torch.nn.functional.pad(pattern.lay(codes, 20)[:, :, :-1], (1, 0), value=20)
        condition = model.condition({"clip": visual}, pattern)
        turns = model.turns(condition, pattern)
        whole = model.predict(before, condition, turns)
        caches = model.make_caches(2, condition, pattern)
        with torch.no_grad():
            pieces = [
                model.predict(before[:, :, a:b], condition, turns, first=a, caches=caches)
                for a, b in ((0, 3), (3, 4), (4, pattern.num_columns))
            ]
        torch.testing.assert_close(torch.cat(pieces, dim=2), whole, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            pattern.gather(whole), model(codes, {"clip": visual}), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("changes", [{}, {"fusion": "prepend"}, {"pattern": "flattened"}])
def test_greedy_with_cache_equals_without(changes: dict[str, Any]) -> None:
    model = model_of(**changes)
    frames = [{"clip": torch.randn(12, 6)}, {"clip": torch.randn(7, 6)}]
    windows = Windows.of(model.config.streams, 1.0, 0.4)
    made = [
        generate_codes(
            model, frames, [24, 13], windows=windows, options=GREEDY, seeds=[1, 2], is_cached=is_cached
        )
        for is_cached in (True, False)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))
    assert [codes.shape for codes in made[0]] == [(3, 24), (3, 13)]
    assert made[0][0].max() < CONFIG.codebook_size


def test_the_cache_serves_8_bit_products() -> None:
    model = on_device(model_of(), "cpu", "int8")
    windows = Windows.of(model.config.streams, 1.0, 0.4)
    [codes] = generate_codes(
        model, [{"clip": torch.randn(7, 6)}], [13], windows=windows, options=GREEDY, seeds=[1]
    )
    assert codes.shape == (3, 13)


def test_a_clip_in_a_batch_is_the_clip_alone_and_seeds_and_options_matter() -> None:
    model = model_of()
    seen = [{"clip": torch.randn(frames, 6)} for frames in (3, 12, 7)]
    windows = Windows.of(model.config.streams, 1.0, 0.4)
    plain = AutoregressiveOptions(cfg_scale=2.0, top_k=10)

    def made(
        rows: list[int], options: AutoregressiveOptions = plain, shift: int = 0, **more: Any
    ) -> list[Any]:
        settings: dict[str, Any] = {"windows": windows, "options": options, "batch_size": 2} | more
        lengths, seeds = ([5, 24, 13][row] for row in rows), [7 + row + shift for row in rows]
        return generate_codes(model, [seen[row] for row in rows], list(lengths), seeds=seeds, **settings)

    together = made([0, 1, 2])
    for row in range(3):
        assert torch.equal(made([row])[0], together[row])
    assert not torch.equal(made([1], shift=1)[0], together[1])
    for change in ({"cfg_scale": 1.0}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.4}):
        assert not torch.equal(made([1], dataclasses.replace(plain, **change))[0], together[1]), change
    # The first window is the same whatever the stride; what follows is not.
    moved = made([1], windows=Windows.of(model.config.streams, 1.0, 0.2))[0]
    assert torch.equal(moved[:, :10], together[1][:, :10]) and not torch.equal(moved, together[1])


def test_the_loss_counts_real_steps_of_each_codebook() -> None:
    torch.manual_seed(0)
    logits, codes = torch.randn(2, 3, 5, 20), torch.randint(0, 20, (2, 3, 5))
    is_valid = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    found = codebook_cross_entropy(logits, codes, is_valid, 0.0)
    for k in range(3):
        errors = [
            -logits[b, k, s].log_softmax(0)[codes[b, k, s]]
            for b in range(2)
            for s in range(5)
            if is_valid[b, s]
        ]
        torch.testing.assert_close(found[k], torch.stack(errors).mean())
    assert not torch.equal(found, codebook_cross_entropy(logits, codes, is_valid, 0.1))


def test_it_learns_codes_that_follow_frames() -> None:
    """Each code is told by the frame of its moment: with frames the loss falls to near nothing, without it cannot."""
    generator = torch.Generator().manual_seed(3)
    model = model_of(num_codebooks=2)
    objective = NextTokenPrediction(model, NextTokenOptions())
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)

    def batch() -> FeatureBatch:
        kind = torch.randint(0, 4, (16, 4), generator=generator)
        steps = kind.repeat_interleave(2, dim=1)
        codes = torch.stack([steps, 4 + steps], dim=1)
        visual = torch.nn.functional.one_hot(kind, 6).float()
        valid = {"codes": torch.ones(16, 8, dtype=torch.bool), "clip": torch.ones(16, 4, dtype=torch.bool)}
        return FeatureBatch({"codes": codes, "clip": visual}, valid, ("",) * 16, ((),) * 16)

    for _ in range(150):
        loss = objective(batch(), generator=generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scalars = objective.evaluate(batch(), generator=generator)
    assert scalars["loss_with_vision"] < 0.1
    assert scalars["loss_without_vision"] > 0.3
    assert scalars["accuracy_with_vision"] > 0.98
    visual = torch.nn.functional.one_hot(torch.tensor([0, 3, 1, 2]), 6).float()
    [codes] = generate_codes(
        model.eval(),
        [{"clip": visual}],
        [8],
        windows=Windows.of(model.config.streams, 0.8, 0.2),
        options=dataclasses.replace(GREEDY, cfg_scale=1.0),
        seeds=[0],
    )
    assert codes.tolist() == [[0, 0, 3, 3, 1, 1, 2, 2], [4, 4, 7, 7, 5, 5, 6, 6]]
