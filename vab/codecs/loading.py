"""Codecs by name or by file, and our own file format for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vab import checkpoint
from vab.codecs import audiogen, dac, encodec
from vab.codecs.dac import DacCodec, DacConfig, build_dac
from vab.codecs.encodec import EncodecCodec, EncodecConfig, build_encodec
from vab.codecs.frozen import FrozenCodec
from vab.codecs.spectral import SpectralCodec, SpectralConfig, SpectralNetwork
from vab.config import from_dict
from vab.errors import ConfigError, WeightsError
from vab.shapes import Tensor
from vab.weights import RANDOM, entries, find, resolve

FORMAT = "codec"
RANDOM_SEED = 0

Config = EncodecConfig | DacConfig | SpectralConfig


@dataclass(frozen=True)
class CodecPreset:
    """What a name of ``load_codec`` stands for."""

    config: Config
    weights: str
    num_codebooks: int | None = None
    """Codebooks used unless asked otherwise; None = all."""


ENCODEC_24KHZ = EncodecConfig(
    sample_rate=24_000,
    n_filters=32,
    num_codebooks=32,
    codebook_size=1024,
    causal=True,
    true_skip=False,
    pad_mode="reflect",
)

PRESETS: Mapping[str, CodecPreset] = {
    "encodec-16khz": CodecPreset(EncodecConfig(), "audiogen-medium-codec"),
    "encodec-24khz": CodecPreset(ENCODEC_24KHZ, "encodec-24khz", num_codebooks=8),
    "dac-16khz": CodecPreset(DacConfig(), "dac-16khz"),
    "dac-44khz": CodecPreset(dac.DAC_44KHZ, "dac-44khz"),
    # Seeded random networks of each architecture, for tests of whatever needs some codec.
    "tiny-encodec": CodecPreset(EncodecConfig(n_filters=4, dimension=16, codebook_size=64, lstm=1), RANDOM),
    "tiny-dac": CodecPreset(
        DacConfig(encoder_dim=4, decoder_dim=32, num_codebooks=4, codebook_size=64), RANDOM
    ),
    "tiny-spectral": CodecPreset(
        SpectralConfig(
            width=16, coarse_dim=5, detail_dim=3, num_coarse_codebooks=2, num_codebooks=4, codebook_size=64
        ),
        RANDOM,
    ),
}


def load_codec(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    num_codebooks: int | None = None,
) -> FrozenCodec:
    """A codec in evaluation mode, without gradients.

    Args:
        name: ``encodec-16khz``, ``encodec-24khz``, ``dac-16khz``, ``dac-44khz``, ``spectral-16khz``,
            ``tiny-encodec``, ``tiny-dac`` or ``tiny-spectral`` (random, for tests), or a path to a file of any
            known format.
        weights: None = the name's own; a registered name of weights, a path, or ``random``.
        device: where to put it.
        num_codebooks: use only that many codebooks, from the coarsest; None = the name's default.

    Raises:
        WeightsError: an unknown name, or weights that are absent, damaged, or of another network.
        ValueError: more codebooks than there are.
    """
    preset = PRESETS.get(name)
    source = weights or (preset.weights if preset else name)
    if source == RANDOM:
        if preset is None:
            raise WeightsError(f"{name}: random weights need one of {', '.join(PRESETS)}")
        levels = preset.num_codebooks if num_codebooks is None else num_codebooks
        codec = random_codec(preset.config, name=name, num_codebooks=levels)
    else:
        path = _locate(name, source)
        config, state = _read(path, preset)
        if preset is not None:
            _check_fits(config, preset, name)
            if num_codebooks is None and preset.num_codebooks is not None:
                num_codebooks = min(preset.num_codebooks, config.num_codebooks)
        short_name = name if preset or find(name) else Path(name).stem
        codec = checkpoint.build_for(
            lambda: _build(config, name=short_name, num_codebooks=num_codebooks), state, path
        )
        checkpoint.load_state(codec.model, state, path)
    return codec.requires_grad_(False).to(device)


def random_codec(
    config: Config, *, name: str = RANDOM, num_codebooks: int | None = None, seed: int = RANDOM_SEED
) -> FrozenCodec:
    """A codec with seeded random weights and codebooks whose entries occur; leaves the RNG alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codec = _build(config, name=name, num_codebooks=num_codebooks)
        if isinstance(codec, EncodecCodec):
            encodec.randomise_codebooks(codec.model)
    return codec


def save_codec(
    codec: FrozenCodec,
    path: Path,
    provenance: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a codec to one safetensors file that ``load_codec`` reads by its path, whole or not at all.

    All codebooks are written, whatever ``num_codebooks`` is; what only training needs is left out. ``provenance`` says
    where the weights come from, as JSON can; tensors are stored as ``dtype`` and widened to float32 on loading.
    """
    header = {"format": FORMAT, "version": 1, **codec.describe(), "provenance": dict(provenance or {})}
    tensors = {key: tensor.to(dtype) for key, tensor in codec.inference_state().items()}
    checkpoint.save_tensors(path, tensors, header)


def _locate(name: str, source: str | Path) -> Path:
    """The file of a codec's weights; an unknown name is told apart from missing weights."""
    entry = find(str(source))
    if entry is None and not Path(source).expanduser().exists() and str(source) == name:
        bundled = [entry.name for entry in entries() if entry.kind == "codec" and entry.is_bundled]
        known = ", ".join([*PRESETS, *bundled])
        raise WeightsError(f"{name}: neither a codec ({known}) nor a file")
    if entry is not None and entry.kind != "codec":
        raise WeightsError(f"{source}: weights of kind {entry.kind!r}, not of a codec")
    return resolve(source)


def _read(path: Path, preset: CodecPreset | None) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and state dict of whatever codec a file holds, recognised by its content."""
    config: Config
    if path.suffix == ".safetensors":
        state, header = checkpoint.load_tensors(path, expected_format=FORMAT)
        config = _config_of(header, path)
    else:
        content = checkpoint.load_torch_file(path)
        if audiogen.is_audiocraft_file(content):
            config, state = audiogen.read_audiocraft(content, path)
        elif dac.is_dac_file(content):
            config, state = dac.read_dac(content, path)
        elif isinstance(content, dict) and content and all(isinstance(v, Tensor) for v in content.values()):
            # The encodec package publishes bare state dicts, and 24 kHz is its only mono preset.
            config, state = (preset.config if preset else ENCODEC_24KHZ), content
        else:
            raise WeightsError(f"{path}: not the weights of a codec that vab knows")
    if isinstance(config, EncodecConfig):
        state = encodec.with_training_buffers(state)
    return config, state


def _config_of(header: Mapping[str, Any], path: Path) -> Config:
    """The configuration in the header of our own format."""
    kinds: dict[str, Any] = {kind.kind: kind for kind in (EncodecConfig, DacConfig, SpectralConfig)}
    try:
        return from_dict(kinds[header["type"]], header["config"], source=str(path))
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise WeightsError(f"{path}: its header describes no codec that vab knows ({error})") from error


def _build(config: Config, *, name: str, num_codebooks: int | None) -> FrozenCodec:
    if isinstance(config, EncodecConfig):
        return EncodecCodec(build_encodec(config), config, name=name, num_codebooks=num_codebooks)
    if isinstance(config, SpectralConfig):
        return SpectralCodec(SpectralNetwork(config), config, name=name, num_codebooks=num_codebooks)
    return DacCodec(build_dac(config), config, name=name, num_codebooks=num_codebooks)


def _check_fits(found: Config, preset: CodecPreset, name: str) -> None:
    """A name promises an architecture and its rates; weights of another are an error, not a surprise."""
    promised, actual = (
        f"{config.kind} at {config.sample_rate} Hz with hop {config.hop_length}"
        for config in (preset.config, found)
    )
    if actual != promised:
        raise WeightsError(
            f"{name}: these weights are {actual}, not {promised}; load them by their path alone"
        )
