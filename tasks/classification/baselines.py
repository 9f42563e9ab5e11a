"""What there was before: a random forest on MFCC statistics, and a small CNN on log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from sklearn.ensemble import RandomForestClassifier
from torch import nn
from torch.utils.data import Dataset

from tasks.classification.options import FinetuneOptions
from tasks.classification.protocol import Fold
from tasks.console import track
from vab.codecs import Codec, load_codec
from vab.errors import StoreError
from vab.features.store import FeatureStore
from vab.media import read_audio
from vab.metrics.spectra import log_mel
from vab.shapes import Float, Tensor
from vab.timing import num_samples
from vab.training.run import fit

NUM_TREES = 500
NUM_MFCC = 20
NUM_MELS = 64
CNN_WIDTHS = (16, 32, 64, 128)
CNN_LEARNING_RATE = 1e-3
CNN_BATCH_SIZE = 32
"""Of a network that starts from nothing; epochs and seed are those of the run."""

MelBatch = tuple[Tensor, Tensor]
"""Spectrograms [B, M, T] and classes [B]."""


def baseline_inputs(store: FeatureStore, clips: Sequence[int], options: FinetuneOptions) -> dict[int, Tensor]:
    """What a baseline looks at, for each clip: MFCC statistics [n], or a log-mel spectrogram [M, T].

    Raises:
        MediaError: a sound file that was there at extraction is not readable any more.
        WeightsError: the store's codec is not to be had.
        StoreError: it is another one by now.
    """
    rate = store.stream("codes").sample_rate
    codec = load_codec(store.stream("codes").maker) if options.through_codec else None
    if codec and codec.fingerprint != store.stream("codes").fingerprint:
        raise StoreError(f"{store.path}: not the codes of the {codec.name} that is here; extract again")
    inputs = {}
    for clip in track(clips, "reading sound"):
        sound = _sound(store, clip) if codec is None else _decoded(store, clip, codec)
        inputs[clip] = (
            mfcc_statistics(sound, rate)
            if options.baseline == "forest"
            else log_mel(sound, rate, num_bands=NUM_MELS)
        )
    return inputs


def predict_by_baseline(
    inputs: Mapping[int, Tensor],
    fold: Fold,
    targets: np.ndarray,
    options: FinetuneOptions,
    out: Path,
) -> np.ndarray:
    """Learn from a fold's training clips and say what its test clips are: float32 [test clips, classes].

    ``targets`` are bool [training clips, classes], one class a clip; the CNN's curve goes into the folder ``out``.
    """
    train, test = (torch.stack([inputs[clip] for clip in clips]) for clips in (fold.train, fold.test))
    if options.baseline == "forest":
        return predict_by_forest(train.numpy(), targets, test.numpy(), seed=options.training.seed)
    return _predict_by_cnn(train, targets, test, options, out)


def mfcc_statistics(waveform: Float[Tensor, "1 L"], sample_rate: int) -> Float[Tensor, " n"]:
    """Mean and standard deviation over time of MFCCs, of their changes, and of the zero-crossing rate.

    After Piczak, 2015, section 4: MFCCs and the zero-crossing rate, summarised by mean and deviation.
    """
    transform = torchaudio.transforms.MFCC(
        sample_rate,
        n_mfcc=NUM_MFCC,
        melkwargs={"n_fft": 1024, "hop_length": sample_rate // 100, "n_mels": 40},
    )
    mfcc = transform(waveform[0])
    crossings = (waveform[0, 1:].sign() != waveform[0, :-1].sign()).float()
    rate = F.avg_pool1d(crossings[None], 1024, sample_rate // 100)
    parts = [mfcc, mfcc.diff(dim=1), rate]
    return torch.cat([statistic for part in parts for statistic in (part.mean(dim=1), part.std(dim=1))])


def predict_by_forest(train: np.ndarray, targets: np.ndarray, test: np.ndarray, *, seed: int) -> np.ndarray:
    """A random forest's share of trees for each class, float32 [clips, classes]; ``targets`` as above."""
    forest = RandomForestClassifier(NUM_TREES, random_state=seed).fit(train, targets.argmax(axis=1))
    shares = np.zeros((len(test), targets.shape[1]), np.float32)
    shares[:, forest.classes_] = forest.predict_proba(test)
    return shares


class MelCNN(nn.Module):
    """Four convolutions with normalisation and pooling, the mean over time and frequency, a linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = [1, *CNN_WIDTHS]
        self.blocks = nn.Sequential(
            nn.AvgPool2d((1, 2)),
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)
                )
                for before, after in pairwise(widths)
            ),
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, mels: Float[Tensor, "B M T"]) -> Float[Tensor, "B classes"]:
        """Logits of standardised log-mel spectrograms."""
        return self.head(self.blocks(mels[:, None]).mean(dim=(2, 3)))


class MelClassification(nn.Module):
    """The CNN's objective: cross-entropy, the spectrograms rolled in time."""

    def __init__(self, model: MelCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: MelBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch."""
        mels, classes = batch
        shifts = torch.randint(mels.shape[2], (len(mels),), generator=generator)
        rolled = [mel.roll(int(shift), dims=1) for mel, shift in zip(mels, shifts, strict=True)]
        return {"loss": F.cross_entropy(self.model(torch.stack(rolled)), classes)}


class MelDataset(Dataset[MelBatch]):
    """Spectrograms in memory."""

    def __init__(self, mels: Float[Tensor, "n M T"], classes: Tensor) -> None:
        self.mels = mels
        self.classes = classes

    def __len__(self) -> int:
        return len(self.mels)

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> MelBatch:
        """A batch of (index, seed) pairs; the seeds are not needed."""
        indices = [index for index, _ in items]
        return self.mels[indices], self.classes[indices]


def _predict_by_cnn(
    train: Float[Tensor, "n M T"],
    targets: np.ndarray,
    test: Float[Tensor, "m M T"],
    options: FinetuneOptions,
    out: Path,
) -> np.ndarray:
    mean, deviation = train.mean(), train.std()
    schedule = replace(
        options.training, learning_rate=CNN_LEARNING_RATE, batch_size=CNN_BATCH_SIZE, precision="32"
    )
    torch.manual_seed(schedule.seed)
    model = MelCNN(targets.shape[1])
    fit(
        MelClassification(model),
        MelDataset((train - mean) / deviation, torch.from_numpy(targets.argmax(axis=1))),
        None,
        schedule.for_clips(len(train)),
        out,
        resume=options.resume,
        device=options.device,
    )
    model.cpu().eval()
    with torch.inference_mode():
        logits = torch.cat([model(piece) for piece in ((test - mean) / deviation).split(32)])
    return logits.softmax(dim=1).numpy()


def _sound(store: FeatureStore, index: int) -> Float[Tensor, "1 L"]:
    """The sound of a clip from its file, cut or padded with silence as in the store."""
    clip, length = store.clips[index], num_samples(store.info.clip_seconds, store.stream("codes").sample_rate)
    sound = read_audio(
        Path(clip.source),
        store.stream("codes").sample_rate,
        start=clip.start,
        duration=clip.duration or store.info.clip_seconds,
    )
    return F.pad(sound[:, :length], (0, max(0, length - sound.shape[1])))


def _decoded(store: FeatureStore, index: int, codec: Codec) -> Float[Tensor, "1 L"]:
    [codes] = store.read([index], ["codes"]).streams["codes"]
    return codec.decode(codes[None])[0, :, : num_samples(store.info.clip_seconds, codec.sample_rate)]
