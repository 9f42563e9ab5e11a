"""What all codecs share: checks at the border, pieces, rates, fingerprint; a subclass brings two chains."""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vab import checkpoint
from vab.codecs.pieces import Chain
from vab.shapes import Float, Int, Tensor

PIECE_SECONDS = 12.0
"""Sound up to this long is processed in one pass: the paper's 10 s clips are."""


@contextmanager
def library_warnings_hidden() -> Iterator[None]:
    """Both libraries build on torch functions that warn of their age; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class FrozenCodec(nn.Module):
    """A codec network in evaluation mode behind the ``Codec`` protocol (``vab/codecs/base.py``).

    Args:
        model: the library's own network, left trainable as it is for those who train it.
        config: the numbers it was built from: a dataclass with the ``Codec``'s own, of all codebooks that there are,
            and ``kind``, the architecture's name in our own files.
        name: what it was loaded as; None = the architecture's name.
        num_codebooks: how many codebooks to use, from the coarsest; None = all.
        piece_seconds: longest sound processed in one pass.
    """

    def __init__(
        self,
        model: nn.Module,
        config: Any,
        *,
        name: str | None = None,
        num_codebooks: int | None = None,
        piece_seconds: float = PIECE_SECONDS,
    ) -> None:
        super().__init__()
        available = config.num_codebooks
        num_codebooks = available if num_codebooks is None else num_codebooks
        if not 1 <= num_codebooks <= available:
            raise ValueError(f"num_codebooks must be within 1..{available} for {name}, not {num_codebooks}")
        self.model = model
        self.config = config
        self.name: str = config.kind if name is None else name
        self.sample_rate: int = config.sample_rate
        self.hop_length: int = config.hop_length
        self.num_codebooks: int = num_codebooks
        self.codebook_size: int = config.codebook_size
        self.codebook_dim: int = config.codebook_dim
        self.piece_steps = max(1, int(piece_seconds * self.frame_rate))
        self.eval()

    @abstractmethod
    def _encode_chain(self) -> Chain:
        """Samples [B, 1, S * hop] to codes [B, K, S]."""

    @abstractmethod
    def _decode_chain(self) -> Chain:
        """Codes [B, K, S] to samples [B, 1, S * hop], or a few short at the end."""

    def inference_state(self) -> dict[str, Tensor]:
        """The tensors that encoding and decoding depend on: all, unless a codec has some for training alone."""
        return dict(self.model.state_dict())

    @property
    @abstractmethod
    def codebooks(self) -> Float[Tensor, "K V Dc"]:
        """Codebook vectors of the codebooks in use, a copy."""

    @property
    def frame_rate(self) -> float:
        """Codec steps a second."""
        return self.sample_rate / self.hop_length

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.model.parameters()).device

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights.

        Neither the name nor the number of codebooks in use enters, so 4 of 12 codebooks and all 12 share it.
        Computed once, at the first look: train before, not after.
        """
        return checkpoint.fingerprint(self.describe(), self.inference_state().items())

    def describe(self) -> Mapping[str, Any]:
        """Architecture and constructor numbers, as JSON can hold them."""
        return {"type": self.config.kind, "config": dataclasses.asdict(self.config)}

    def train(self, mode: bool = True) -> FrozenCodec:
        """Stay in evaluation mode, also inside a model that is being trained."""
        return super().train(False)

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Int[Tensor, "B K S"]:
        """Codes of mono sound at ``sample_rate``; S = ceil(L / hop_length), the tail zero-padded.

        Raises:
            ValueError: not [B, 1, L], or NaN or infinity in it.
        """
        if waveform.ndim != 3 or waveform.shape[1] != 1:
            raise ValueError(f"waveform must be [B, 1, L], not {list(waveform.shape)}")
        batch, _, length = waveform.shape
        waveform = waveform.to(self.device, torch.float32)
        if not bool(torch.isfinite(waveform).all()):
            raise ValueError("waveform holds NaN or infinity")
        num_steps = -(-length // self.hop_length)
        if batch == 0 or num_steps == 0:
            return torch.zeros(batch, self.num_codebooks, num_steps, dtype=torch.int64, device=self.device)
        if length % self.hop_length:
            waveform = F.pad(waveform, (0, num_steps * self.hop_length - length))
        return torch.cat(list(self._encode_chain().pieces(waveform, self.piece_steps)), dim=-1)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "B K S"]) -> Float[Tensor, "B 1 L"]:
        """Sound of exactly S * hop_length samples; fewer codebooks than ``num_codebooks`` sound coarser.

        Raises:
            ValueError: a code outside [0, codebook_size), such as a [MASK] left over, or too many codebooks.
        """
        return torch.cat(list(self.decode_pieces(codes)), dim=-1)

    def decode_pieces(self, codes: Int[Tensor, "B K S"]) -> Iterator[Float[Tensor, "B 1 l"]]:
        """What ``decode`` gives, bit by bit: an hour of sound in the memory of some seconds.

        Raises:
            ValueError: as ``decode``.
        """
        if codes.ndim != 3 or not 1 <= codes.shape[1] <= self.config.num_codebooks:
            raise ValueError(
                f"codes must be [B, K, S], 1 <= K <= {self.config.num_codebooks}, not {list(codes.shape)}"
            )
        batch, _, num_steps = codes.shape
        if batch == 0 or num_steps == 0:
            yield torch.zeros(batch, 1, num_steps * self.hop_length, device=self.device)
            return
        lowest, highest = int(codes.min()), int(codes.max())
        if lowest < 0 or highest >= self.codebook_size:
            wrong = lowest if lowest < 0 else highest
            hint = " ([MASK]: some codes are not generated yet)" if wrong == self.codebook_size else ""
            raise ValueError(f"codes must be within 0..{self.codebook_size - 1}, found {wrong}{hint}")
        missing = num_steps * self.hop_length
        pieces = self._decode_chain().pieces(codes.to(self.device, torch.int64), self.piece_steps)
        while True:
            with torch.no_grad():  # not around the loop: it would stay on in the caller while this waits
                piece = next(pieces, None)
            if piece is None:
                break
            missing -= piece.shape[-1]
            yield piece
        if missing:
            yield torch.zeros(batch, 1, missing, device=self.device)
