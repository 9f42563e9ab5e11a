"""TiVA: semantics and a layout from the frames, and latent diffusion that follows both (section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from vab.models.tiva.config import TiVAConfig
from vab.models.tiva.predictor import LayoutPredictor
from vab.models.tiva.unet import TransformerUNet
from vab.nn.interpolation import sample_at
from vab.shapes import Bool, Float, Tensor
from vab.timing import frame_times, step_times


class TiVA(nn.Module):
    """Layout predictor, semantic encoder and generator."""

    def __init__(self, config: TiVAConfig) -> None:
        super().__init__()
        self.config = config
        predictor = config.predictor
        self.predictor = LayoutPredictor(predictor)
        self.semantics = nn.Linear(predictor.visual_dim, config.semantic_dim)
        self.no_semantics = nn.Parameter(torch.randn(config.semantic_dim) / 2)
        channels = config.latent_shape[0]
        layout_channels = 1 if len(config.latent_shape) == 2 else predictor.layout_bands
        self.generator = TransformerUNet(
            channels + layout_channels,
            channels,
            num_bands=config.num_bands,
            widths=tuple(config.widths),
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            context_dim=config.semantic_dim,
            rate=config.latent_rate,
        )

    def forward(
        self,
        latents: Float[Tensor, "B S ..."],
        steps: Float[Tensor, " B"],
        layout: Float[Tensor, "B M C"],
        features: Float[Tensor, "B F T E"],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B S ..."]:
        """The noise in noisy latents (equation 7).

        Args:
            latents: of ``config.latent_shape`` a step.
            steps: of the noise schedule; fractions lie between two.
            layout: to follow.
            features: the stream "clip-layers".
            is_dropped: clips whose semantics are dropped; none by default.
        """
        return self.predict_noise(latents, steps, layout, self.embed_semantics(features, is_dropped))

    def embed_semantics(
        self, features: Float[Tensor, "B F T E"], is_dropped: Bool[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B F P"]:
        """One vector a frame, from the last layer's class token (equation 2); a dropped one is learnt, not zero."""
        last = -1 - self.config.predictor.visual_cells
        tokens = features[:, :, last].to(self.semantics.weight.dtype)
        embedded = self.semantics(F.layer_norm(tokens, tokens.shape[-1:]))
        if is_dropped is None:
            return embedded
        return torch.where(is_dropped[:, None, None], self.no_semantics.to(embedded.dtype), embedded)

    def predict_noise(
        self,
        latents: Float[Tensor, "B S ..."],
        steps: Float[Tensor, " B"],
        layout: Float[Tensor, "B M C"],
        semantics: Float[Tensor, "B F P"],
    ) -> Float[Tensor, "B S ..."]:
        """See ``forward``; the layout is resized to the latents and enters as channels beside theirs.

        The network gives what is to be added to the part of the noise that the latents themselves tell (the velocity of
        Salimans and Ho 2022). The paper's gives the noise; then its errors where there is little but noise grow a
        hundredfold in the latents. The loss is the paper's.

        Of latents with a frequency axis it is one channel more, as in the paper; without one, a channel a band.
        """
        config = self.config
        dtype = self.semantics.weight.dtype
        x = latents.to(dtype).view(*latents.shape[:3], config.num_bands).transpose(2, 3)
        times = step_times(latents.shape[1], config.latent_rate).to(latents.device)
        followed = sample_at(layout.to(dtype), config.predictor.layout_rate, times)
        if len(config.latent_shape) == 2:
            followed = F.interpolate(followed, config.num_bands, mode="linear").unsqueeze(3)
        else:
            followed = followed.unsqueeze(2)
        frames = frame_times(semantics.shape[1], config.predictor.visual_fps).to(latents.device)
        found = self.generator(torch.cat([x, followed], dim=3), steps, semantics, frames)
        found = found.transpose(2, 3).reshape(latents.shape).float()
        alpha, sigma = (each.view(-1, *[1] * (latents.ndim - 1)) for each in config.schedule.levels(steps))
        return sigma * latents.float() + alpha * found
