"""The audio layout: a mel spectrogram of so low a resolution that it can be predicted, or drawn (TiVA, section 3.1)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from vab.checkpoint import one_line
from vab.config import check_ranges
from vab.errors import VABError
from vab.files import write_atomically
from vab.metrics.onsets import CURVE_RATE, MAX_STRENGTH, find_peaks, onset_strength
from vab.metrics.spectra import FLOOR_DB, LOG_MEL_RATE, log_mel
from vab.shapes import Float, Tensor
from vab.timing import num_samples, steps_begun

SAMPLE_RATE = 16_000
"""Samples a second of the sound that a layout is made from."""
NUM_MEL_BANDS = 64
"""Of the mel spectrogram before it is made smaller."""
FORMAT = "vab-layout"


@dataclass(frozen=True)
class LayoutResolution:
    """How fine a layout is. TiVA's 102 x 5 of 10.24 s are 10 rows of 5 bands a second; figure 5 compares others."""

    rate: float = 10.0
    """Rows a second."""
    num_bands: int = 5
    """Numbers a row, the lowest frequencies first."""

    def __post_init__(self) -> None:
        check_ranges(self, rate=(0.1, LOG_MEL_RATE), num_bands=(1, NUM_MEL_BANDS))


def layout_of(waveform: Float[Tensor, "1 L"], resolution: LayoutResolution) -> Float[Tensor, "M C"]:
    """The layout of a sound: 0 is ``FLOOR_DB`` or softer, 1 a sine at full scale.

    The mean of the package's log-mel over each cell, so that a piece of a sound has a piece of its layout. The paper
    names neither the norm (equation 1) nor the filter of its resizing.

    Args:
        waveform: at ``SAMPLE_RATE``; silence fills up the last row.
        resolution: M is so many rows a second, C so many bands.
    """
    rows = max(1, steps_begun(waveform.shape[1] / SAMPLE_RATE, resolution.rate))
    missing = num_samples(rows / resolution.rate, SAMPLE_RATE) - waveform.shape[1]
    mel = log_mel(F.pad(waveform, (0, max(0, missing))), SAMPLE_RATE, num_bands=NUM_MEL_BANDS)
    columns = mel[:, : max(1, round(rows * LOG_MEL_RATE / resolution.rate))]
    return F.adaptive_avg_pool2d(1 - columns[None] / FLOOR_DB, (resolution.num_bands, rows))[0].T.contiguous()


def onset_curve_of(waveform: Float[Tensor, "1 L"], rate: float) -> Float[Tensor, "M 1"]:
    """The strongest onset in each of ``rate`` rows a second: 1 is a rise by ``MAX_STRENGTH`` in all bands.

    With ``onsets_of`` what TiVA compares its layout with (section 4.3).
    """
    strength = onset_strength(waveform, SAMPLE_RATE)
    return _strongest(strength / MAX_STRENGTH, waveform.shape[1] / SAMPLE_RATE, rate)


def onsets_of(waveform: Float[Tensor, "1 L"], rate: float) -> Float[Tensor, "M 1"]:
    """1 in each of ``rate`` rows a second in which an onset is detected, 0 in the others."""
    strength = onset_strength(waveform, SAMPLE_RATE)
    is_onset = torch.zeros_like(strength)
    is_onset[(find_peaks(strength) * CURVE_RATE).round().long()] = 1.0
    return _strongest(is_onset, waveform.shape[1] / SAMPLE_RATE, rate)


def _strongest(curve: Float[Tensor, " T"], seconds: float, rate: float) -> Float[Tensor, "M 1"]:
    """The maximum in each row's time of an onset curve of so many seconds."""
    rows = max(1, steps_begun(seconds, rate))
    padded = F.pad(curve, (0, max(0, round(rows * CURVE_RATE / rate) - len(curve))))
    return F.adaptive_max_pool1d(padded[None], rows).T


@dataclass(frozen=True)
class Layout:
    """A layout that is kept as a file, to be looked at, edited and followed."""

    values: Float[Tensor, "M C"]
    rate: float
    """Rows a second."""

    def write(self, path: Path) -> None:
        """As JSON, one row a line, to three decimals."""
        rows = ",\n    ".join(json.dumps([round(value, 3) for value in row]) for row in self.values.tolist())
        head = f'"format": "{FORMAT}",\n  "rate": {self.rate!r}'
        write_atomically(path, f'{{\n  {head},\n  "layout": [\n    {rows}\n  ]\n}}\n')

    def erased(self, start: float, stop: float) -> Layout:
        """Without what sounds from ``start`` to ``stop`` seconds: as soft as the softer of the rows around it."""
        first, last = self._rows(start, stop)
        values = self.values.clone()
        around = [values[row] for row in (first - 1, last) if 0 <= row < len(values)]
        values[first:last] = torch.stack(around).amin(0) if around else 0.0
        return Layout(values, self.rate)

    def moved(self, start: float, stop: float, by: float) -> Layout:
        """With what sounds from ``start`` to ``stop`` seconds ``by`` seconds later; what is louder there stays."""
        first, last = self._rows(start, stop)
        values = self.erased(start, stop).values
        target = first + round(by * self.rate)
        low, high = max(target, 0), min(target + last - first, len(values))
        if low < high:
            piece = self.values[first + low - target : first + high - target]
            values[low:high] = torch.maximum(values[low:high], piece)
        return Layout(values, self.rate)

    def painted(self, start: float, stop: float, bands: range, level: float) -> Layout:
        """With ``level``, 0 to 1, in some bands from ``start`` to ``stop`` seconds."""
        first, last = self._rows(start, stop)
        values = self.values.clone()
        values[first:last, bands.start : bands.stop] = min(1.0, max(0.0, level))
        return Layout(values, self.rate)

    def _rows(self, start: float, stop: float) -> tuple[int, int]:
        """First row and the one after the last.

        Raises:
            ValueError: no row lies between them.
        """
        first, last = max(0, round(start * self.rate)), min(len(self.values), round(stop * self.rate))
        if first >= last:
            seconds = len(self.values) / self.rate
            raise ValueError(f"{start:g} to {stop:g} s holds no row of a layout of {seconds:g} s")
        return first, last

    @classmethod
    def read(cls, path: Path) -> Layout:
        """A layout from JSON.

        Raises:
            VABError: the file cannot be read, or is no layout with numbers in [0, 1].
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                raise ValueError(f'no "format": "{FORMAT}"')
            rate, rows = float(document["rate"]), document["layout"]
            if not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"rate {rate}")
            values = torch.tensor(rows, dtype=torch.float32)
            if values.ndim != 2 or not values.numel():
                raise ValueError("layout must be rows of numbers")
            if not ((values >= 0) & (values <= 1)).all():
                raise ValueError("numbers must be in [0, 1]")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise VABError(f"{path}: not a layout ({one_line(error)}); 'vab layout' makes one") from error
        return cls(values, rate)
