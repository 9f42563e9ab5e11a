"""The first N1 layers of a VAB on their own: what retrieval and classification are made from (sections 3.4, 3.5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from vab.config import to_dict
from vab.errors import WeightsError
from vab.models.files import ModelCard, load_model, save_model
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.models.vab.trunk import Trunk, joined_validity
from vab.nn.initialise import initialise
from vab.nn.pooling import TimedPool
from vab.shapes import Bool, Float, Int, Tensor

MODEL_TYPE = "vab-encoder"
"""The model type in the weights file of an encoder."""


@dataclass(frozen=True)
class VABEncoderConfig(VABConfig):
    """That of the VAB, and how features become an embedding."""

    time_waves: int = 0
    """Waves in the functions of time that weigh an embedding's numbers, so that it knows when things happen; 0 = the
    paper's plain mean."""


class VABEncoder(Trunk):
    """Input embeddings and the first N1 layers; weights have the names that they have in a ``VAB``."""

    config: VABEncoderConfig

    def __init__(self, config: VABConfig) -> None:
        if not isinstance(config, VABEncoderConfig):
            config = VABEncoderConfig(**asdict(config))
        super().__init__(config, config.num_encoder_layers)
        self.apply(initialise)
        self.timed_pool = TimedPool(config.width, config.time_waves) if config.time_waves else None

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
        return cls.taken_from(model, model.config)

    def with_time_waves(self, time_waves: int) -> VABEncoder:
        """Itself if its embedding is of that kind already, else a copy with a new one."""
        if time_waves == self.config.time_waves:
            return self
        return self.taken_from(self, replace(self.config, time_waves=time_waves))

    @classmethod
    def taken_from(cls, source: Trunk, config: VABConfig) -> VABEncoder:
        """A new one with the input embeddings and the first N1 layers of another."""
        encoder = cls(config).to(source.audio_modality.device)
        state = source.state_dict()
        encoder.load_state_dict({name: state.get(name, own) for name, own in encoder.state_dict().items()})
        return encoder

    def _pool(self, features: Tensor, is_valid: Tensor, times: Tensor) -> Tensor:
        if self.timed_pool is None:
            return super()._pool(features, is_valid, times)
        return self.timed_pool(features, is_valid, times)


def save_encoder(path: Path, encoder: VABEncoder, card: ModelCard) -> None:
    """Write an encoder's weights, atomically; the card is that of the model it comes from, or its own."""
    save_model(path, encoder, replace(card, type=MODEL_TYPE, config=to_dict(encoder.config)))


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
