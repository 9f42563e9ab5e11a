"""PaSST: the package that brings it is asked for in one line; with it, a file of the true format is read."""

import importlib.util
from pathlib import Path

import pytest
import torch

from vab.errors import ConfigError, WeightsError
from vab.metrics.passt import SAMPLE_RATE, PasstTagger, build


@pytest.fixture
def package() -> None:
    pytest.importorskip("hear21passt", reason="needs the extra vab[passt]")


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"vab\[passt\]"):
        PasstTagger("passt")


@pytest.mark.usefixtures("package")
def test_the_official_layout_loads_and_long_sounds_are_averaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build()[1].state_dict()
    assert tuple(state["time_new_pos_embed"].shape) == (1, 768, 1, 99)
    assert tuple(state["head.1.weight"].shape) == (527, 768)
    torch.save(state, tmp_path / "passt.pt")
    tagger = PasstTagger(tmp_path / "passt.pt")
    first, second = 0.1 * torch.randn(2, 1, 10 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    alone = [tagger(each) for each in (first, second)]
    assert alone[0].probabilities.shape == (527,)
    assert alone[0].embedding.shape == (768,)
    assert not torch.allclose(alone[0].embedding, alone[1].embedding)
    # The rest of half a second is too short to be heard alone.
    together = tagger(torch.cat([first, second, first[:, : SAMPLE_RATE // 2]], dim=1))
    mean = (alone[0].probabilities + alone[1].probabilities) / 2
    assert torch.allclose(together.probabilities, mean, atol=1e-6)
    assert together.probabilities.sum().item() == pytest.approx(1, abs=1e-4)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("package")
def test_other_files_are_one_line(tmp_path: Path) -> None:
    torch.save({"head.1.bias": torch.zeros(527)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="do not fit the architecture"):
        PasstTagger(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="not the state dict of PaSST"):
        PasstTagger(tmp_path / "list.pt")
