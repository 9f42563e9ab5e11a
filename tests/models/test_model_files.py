"""A model's file in 8 bits: small, near to what was trained, and refused where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_maskvat import tiny_maskvat

from vab.checkpoint import load_tensors, save_tensors
from vab.config import to_dict
from vab.errors import WeightsError
from vab.models.files import SCALE, ModelCard, load_model, save_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny_maskvat("hybrid")
    path = tmp_path / "x.safetensors"
    save_model(path, model, ModelCard("maskvat", to_dict(model.config), {}), dtype=torch.int8)
    return path


def test_each_row_is_near_what_it_was(saved: Path) -> None:
    model, card = load_model(saved)
    state, true = model.state_dict(), tiny_maskvat("hybrid").state_dict()
    assert state.keys() == true.keys()
    for name, value in true.items():
        step = value.flatten(1).abs().amax(dim=1) / 127 if value.ndim > 1 else value.abs() / 1000
        error = (state[name] - value).abs()
        assert (error.flatten(1).amax(dim=1) if value.ndim > 1 else error).le(0.51 * step + 1e-6).all(), name
    save_model(saved, model, card, dtype=torch.int8)
    again = load_model(saved)[0].state_dict()
    assert all(torch.allclose(again[name], value, rtol=1e-3, atol=1e-6) for name, value in state.items())


def test_scales_of_another_size_are_refused(saved: Path) -> None:
    tensors, header = load_tensors(saved)
    name = next(name for name in tensors if name.endswith(SCALE))
    save_tensors(saved, {**tensors, name: torch.ones(10**4, 10**4)[:1]}, header)
    with pytest.raises(WeightsError, match=r"^.*x\.safetensors: .*not one number a row[^\n]*$"):
        load_model(saved)
