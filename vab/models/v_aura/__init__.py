"""V-AURA, autoregressive in time, frames and codes fused step by step (Viertola et al. 2024, section III)."""

CONFIG = ".config:VAURAConfig"
MODEL = ".model:VAURA"
OBJECTIVE = "vab.objectives.next_token:NextTokenPrediction"
OBJECTIVE_OPTIONS = "vab.objectives.options:NextTokenOptions"
GENERATOR = ".generate:VAURAGenerator"
SAMPLING = "vab.decoding.options:AutoregressiveOptions"
