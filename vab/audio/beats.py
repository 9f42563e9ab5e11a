"""BEATs: audio to features of what is heard (Chen et al., ICML 2023), read from the authors' file.

A compact version of the network under the file's own names: log-mel patches of 16 by 16, a convolution for positions,
and post-norm transformer layers scaled as DeepNorm has it, whose relative positions are gated by the query. No library
that is installed has it. MaskVAT speaks of BEATs' time-patch sequence: here a step is the mean over the eight patches
of one time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.compliance import kaldi

from vab import checkpoint
from vab.errors import WeightsError
from vab.nn.attention import attend, split_heads
from vab.shapes import Float, Int, Tensor

SAMPLE_RATE = 16_000
_NUM_MELS = 128
_SHIFT, _WINDOW = SAMPLE_RATE // 100, SAMPLE_RATE // 40
_MEAN, _STD = 15.41663, 6.55582
"""Of the log-mel bands of the authors' data."""


class BEATs(nn.Module):
    """The network without its classifier."""

    def __init__(
        self,
        *,
        width: int,
        patch_width: int,
        patch: int,
        num_layers: int,
        num_heads: int,
        inner_width: int,
        position_kernel: int,
        position_groups: int,
        num_buckets: int,
        max_distance: int,
    ) -> None:
        """``load_beats`` reads the sizes from the file."""
        super().__init__()
        self.patch, self.num_heads = patch, num_heads
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.patch_embedding = nn.Conv2d(1, patch_width, patch, stride=patch, bias=False)
        self.layer_norm = nn.LayerNorm(patch_width)
        self.post_extract_proj = nn.Linear(patch_width, width)
        self.encoder: Any = nn.Module()
        self.encoder.pos_conv = nn.Sequential(
            nn.Conv1d(width, width, position_kernel, padding=position_kernel // 2, groups=position_groups)
        )
        self.encoder.layer_norm = nn.LayerNorm(width)
        self.encoder.layers = nn.ModuleList(
            _Layer(width, num_heads, inner_width, (2 * num_layers) ** 0.25) for _ in range(num_layers)
        )
        self.encoder.relative_attention_bias = nn.Embedding(num_buckets, num_heads)

    def forward(self, bands: Float[Tensor, "B T M"]) -> Float[Tensor, "B n D"]:
        """Features of log-mel bands, one for ``patch`` of them: the mean over the patches of one time."""
        patches = self.patch_embedding(bands[:, None])
        num_bands = patches.shape[3]
        x = self.post_extract_proj(self.layer_norm(patches.flatten(2).transpose(1, 2)))
        encoder = self.encoder
        positions = encoder.pos_conv(x.transpose(1, 2))[:, :, : x.shape[1]]
        x = encoder.layer_norm(x + F.gelu(positions).transpose(1, 2))
        place = torch.arange(x.shape[1], device=x.device)
        buckets = relative_buckets(place[None] - place[:, None], self.num_buckets, self.max_distance)
        bias = encoder.relative_attention_bias(buckets).permute(2, 0, 1)[None]
        for layer in encoder.layers:
            x = layer(x, bias)
        return x.unflatten(1, (-1, num_bands)).mean(2)


class _Layer(nn.Module):
    def __init__(self, width: int, num_heads: int, inner_width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.self_attn = _GatedAttention(width, num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner_width), nn.Linear(inner_width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(self.scale * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.scale * x + self.fc2(F.gelu(self.fc1(x))))


class _GatedAttention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.grep_linear = nn.Linear(width // num_heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, num_heads, 1, 1))

    def forward(self, x: Float[Tensor, "B N D"], bias: Float[Tensor, "1 H N N"]) -> Float[Tensor, "B N D"]:
        query, key, value = (
            split_heads(part(x), self.num_heads) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(query).unflatten(3, (2, 4)).sum(4).sigmoid()
        first, second = gates.chunk(2, dim=3)
        return self.out_proj(attend(query, key, value, (first * (second * self.grep_a - 1) + 2) * bias))


def relative_buckets(distance: Int[Tensor, "N M"], num_buckets: int, max_distance: int) -> Int[Tensor, "N M"]:
    """T5's buckets: half for either direction; exact for short distances, logarithmic for long ones."""
    half = num_buckets // 2
    exact = half // 2
    away = distance.abs()
    far = (away.clamp_min(1).float() / exact).log() / math.log(max_distance / exact) * (half - exact)
    bucket = torch.where(away < exact, away, (exact + far.long()).clamp(max=half - 1))
    return bucket + half * (distance > 0).long()


class BEATsEncoder:
    """BEATs behind what a stream needs: waveforms in, features at a rate out."""

    sample_rate = SAMPLE_RATE

    def __init__(self, network: BEATs, name: str) -> None:
        self.network = network
        self.name = name
        self.rate = 100 / network.patch
        self.feature_dim = network.post_extract_proj.out_features

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over the weights."""
        return checkpoint.fingerprint(
            {"max_distance": self.network.max_distance}, self.network.state_dict().items()
        )

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B n D"]:
        """Features of sound at 16 kHz; one that has begun is filled up with silence."""
        device = next(self.network.parameters()).device
        step = self.network.patch * _SHIFT
        length = -(-waveform.shape[2] // step) * step + _WINDOW - _SHIFT
        padded = F.pad(waveform.cpu(), (0, length - waveform.shape[2]))
        bands = [
            kaldi.fbank(each * 2**15, num_mel_bins=_NUM_MELS, sample_frequency=SAMPLE_RATE) for each in padded
        ]
        return self.network((torch.stack(bands).to(device) - _MEAN) / (2 * _STD))


def load_beats(path: Path, *, device: str | torch.device = "cpu") -> BEATsEncoder:
    """The network in a file of the authors', fine-tuned or not, or in a safetensors of its ``model``.

    Raises:
        WeightsError: absent or damaged, or of another network.
    """
    is_safetensors = path.suffix == ".safetensors"
    content: Any = checkpoint.load_tensors(path)[0] if is_safetensors else checkpoint.load_torch_file(path)
    settings = content.get("cfg", {}) if isinstance(content, Mapping) else {}
    try:
        state = _own_names(content.get("model", content))
        kernel = state["encoder.pos_conv.0.weight"].shape
        network = BEATs(
            width=kernel[0],
            patch_width=state["patch_embedding.weight"].shape[0],
            patch=state["patch_embedding.weight"].shape[2],
            num_layers=len({key.split(".")[2] for key in state if key.startswith("encoder.layers.")}),
            num_heads=state["encoder.relative_attention_bias.weight"].shape[1],
            inner_width=state["encoder.layers.0.fc1.weight"].shape[0],
            position_kernel=kernel[2],
            position_groups=kernel[0] // kernel[1],
            num_buckets=state["encoder.relative_attention_bias.weight"].shape[0],
            max_distance=int(settings.get("max_distance", 800)),
        )
    except (KeyError, AttributeError, IndexError, TypeError, ValueError) as error:
        remedy = "use a file of github.com/microsoft/unilm, beats"
        raise WeightsError(f"{path}: holds no BEATs; {remedy}") from error
    checkpoint.load_state(network, state, path)
    return BEATsEncoder(network.eval().requires_grad_(False).to(device), path.stem)


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The convolution's weight in one piece, the bias that all layers share once, no classifier."""
    shared = r"encoder\.layers\.\d+\.self_attn\.relative_attention_bias\.weight"
    own = {
        key: value
        for key, value in state.items()
        if not key.startswith(("predictor", "encoder.pos_conv.0.weight_")) and not re.fullmatch(shared, key)
    }
    bias = "relative_attention_bias.weight"
    own[f"encoder.{bias}"] = state[f"encoder.layers.0.self_attn.{bias}"]
    direction = state["encoder.pos_conv.0.weight_v"]
    length = direction.norm(dim=(0, 1), keepdim=True)
    own["encoder.pos_conv.0.weight"] = state["encoder.pos_conv.0.weight_g"] * direction / length
    return own
