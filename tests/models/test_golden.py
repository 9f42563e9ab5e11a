"""The bundled weights give the numbers that they gave when they were made; a change here needs a line in CHANGELOG."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vab.models.files import load_model
from vab.shapes import Tensor

ROOT = Path(__file__).parents[2]
BUNDLED, GOLDEN = ROOT / "vab/bundled", ROOT / "tests/golden"


def _outputs(name: str) -> dict[str, Tensor]:
    model, _ = load_model(BUNDLED / f"{name}.safetensors")
    config = getattr(model.config, "encoder", model.config)
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, config.codebook_size, (2, config.num_codebooks, 12), generator=generator)
    visual = torch.randn(2, 2, config.visual_dim, generator=generator)
    is_valid = torch.ones(2, 12, dtype=torch.bool)
    is_valid[1, 9:] = False
    if name == "demo-search":
        return {"audio": model.embed(codes=codes, is_valid=is_valid), "frames": model.embed(visual=visual)}
    if name == "demo-classes":
        return {"logits": model(codes, visual, is_valid=is_valid)}
    codes[:, config.num_given_codebooks :, ::2] = config.mask_token_id
    logits = model(codes, visual, is_dropped=torch.tensor([False, True]), is_valid=is_valid)
    return {"logits": logits[..., ::8]}


@pytest.mark.parametrize("name", ["demo-vab", "demo-refiner", "demo-search", "demo-classes"])
def test_bundled_weights_give_the_recorded_numbers(name: str) -> None:
    expected = load_file(GOLDEN / f"{name}.safetensors")
    found = _outputs(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=1e-4)
