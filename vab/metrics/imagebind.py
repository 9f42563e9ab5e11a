"""ImageBind's towers of pictures and of sound, the network under the field's audio-visual score, from its own file.

Girdhar et al., CVPR 2023; the weights are under CC-BY-NC-SA 4.0. A clip is heard in three pieces of 2 s and seen in
five, each as two pictures in three crops, as its authors' loaders do, and the embeddings of the pieces are averaged.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from vab import media
from vab.checkpoint import load_state, load_torch_file
from vab.errors import WeightsError
from vab.shapes import Float, Tensor
from vab.timing import num_frames
from vab.vision.preprocess import Preprocess
from vab.weights import resolve

SAMPLE_RATE = 16_000
PIECE_SECONDS = 2.0

_SOUND_PIECES, _PICTURE_PIECES, _CROPS = 3, 5, 3
_NUM_MELS, _NUM_FRAMES = 128, 204
_WINDOW = SAMPLE_RATE * 25 // 1000
_MEL_MEAN, _MEL_STD = -4.268, 9.138
_SOUND_PATCH, _SOUND_STRIDE = 16, 10
_HEADS = {"vision": 16, "audio": 12}
"""The one size of a tower that its weights do not show."""
_STEMS = {"vision": "preprocessors.rgbt_stem.proj.1", "audio": "preprocessors.rgbt_stem.proj"}
_FPS = 25.0
"""The first and the last picture of a piece are those of a video of this rate."""
_FRAMES_AT_ONCE = 8
_EPS = 1e-6


class Tower(nn.Module):
    """Patches to one embedding; names of its parts are those of the file, without the modality's."""

    def __init__(
        self,
        patches: nn.Module,
        after_patches: nn.Module,
        before_blocks: nn.Module,
        blocks: list[nn.Module],
        *,
        num_tokens: int,
        width: int,
        joint_width: int,
    ) -> None:
        """Put it together.

        Args:
            patches: convolution over pictures or over mel bands.
            after_patches: norm of its outputs, or nothing.
            before_blocks: norm of all tokens, or nothing.
            blocks: of the transformer.
            num_tokens: patches and one for the whole.
            width: of a token.
            joint_width: P, of the embedding.
        """
        super().__init__()
        positions = nn.ParameterDict({"pos_embed": torch.zeros(1, num_tokens, width)})
        stem = nn.ModuleDict({"proj": patches, "norm_layer": after_patches})
        self.preprocessors = nn.ModuleDict({"rgbt_stem": stem, "pos_embedding_helper": positions})
        self.preprocessors.register_parameter("cls_token", nn.Parameter(torch.zeros(1, 1, width)))
        self.trunks = nn.ModuleDict(
            {"pre_transformer_layer": nn.Sequential(before_blocks), "blocks": nn.Sequential(*blocks)}
        )
        # The authors pick the first token in between, where this has nothing: it is picked before.
        self.heads = nn.Sequential(
            nn.LayerNorm(width, eps=_EPS), nn.Identity(), nn.Linear(width, joint_width, bias=False)
        )

    def forward(self, inputs: Tensor) -> Float[Tensor, "B P"]:
        """Unit-norm embeddings of pairs of pictures [B, 3, 2, H, W] or of mel bands [B, 1, M, T]."""
        stem = self.preprocessors.get_submodule("rgbt_stem")
        patches = stem.get_submodule("proj")(inputs).flatten(2).transpose(1, 2)
        whole = self.preprocessors.get_parameter("cls_token").expand(len(inputs), -1, -1)
        tokens = torch.cat([whole, stem.get_submodule("norm_layer")(patches)], dim=1)
        tokens = tokens + self.preprocessors.get_parameter("pos_embedding_helper.pos_embed")
        for name in ("pre_transformer_layer", "blocks"):
            tokens = self.trunks.get_submodule(name)(tokens)
        return F.normalize(self.heads(tokens[:, 0]), dim=-1)


class ImageBind:
    """The two towers with their weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "imagebind", *, device: str = "cpu") -> None:
        """Load the official file; its towers of words, depth, heat and motion are left out.

        Args:
            weights: its registered name, downloaded once, or a path.
            device: cpu or cuda.

        Raises:
            WeightsError: the file is absent, damaged or another.
        """
        path = resolve(weights)
        content = load_torch_file(path)
        if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
            raise WeightsError(f"{path}: not the state dict of ImageBind; use the file that 'vab info' names")
        self._towers: dict[str, Tower] = {}
        for modality in _HEADS:
            state = _of_modality(content, modality)
            try:
                tower = _build(modality, state)
            except (KeyError, ValueError, IndexError) as error:
                raise WeightsError(
                    f"{path}: holds no tower of ImageBind for {modality}; use the file that 'vab info' names"
                ) from error
            load_state(tower, state, path)
            self._towers[modality] = tower.eval().requires_grad_(False).to(device)
        patch = self._towers["vision"].get_parameter(f"{_STEMS['vision']}.weight").shape[-1]
        positions = self._towers["vision"].get_parameter("preprocessors.pos_embedding_helper.pos_embed")
        self._image_size = patch * math.isqrt(positions.shape[1])
        self._device = device

    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``SAMPLE_RATE``; what is under 2 s is followed by nothing."""
        return self._embed("audio", mel_pieces(audio))

    def embed_video(self, video: str | Path, *, start: float, duration: float) -> Float[Tensor, " P"]:
        """Unit-norm embedding of ``duration`` seconds of pictures.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        return self._embed("vision", picture_pieces(Path(video), self._image_size, start, duration))

    @torch.inference_mode()
    def _embed(self, modality: str, pieces: Tensor) -> Tensor:
        embeddings = self._towers[modality](pieces.to(self._device))
        return F.normalize(embeddings.mean(dim=0), dim=0).cpu()


def mel_pieces(waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "N 1 M T"]:
    """Log-mel bands of three pieces, spread over a sound at ``SAMPLE_RATE``, each filled up to 2.06 s with zeros."""
    pieces = []
    for start in _starts(waveform.shape[1] / SAMPLE_RATE, _SOUND_PIECES):
        first = int(start * SAMPLE_RATE)
        piece = waveform[:, first : first + int(PIECE_SECONDS * SAMPLE_RATE)].float()
        piece = F.pad(piece, (0, max(0, _WINDOW - piece.shape[1])))
        bands = kaldi.fbank(
            piece - piece.mean(),
            htk_compat=True,
            sample_frequency=SAMPLE_RATE,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=_NUM_MELS,
            dither=0.0,
        )
        # Filled before it is normalised: that is how the network knows the end of its pieces.
        pieces.append(F.pad(bands.T, (0, _NUM_FRAMES - len(bands))))
    return (torch.stack(pieces)[:, None] - _MEL_MEAN) / _MEL_STD


def picture_pieces(path: Path, size: int, start: float, duration: float) -> Float[Tensor, "N 3 2 size size"]:
    """Five pieces of a clip, each its first and last picture, in three crops along the longer side.

    Raises:
        MediaError: the file cannot be read or has no video.
    """
    last = num_frames(duration, _FPS) - 1
    length = round(PIECE_SECONDS * _FPS)
    firsts = [round(begin * _FPS) for begin in _starts(duration, _PICTURE_PIECES)]
    pairs = [(min(first, last), min(first + length - 1, last)) for first in firsts]
    wanted = {index for pair in pairs for index in pair}
    pictures: dict[int, Tensor] = {}
    batches = media.iter_frames(path, _FPS, start=start, duration=duration, batch_size=_FRAMES_AT_ONCE)
    for place, frames in enumerate(batches):
        for index, frame in enumerate(frames, start=place * _FRAMES_AT_ONCE):
            if index in wanted:
                pictures[index] = _scaled(torch.from_numpy(frame.copy()), size)
    pieces = [torch.stack([pictures[index] for index in pair], dim=1) for pair in pairs]
    return torch.stack([crop for piece in pieces for crop in _crops(piece, size)])


def _starts(seconds: float, count: int) -> list[float]:
    """Where pieces of a clip begin, evenly from its beginning to the last whole piece; they overlap in short clips."""
    latest = max(0.0, seconds - PIECE_SECONDS)
    return [latest * index / (count - 1) for index in range(count)]


def _scaled(frame: Tensor, size: int) -> Float[Tensor, "3 H W"]:
    """A frame uint8 [height, width, 3], normalised, its shorter side ``size``; without a filter, as its authors."""
    height, width = frame.shape[:2]
    shape = (size, width * size // height) if height <= width else (height * size // width, size)
    pixels = frame.permute(2, 0, 1)[None].float() / 255
    statistics = Preprocess()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (statistics.mean, statistics.std))
    return (F.interpolate(pixels, shape, mode="bilinear", align_corners=False)[0] - mean) / std


def _crops(piece: Tensor, size: int) -> list[Tensor]:
    """Squares of [3, 2, H, W] at the beginning, middle and end of its longer side."""
    rows, columns = (extent - size for extent in piece.shape[2:])
    return [
        piece[:, :, top : top + size, left : left + size]
        for top, left in zip(_spread(rows), _spread(columns), strict=True)
    ]


def _spread(extra: int) -> tuple[int, ...]:
    return tuple(math.ceil(extra * index / (_CROPS - 1)) for index in range(_CROPS))


def _of_modality(content: Mapping[str, Tensor], modality: str) -> dict[str, Tensor]:
    """``modality_trunks.audio.blocks...`` as ``trunks.blocks...``; the scale of logits, which no cosine has, not."""
    state = {}
    for key, value in content.items():
        part, _, rest = key.removeprefix("modality_").partition(f".{modality}.")
        if rest and part != "postprocessors":
            state[f"{part}.{rest}"] = value
    return state


def _build(modality: str, state: Mapping[str, Tensor]) -> Tower:
    """A tower of the sizes that its weights have.

    Raises:
        KeyError: a tensor that tells a size is missing.
        ValueError: the width does not fit the heads.
        IndexError: a tensor has too few axes.
    """
    kernel = state[f"{_STEMS[modality]}.weight"]
    joint_width, width = state["heads.2.weight"].shape
    depth = sum(key.startswith("trunks.blocks.") and key.endswith(".norm_1.weight") for key in state)
    if width % _HEADS[modality]:
        raise ValueError(f"{width} channels do not make {_HEADS[modality]} heads")
    if modality == "vision":
        shape = (kernel.shape[2], kernel.shape[3], kernel.shape[4])
        convolution = nn.Conv3d(3, width, shape, stride=shape, bias=False)
        side = math.isqrt(state["preprocessors.pos_embedding_helper.pos_embed"].shape[1])
        blocks: list[nn.Module] = [_Block(width, _HEADS[modality], bias_tokens=False) for _ in range(depth)]
        patches = nn.Sequential(nn.Identity(), convolution)
        sizes = {"num_tokens": side**2 + 1, "width": width, "joint_width": joint_width}
        return Tower(patches, nn.Identity(), nn.LayerNorm(width, eps=_EPS), blocks, **sizes)
    mel_patches = nn.Conv2d(1, width, _SOUND_PATCH, stride=_SOUND_STRIDE, bias=False)
    grid = [(extent - _SOUND_PATCH) // _SOUND_STRIDE + 1 for extent in (_NUM_MELS, _NUM_FRAMES)]
    blocks = [_Block(width, _HEADS[modality], bias_tokens=True) for _ in range(depth)]
    sizes = {"num_tokens": math.prod(grid) + 1, "width": width, "joint_width": joint_width}
    return Tower(mel_patches, nn.LayerNorm(width), nn.Identity(), blocks, **sizes)


class _Block(nn.Module):
    """One layer of a transformer, norms first."""

    def __init__(self, width: int, num_heads: int, *, bias_tokens: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, eps=_EPS) for _ in range(2))
        self.attn = nn.MultiheadAttention(width, num_heads, add_bias_kv=bias_tokens, batch_first=True)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Of one shape."""
        normed = self.norm_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.norm_2(tokens))
