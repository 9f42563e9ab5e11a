"""Masked prediction: what is attended to and counted."""

import torch

from vab.features.batch import FeatureBatch
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions

CONFIG = VABConfig(
    num_layers=1, num_encoder_layers=1, width=16, num_heads=2, num_codebooks=2, codebook_size=8, codebook_dim=4,
    visual_dim=3, visual_fps=5.0,
)  # fmt: skip


def _batch() -> FeatureBatch:
    generator = torch.Generator().manual_seed(1)
    return FeatureBatch(
        streams={
            "codes": torch.randint(0, 8, (2, 2, 40), generator=generator),
            "clip": torch.randn(2, 4, 3, generator=generator),
        },
        is_valid={
            "codes": torch.arange(40) < torch.tensor([[40], [20]]),
            "clip": torch.arange(4) < torch.tensor([[4], [2]]),
        },
        ids=("a", "b"),
        labels=((), ()),
    )


def test_padding_of_codes_and_of_frames_changes_no_loss() -> None:
    torch.manual_seed(0)
    objective = MaskedPrediction(VAB(CONFIG), MaskedPredictionOptions(condition_drop_prob=0.0))
    for parameter in objective.parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def loss(batch: FeatureBatch) -> torch.Tensor:
        return objective(batch, generator=torch.Generator().manual_seed(0))["loss"]

    plain = loss(_batch())
    changed = _batch()
    changed.streams["codes"][1, :, 20:] = 0
    changed.streams["clip"][1, 2:] = 9.0
    assert torch.equal(plain, loss(changed))
    changed.streams["clip"][1, 1] = 9.0
    assert not torch.equal(plain, loss(changed))
