"""Turn stored pictures upright, as the display matrix that phones write asks for."""

from typing import Any

import numpy as np


def quarter_turns(frame: Any) -> int:
    """Quarter turns counter-clockwise, 0 to 3, that stand a stored frame upright."""
    return _orientation(frame)[0]


def upright_size(frame: Any) -> tuple[int, int]:
    """Width and height of a frame once it stands upright."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


def stand_upright(image: np.ndarray, frame: Any) -> np.ndarray:
    """Turn and mirror ``image`` [height, width, 3], converted from ``frame``, as its display matrix says."""
    turns, is_mirrored = _orientation(frame)
    if is_mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, turns))


def _orientation(frame: Any) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether the picture is flipped left to right before them."""
    if "DISPLAYMATRIX" not in {data.type.name for data in frame.side_data}:
        return 0, False
    matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), dtype=np.int32).reshape(3, 3)
    # A stored point (x, y), y downwards, is shown at (a x + c y, b x + d y).
    (a, b), (c, d) = matrix[:2, :2].tolist()
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    degrees = np.degrees(np.arctan2(-b, a))
    return round(float(degrees) / 90) % 4, is_mirrored
