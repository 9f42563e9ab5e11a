"""DeSync and Sync of a clip, on a network whose answers are known: which view, which sound, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vab.errors import MediaError
from vab.features.manifest import Clip
from vab.media import write_audio, write_clip
from vab.metrics.joint import SynchronyScorer
from vab.metrics.pairing import Pair, PairedSound
from vab.metrics.synchformer import Synchformer
from vab.metrics.synchformer_inputs import AV_BENCHMARK, SAMPLE_RATE, V_AURA, View


class Known(Synchformer):
    """A loud sound is on time; a soft one is 0.4 s early at first and 1.2 s late at last, or for V-AURA 0.6 s late."""

    def __init__(self) -> None:
        self.seen: list[tuple[View, float, float]] = []

    def see(self, video: str | Path, view: View, *, start: float, duration: float) -> torch.Tensor:
        self.seen.append((view, start, duration))
        return torch.full((1, 1, 1), view.seconds)

    def answers(self, seen: torch.Tensor, audio: torch.Tensor, view: View) -> torch.Tensor:
        assert seen.item() == view.seconds
        is_loud = audio.abs().max().item() > 0.5
        likeliest = [10, 10] if is_loud else [7, 7] if view == V_AURA else [12, 4]
        return torch.eye(21)[likeliest]


def pair(folder: Path, seconds: float, *, has_pictures: bool = True) -> PairedSound:
    clock = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 440 * clock)[None]
    write_audio(folder / "made.flac", [0.2 * tone], SAMPLE_RATE)
    path = folder / ("true.mp4" if has_pictures else "true.flac")
    if has_pictures:
        write_clip(path, [np.zeros((16, 16, 3), np.uint8)] * round(10 * seconds), 10, 0.9 * tone, SAMPLE_RATE)
    else:
        write_audio(path, [0.9 * tone], SAMPLE_RATE)
    return PairedSound(Pair("clip", folder / "made.flac", Clip("clip", path, duration=seconds)))


def test_each_number_has_its_view_and_its_unit(tmp_path: Path) -> None:
    network = Known()
    scorer = SynchronyScorer(network)
    expected = {"desync": (0.4 + 1.2) / 2, "desync_of_truth": 0, "sync": 600, "sync_of_truth": 0}
    assert scorer.add(pair(tmp_path, 6.0)) == pytest.approx(expected)
    assert set(expected) == set(scorer.columns)
    assert not any(column.higher_is_better for column in scorer.columns.values())
    # Once for both sounds.
    assert network.seen == [(V_AURA, 0.0, 6.0), (AV_BENCHMARK, 0.0, 6.0)]
    assert scorer.warnings() == []
    assert scorer.settings()["desync_view"]["seconds"] == 8.0


def test_clips_that_are_too_short_are_named(tmp_path: Path) -> None:
    scorer = SynchronyScorer(Known())
    assert scorer.add(pair(tmp_path, 2.0)) == pytest.approx({"sync": 600, "sync_of_truth": 0})
    [warning] = scorer.warnings()
    assert warning == "desync: not measured on 1 clips of less than 4.8 s: clip"
    for _ in range(10):
        scorer.add(pair(tmp_path, 2.0))
    assert scorer.warnings()[0].startswith("desync: not measured on 11 clips")
    assert scorer.warnings()[0].endswith("clip, and more")


def test_a_clip_without_pictures_has_no_numbers(tmp_path: Path) -> None:
    class Blind(Known):
        def see(self, video: str | Path, view: View, *, start: float, duration: float) -> torch.Tensor:
            raise MediaError(f"{video}: no pictures")

    scorer = SynchronyScorer(Blind())
    assert scorer.add(pair(tmp_path, 2.0, has_pictures=False)) == {}
    assert scorer.warnings() == []
