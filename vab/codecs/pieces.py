"""Long sound in pieces: each network sees enough of its neighbours that no seam remains.

A codec's half is a chain ``before -> LSTM -> after``. Convolutions reach a bounded distance, so their pieces
overlap by that distance and the overlap is cut off again; the LSTM remembers without bound, so its state is
carried from piece to piece. The result equals one pass over the whole up to rounding, in memory that does
not grow with the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from vab.shapes import Tensor

_LSTMState = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Chain:
    """One half of a codec, encoder or decoder, cut at its LSTM.

    Both ends are measured in codec steps: ``before`` takes ``in_per_step`` samples (or one column of
    codes) a step and gives one vector a step, ``after`` gives ``out_per_step`` samples (or columns) a step.
    """

    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]
    lstm: nn.LSTM | None = None
    lstm_skip: bool = False
    """Whether the LSTM's input is added to its output."""
    in_per_step: int = 1
    out_per_step: int = 1
    before_context: int = 0
    """Steps to either side that one step of ``before`` may look at."""
    after_context: int = 0

    def whole(self, x: Tensor) -> Tensor:
        """The chain in one pass."""
        return self.after(self._recur(self.before(x), None, None)[0])

    def pieces(self, x: Tensor, piece_steps: int) -> Iterator[Tensor]:
        """The chain's output in consecutive pieces of ``piece_steps`` steps.

        Args:
            x: input [B, ..., steps * in_per_step].
            piece_steps: length of a piece, raised to the context where it is shorter.

        Yields:
            [B, ..., piece * out_per_step]; the last may be a few samples short where the network is.
        """
        total = x.shape[-1] // self.in_per_step
        if total <= piece_steps:
            yield self.whole(x)
            return
        piece_steps = max(piece_steps, 2 * self.after_context, 1)
        state: _LSTMState | None = None
        for start in range(0, total, piece_steps):
            stop = min(start + piece_steps, total)
            # ``after`` must see the inner stretch for this piece, ``before`` the outer stretch for that.
            inner_start = max(0, start - self.after_context)
            inner_stop = min(total, stop + self.after_context)
            outer_start = max(0, inner_start - self.before_context)
            outer_stop = min(total, inner_stop + self.before_context)
            hidden = self.before(x[..., outer_start * self.in_per_step : outer_stop * self.in_per_step])
            hidden = hidden[..., inner_start - outer_start : inner_stop - outer_start]
            # The next piece begins its LSTM at its own inner start, so the state is kept from there.
            next_inner_start = max(0, stop - self.after_context)
            hidden, state = self._recur(hidden, state, next_inner_start - inner_start)
            result = self.after(hidden)
            first = (start - inner_start) * self.out_per_step
            yield result[..., first : first + (stop - start) * self.out_per_step]

    def _recur(
        self, hidden: Tensor, state: _LSTMState | None, keep_at: int | None
    ) -> tuple[Tensor, _LSTMState | None]:
        """The LSTM over [B, C, steps], and its state after ``keep_at`` steps."""
        if self.lstm is None:
            return hidden, None
        sequence = hidden.permute(2, 0, 1)
        if keep_at is None:
            output, kept = self.lstm(sequence, state)
        else:
            head, kept = self.lstm(sequence[:keep_at], state)
            output = head
            if keep_at < len(sequence):
                output = torch.cat([head, self.lstm(sequence[keep_at:], kept)[0]])
        if self.lstm_skip:
            output = output + sequence
        return output.permute(1, 2, 0), kept


def reach(layers: Iterable[nn.Module]) -> int:
    """How many input positions to either side an output of convolutions can depend on, never too few.

    Kernels are summed in the order of the layers as though all lay on one path, and as though each reached
    its full width to both sides.
    """
    total = 0.0
    jump = 1.0
    """Input positions between two neighbours at the present depth."""
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv1d):
                total += module.dilation[0] * (module.kernel_size[0] - 1) * jump
                jump *= module.stride[0]
            elif isinstance(module, nn.ConvTranspose1d):
                total += module.kernel_size[0] / module.stride[0] * jump
                jump /= module.stride[0]
    return math.ceil(total)
