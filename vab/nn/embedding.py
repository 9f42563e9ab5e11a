"""Codes to vectors, with tables that start as the codec's own codebooks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from vab.shapes import Float, Int, Tensor


class CodeEmbedding(nn.Module):
    """A table of V + 1 rows for each level, the last row [MASK]; a linear for each level; their sum.

    The paper embeds and sums (section 3.2). Summing the codec's own vectors would mix the levels beyond recovery
    (DAC's have 8 numbers each), so each level has its own linear to the model's width before the sum; the K linears
    are one matrix over the concatenated vectors.
    """

    row_offset: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, codebook_dim: int, width: int) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.randn(num_codebooks, codebook_size + 1, codebook_dim))
        self.project = nn.Linear(num_codebooks * codebook_dim, width)
        self.register_buffer(
            "row_offset", torch.arange(num_codebooks)[:, None] * (codebook_size + 1), persistent=False
        )

    @torch.no_grad()
    def load_codebooks(self, codebooks: Float[Tensor, "K V Dc"]) -> None:
        """Start the tables from the codec's vectors, each level scaled to unit variance.

        Residual levels shrink with depth; unscaled, the fine levels would enter the sum unheard.

        Raises:
            ValueError: the codebooks have another shape than the tables.
        """
        expected = (self.tables.shape[0], self.tables.shape[1] - 1, self.tables.shape[2])
        if tuple(codebooks.shape) != expected:
            raise ValueError(
                f"the codec's codebooks [num_codebooks, codebook_size, codebook_dim] are {tuple(codebooks.shape)}, "
                f"the model's {expected}"
            )
        centred = codebooks - codebooks.mean(dim=(1, 2), keepdim=True)
        self.tables[:, :-1] = centred / centred.std(dim=(1, 2), keepdim=True).clamp_min(1e-8)

    def forward(self, codes: Int[Tensor, "B K S"]) -> Float[Tensor, "B S D"]:
        """Embed codes; V stands for [MASK]."""
        rows = (codes + self.row_offset).transpose(1, 2)
        return self.project(F.embedding(rows, self.tables.flatten(0, 1)).flatten(2))
