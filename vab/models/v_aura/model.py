"""V-AURA: the next codes from those before and from the frames up to now (section III)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from vab.decoding.patterns import Pattern
from vab.models.v_aura.config import VAURAConfig
from vab.nn.causal import CausalAttention, KeyValueCache
from vab.nn.initialise import initialise
from vab.nn.llama import LlamaBlock
from vab.nn.rotary import Turns
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import frame_times


class VAURA(nn.Module):
    """A causal decoder over columns of codes, each with the frame of the step that it is to predict."""

    def __init__(self, config: VAURAConfig) -> None:
        super().__init__()
        self.config = config
        audio_width, visual_width = config.audio_width, config.visual_width
        rows = config.num_codebooks * (config.codebook_size + 1)
        self.code_embedding = nn.Parameter(torch.randn(rows, audio_width) / config.num_codebooks**0.5)
        visual_dim = sum(size.width for size in config.conditions.values())
        self.visual_embedding = nn.Sequential(
            nn.Linear(visual_dim, visual_width), nn.GELU(), nn.Linear(visual_width, visual_width)
        )
        self.visual_padding = nn.Parameter(torch.zeros(visual_width))  # where a step has no frame
        self.no_visual = nn.Parameter(torch.zeros(visual_width))  # in place of a dropped condition
        self.blocks = nn.ModuleList(
            LlamaBlock(config.width, config.num_heads, config.feed_forward_width)
            for _ in range(config.num_layers)
        )
        self.norm = nn.RMSNorm(config.width)
        self.head = nn.Linear(config.width, config.num_codebooks * config.codebook_size, bias=False)
        self.apply(initialise)

    def pattern(self, num_steps: int) -> Pattern:
        """How codes of so many steps are laid out in columns."""
        return Pattern.of(self.config.pattern, self.config.num_codebooks, num_steps)

    def forward(
        self,
        codes: Int[Tensor, "B K S"],
        conditions: Mapping[str, Float[Tensor, "B _ E"]],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Mapping[str, Bool[Tensor, "B _"]] | None = None,
    ) -> Float[Tensor, "B K S V"]:
        """Logits of every code, each from the codes in columns before its own and from frames up to its own.

        Args:
            codes: as they are, without any pad token.
            conditions: features of frames by stream, at the rates of ``config.conditions``.
            is_dropped: clips whose conditions are dropped, all streams and frames at once; none by default.
            is_valid: False where a condition is padding, for which the learned one stands; all real by default.
        """
        pattern = self.pattern(codes.shape[2])
        laid = pattern.lay(codes, self.config.pad_token_id)
        before = F.pad(laid[:, :, :-1], (1, 0), value=self.config.pad_token_id)
        condition = self.condition(conditions, pattern, is_dropped=is_dropped, is_valid=is_valid)
        return pattern.gather(self.predict(before, condition, self.turns(condition, pattern)))

    def condition(
        self,
        conditions: Mapping[str, Float[Tensor, "B _ E"]],
        pattern: Pattern,
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Mapping[str, Bool[Tensor, "B _"]] | None = None,
    ) -> Float[Tensor, "B _ visual"]:
        """Embedded frames, prepared once for all steps: one a column where they are fused, else one for each frame of
        the first stream and one of padding."""
        config = self.config
        steps, rate = pattern.newest, config.frame_rate
        if config.fusion == "prepend":
            name, size = next(iter(config.conditions.items()))
            steps, rate = torch.arange(conditions[name].shape[1] + 1), size.rate
        features, is_real = [], torch.ones((), dtype=torch.bool, device=self.visual_padding.device)
        for name, size in config.conditions.items():
            stream, count = conditions[name], conditions[name].shape[1]
            # The frame on display when the step begins; past the last one stands padding.
            frame = (steps.double() * (size.rate / rate) + 1e-6).long().clamp(max=count).to(stream.device)
            features.append(F.pad(stream, (0, 0, 0, 1))[:, frame])
            valid = (
                stream.new_ones(stream.shape[:2], dtype=torch.bool) if is_valid is None else is_valid[name]
            )
            is_real = is_real & F.pad(valid, (0, 1))[:, frame]
        embedded = self.visual_embedding(torch.cat(features, dim=2).to(self.visual_padding.dtype))
        embedded = torch.where(is_real[:, :, None], embedded, self.visual_padding)
        if is_dropped is not None:
            embedded = torch.where(is_dropped[:, None, None], self.no_visual, embedded)
        return embedded

    def turns(self, condition: Float[Tensor, "B _ visual"], pattern: Pattern) -> Turns:
        """Rotary turns of all positions, those of frames first where they are prepended."""
        config = self.config
        columns = torch.arange(pattern.num_columns) / (config.frame_rate * pattern.columns_per_step)
        parts = [columns]
        if config.fusion == "prepend":
            rate = next(iter(config.conditions.values())).rate
            parts = [frame_times(condition.shape[1], rate), columns]
        return Turns.at(torch.cat(parts).to(condition.device), config.width // config.num_heads)

    def predict(
        self,
        before: Int[Tensor, "B K T"],
        condition: Float[Tensor, "B _ visual"],
        turns: Turns,
        *,
        first: int = 0,
        caches: list[KeyValueCache] | None = None,
    ) -> Float[Tensor, "B K T V"]:
        """Logits of columns from those that stand before them.

        Args:
            before: the column before each that is predicted; the pad token before the first.
            condition: of all columns.
            turns: of all positions.
            first: number of the first column that is predicted.
            caches: hold the columns up to there, and after the call these too; None = ``first`` is 0.
        """
        config = self.config
        stop = first + before.shape[2]
        rows = torch.arange(config.num_codebooks, device=before.device)[:, None] * (config.codebook_size + 1)
        x = F.embedding(before + rows, self.code_embedding).sum(dim=1)
        num_prepended = 0
        if config.fusion == "concat":
            x = torch.cat([x, condition[:, first:stop]], dim=2)
        else:
            num_prepended = condition.shape[1]
            x = x if first else torch.cat([condition, x], dim=1)
        turns = turns[num_prepended + stop - x.shape[1] : num_prepended + stop]
        for layer, block in enumerate(self.blocks):
            x = block(x, turns, None if caches is None else caches[layer])
        logits = self.head(self.norm(x[:, -before.shape[2] :]))
        return logits.unflatten(2, (config.num_codebooks, config.codebook_size)).transpose(1, 2)

    def make_caches(
        self, batch_size: int, condition: Float[Tensor, "_ N visual"], pattern: Pattern
    ) -> list[KeyValueCache]:
        """Room for all positions, one a layer."""
        num_prepended = condition.shape[1] if self.config.fusion == "prepend" else 0
        size = num_prepended + pattern.num_columns
        attentions = [module for module in self.blocks.modules() if isinstance(module, CausalAttention)]
        return [KeyValueCache(batch_size, size, attention, condition) for attention in attentions]
