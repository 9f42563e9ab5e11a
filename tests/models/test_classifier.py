"""The classifier: what it looks at, its loss, its file, its windows."""

from pathlib import Path

import pytest
import torch
from tiny import shaken

from vab.config import from_dict, to_dict
from vab.features.batch import FeatureBatch
from vab.models.files import Component, ModelCard, load_model, save_model
from vab.models.vab.classifier import (
    MODEL_TYPE,
    Modality,
    VABClassifier,
    VABClassifierConfig,
)
from vab.models.vab.config import VABConfig
from vab.models.vab.prediction import window_probabilities
from vab.objectives.classification import Classification, mixed_targets, smoothed_bce
from vab.objectives.options import ClassificationOptions
from vab.windows import Windows

ENCODER = VABConfig(
    num_layers=3, num_encoder_layers=2, width=32, num_heads=4, num_codebooks=2, codebook_size=16, codebook_dim=4,
    visual_dim=6, visual_fps=5.0,
)  # fmt: skip
CLASSES = ["dog", "rain", "siren"]


def _model(modality: Modality = "both") -> VABClassifier:
    torch.manual_seed(0)
    return shaken(VABClassifier(VABClassifierConfig(CLASSES, modality, ENCODER)).eval(), 0.1)


def _batch(size: int = 3, num_steps: int = 40, seed: int = 1) -> FeatureBatch:
    generator = torch.Generator().manual_seed(seed)
    return FeatureBatch(
        streams={
            "codes": torch.randint(0, 16, (size, 2, num_steps), generator=generator),
            "clip": torch.randn(size, 4, 6, generator=generator),
        },
        is_valid={
            "codes": torch.ones(size, num_steps, dtype=torch.bool),
            "clip": torch.ones(size, 4, dtype=torch.bool),
        },
        ids=tuple(map(str, range(size))),
        labels=tuple((CLASSES[n % 3],) for n in range(size)),
    )


@pytest.mark.parametrize(
    ("modality", "hears", "sees"), [("audio", True, False), ("visual", False, True), ("both", True, True)]
)
def test_only_its_own_modality_matters(modality: Modality, hears: bool, sees: bool) -> None:
    model, batch, other = _model(modality), _batch(), _batch(seed=2)
    plain = model(batch.streams["codes"], batch.streams["clip"])
    assert plain.shape == (3, 3)
    assert plain.equal(model(other.streams["codes"], batch.streams["clip"])) != hears
    assert plain.equal(model(batch.streams["codes"], other.streams["clip"])) != sees
    assert plain.equal(
        model(batch.streams["codes"] if hears else None, batch.streams["clip"] if sees else None)
    )


def test_a_joint_classifier_wants_both() -> None:
    with pytest.raises(ValueError, match="takes sound and pictures"):
        _model("both")(_batch().streams["codes"])


def test_padding_counts_for_nothing() -> None:
    model, batch = _model(), _batch()
    is_valid = batch.is_valid["codes"].clone()
    is_valid[:, 30:] = False
    padded = model(batch.streams["codes"], batch.streams["clip"], is_valid=is_valid)
    torch.testing.assert_close(
        padded, model(batch.streams["codes"][:, :, :30], batch.streams["clip"]), atol=1e-5, rtol=1e-5
    )


def test_before_training_every_class_is_as_likely_as_one_of_them() -> None:
    model = VABClassifier(VABClassifierConfig(CLASSES, "audio", ENCODER))
    torch.testing.assert_close(model(_batch().streams["codes"]).sigmoid(), torch.full((3, 3), 1 / 3))


def test_smoothed_bce_by_hand() -> None:
    logits, targets = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    p = logits.sigmoid()
    wanted = torch.tensor([[0.95, 0.05]])  # 0.9 x target + 0.1 / 2
    by_hand = -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    torch.testing.assert_close(smoothed_bce(logits, targets, 0.1), by_hand)
    plain = -(p[0, 0].log() + (1 - p[0, 1]).log()) / 2
    torch.testing.assert_close(smoothed_bce(logits, targets, 0.0), plain)


def test_labels_are_mixed_as_the_clips_are() -> None:
    targets = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    mixed = mixed_targets(targets, torch.tensor([1, 1, 2]), torch.tensor([0.7, 1.0, 1.0]))
    torch.testing.assert_close(mixed, torch.tensor([[0.7, 0.3, 0], [0, 1.0, 0], [0, 0, 1.0]]))
    assert mixed_targets(targets, None, None) is targets
    both = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(
        mixed_targets(both, torch.tensor([1, 0]), torch.tensor([0.25, 0.75])),
        torch.tensor([[1.0, 0.25], [1.0, 0.25]]),
    )


def test_the_objective_learns_to_tell_three_clips_apart() -> None:
    model, batch = _model("audio").train(), _batch()
    objective = Classification(model, {name: n for n, name in enumerate(CLASSES)}, ClassificationOptions(0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = objective(batch, generator=torch.Generator())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    assert model.eval()(batch.streams["codes"]).argmax(dim=1).tolist() == [0, 1, 2]


def test_its_file_gives_it_back(tmp_path: Path) -> None:
    model, batch = _model(), _batch()
    card = ModelCard(
        MODEL_TYPE, to_dict(model.config), {"codes": Component("c", "1"), "clip": Component("e", "2")}
    )
    save_model(tmp_path / "c.safetensors", model, card)
    again, _ = load_model(tmp_path / "c.safetensors")
    assert isinstance(again, VABClassifier)
    assert again.config == model.config
    assert again(batch.streams["codes"], batch.streams["clip"]).equal(
        model(batch.streams["codes"], batch.streams["clip"])
    )


def test_config_survives_yaml_and_names_what_the_pipeline_asks_for() -> None:
    config = VABClassifierConfig(CLASSES, "audio", ENCODER)
    assert from_dict(VABClassifierConfig, to_dict(config), source="test") == config
    assert (config.num_codebooks, config.visual_fps, config.frame_rate) == (2, 5.0, 50.0)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_a_window_is_classified_as_the_same_piece_alone(batch_size: int) -> None:
    model, batch = _model(), _batch(1, num_steps=200)
    codes, visual = batch.streams["codes"][0], torch.randn(20, 6)
    windows = Windows.of(model.config.encoder.streams, 1.0, 0.0)
    found = window_probabilities(model, codes, visual, windows, [0.0, 2.0, 3.9], batch_size=batch_size)
    alone = model(codes[None, :, 100:150], visual[None, 10:15]).sigmoid()
    torch.testing.assert_close(found[1:2], alone)
    # The last window would leave the clip: it ends with it.
    torch.testing.assert_close(found[2:3], model(codes[None, :, 150:], visual[None, 15:]).sigmoid())


def test_a_short_clip_is_one_short_window() -> None:
    model, batch = _model("audio"), _batch(1)
    windows = Windows.of(model.config.encoder.streams, 10.0, 0.0)
    found = window_probabilities(model, batch.streams["codes"][0], None, windows, [0.0], batch_size=4)
    torch.testing.assert_close(found, model(batch.streams["codes"]).sigmoid())
