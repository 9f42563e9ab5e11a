"""Scorer on Synchformer: how far a sound is from its frames in time, as the field's two evaluators measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vab.errors import MediaError
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import Column, Scorer, beside_truth, both_sounds
from vab.metrics.synchformer import mean_offset
from vab.metrics.synchformer_inputs import AV_BENCHMARK, SAMPLE_RATE, SHORTEST_SECONDS, V_AURA, View
from vab.shapes import Float, Tensor

_MILLISECONDS = 1000
_NAMED_CLIPS = 10


@runtime_checkable
class OffsetNetwork(Protocol):
    """A network that tells by how much sound is early, such as ``Synchformer``."""

    def see(self, video: str | Path, view: View, *, start: float, duration: float) -> Float[Tensor, "S t D"]:
        """What it makes of a clip's frames."""
        ...

    def answers(
        self, seen: Float[Tensor, "S t D"], audio: Float[Tensor, "1 L"], view: View
    ) -> Float[Tensor, "2 O"]:
        """Probabilities of offsets in the first and in the last 4.8 s."""
        ...


class SynchronyScorer(Scorer):
    """MMAudio's DeSync and V-AURA's Sync of generated sound and true frames; clips without frames have neither."""

    columns: Mapping[str, Column] = {
        "desync": Column("s", False),
        "desync_of_truth": Column("s", False),
        "sync": Column("ms", False),
        "sync_of_truth": Column("ms", False),
    }

    def __init__(self, network: OffsetNetwork) -> None:
        self._network = network
        self._too_short: list[str] = []

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Both of one clip, and of its true sound; ``desync`` only where the clip is long enough."""
        clip = sound.pair.reference
        views = [("sync", V_AURA, _MILLISECONDS), ("desync", AV_BENCHMARK, 1)]
        numbers: dict[str, float] = {}
        for name, view, scale in views:
            if not view.fits(sound.seconds):
                self._too_short.append(sound.pair.id)
                continue
            try:
                seen = self._network.see(clip.path, view, start=clip.start, duration=sound.seconds)
            except MediaError:
                return {}
            ours, theirs = (
                scale * mean_offset(self._network.answers(seen, each, view))
                for each in both_sounds(sound, SAMPLE_RATE)
            )
            numbers |= beside_truth(name, ours, theirs)
        return numbers

    def settings(self) -> dict[str, Any]:
        return {"desync_view": asdict(AV_BENCHMARK), "sync_view": asdict(V_AURA)}

    def warnings(self) -> list[str]:
        if not self._too_short:
            return []
        some = ", ".join(self._too_short[:_NAMED_CLIPS])
        more = ", and more" if len(self._too_short) > _NAMED_CLIPS else ""
        return [
            f"desync: not measured on {len(self._too_short)} clips of less than {SHORTEST_SECONDS} s: {some}{more}"
        ]
