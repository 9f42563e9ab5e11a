"""SCAV, the sequential contrastive audio-visual encoder by which MaskVAT chooses among samples (section 3.2)."""

CONFIG = ".config:SCAVConfig"
MODEL = ".model:SCAV"
OBJECTIVE = "vab.objectives.sequences:SequentialContrast"
OBJECTIVE_OPTIONS = "vab.objectives.sequences:SequentialContrastOptions"
