"""Codec latents as frame features, for the Frechet distance on them: FDD (MaskVAT, ECCV 2024)."""

from __future__ import annotations

import torch

from vab.shapes import Float, Int, Tensor


def code_vectors(codes: Int[Tensor, "K S"], codebooks: Float[Tensor, "K V Dc"]) -> Float[Tensor, "S E"]:
    """Each step's codebook vectors of all levels side by side, before they are summed: E = K * Dc.

    Raises:
        ValueError: a code is no row of its codebook, such as a [MASK] left over.
    """
    if codes.numel() and not 0 <= codes.min() <= codes.max() < codebooks.shape[1]:
        raise ValueError(f"codes reach from {codes.min()} to {codes.max()}, of {codebooks.shape[1]} entries")
    levels = [table[row] for table, row in zip(codebooks, codes, strict=True)]
    return torch.cat(levels, dim=1)
