"""Size and geometry of a MaskVAT, its objective's options and its sampling (sections 3.2 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vab.config import check_ranges
from vab.decoding.options import DecodingOptions
from vab.features.info import StreamInfo, StreamSize
from vab.models.base import codes_problems, width_problems
from vab.objectives.options import MaskedPredictionOptions


@dataclass(frozen=True)
class MaskVATConfig:
    """Everything needed to build the network; saved inside its weights file."""

    network: Literal["adaln", "seq2seq", "hybrid"] = "seq2seq"
    """How conditions enter (figure 1): all by AdaLN; all through a transformer encoder and cross-attention; or so, and
    those after the first by AdaLN too."""
    num_layers: int = 12
    """M, blocks over the tokens."""
    num_encoder_layers: int = 6
    """Of the transformer encoder of the conditions; 'adaln' has none."""
    width: int = 768
    """D, numbers a position."""
    num_heads: int = 12
    """H, attention heads."""
    feed_forward_ratio: int = 4
    """Inner width of the feed-forward networks, in widths."""
    num_codebooks: int = 9
    """K, the codec's codebooks, all predicted in parallel."""
    codebook_size: int = 1024
    """V, entries of one codebook; [MASK] is one more."""
    codebook_dim: int = 8
    """Numbers in one codebook vector."""
    frame_rate: float = 44100 / 512
    """Codec steps a second."""
    conditions: dict[str, StreamSize] = field(default_factory=lambda: {"clip": StreamSize(768, 25.0)})
    """Streams that audio is generated from. The first one sets the encoder's steps; for AdaLN-A it is 'clip' alone, for
    AdaLN-B 'clip' and 'sync'."""
    targets: dict[str, StreamSize] = field(default_factory=dict)
    """Streams of audio features, such as 'beats', that the encoder's output is drawn to in training; generation does
    without."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_layers=(1, 1000),
            num_encoder_layers=(1, 1000),
            width=(1, 10**5),
            num_heads=(1, 1000),
            feed_forward_ratio=(1, 100),
            num_codebooks=(1, 1000),
            codebook_size=(2, 2**20),
            codebook_dim=(1, 10**5),
            frame_rate=(0.1, 10**4),
        )
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if len(self.conditions) < (2 if self.network == "hybrid" else 1):
            raise ValueError(
                f"{self.network!r} needs conditions: one stream, such as 'clip'; 'hybrid' one more, such as 'sync'"
            )
        if self.targets and self.network == "adaln":
            raise ValueError("'adaln' has no encoder, which targets would draw to audio; leave them out")
        names = ["codes", *self.conditions, *self.targets]
        if len(set(names)) < len(names):
            raise ValueError(f"a stream has one part alone, not several: {', '.join(names)}")

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        sizes = self.conditions | self.targets
        return {"codes": self.frame_rate} | {name: size.rate for name, size in sizes.items()}

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        found = codes_problems(self, streams["codes"])
        if self.num_codebooks < (there := streams["codes"].shape[0]):
            found.append(f"model.num_codebooks is {self.num_codebooks}, the store needs {there}")
        for part, sizes in (("conditions", self.conditions), ("targets", self.targets)):
            found += width_problems(part, sizes, streams)
        return found

    @property
    def modulating(self) -> tuple[str, ...]:
        """Conditions that modulate the blocks by AdaLN."""
        names = tuple(self.conditions)
        return {"adaln": names, "seq2seq": (), "hybrid": names[1:]}[self.network]

    @property
    def has_encoder(self) -> bool:
        """Whether conditions go through a transformer encoder, and blocks have cross-attention."""
        return self.network != "adaln"

    @property
    def num_given_codebooks(self) -> int:
        """No codebook is given."""
        return 0

    @property
    def mask_token_id(self) -> int:
        """The [MASK] row of every embedding table."""
        return self.codebook_size


@dataclass(frozen=True)
class MaskVATPredictionOptions(MaskedPredictionOptions):
    """What is masked, and how the encoder is drawn to the targets."""

    masking: Literal["gaussian", "cosine"] = "cosine"
    """Each token with a probability of cos(u), u uniform on [0, pi/2]; or, as VAB, a share drawn from mask_ratio."""
    label_smoothing: float = 0.0
    """Of the cross-entropy over masked tokens."""
    regression_weight: float = 1.0
    """Of the squared distance between the encoder's output and the projected targets; 0 = none."""
    contrastive_weight: float = 1.0
    """Of telling by [CLS] which clip's targets are its own; 0 = none."""
    contrastive_temperature: float = 0.07
    """What the cosines are divided by at first; it is learnt (CLIP's, as the paper says 'CLIP-like')."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            regression_weight=(0, 1e6),
            contrastive_weight=(0, 1e6),
            contrastive_temperature=(0.01, 1000),
        )


@dataclass(frozen=True)
class MaskVATSampling(DecodingOptions):
    """Iterative decoding as the paper found best (section 4)."""

    num_steps: int = 32
    """Model passes; each fixes the tokens it is surest of."""
    cfg_scale: float = 4.0
    """Guidance, uncond + scale * (cond - uncond): 1 + gamma, with the paper's gamma in [2, 4]; 1 is none."""
    temperature: float = 8.0
    """The paper's diversity delta: Gumbel noise on the confidence, annealed linearly to none at the last step."""
