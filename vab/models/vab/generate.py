"""VAB as a generator (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vab.errors import WeightsError
from vab.models.files import ModelCard
from vab.models.masked import MaskedGenerator
from vab.models.vab.model import VAB


class VABGenerator(MaskedGenerator):
    """Frame features to sound."""

    def __init__(self, model: VAB, card: ModelCard, components: Mapping[str, Any]) -> None:
        """Take a model without given codebooks.

        Raises:
            WeightsError: it has some.
        """
        if model.config.num_given_codebooks:
            raise WeightsError(
                "a model with given codebooks refines and does not generate: train a 'vab-refiner'"
            )
        super().__init__(model, card, components)
