"""The picture of a file over time: its sound above, the probabilities of its likeliest classes below."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.pictures import draw_spectrogram, new_figure, png
from vab.shapes import Float, Tensor

MOST_CLASSES = 12


def draw_timeline(
    probabilities: Float[Tensor, "times classes"],
    names: Sequence[str],
    *,
    every: float,
    seconds: float,
    sound: Float[Tensor, "1 L"] | None,
    sample_rate: int,
    title: str,
) -> bytes:
    """A PNG: the classes that are likeliest anywhere, the likeliest at the top.

    Args:
        probabilities: one row for each ``every`` seconds.
        names: of the classes.
        every: seconds a row stands for.
        seconds: length of the file.
        sound: of the file, where it has any.
        sample_rate: of the sound.
        title: of the picture.
    """
    shown = probabilities.max(dim=0).values.topk(min(MOST_CLASSES, len(names))).indices.tolist()
    figure, axes = new_figure(1 if sound is None else 2, row_height=2.4)
    if sound is not None:
        draw_spectrogram(axes[0], sound, sample_rate, title=title)
        axes[0].set_xlim(0, seconds)
    below = axes[-1]
    image = below.imshow(
        probabilities[:, shown].T.numpy(),
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(probabilities) * every, len(shown) - 0.5, -0.5),
        cmap="viridis",
        vmin=0,
        vmax=1,
    )
    below.set_xlim(0, seconds)
    below.set_yticks(range(len(shown)), [names[number] for number in shown], fontsize=7)
    below.tick_params(axis="x", labelsize=7)
    below.set_xlabel("seconds", fontsize=8)
    figure.colorbar(image, ax=below, label="probability", pad=0.01)
    if sound is None:
        below.set_title(title, loc="left", fontsize=9)
    return png(figure, dpi=110)
