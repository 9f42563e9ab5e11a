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
_EPS, _SOUND_EPS = 1e-5, 1e-12
_UNUSED = "vfeat_extractor.patch_embed."
"""A layer for single frames, which the file has and nothing goes through."""
_OWN_NAMES = {
    "pos_emb_cfg.": "",
    "afeat_extractor.": "",
    "ast.embeddings.": "ast.",
    "patch_embeddings.": "",
    "ast.encoder.layer.": "ast.blocks.",
    "layernorm_before": "ln1",
    "layernorm_after": "ln2",
    "attention.attention": "attn",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
}
"""What the file says and what is said here, so that one kind of block does for sound and for both together."""
_SEGMENTS_AT_ONCE = 4


class Network(nn.Module):
    """The three parts; names of all layers are those of the file, the longest made shorter by ``_own_name``."""

    def __init__(self, tower: AvclipTower, width: int, *, sound_depth: int, joint_depth: int) -> None:
        """Tokens of one width everywhere; depths are numbers of layers, of the AST and of the one over both."""
        super().__init__()
        self.vfeat_extractor = tower
        self.ast, self.freq_attn_agg = _Ast(width, sound_depth), TokenPool(width, HEADS)
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer = _Joint(width, joint_depth)

    def see(self, segments: Float[Tensor, "S 3 T H W"]) -> Float[Tensor, "S t D"]:
        """Tokens of segments of frames, one for two of them."""
        return self.vproj(self.vfeat_extractor(segments))

    def hear(self, segments: Float[Tensor, "S 1 M W"]) -> Float[Tensor, "S a D"]:
        """Tokens of segments of mel bands, one for 0.1 s."""
        tokens = self.ast(segments).unflatten(1, (_BANDS, _SOUND_STEPS))
        return self.aproj(self.freq_attn_agg(tokens.transpose(1, 2)))

    def compare(
        self, seen: Float[Tensor, "B S t D"], heard: Float[Tensor, "B S a D"]
    ) -> Float[Tensor, "B O"]:
        """Logits of ``OFFSETS`` for ``NUM_SEGMENTS`` of either."""
        return self.transformer(seen.flatten(1, 2), heard.flatten(1, 2))


class Synchformer:
    """The network with its weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "synchformer", *, device: str = "cpu") -> None:
        """Load the official file: see :func:`load_published`."""
        self._network = load_published("Synchformer", weights, _build, device=device, rename=_own_name)
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


def _own_name(key: str) -> str | None:
    if key.startswith(_UNUSED):
        return None
    for name, own in _OWN_NAMES.items():
        key = key.replace(name, own)
    return key


def _build(state: Mapping[str, Tensor]) -> Network:
    """A network of the sizes that its weights have."""
    width = state["transformer.off_head.weight"].shape[1]
    if width % math.lcm(HEADS, _JOINT_HEADS):
        raise ValueError(f"{width} channels do not make {HEADS} and {_JOINT_HEADS} heads")
    sound_depth, joint_depth = (
        sum(key.startswith(blocks) and key.endswith(".ln1.weight") for key in state)
        for blocks in ("ast.blocks.", "transformer.blocks.")
    )
    tower = AvclipTower.for_state(state, "vfeat_extractor.")
    return Network(tower, width, sound_depth=sound_depth, joint_depth=joint_depth)


class _Ast(nn.Module):
    """Overlapping patches of mel bands through a transformer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(1, width, _SOUND_PATCH, stride=_SOUND_STRIDE)
        self.cls_token, self.distillation_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 2 + _BANDS * _SOUND_STEPS, width))
        self.blocks = nn.Sequential(*(_Block(width, HEADS, eps=_SOUND_EPS) for _ in range(depth)))
        self.layernorm = nn.LayerNorm(width, eps=_SOUND_EPS)

    def forward(self, segments: Float[Tensor, "B 1 M W"]) -> Float[Tensor, "B N D"]:
        """Tokens of the patches alone, bands before time."""
        patches = self.projection(segments).flatten(2).transpose(1, 2)
        firsts = torch.cat([self.cls_token, self.distillation_token], dim=1)
        tokens = torch.cat([firsts.expand(len(segments), -1, -1), patches], dim=1)
        return self.layernorm(self.blocks(tokens + self.position_embeddings))[:, 2:]


class _Joint(nn.Module):
    """A transformer over a token for the answer, what was seen, a token between, and what was heard."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.vis_in_lnorm, self.aud_in_lnorm, self.ln_f = (nn.LayerNorm(width) for _ in range(3))
        self.OFF_tok, self.MOD_tok = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.pos_emb = nn.Parameter(torch.zeros(1, _NUM_TOKENS, width))
        self.blocks = nn.Sequential(*(_Block(width, _JOINT_HEADS, eps=_EPS) for _ in range(depth)))
        self.off_head = nn.Linear(width, len(OFFSETS))

    def forward(self, seen: Float[Tensor, "B V D"], heard: Float[Tensor, "B A D"]) -> Float[Tensor, "B O"]:
        off, between = (token.expand(len(seen), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        tokens = torch.cat([off, self.vis_in_lnorm(seen), between, self.aud_in_lnorm(heard)], dim=1)
        return self.off_head(self.ln_f(self.blocks(tokens + self.pos_emb)[:, 0]))


class _Block(nn.Module):
    """One layer, norms first."""

    def __init__(self, width: int, num_heads: int, *, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln1, self.ln2 = (nn.LayerNorm(width, eps=eps) for _ in range(2))
        self.attn = nn.ModuleDict(
            {name: nn.Linear(width, width) for name in ("query", "key", "value", "proj")}
        )
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        normed = self.ln1(tokens)
        query, key, value = (self.attn[name](normed) for name in ("query", "key", "value"))
        tokens = tokens + self.attn["proj"](attend_in_heads(query, key, value, self.num_heads))
        return tokens + self.mlp(self.ln2(tokens))
