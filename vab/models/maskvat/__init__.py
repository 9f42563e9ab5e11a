"""MaskVAT (ECCV 2024): all codebooks by masked prediction; conditions by AdaLN, by cross-attention, or by both."""

CONFIG = ".config:MaskVATConfig"
MODEL = ".model:MaskVAT"
OBJECTIVE = ".objective:MaskVATPrediction"
OBJECTIVE_OPTIONS = ".config:MaskVATPredictionOptions"
GENERATOR = "vab.models.masked:MaskedGenerator"
SAMPLING = ".config:MaskVATSampling"
