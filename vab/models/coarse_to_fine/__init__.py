"""The coarse-to-fine stage of paper section 3.3: the codec's first levels and the frames in, all levels out."""

CONFIG = "config:CoarseToFineConfig"
MODEL = "model:CoarseToFine"
REFINER = "refine:CoarseToFineRefiner"
