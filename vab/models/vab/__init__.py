"""VAB, the multiway transformer of paper section 3.2; as a refiner, the coarse-to-fine stage of section 3.3."""

CONFIG = "config:VABConfig"
MODEL = "model:VAB"
GENERATOR = "generate:VABGenerator"
VARIANTS = {
    "refiner": {"CONFIG": "config:VABConfig", "MODEL": "model:VAB", "REFINER": "refine:VABRefiner"},
    "encoder": {"CONFIG": "encoder:VABEncoderConfig", "MODEL": "encoder:VABEncoder"},
    "classifier": {"CONFIG": "classifier:VABClassifierConfig", "MODEL": "classifier:VABClassifier"},
}
