"""VAB, the multiway transformer of paper section 3.2."""

CONFIG = "config:VABConfig"
MODEL = "model:VAB"
GENERATOR = "generate:VABGenerator"
VARIANTS = {
    "encoder": {"CONFIG": "encoder:VABEncoderConfig", "MODEL": "encoder:VABEncoder"},
    "classifier": {"CONFIG": "classifier:VABClassifierConfig", "MODEL": "classifier:VABClassifier"},
}
