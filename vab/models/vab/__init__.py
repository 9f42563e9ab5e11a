"""VAB, the multiway transformer of paper section 3.2; as a refiner, the coarse-to-fine stage of section 3.3."""

CONFIG = ".config:VABConfig"
MODEL = ".model:VAB"
OBJECTIVE = "vab.objectives.masked_prediction:MaskedPrediction"
OBJECTIVE_OPTIONS = "vab.objectives.options:MaskedPredictionOptions"
GENERATOR = "vab.models.masked:MaskedGenerator"
SAMPLING = "vab.decoding.options:DecodingOptions"
VARIANTS = {
    "refiner": {
        "CONFIG": CONFIG,
        "MODEL": MODEL,
        "OBJECTIVE": OBJECTIVE,
        "OBJECTIVE_OPTIONS": OBJECTIVE_OPTIONS,
        "REFINER": ".refine:VABRefiner",
        "SAMPLING": SAMPLING,
    },
    "encoder": {"CONFIG": ".encoder:VABEncoderConfig", "MODEL": ".encoder:VABEncoder"},
    "classifier": {"CONFIG": ".classifier:VABClassifierConfig", "MODEL": ".classifier:VABClassifier"},
}
