"""Waveform to latents and back, and the audio layout: what latent diffusion is trained on and follows."""

from vab.audio.base import AudioAutoencoder
from vab.audio.layout import Layout
from vab.audio.loading import load_autoencoder

__all__ = ["AudioAutoencoder", "Layout", "load_autoencoder"]
