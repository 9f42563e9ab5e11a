"""Hear a model learn: true and generated sound of a few clips in TensorBoard at every validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from vab.audio.base import LatentSound
from vab.codecs.sound import CodedSound
from vab.features import FeatureBatch
from vab.models import find_model
from vab.models.base import Sound
from vab.models.files import ModelCard
from vab.pictures import draw_spectrogram, new_figure
from vab.shapes import Float, Tensor
from vab.timing import num_samples


@dataclass(frozen=True)
class SampleLogger:
    """Generates sound for fixed clips with fixed seeds, so that progress can be compared by ear and eye."""

    card: ModelCard
    """Of the model that is trained."""
    components: Mapping[str, Any]
    """By stream, those that make audio."""
    batch: FeatureBatch
    """The clips, a few of the validation set."""
    seconds: float
    """Their length."""

    @torch.no_grad()
    def __call__(self, objective: Any, board: SummaryWriter, step: int) -> None:
        """Generate, decode, log; with averaged weights where training averages."""
        truths = list(self._truths())
        for index, sound in enumerate(self._sounds(objective.model)):
            figure, axes = new_figure(2)
            waveforms = {"generated": torch.cat(list(sound.pieces()), dim=1)}
            if truths:
                waveforms = {"true": truths[index]} | waveforms
            name = self.batch.ids[index]
            for row, (kind, waveform) in enumerate(waveforms.items()):
                draw_spectrogram(axes[row], waveform, sound.sample_rate, title=f"{kind}: {name}")
                board.add_audio(f"{name}/{kind}", waveform[0], step, sample_rate=sound.sample_rate)
            board.add_figure(name, figure, step)

    def _sounds(self, model: Any) -> list[Sound]:
        """Of each clip, generated from its conditions, or refined from its coarse codes too."""
        folder = find_model(self.card.type)
        size = len(self.batch)
        maker: Any
        if folder.refiner is not None:
            maker = folder.refiner(model, self.card)
        elif folder.generator is not None:
            maker = folder.generator(model, self.card, self.components)
        else:
            return []
        # As in generation: what the model predicts itself is not given.
        conditions = [{name: clip[name] for name in maker.condition_rates} for clip in self.batch.clips()]
        settings: dict[str, Any] = {
            "options": self.card.sampling_options(),
            "seeds": range(size),
            "batch_size": size,
        }
        if folder.refiner is not None:
            refined = maker.refine(list(self.batch.streams["codes"]), conditions, **settings)
            return [self._heard(each) for each in refined]
        return list(maker.generate(conditions, [self.seconds] * size, **settings))

    def _truths(self) -> Iterator[Float[Tensor, "1 L"]]:
        """What the true codes or latents sound like, where there are some."""
        if "codes" in self.components:
            for codes in self.batch.streams["codes"]:
                yield torch.cat(list(self._heard(codes).pieces()), dim=1)
        elif "latents" in self.components:
            autoencoder = self.components["latents"]
            length = num_samples(self.seconds, autoencoder.sample_rate)
            for latents in self.batch.streams["latents"]:
                yield torch.cat(list(LatentSound(latents, autoencoder, length).pieces()), dim=1)

    def _heard(self, codes: Tensor) -> CodedSound:
        codec = self.components["codes"]
        return CodedSound(codes.cpu(), codec, num_samples(self.seconds, codec.sample_rate))
