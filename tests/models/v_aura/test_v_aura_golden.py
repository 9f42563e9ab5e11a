"""A tiny network gives the numbers that it gave when it was recorded; a change needs a line in CHANGELOG."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vab.decoding.options import AutoregressiveOptions
from vab.features.info import StreamSize
from vab.models.v_aura.config import VAURAConfig
from vab.models.v_aura.generate import generate_codes
from vab.models.v_aura.model import VAURA
from vab.windows import Windows

GOLDEN = Path(__file__).parents[2] / "golden" / "v-aura-tiny.safetensors"
CONFIG = VAURAConfig(
    num_layers=1,
    width=16,
    fused_visual_width=6,
    num_heads=2,
    feed_forward_width=24,
    num_codebooks=2,
    codebook_size=12,
    frame_rate=10.0,
    conditions={"clip": StreamSize(4, 5.0)},
)


def outputs(state: dict[str, torch.Tensor], fusion: str) -> dict[str, torch.Tensor]:
    """Logits and sampled codes, of weights and inputs that are recorded too."""
    model = VAURA(dataclasses.replace(CONFIG, fusion=fusion)).eval()
    weights = f"{fusion}/weights."
    model.load_state_dict({key.removeprefix(weights): state[key] for key in state if key.startswith(weights)})
    visual, codes = state["visual"], state["codes"]
    with torch.no_grad():
        logits = model(codes, {"clip": visual}, is_dropped=torch.tensor([False, True]))
    made = generate_codes(
        model,
        [{"clip": each} for each in visual],
        [14, 10],
        windows=Windows.of(CONFIG.streams, 1.0, 0.4),
        options=AutoregressiveOptions(cfg_scale=2.0, top_k=8, top_p=0.95),
        seeds=[1, 2],
    )
    return {"logits": logits, "generated": torch.cat(made, dim=1)}


@pytest.mark.parametrize("fusion", ["concat", "prepend"])
def test_recorded_weights_give_the_recorded_numbers(fusion: str) -> None:
    state = load_file(GOLDEN)
    found = outputs(state, fusion)
    torch.testing.assert_close(found["logits"], state[f"{fusion}/logits"], atol=1e-4, rtol=1e-4)
    assert torch.equal(found["generated"], state[f"{fusion}/generated"])
