"""VAB's pretraining: masked prediction of all its levels (paper section 3.2, equation 1)."""

from vab.masking.prediction import MaskedPrediction

__all__ = ["MaskedPrediction"]
