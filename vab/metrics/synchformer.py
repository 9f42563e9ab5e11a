"""Synchformer, the network under the field's synchrony scores, read from its official file.

Iashin et al., ICASSP 2024: a MotionFormer with divided attention on segments of frames, an AST on the segments of
sound beside them, both with a layer that pools space or frequency away, and a transformer over the two sequences that
answers how much earlier than the frames the sound is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from vab.metrics.published import load_published
from vab.metrics.synchformer_inputs import (
    NUM_MELS,
    NUM_SEGMENTS,
    NUM_WINDOWS,
    SAMPLE_RATE,
    View,
    mel_segments,
    picture_segments,
)
from vab.shapes import Float, Tensor
from vab.visual.avclip import HEADS, SEGMENT_FEATURES, AvclipTower, TokenPool, attend_in_heads

OFFSETS = tuple((index - 10) / 5 for index in range(21))
"""Seconds that an answer stands for: by so much the sound is early; late where negative."""

_SOUND_PATCH, _SOUND_STRIDE = 16, 10
_BANDS = (NUM_MELS - _SOUND_PATCH) // _SOUND_STRIDE + 1
_SOUND_STEPS = (NUM_WINDOWS - _SOUND_PATCH) // _SOUND_STRIDE + 1
_NUM_TOKENS = 2 + NUM_SEGMENTS * (SEGMENT_FEATURES + _SOUND_STEPS)
_JOINT_HEADS = 8
"""The one size of a layer that its weights do not show."""
_SOUND_EPS = 1e-12
_UNUSED = "vfeat_extractor.patch_embed."
"""A layer for single frames, which the file has and nothing goes through."""
_SEGMENTS_AT_ONCE = 4


class Network(nn.Module):
    """The three parts; names of all layers are those of the file."""

    def __init__(self, tower: AvclipTower, width: int, *, sound_depth: int, joint_depth: int) -> None:
        """Put it together, without weights.

        Args:
            tower: what sees.
            width: of every token.
            sound_depth: layers of the AST.
            joint_depth: layers of the transformer over both.
        """
        super().__init__()
        self.vfeat_extractor = tower
        self.afeat_extractor = nn.ModuleDict(
            {"ast": _Ast(width, sound_depth), "freq_attn_agg": TokenPool(width, HEADS)}
        )
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer = _Joint(width, joint_depth)

    def see(self, segments: Float[Tensor, "S 3 T H W"]) -> Float[Tensor, "S t D"]:
        """Tokens of segments of frames, one for two of them."""
        return self.vproj(self.vfeat_extractor(segments))

    def hear(self, segments: Float[Tensor, "S 1 M W"]) -> Float[Tensor, "S a D"]:
        """Tokens of segments of mel bands, one for 0.1 s."""
        tokens = self.afeat_extractor.get_submodule("ast")(segments).unflatten(1, (_BANDS, _SOUND_STEPS))
        return self.aproj(self.afeat_extractor.get_submodule("freq_attn_agg")(tokens.transpose(1, 2)))

    def compare(
        self, seen: Float[Tensor, "B S t D"], heard: Float[Tensor, "B S a D"]
    ) -> Float[Tensor, "B O"]:
        """Logits of ``OFFSETS`` for ``NUM_SEGMENTS`` of either."""
        return self.transformer(seen.flatten(1, 2), heard.flatten(1, 2))


class Synchformer:
    """The network with its weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "synchformer", *, device: str = "cpu") -> None:
        """Load the official file.

        Args:
            weights: its registered name, downloaded once, or a path.
            device: cpu or cuda.

        Raises:
            WeightsError: the file is absent, damaged or another.
        """
        self._network = load_published(
            "Synchformer", weights, _build, device=device, keep=lambda key: not key.startswith(_UNUSED)
        )
        self._size = self._network.vfeat_extractor.image_size
        self._device = device

    @torch.inference_mode()
    def see(self, video: str | Path, view: View, *, start: float, duration: float) -> Float[Tensor, "S t D"]:
        """What it makes of a clip's frames, to be compared with any number of sounds.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        segments = picture_segments(Path(video), view, self._size, start=start, duration=duration)
        pieces = segments.split(_SEGMENTS_AT_ONCE)
        return torch.cat([self._network.see(piece.to(self._device)) for piece in pieces]).cpu()

    @torch.inference_mode()
    def answers(
        self, seen: Float[Tensor, "S t D"], audio: Float[Tensor, "1 L"], view: View
    ) -> Float[Tensor, "2 O"]:
        """Probabilities of ``OFFSETS`` in the first and in the last 4.8 s of what the view shows.

        Args:
            seen: from :meth:`see`, of the same view.
            audio: at ``SAMPLE_RATE``, from where the frames begin.
            view: the evaluator's.

        Raises:
            ValueError: frames or sound are shorter than 4.8 s.
        """
        segments = mel_segments(audio, view)
        count = min(len(seen), len(segments))
        if count < NUM_SEGMENTS:
            raise ValueError(f"{count} segments of frames and sound, of {NUM_SEGMENTS}")
        heard = self._network.hear(segments.to(self._device))
        parts = (slice(NUM_SEGMENTS), slice(count - NUM_SEGMENTS, count))
        pairs = [torch.stack([each[part] for part in parts]) for each in (seen.to(self._device), heard)]
        return self._network.compare(*pairs).softmax(dim=1).cpu()


def mean_offset(answers: Float[Tensor, "N O"]) -> float:
    """Mean absolute offset of the likeliest answers, in seconds."""
    return torch.tensor(OFFSETS)[answers.argmax(dim=1)].abs().mean().item()


def _build(state: Mapping[str, Tensor]) -> Network:
    """A network of the sizes that its weights have.

    Raises:
        KeyError: a tensor that tells a size is missing.
        ValueError: the width does not fit the heads.
        IndexError: a tensor has too few axes.
    """
    width = state["transformer.off_head.weight"].shape[1]
    if width % math.lcm(HEADS, _JOINT_HEADS):
        raise ValueError(f"{width} channels do not make {HEADS} and {_JOINT_HEADS} heads")

    def depth(before: str, norm: str) -> int:
        return sum(key.startswith(f"{before}.") and key.endswith(f".{norm}.weight") for key in state)

    return Network(
        AvclipTower.for_state(state, "vfeat_extractor."),
        width,
        sound_depth=depth("afeat_extractor.ast.encoder.layer", "layernorm_before"),
        joint_depth=depth("transformer.blocks", "ln1"),
    )


class _Ast(nn.Module):
    """Overlapping patches of mel bands through a transformer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        projection = nn.Conv2d(1, width, _SOUND_PATCH, stride=_SOUND_STRIDE)
        self.embeddings = nn.ModuleDict({"patch_embeddings": nn.ModuleDict({"projection": projection})})
        sizes = {"cls_token": 1, "distillation_token": 1, "position_embeddings": 2 + _BANDS * _SOUND_STEPS}
        for name, length in sizes.items():
            self.embeddings.register_parameter(name, nn.Parameter(torch.zeros(1, length, width)))
        layers = nn.Sequential(*(_AstLayer(width) for _ in range(depth)))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.layernorm = nn.LayerNorm(width, eps=_SOUND_EPS)

    def forward(self, segments: Float[Tensor, "B 1 M W"]) -> Float[Tensor, "B N D"]:
        """Tokens of the patches alone, bands before time."""
        patches = self.embeddings.get_submodule("patch_embeddings.projection")(segments)
        firsts = [
            self.embeddings.get_parameter(name).expand(len(segments), -1, -1)
            for name in ("cls_token", "distillation_token")
        ]
        tokens = torch.cat([*firsts, patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + self.embeddings.get_parameter("position_embeddings")
        return self.layernorm(self.encoder.get_submodule("layer")(tokens))[:, len(firsts) :]


class _AstLayer(nn.Module):
    """One layer, norms first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        parts = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"attention": parts, "output": _dense(width, width)})
        self.intermediate, self.output = _dense(width, 4 * width), _dense(4 * width, width)
        self.layernorm_before, self.layernorm_after = (nn.LayerNorm(width, eps=_SOUND_EPS) for _ in range(2))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Of one shape."""
        normed = self.layernorm_before(tokens)
        parts = [
            self.attention.get_submodule(f"attention.{name}")(normed) for name in ("query", "key", "value")
        ]
        mixed = attend_in_heads(parts[0], parts[1], parts[2], HEADS)
        tokens = tokens + self.attention.get_submodule("output.dense")(mixed)
        hidden = F.gelu(self.intermediate.get_submodule("dense")(self.layernorm_after(tokens)))
        return tokens + self.output.get_submodule("dense")(hidden)


class _Joint(nn.Module):
    """A transformer over a token for the answer, what was seen, a token between, and what was heard."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.vis_in_lnorm, self.aud_in_lnorm, self.ln_f = (nn.LayerNorm(width) for _ in range(3))
        self.OFF_tok, self.MOD_tok = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.pos_emb_cfg = nn.ParameterDict({"pos_emb": torch.zeros(1, _NUM_TOKENS, width)})
        self.blocks = nn.Sequential(*(_JointBlock(width) for _ in range(depth)))
        self.off_head = nn.Linear(width, len(OFFSETS))

    def forward(self, seen: Float[Tensor, "B V D"], heard: Float[Tensor, "B A D"]) -> Float[Tensor, "B O"]:
        """Logits of ``OFFSETS``."""
        off, between = (token.expand(len(seen), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        tokens = torch.cat([off, self.vis_in_lnorm(seen), between, self.aud_in_lnorm(heard)], dim=1)
        return self.off_head(self.ln_f(self.blocks(tokens + self.pos_emb_cfg["pos_emb"])[:, 0]))


class _JointBlock(nn.Module):
    """One layer, norms first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = (nn.LayerNorm(width) for _ in range(2))
        self.attn = nn.ModuleDict(
            {name: nn.Linear(width, width) for name in ("query", "key", "value", "proj")}
        )
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Of one shape."""
        normed = self.ln1(tokens)
        query, key, value = (self.attn[name](normed) for name in ("query", "key", "value"))
        tokens = tokens + self.attn["proj"](attend_in_heads(query, key, value, _JOINT_HEADS))
        return tokens + self.mlp(self.ln2(tokens))


def _dense(width: int, to: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(width, to)})
