"""The first N1 layers of a VAB on their own: what retrieval and classification are made from (sections 3.4, 3.5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from vab.errors import WeightsError
from vab.models.files import ModelCard, load_model, save_model
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.models.vab.trunk import Trunk, joined_validity
from vab.nn.initialise import initialise
from vab.shapes import Bool, Float, Int, Tensor

MODEL_TYPE = "vab-encoder"
"""The model type in the weights file of an encoder."""


class VABEncoder(Trunk):
    """Input embeddings and the first N1 layers; weights have the names that they have in a ``VAB``."""

    def __init__(self, config: VABConfig) -> None:
        super().__init__(config, config.num_encoder_layers)
        self.apply(initialise)

    def forward(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> tuple[Float[Tensor, "B N D"], Bool[Tensor, "B N"]]:
        """Features, frames first, and which of them are real: what ``vab.nn.pooling.mean_pool`` takes.

        Every clip must have a real position, or its features are not numbers; see ``encode`` for the arguments.
        """
        features = self.encode(codes, visual, is_valid=is_valid, is_valid_visual=is_valid_visual)
        return features, joined_validity(codes, visual, is_valid, is_valid_visual)

    @classmethod
    def from_vab(cls, model: VAB) -> VABEncoder:
        """A copy of a VAB's first N1 layers, on its device; ``encode`` of both gives the same numbers."""
        encoder = cls(model.config).to(model.audio_modality.device)
        state = model.state_dict()
        encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
        return encoder


def save_encoder(path: Path, encoder: VABEncoder, card: ModelCard) -> None:
    """Write an encoder's weights, atomically; the card is that of the model it comes from, or its own."""
    save_model(path, encoder, replace(card, type=MODEL_TYPE))


def load_encoder_of(path: Path) -> tuple[VABEncoder, ModelCard]:
    """The encoder in a file of a whole VAB or of an encoder alone, ready to train on, and the file's card.

    Raises:
        WeightsError: the file is damaged, or holds a model that has no such encoder.
    """
    model, card = load_model(path)
    encoder = encoder_of(model)
    if encoder is None:
        raise WeightsError(f"{path}: holds a {card.type!r}; give the weights of a 'vab' or a {MODEL_TYPE!r}")
    return encoder.requires_grad_(True), card


def encoder_of(model: nn.Module) -> VABEncoder | None:
    """The model itself if it is an encoder, the first layers if it is a VAB, else None."""
    if isinstance(model, VAB):
        return VABEncoder.from_vab(model)
    return model if isinstance(model, VABEncoder) else None
