"""Extract once, read a thousand times: manifests, the feature store, datasets and augmentations.

Reading order: ``manifest`` (lists of clips), ``extract`` (clips to a store; import it from there), ``store``,
``dataset`` and ``sampler`` (training items), ``augment``.
"""

from vab.features.batch import FeatureBatch
from vab.features.dataset import FeatureDataset, keep_batch
from vab.features.grid import TimeGrid
from vab.features.joined import JoinedDataset
from vab.features.manifest import Clip, load_manifest, read_manifest
from vab.features.sampler import StepSampler, class_balanced_weights
from vab.features.store import FeatureStore, StoredClip

__all__ = [
    "Clip",
    "FeatureBatch",
    "FeatureDataset",
    "FeatureStore",
    "JoinedDataset",
    "StepSampler",
    "StoredClip",
    "TimeGrid",
    "class_balanced_weights",
    "keep_batch",
    "load_manifest",
    "read_manifest",
]
