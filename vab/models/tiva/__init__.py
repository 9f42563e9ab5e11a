"""TiVA (MM 2024): an audio layout, predicted or drawn, and latent diffusion that follows it."""

CONFIG = ".config:TiVAConfig"
MODEL = ".model:TiVA"
OBJECTIVE = "vab.objectives.denoising:Denoising"
OBJECTIVE_OPTIONS = "vab.objectives.options:DenoisingOptions"
GENERATOR = ".generate:TiVAGenerator"
SAMPLING = "vab.decoding.options:DiffusionOptions"
VARIANTS = {
    "predictor": {
        "CONFIG": ".config:PredictorConfig",
        "MODEL": ".predictor:LayoutPredictor",
        "OBJECTIVE": "vab.objectives.layout:LayoutPrediction",
        "OBJECTIVE_OPTIONS": "vab.objectives.options:LayoutOptions",
    },
}
