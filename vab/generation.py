"""A generated soundtrack: heard, played in a notebook, levelled, mixed, written."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from vab import media
from vab.features.manifest import Clip
from vab.files import check_outputs, write_atomically
from vab.metrics.loudness import loudness
from vab.mixing import duck
from vab.models.base import Sound
from vab.shapes import Float, Tensor
from vab.timing import num_samples

DEFAULT_PEAK = -1.0
"""dB that a levelled or mixed sound does not pass, where no other peak is asked for."""


@dataclass(frozen=True)
class SaveOptions:
    """How a soundtrack is written; the defaults leave it as it was generated."""

    loudness: float | None = None
    """LUFS of the whole (ITU-R BS.1770-4), as far as the peak allows."""
    peak: float | None = None
    """dB below full scale: of the highest sample, or with ``loudness`` its limit (-1 unless given)."""
    mix: float | None = None
    """dB by which the video's own audio, made mono, is changed before it is added; None = it is replaced."""
    duck: float | None = None
    """dB by which the video's own audio is lowered further where the new one sounds, with ``mix``."""
    sample_rate: int | None = None
    """Hz; the model's own by default, or that of the video's own audio where it is mixed in and higher."""
    stereo: bool = False
    """Write two equal channels."""
    transcode: bool = False
    """Encode the video's frames anew instead of copying them."""

    def __post_init__(self) -> None:
        if self.sample_rate is not None and not 1000 <= self.sample_rate <= 192_000:
            raise ValueError(f"sample_rate must be within 1000..192000 Hz, not {self.sample_rate}")
        if self.peak is not None and self.peak > 0:
            raise ValueError(f"peak is in dB below full scale: 0 or less, not {self.peak:g}")
        if self.duck is not None and (self.mix is None or not 0 < self.duck <= 60):
            raise ValueError(
                f"duck lowers what mix keeps by up to 60 dB: not {self.duck:g} with mix {self.mix}"
            )
        if self.loudness is not None and not -70 <= self.loudness <= 0:
            raise ValueError(f"loudness must be within -70..0 LUFS, not {self.loudness:g}")


@dataclass(frozen=True, repr=False)
class Generation:
    """A generated soundtrack and how it was made."""

    sound: Sound
    clip: Clip
    """What it is for; with ``start`` in its file, whatever its list said."""
    settings: dict[str, Any]
    """Everything needed to make it again: weights and their hash, seed, decoding options, versions."""
    is_part: bool = False
    """Whether the clip is less than its whole video."""

    def __repr__(self) -> str:
        seconds, seed = self.sound.num_samples / self.sample_rate, self.settings.get("seed")
        return f"Generation({self.clip.id!r}, {seconds:.2f} s at {self.sample_rate} Hz, seed {seed})"

    def _repr_html_(self) -> str:
        """A player, for notebooks."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setparams((1, 2, self.sample_rate, 0, "NONE", "NONE"))
            for piece in self.pieces():
                file.writeframes((piece[0] * 32767).to(torch.int16).numpy().tobytes())
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.sound.sample_rate

    @cached_property
    def waveform(self) -> Float[Tensor, "1 L"]:
        """The whole sound; ``pieces`` gives it bit by bit."""
        return torch.cat(list(self.pieces()), dim=1)

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in consecutive pieces: an hour needs no more memory than a minute."""
        return self.sound.pieces()

    def save(self, path: str | Path, options: SaveOptions | None = None) -> None:
        """Write the video with this sound in place of its own, or the sound alone where the suffix is an audio file's.

        The frames are copied, or encoded anew where the clip is a part of its video or ``options`` say so. A JSON with
        the settings goes beside it, under the same name and ``.json``; it is there before the result is, so a result
        is never without it.

        Raises:
            MediaError: the container cannot hold the video's codec, the suffix is unknown, or there is nothing to mix.
            VABError: the path is the video itself, or cannot be written.
        """
        path, options = Path(path), options or SaveOptions()
        settings_path = settings_file(path)
        check_outputs([path, settings_path], [self.clip.path])
        pieces, rate, gain = self._finish(options)
        settings = self.settings | {"save": asdict(options)} | ({} if gain is None else {"gain_db": gain})

        def write_settings() -> None:
            path.unlink(missing_ok=True)  # of other settings
            write_atomically(settings_path, json.dumps(settings, indent=2) + "\n")

        if path.suffix.lower() in media.AUDIO_SUFFIXES:
            media.write_audio(path, pieces, rate, on_complete=write_settings)
            return
        media.mux(
            self.clip.path,
            pieces,
            rate,
            path,
            start=self.clip.start,
            duration=self.clip.duration,
            transcode=options.transcode or self.is_part,
            on_complete=write_settings,
        )

    def _finish(self, options: SaveOptions) -> tuple[Iterator[Float[Tensor, "C l"]], int, float | None]:
        """The pieces as they are written, their rate, and the gain in dB where one was looked for."""
        rate, gain = options.sample_rate or self.sample_rate, None
        pieces = self.pieces()
        if any(value is not None for value in (options.loudness, options.peak, options.mix)):
            if options.mix is not None and options.sample_rate is None:
                own = media.probe(self.clip.path).require_audio().audio
                rate = max(rate, own.sample_rate if own else 0)
            waveform = self._mixed(options, rate)
            gain = gain_db(waveform, rate, loudness_lufs=options.loudness, peak=options.peak)
            pieces = iter([waveform * 10 ** (gain / 20)])
        elif rate != self.sample_rate:
            pieces = media.resample(pieces, self.sample_rate, rate)
        return (piece.expand(2, -1) for piece in pieces) if options.stereo else pieces, rate, gain

    def _mixed(self, options: SaveOptions, rate: int) -> Float[Tensor, "1 L"]:
        resampled = media.resample([self.waveform], self.sample_rate, rate)
        waveform = torch.cat(list(resampled), dim=1) if rate != self.sample_rate else self.waveform
        if options.mix is None:
            return waveform
        seconds = self.sound.num_samples / self.sample_rate
        own = media.read_audio(self.clip.path, rate, start=self.clip.start, duration=seconds)
        length = num_samples(seconds, rate)
        own, waveform = (
            F.pad(each, (0, max(0, length - each.shape[1])))[:, :length] for each in (own, waveform)
        )
        if options.duck is not None:
            own = duck(own, waveform, rate, depth=options.duck)
        return waveform + own * 10 ** (options.mix / 20)


def gain_db(
    waveform: Float[Tensor, "1 L"], sample_rate: int, *, loudness_lufs: float | None, peak: float | None
) -> float:
    """dB by which a sound is raised to a loudness, or else to a peak; never over the peak (-1 unless given).

    A sound too short or too quiet to have a loudness is left as loud as it is.
    """
    levels = loudness(waveform, sample_rate)
    gain = 0.0
    if loudness_lufs is not None:
        gain = 0.0 if levels.lufs is None else loudness_lufs - levels.lufs
    elif peak is not None and not levels.is_silent:
        gain = peak - levels.peak_db
    return round(min(gain, (DEFAULT_PEAK if peak is None else peak) - levels.peak_db), 2)


def settings_file(path: Path) -> Path:
    """The JSON beside a result."""
    return path.with_suffix(f"{path.suffix}.json")


def clip_of(video: str | Path | Clip) -> Clip:
    """A clip as it is, a file as a clip whose id is its name without suffix."""
    return video if isinstance(video, Clip) else Clip(Path(video).stem, Path(video))
