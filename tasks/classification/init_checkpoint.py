"""What a fine-tuning starts from: the first N1 layers of a VAB, pretrained or of the same size and random."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import vab
from tasks.classification.options import FinetuneOptions
from vab.errors import WeightsError
from vab.features.store import FeatureStore
from vab.models.files import ModelCard, load_model
from vab.models.vab.encoder import VABEncoder, encoder_of
from vab.models.vab.model import VAB
from vab.weights import resolve, sha256_of


@dataclass(frozen=True)
class InitCheckpoint:
    """The network that every fold starts from, and what its weights file says."""

    model: VAB | VABEncoder
    card: ModelCard
    sha256: str
    """Of the weights file."""

    @classmethod
    def load(cls, options: FinetuneOptions, store: FeatureStore) -> InitCheckpoint:
        """The weights of ``--init``.

        Raises:
            WeightsError: they hold something else than what is needed.
            StoreError: the store was made with another codec or encoder.
        """
        path = resolve("demo-vab" if options.init == "demo" else options.init)
        model, card = load_model(path)
        card.check_store(store)
        if not isinstance(model, VAB | VABEncoder):
            raise WeightsError(f"{path}: holds a {card.type!r}; start from a VAB or its encoder")
        if options.masked_epochs and not isinstance(model, VAB):
            raise WeightsError(f"{path}: holds a {card.type!r}; --masked-epochs needs a whole VAB")
        return cls(model.requires_grad_(True), card, sha256_of(path))

    def encoder(self) -> VABEncoder:
        """The first N1 layers."""
        encoder = encoder_of(self.model)
        assert encoder is not None
        return encoder.requires_grad_(True)

    def random_encoder(self, options: FinetuneOptions) -> VABEncoder:
        """The same size with random weights; code tables as pretraining starts them, from the codec."""
        codec = vab.load(options.init, device="cpu").codec
        torch.manual_seed(options.training.seed)
        encoder = VABEncoder(self.model.config)
        encoder.code_embedding.load_codebooks(codec.codebooks[: self.model.config.num_codebooks])
        return encoder
