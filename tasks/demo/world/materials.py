"""What things are made of, for the ear: mode ratios, damping, brightness and contact noise of each material."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Material:
    """How a struck body of this material rings.

    ``ratios`` of its modes to the lowest; ``t60`` seconds that one takes to fall 60 dB; ``damping`` how much
    sooner the higher ones do; ``cutoff`` Hz, its brightness at full strength; ``noise`` share of contact noise
    around ``noise_centre`` Hz that dies within ``noise_decay`` seconds; ``pitch`` relative to other materials.
    """

    ratios: tuple[float, ...]
    t60: float
    damping: float
    cutoff: float
    noise: float
    noise_centre: float
    noise_decay: float
    pitch: float


# Free bar, clamped plate, circular membrane (zeros of Bessel functions), string: their textbook mode ratios.
BAR = (1.0, 2.756, 5.404, 8.933, 13.34)
PLATE = (1.0, 1.73, 2.33, 3.91, 4.11, 6.30, 8.2)
MEMBRANE = (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5, 3.6)
BALL = (1.0, 1.52, 2.41, 3.2)
STRING = tuple(n * (1 + 0.0004 * n * n) ** 0.5 for n in range(1, 13))

MATERIALS: dict[str, Material] = {
    "rubber": Material(BALL, 0.30, 1.0, 800.0, 0.15, 500.0, 0.008, 0.6),
    "leather": Material(BALL, 0.24, 0.9, 900.0, 0.3, 700.0, 0.012, 0.7),
    "plastic": Material(BALL, 0.20, 0.5, 2500.0, 0.3, 2000.0, 0.004, 1.6),
    "wooden": Material(BAR, 0.28, 0.55, 2200.0, 0.35, 1500.0, 0.004, 1.2),
    "metal": Material(PLATE, 1.30, 0.10, 5500.0, 0.2, 4000.0, 0.003, 2.2),
    "glass": Material(BAR, 0.55, 0.15, 6500.0, 0.2, 5000.0, 0.002, 3.2),
    "stone": Material(PLATE, 0.16, 0.2, 3500.0, 0.45, 2600.0, 0.010, 1.9),
    "skin": Material(MEMBRANE, 0.70, 0.35, 900.0, 0.10, 900.0, 0.010, 0.75),
    "tin": Material(PLATE, 0.60, 0.15, 4500.0, 0.35, 3500.0, 0.008, 1.3),
    "water": Material((1.0, 1.9), 0.12, 0.8, 3000.0, 0.15, 1200.0, 0.006, 2.0),
    "gravel": Material(PLATE, 0.05, 0.2, 5000.0, 0.9, 3200.0, 0.040, 1.0),
    "snow": Material(BALL, 0.05, 0.8, 900.0, 0.92, 1100.0, 0.050, 0.7),
    "bare": Material((1.0, 1.7, 2.6), 0.10, 0.3, 2600.0, 0.8, 1500.0, 0.020, 1.5),
    "gloved": Material((1.0, 1.6), 0.12, 0.8, 600.0, 0.6, 450.0, 0.026, 0.8),
    "piano": Material(STRING, 1.20, 0.18, 1800.0, 0.08, 900.0, 0.006, 1.0),
    "toy": Material(BAR, 0.80, 0.10, 6000.0, 0.12, 3500.0, 0.003, 2.0),
    "typewriter": Material(PLATE, 0.14, 0.2, 5000.0, 0.5, 3000.0, 0.012, 2.4),
    "steel": Material(STRING, 1.40, 0.06, 4500.0, 0.10, 3000.0, 0.002, 1.0),
    "nylon": Material(STRING, 0.70, 0.25, 1500.0, 0.08, 1200.0, 0.003, 1.0),
}
