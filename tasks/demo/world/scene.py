"""What a clip of Foley world is made of: plain data that says what moves, sounds and is seen, and when."""

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator

FPS = 25
FRAME_SIZE = 192
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Curve:
    """A smooth curve over time through control points, ``times`` in seconds; constant outside them."""

    times: np.ndarray
    values: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values at ``times`` [...] in seconds; between control points it never overshoots them."""
        clipped = np.clip(times, self.times[0], self.times[-1])
        return PchipInterpolator(self.times, self.values)(clipped)


@dataclass(frozen=True)
class Motion:
    """How one source moves: discrete events, smooth curves, and constants drawn once for the clip.

    ``event_times`` [E] seconds ascending, ``event_strengths`` [E] in (0, 1], ``event_values`` [E] whatever
    the class tells apart from event to event (a key, a string, a foot; 0 when there is nothing).
    """

    event_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    event_strengths: np.ndarray = field(default_factory=lambda: np.zeros(0))
    event_values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    curves: dict[str, Curve] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One thing that sounds: its class, what it is made of, where it stands, how it moves.

    ``size`` is 0 (small) to 1 (large); ``distance`` is 1 (near) to 1.8 (far) and lowers the level as 1/distance;
    ``x`` and ``base`` place its foot in the frame and ``scale`` is its height, as shares of the frame.
    """

    name: str
    kind: str
    noun: str
    material: str
    colour: str
    rgb: tuple[int, int, int]
    size: float
    distance: float
    x: float
    base: float
    scale: float
    on_screen: bool
    noise_seed: int
    motion: Motion

    def at(self, curve: str, times: np.ndarray) -> np.ndarray:
        """The values of one of its motion's curves at ``times`` in seconds."""
        return self.motion.curves[curve].at(times)


@dataclass(frozen=True)
class Distractor:
    """A silent thing in the picture; ``drift`` is how far it wanders, as a share of the frame."""

    shape: str
    rgb: tuple[int, int, int]
    x: float
    y: float
    scale: float
    drift: float
    phase: float


@dataclass(frozen=True)
class Scene:
    """One clip: everything its frames, sound, captions and truth follow from."""

    clip_id: str
    seed: int
    split: str
    index: int
    duration: float
    background: str
    background_seed: int
    # Amplitude (share of the frame), frequency (Hz) and phase (radians) of the drift along x and y.
    camera: tuple[tuple[float, float, float], tuple[float, float, float]]
    distractors: tuple[Distractor, ...]
    sources: tuple[Source, ...]
    captions: tuple[str, ...]

    @property
    def num_frames(self) -> int:
        """Frames of the clip, at least one."""
        return max(1, round(self.duration * FPS))

    @property
    def num_samples(self) -> int:
        """Samples of the clip at ``SAMPLE_RATE``: exactly as long as its frames."""
        return self.num_frames * SAMPLES_PER_FRAME

    @property
    def frame_times(self) -> np.ndarray:
        """Presentation times of the frames [F] in seconds."""
        return np.arange(self.num_frames) / FPS
