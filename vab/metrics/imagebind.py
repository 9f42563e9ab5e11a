"""ImageBind's towers of frames and of sound, the network under the field's audio-visual score, from its own file.

Girdhar et al., CVPR 2023; the weights are under CC-BY-NC-SA 4.0. The embeddings of a clip's pieces are averaged, as its
authors do.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from vab.checkpoint import load_state, load_torch_state
from vab.errors import WeightsError
from vab.metrics.imagebind_inputs import NUM_MELS, NUM_WINDOWS, SAMPLE_RATE, mel_pieces, picture_pieces
from vab.shapes import Float, Tensor
from vab.weights import resolve

_SOUND_PATCH, _SOUND_STRIDE = 16, 10
_HEADS = {"vision": 16, "audio": 12}
"""The one size of a tower that its weights do not show."""
_STEMS = {"vision": "preprocessors.rgbt_stem.proj.1", "audio": "preprocessors.rgbt_stem.proj"}
_EPS = 1e-6


class Tower(nn.Module):
    """Patches to one embedding; names of its parts are those of the file, without the modality's."""

    def __init__(
        self,
        patches: nn.Module,
        after_patches: nn.Module,
        before_blocks: nn.Module,
        blocks: list[nn.Module],
        *,
        num_tokens: int,
        width: int,
        joint_width: int,
    ) -> None:
        """Put it together.

        Args:
            patches: convolution over frames or over mel bands.
            after_patches: norm of its outputs, or nothing.
            before_blocks: norm of all tokens, or nothing.
            blocks: of the transformer.
            num_tokens: patches and one for the whole.
            width: of a token.
            joint_width: P, of the embedding.
        """
        super().__init__()
        positions = nn.ParameterDict({"pos_embed": torch.zeros(1, num_tokens, width)})
        stem = nn.ModuleDict({"proj": patches, "norm_layer": after_patches})
        self.preprocessors = nn.ModuleDict({"rgbt_stem": stem, "pos_embedding_helper": positions})
        self.preprocessors.register_parameter("cls_token", nn.Parameter(torch.zeros(1, 1, width)))
        self.trunks = nn.ModuleDict(
            {"pre_transformer_layer": nn.Sequential(before_blocks), "blocks": nn.Sequential(*blocks)}
        )
        # The authors pick the first token in between, where this has nothing: it is picked before.
        self.heads = nn.Sequential(
            nn.LayerNorm(width, eps=_EPS), nn.Identity(), nn.Linear(width, joint_width, bias=False)
        )

    def forward(self, inputs: Tensor) -> Float[Tensor, "B P"]:
        """Unit-norm embeddings of pairs of frames [B, 3, 2, H, W] or of mel bands [B, 1, M, T]."""
        stem = self.preprocessors.get_submodule("rgbt_stem")
        patches = stem.get_submodule("proj")(inputs).flatten(2).transpose(1, 2)
        whole = self.preprocessors.get_parameter("cls_token").expand(len(inputs), -1, -1)
        tokens = torch.cat([whole, stem.get_submodule("norm_layer")(patches)], dim=1)
        tokens = tokens + self.preprocessors.get_parameter("pos_embedding_helper.pos_embed")
        for name in ("pre_transformer_layer", "blocks"):
            tokens = self.trunks.get_submodule(name)(tokens)
        return F.normalize(self.heads(tokens[:, 0]), dim=-1)


class ImageBind:
    """The two towers with their weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "imagebind", *, device: str = "cpu") -> None:
        """Load the official file; its towers of words, depth, heat and motion are left out.

        Args:
            weights: its registered name, downloaded once, or a path.
            device: cpu or cuda.

        Raises:
            WeightsError: the file is absent, damaged or another.
        """
        path = resolve(weights)
        content = load_torch_state(path, "ImageBind; use the file that 'vab info' names")
        self._towers: dict[str, Tower] = {}
        for modality in _HEADS:
            state = _of_modality(content, modality)
            try:
                tower = _build(modality, state)
            except (KeyError, ValueError, IndexError) as error:
                raise WeightsError(
                    f"{path}: holds no tower of ImageBind for {modality}; use the file that 'vab info' names"
                ) from error
            load_state(tower, state, path)
            self._towers[modality] = tower.eval().requires_grad_(False).to(device)
        patch = self._towers["vision"].get_parameter(f"{_STEMS['vision']}.weight").shape[-1]
        positions = self._towers["vision"].get_parameter("preprocessors.pos_embedding_helper.pos_embed")
        self._image_size = patch * math.isqrt(positions.shape[1])
        self._device = device

    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``SAMPLE_RATE``, of three pieces of it."""
        return self._embed("audio", mel_pieces(audio))

    def embed_video(self, video: str | Path, *, start: float, duration: float) -> Float[Tensor, " P"]:
        """Unit-norm embedding of ``duration`` seconds of frames, of five pieces of them.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        return self._embed("vision", picture_pieces(Path(video), self._image_size, start, duration))

    @torch.inference_mode()
    def _embed(self, modality: str, pieces: Tensor) -> Tensor:
        embeddings = self._towers[modality](pieces.to(self._device))
        return F.normalize(embeddings.mean(dim=0), dim=0).cpu()


def _of_modality(content: Mapping[str, Tensor], modality: str) -> dict[str, Tensor]:
    """``modality_trunks.audio.blocks...`` as ``trunks.blocks...``; the scale of logits, which no cosine has, not."""
    state = {}
    for key, value in content.items():
        part, _, rest = key.removeprefix("modality_").partition(f".{modality}.")
        if rest and part != "postprocessors":
            state[f"{part}.{rest}"] = value
    return state


def _build(modality: str, state: Mapping[str, Tensor]) -> Tower:
    """A tower of the sizes that its weights have.

    Raises:
        KeyError: a tensor that tells a size is missing.
        ValueError: the width does not fit the heads.
        IndexError: a tensor has too few axes.
    """
    kernel = state[f"{_STEMS[modality]}.weight"]
    joint_width, width = state["heads.2.weight"].shape
    depth = sum(key.startswith("trunks.blocks.") and key.endswith(".norm_1.weight") for key in state)
    if width % _HEADS[modality]:
        raise ValueError(f"{width} channels do not make {_HEADS[modality]} heads")
    if modality == "vision":
        shape = (kernel.shape[2], kernel.shape[3], kernel.shape[4])
        convolution = nn.Conv3d(3, width, shape, stride=shape, bias=False)
        side = math.isqrt(state["preprocessors.pos_embedding_helper.pos_embed"].shape[1])
        blocks: list[nn.Module] = [_Block(width, _HEADS[modality], bias_tokens=False) for _ in range(depth)]
        patches = nn.Sequential(nn.Identity(), convolution)
        sizes = {"num_tokens": side**2 + 1, "width": width, "joint_width": joint_width}
        return Tower(patches, nn.Identity(), nn.LayerNorm(width, eps=_EPS), blocks, **sizes)
    mel_patches = nn.Conv2d(1, width, _SOUND_PATCH, stride=_SOUND_STRIDE, bias=False)
    grid = [(extent - _SOUND_PATCH) // _SOUND_STRIDE + 1 for extent in (NUM_MELS, NUM_WINDOWS)]
    blocks = [_Block(width, _HEADS[modality], bias_tokens=True) for _ in range(depth)]
    sizes = {"num_tokens": math.prod(grid) + 1, "width": width, "joint_width": joint_width}
    return Tower(mel_patches, nn.LayerNorm(width), nn.Identity(), blocks, **sizes)


class _Block(nn.Module):
    """One layer of a transformer, norms first."""

    def __init__(self, width: int, num_heads: int, *, bias_tokens: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, eps=_EPS) for _ in range(2))
        self.attn = nn.MultiheadAttention(width, num_heads, add_bias_kv=bias_tokens, batch_first=True)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Of one shape."""
        normed = self.norm_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.norm_2(tokens))
