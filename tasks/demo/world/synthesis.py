"""Sound from motion: damped modes for what is struck, shaped noise and harmonics for what keeps sounding.

Every function renders samples ``start`` to ``stop`` of a source's own endless sound, so an hour is made in
pieces that fit together.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import oaconvolve

from tasks.demo.world.materials import MATERIALS, Material
from tasks.demo.world.scene import SAMPLE_RATE, Source

NYQUIST = SAMPLE_RATE / 2
# Curves are evaluated on this grid and interpolated linearly to samples: smooth enough for any pitch glide.
CONTROL_RATE = 250
# -60 dB in nepers: amplitude exp(-DECAY_60 t / t60).
DECAY_60 = np.log(1000.0)
NOTE_SECONDS = 1.4
BURST_SECONDS = 0.15
DAMPER_T60 = 0.12
# A full-strength note has this RMS over its first tenth of a second, unless its peak would pass the other.
NOTE_RMS = 0.4
NOTE_PEAK = 1.0


def to_samples(function: Callable[[np.ndarray], np.ndarray], start: int, stop: int) -> np.ndarray:
    """``function`` of seconds, evaluated at the control rate and interpolated to samples, float32."""
    first, last = start / SAMPLE_RATE, stop / SAMPLE_RATE
    grid = np.arange(int(first * CONTROL_RATE), int(last * CONTROL_RATE) + 2) / CONTROL_RATE
    times = np.arange(start, stop) / SAMPLE_RATE
    return np.interp(times, grid, function(grid)).astype(np.float32)


def cycles(frequency: Callable[[np.ndarray], np.ndarray], times: np.ndarray) -> np.ndarray:
    """Cycles run since time 0 at ``times`` [T] ascending, for a ``frequency`` in Hz that follows time."""
    grid = np.arange(int(times[-1] * CONTROL_RATE) + 2) / CONTROL_RATE
    hertz = np.maximum(frequency(grid), 0.0)
    steps = (hertz[1:] + hertz[:-1]) / 2 / CONTROL_RATE
    return np.interp(times, grid, np.concatenate([[0.0], np.cumsum(steps)]))


def sample_cycles(frequency: Callable[[np.ndarray], np.ndarray], start: int, stop: int) -> np.ndarray:
    """:func:`cycles` at samples ``start`` to ``stop``, float64."""
    return cycles(frequency, np.arange(start, stop) / SAMPLE_RATE)


def harmonics(phase: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Sum of sines at 1, 2, ... times ``phase`` (cycles) [L], float32; ``amplitudes`` [M] or [M, L]."""
    out = np.zeros(len(phase), np.float32)
    for order, amplitude in enumerate(amplitudes, start=1):
        turn = np.remainder(order * phase, 1.0).astype(np.float32)
        out += np.asarray(amplitude, np.float32) * np.sin(np.float32(2 * np.pi) * turn)
    return out


def piece_generator(source: Source, start: int, salt: int = 0) -> np.random.Generator:
    """The noise of one piece of one source's sound."""
    return np.random.default_rng([source.noise_seed, start, salt])


def shaped_noise(
    generator: np.random.Generator, num_samples: int, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise [L] whose amplitude spectrum follows ``gain`` (of Hz); RMS 1, float32."""
    # A length with small factors keeps the transform fast whatever the clip's length.
    length = 1 << max(8, int(num_samples - 1).bit_length())
    spectrum = np.fft.rfft(generator.standard_normal(length, dtype=np.float32))
    spectrum *= gain(np.fft.rfftfreq(length, 1 / SAMPLE_RATE))
    noise = np.fft.irfft(spectrum, length)[:num_samples]
    return (noise / np.sqrt(np.mean(noise**2) + 1e-12)).astype(np.float32)


def band(low: float, high: float, slope: float = 2.0) -> Callable[[np.ndarray], np.ndarray]:
    """A gain over Hz that is 1 between ``low`` and ``high`` and falls off with ``slope`` on either side."""

    def gain(hertz: np.ndarray) -> np.ndarray:
        safe = np.maximum(hertz, 1.0)
        return np.minimum(1.0, safe / low) ** slope * np.minimum(1.0, high / safe) ** slope

    return gain


def damped_modes(frequencies: np.ndarray, t60: np.ndarray, num_samples: int) -> np.ndarray:
    """Damped sines [M, L] float32 for mode ``frequencies`` [M] Hz and decay times ``t60`` [M] seconds."""
    times = np.arange(num_samples, dtype=np.float32) / SAMPLE_RATE
    decay = np.exp(-(DECAY_60 / t60)[:, None].astype(np.float32) * times)
    return decay * np.sin((2 * np.pi * frequencies)[:, None].astype(np.float32) * times)


def thud(frequencies: tuple[float, ...], t60: float) -> np.ndarray:
    """A heavy body set moving [N] float32, of peak about 1: the floor below a ball, a box of wood below strings."""
    length = int(1.1 * t60 * SAMPLE_RATE)
    modes = damped_modes(np.array(frequencies), np.full(len(frequencies), t60), length)
    return modes.mean(axis=0).astype(np.float32)


def rattle(
    source: Source, low: float, high: float, attack: float, decay: float, delay: float = 0.0
) -> np.ndarray:
    """Noise between ``low`` and ``high`` Hz [N] float32, RMS about .5 at its height: snares, the scuff of a sole.

    It starts ``delay`` seconds after the blow, swells for ``attack`` and dies by ``decay`` seconds an e-fold.
    """
    length = int((attack + 6 * decay) * SAMPLE_RATE)
    noise = shaped_noise(piece_generator(source, 0, salt=2), length, band(low, high))
    times = np.arange(length) / SAMPLE_RATE
    swell = np.minimum(times / attack, 1.0) * np.exp(-np.maximum(times - attack, 0.0) / decay)
    return np.concatenate([np.zeros(int(delay * SAMPLE_RATE)), 0.5 * noise * swell]).astype(np.float32)


def bubble(f0: float, rise: float, t60: float, delay: float) -> np.ndarray:
    """A bubble under a drop [N] float32: its pitch climbs from ``f0`` Hz, by ``rise`` times ``f0`` a second.

    It closes ``delay`` seconds after the drop has touched the water (van den Doel, "Physically based models for liquid
    sounds", 2005).
    """
    times = np.arange(int(1.1 * t60 * SAMPLE_RATE)) / SAMPLE_RATE
    ring = np.sin(2 * np.pi * f0 * (times + rise * times**2 / 2)) * np.exp(-DECAY_60 / t60 * times)
    return np.concatenate([np.zeros(int(delay * SAMPLE_RATE)), ring]).astype(np.float32)


class Note:
    """The ring of one struck body: modes whose brightness follows how hard it is struck.

    ``f0`` Hz is the lowest mode; ``companion`` [N] is what else sounds at each blow, whatever the body is made of (a
    floor, a bubble, snares), beside a ring of about 1; ``held`` seconds later a damper ends the ring.
    :meth:`strike` at strength 1 peaks at 1 at most.
    """

    def __init__(
        self,
        material: Material,
        f0: float,
        generator: np.random.Generator,
        companion: np.ndarray | None = None,
        held: float | None = None,
    ) -> None:
        ratios = np.asarray(material.ratios)
        keep = f0 * ratios < 0.95 * NYQUIST
        frequencies, ratios = f0 * ratios[keep], ratios[keep]
        # Internal friction grows with frequency: higher modes die sooner, more so in soft materials.
        t60 = material.t60 / (1.0 + material.damping * (ratios - 1.0))
        length = int(min(NOTE_SECONDS, 1.1 * material.t60 + 0.05) * SAMPLE_RATE)
        self._modes = damped_modes(frequencies, t60, length)
        if held is not None:
            late = np.maximum(np.arange(length) / SAMPLE_RATE - held, 0.0)
            self._modes *= np.exp(-DECAY_60 / DAMPER_T60 * late).astype(np.float32)
        self._frequencies = frequencies
        self._weights = generator.uniform(0.6, 1.0, size=len(frequencies)) / np.sqrt(ratios)
        self._cutoff = material.cutoff
        burst_length = int(BURST_SECONDS * SAMPLE_RATE)
        centre = material.noise_centre
        burst = shaped_noise(generator, burst_length, band(0.5 * centre, min(2.0 * centre, 7500.0)))
        times = np.arange(burst_length) / SAMPLE_RATE
        self._burst = (burst / 3 * np.exp(-times / material.noise_decay)).astype(np.float32)
        self._noise = material.noise
        self._companion = np.zeros(0, np.float32) if companion is None else companion
        self._gain = 1.0
        full = self.strike(1.0)
        loud = float(np.sqrt(np.mean(full[: SAMPLE_RATE // 10] ** 2)))
        self._gain = min(NOTE_PEAK / float(np.abs(full).max()), NOTE_RMS / loud)

    def strike(self, strength: float) -> np.ndarray:
        """One strike [L]: a harder one is louder and brighter."""
        # A harder blow shortens the contact, which lets higher modes through.
        cutoff = self._cutoff * (0.35 + 0.65 * strength)
        weights = self._weights * np.exp(-self._frequencies / cutoff)
        weights = weights / (weights.sum() + 1e-9)
        sound = np.zeros(max(self._modes.shape[1], len(self._burst), len(self._companion)), np.float32)
        sound[: self._modes.shape[1]] = (1.0 - self._noise) * (weights.astype(np.float32) @ self._modes)
        sound[: len(self._burst)] += self._noise * self._burst
        sound[: len(self._companion)] += self._companion
        return self._gain * strength * sound


def octaves(source: Source, span: float = 1.2) -> float:
    """The factor on pitch that a source's size makes: large is low, ``span`` octaves in all."""
    return float(2.0 ** (span * (0.5 - source.size)))


def struck_pitches(source: Source, hertz: float, ratios: Sequence[float] = (1.0,)) -> list[float]:
    """Hz of each event value: ``hertz`` times its ratio, as the source's material and size shift it."""
    lowest = hertz * MATERIALS[source.material].pitch * octaves(source)
    return [lowest * ratio for ratio in ratios]


def strikes(
    source: Source,
    start: int,
    stop: int,
    pitches: Sequence[float],
    companion: np.ndarray | None = None,
    held: float | None = None,
) -> np.ndarray:
    """All of a source's events as struck notes [L], each with what :class:`Note` says of ``companion`` and ``held``.

    ``pitches`` gives Hz for each event value.
    """
    motion = source.motion
    material = MATERIALS[source.material]
    notes = [
        Note(material, pitch, np.random.default_rng([source.noise_seed, value]), companion, held)
        for value, pitch in enumerate(pitches)
    ]
    out = np.zeros(stop - start, np.float32)
    events = zip(motion.event_times, motion.event_strengths, motion.event_values, strict=True)
    for time, strength, value in events:
        offset = round(time * SAMPLE_RATE) - start
        if not -int(NOTE_SECONDS * SAMPLE_RATE) - 1 < offset < len(out):
            continue
        place_into(out, notes[int(value)].strike(float(strength)), offset)
    return out


def place_into(out: np.ndarray, sound: np.ndarray, offset: int) -> None:
    """Add ``sound`` to ``out`` in place, from ``offset`` on; what lies outside is dropped."""
    first, last = max(0, offset), min(len(out), offset + len(sound))
    if first < last:
        out[first:last] += sound[first - offset : last - offset]


def impulses(
    generator: np.random.Generator, density: np.ndarray, sound: np.ndarray, spread: float = 0.6
) -> np.ndarray:
    """Random ``sound`` [N] grains at ``density`` [L] per second, log-normal in level; [L] float32."""
    hits = generator.random(len(density), dtype=np.float32) < density / SAMPLE_RATE
    levels = np.zeros(len(density), np.float32)
    count = int(hits.sum())
    levels[hits] = np.exp(spread * generator.standard_normal(count)) * generator.choice([-1.0, 1.0], count)
    return oaconvolve(levels, sound)[: len(density)].astype(np.float32)
