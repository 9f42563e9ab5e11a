"""Frames of any length, and a layout that is predicted or given, to sound (TiVA section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from vab.audio.base import AudioAutoencoder, LatentSound
from vab.decoding.diffusion import NoiseOf, solve
from vab.decoding.guidance import branches, guide
from vab.decoding.in_windows import take_steps
from vab.decoding.options import DiffusionOptions
from vab.features.grid import TimeGrid, as_fraction
from vab.models.files import ModelCard
from vab.models.tiva.model import TiVA
from vab.shapes import Float, Tensor
from vab.timing import num_samples, steps_begun
from vab.windows import Windows


class TiVAGenerator:
    """Latents in windows that share the noise of their overlap and fade into each other (``vab/models/base.py``)."""

    def __init__(self, model: TiVA, card: ModelCard, components: Mapping[str, Any]) -> None:
        self.model = model
        self.autoencoder: AudioAutoencoder = components["latents"]
        self.sample_rate = self.autoencoder.sample_rate
        streams = model.config.streams
        self.condition_rates = {"clip-layers": streams["clip-layers"]}
        self.predicted_rates = {"layout": model.config.predictor.layout_rate}
        self.layout_size = steps_begun(card.window_seconds, self.predicted_rates["layout"])
        # Windows count the steps of what is generated under the name "codes".
        grid = TimeGrid.of({"codes": streams["latents"], **self.condition_rates, **self.predicted_rates})
        hop = int(as_fraction(card.window_seconds - card.overlap_seconds) / grid.period)
        self.windows = Windows(card.window_seconds, max(1, hop), grid)

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes."""
        return self.windows.count(self._num_steps(seconds))

    @torch.inference_mode()
    def predict(
        self, conditions: Sequence[Mapping[str, Tensor]], seconds: Sequence[float], *, batch_size: int
    ) -> list[dict[str, Float[Tensor, "M C"]]]:
        """The layout of each clip, in [0, 1]; that which is given stays, silence after its end.

        Raises:
            ValueError: a layout that is given has other bands than the model.
        """
        rate, bands = self.predicted_rates["layout"], self.model.config.predictor.layout_bands
        for each in conditions:
            if "layout" in each and each["layout"].shape[1:] != (bands,):
                found = list(each["layout"].shape)
                raise ValueError(f"a layout is [rows, {bands}] at {rate:g} rows a second here, not {found}")
        layouts = [
            _cut(
                each.get("layout", torch.zeros(0, bands)).float().cpu(), 0, max(1, steps_begun(length, rate))
            )
            for each, length in zip(conditions, seconds, strict=True)
        ]
        wanted = [clip for clip, each in enumerate(conditions) if "layout" not in each]
        lengths, size = [self._num_steps(seconds[clip]) for clip in wanted], self.layout_size
        for index, batch in self.windows.batches(lengths, batch_size):
            clips = [wanted[number] for number in batch]
            predicted = self.model.predictor(self._features(conditions, clips, index), size).float().cpu()
            first, end = self._place("layout", index, size)
            for clip, piece in zip(clips, predicted, strict=True):
                fade_in(layouts[clip], piece, first, end)
        return [{"layout": layout} for layout in layouts]

    @torch.inference_mode()
    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: DiffusionOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[LatentSound]:
        """A sound for each clip; a condition "layout" [M, C] is followed instead of the predicted one."""
        predicted = self.predict(conditions, seconds, batch_size=batch_size)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        size, shape = self.windows.num_steps, tuple(self.model.config.latent_shape)
        noises = [torch.zeros(0, *shape) for _ in seeds]
        lengths = [self._num_steps(length) for length in seconds]
        done = [torch.zeros(length, *shape) for length in lengths]
        for index, clips in self.windows.batches(lengths, batch_size):
            first, end = self._place("codes", index, size)
            for clip in clips:
                kept = noises[clip][len(noises[clip]) - max(0, end - first) :]
                fresh = torch.randn(size - len(kept), *shape, generator=generators[clip])
                noises[clip] = torch.cat([kept, fresh])
            device = self.model.no_semantics.device
            noise = torch.stack([noises[clip] for clip in clips]).to(device)
            begin = self.windows.first("layout", index)
            layout = torch.stack(
                [_cut(predicted[clip]["layout"], begin, self.layout_size) for clip in clips]
            ).to(device)
            features = self._features(conditions, clips, index)
            predict_noise = self._bound(features, layout, options.cfg_scale)
            latents = solve(predict_noise, noise, self.model.config.schedule, options.num_steps).cpu()
            for clip, piece in zip(clips, latents, strict=True):
                fade_in(done[clip], piece, first, end)
            if on_window:
                on_window(len(clips))
        return [
            LatentSound(latents, self.autoencoder, num_samples(length, self.sample_rate))
            for latents, length in zip(done, seconds, strict=True)
        ]

    def _num_steps(self, seconds: float) -> int:
        return max(1, steps_begun(seconds, self.model.config.latent_rate))

    def _place(self, stream: str, index: int, size: int) -> tuple[int, int]:
        """Step at which a window begins, and up to which the one before reaches."""
        end = self.windows.first(stream, index - 1) + size if index else 0
        return self.windows.first(stream, index), end

    def _features(
        self, conditions: Sequence[Mapping[str, Tensor]], clips: Sequence[int], index: int
    ) -> Float[Tensor, "B F T E"]:
        """A window's frames of some clips, the last one repeated past the end."""
        first = self.windows.first("clip-layers", index)
        size = max(1, steps_begun(self.windows.seconds, self.condition_rates["clip-layers"]))
        pieces = [take_steps(conditions[clip]["clip-layers"], first, size).float() for clip in clips]
        return torch.stack(pieces).to(self.model.no_semantics.device)

    def _bound(self, features: Tensor, layout: Tensor, cfg_scale: float) -> NoiseOf:
        """The model with conditions and guidance; the layout is followed in both branches, as in training."""
        dropped = torch.tensor(branches(cfg_scale), device=features.device).repeat_interleave(len(features))
        times = len(dropped) // len(features)
        semantics = self.model.embed_semantics(features.repeat(times, 1, 1, 1), dropped)
        layout = layout.repeat(times, 1, 1)

        def predict_noise(latents: Tensor, steps: Tensor) -> Tensor:
            steps = steps.repeat(times)
            return guide(lambda x: self.model.predict_noise(x, steps, layout, semantics), cfg_scale)(latents)

        return predict_noise


def _cut(layout: Float[Tensor, "M C"], first: int, size: int) -> Float[Tensor, "m C"]:
    """Rows from ``first`` on, silence past the end."""
    piece = layout[first : first + size]
    return F.pad(piece, (0, 0, 0, size - len(piece)))


def fade_in(done: Tensor, piece: Tensor, first: int, end: int) -> None:
    """Write a piece [n, ...] over what is done [steps, ...], in place, from step ``first`` on.

    Up to ``end``, where the piece before ends, the two fade into each other; what passes the end of all is left out.
    """
    piece = piece[: len(done) - first].to(done.dtype)
    share = torch.ones(len(piece))
    overlap = min(max(0, end - first), len(piece))
    share[:overlap] = (torch.arange(overlap) + 0.5) / max(1, end - first)
    here = done[first : first + len(piece)]
    here += share.view(-1, *[1] * (piece.ndim - 1)) * (piece - here)
