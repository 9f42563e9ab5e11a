"""Codec, visual encoder and model as one object: load, generate, encode, embed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from vab import __version__, media, timing
from vab.codecs import Codec, load_codec
from vab.config import to_dict
from vab.decoding.options import DecodingOptions
from vab.errors import WeightsError
from vab.models.files import Component, ModelCard, load_model
from vab.models.vab.generate import Windows, generate_codes
from vab.models.vab.model import VAB
from vab.shapes import Float, Int, Tensor
from vab.vision import VisualEncoder, load_encoder
from vab.weights import resolve, sha256_of, write_atomically

FRAME_BATCH = 64
"""Frames decoded and encoded at a time: what bounds memory on long videos."""
PIECE_SECONDS = 30.0
"""Sound decoded from codes at a time, likewise."""
MARGIN_SECONDS = 1.0
"""Codes beyond a piece's edges that are decoded with it and thrown away: wider than any codec's memory."""


@dataclass(frozen=True)
class Generation:
    """A generated soundtrack; sound is decoded from the codes when asked for."""

    codes: Int[Tensor, "K S"]
    codec: Codec
    num_samples: int
    """L, the video's length in samples."""
    video: Path | None
    settings: dict[str, Any] = field(default_factory=dict)
    """Everything needed to make it again: weights and their hash, seed, decoding options, versions."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.codec.sample_rate

    @cached_property
    def waveform(self) -> Float[Tensor, "1 L"]:
        """The whole sound; ``pieces`` gives it bit by bit."""
        return torch.cat(list(self.pieces()), dim=1)

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in pieces, so that an hour needs no more memory than a minute."""
        piece = timing.num_steps(timing.num_samples(PIECE_SECONDS, self.sample_rate), self.codec.hop_length)
        margin = round(MARGIN_SECONDS * self.codec.frame_rate)
        hop = self.codec.hop_length
        for start in range(0, self.codes.shape[1], piece):
            first, last = max(0, start - margin), start + piece + margin
            sound = self.codec.decode(self.codes[None, :, first:last])[0]
            begin = (start - first) * hop
            length = min(piece * hop, self.num_samples - start * hop)
            yield sound[:, begin : begin + length].float().cpu().clamp(-1, 1)

    def save(self, path: str | Path) -> None:
        """Write the video with this sound, or the sound alone where the name ends in .wav or .flac.

        A JSON with the settings goes beside it, under the same name and ``.json``.

        Raises:
            MediaError: the container cannot hold the video's codec, or the suffix is unknown.
        """
        path = Path(path)
        if path.suffix.lower() in (".wav", ".flac"):
            media.write_audio(path, self.pieces(), self.sample_rate)
        else:
            if self.video is None:
                raise ValueError("there is no video to join the sound to; save as .wav or .flac")
            media.mux(self.video, self.pieces(), self.sample_rate, path)
        write_atomically(path.with_suffix(path.suffix + ".json"), json.dumps(self.settings, indent=2) + "\n")


class Pipeline:
    """A model with the codec and the encoder it was trained with, on one device."""

    def __init__(
        self,
        model: VAB,
        card: ModelCard,
        codec: Codec,
        encoder: VisualEncoder,
        *,
        weights_hash: str,
        name: str,
    ) -> None:
        self.model = model
        self.card = card
        self.codec = codec
        self.encoder = encoder
        self.weights_hash = weights_hash
        self.name = name

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.no_visual.device

    @property
    def visual_fps(self) -> float:
        """Frames a second that the model looks at."""
        return self.model.config.visual_fps

    def encode_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, "F E"]:
        """Frame features at ``visual_fps``, streamed: an hour needs no more memory than a minute.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        frames = media.iter_frames(
            Path(video),
            self.visual_fps,
            start=start,
            duration=duration,
            max_size=self.encoder.image_size,
            batch_size=FRAME_BATCH,
        )
        return torch.cat([self.encode_frames(batch) for batch in frames])

    def encode_frames(self, frames: Any) -> Float[Tensor, "F E"]:
        """Features of frames uint8 [F, height, width, 3], on the CPU."""
        images = self.encoder.preprocess(frames).to(self.device)
        return self.encoder.encode_image(images).float().cpu()

    def encode_audio(
        self, audio: str | Path | Float[Tensor, "1 L"], *, start: float = 0.0, duration: float | None = None
    ) -> Int[Tensor, "K S"]:
        """Codes of a file's sound, or of a waveform at the codec's rate: the K levels that the model reads.

        Raises:
            MediaError: the file cannot be read or has no sound.
        """
        if isinstance(audio, str | Path):
            audio = media.read_audio(Path(audio), self.codec.sample_rate, start=start, duration=duration)
        return self.codec.encode(audio[None].to(self.device))[0, : self.model.config.num_codebooks].cpu()

    def generate(
        self,
        video: str | Path,
        *,
        seed: int = 0,
        num_steps: int | None = None,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        duration: float | None = None,
        on_window: Callable[[int], None] | None = None,
    ) -> Generation:
        """A soundtrack for a video, of the video's exact length (paper section 3.3).

        Args:
            video: any file FFmpeg reads.
            seed: one seed gives one sound.
            num_steps: decoding steps; what is None is as the weights say.
            cfg_scale: guidance, 1 is none.
            temperature: noise on the confidence.
            duration: seconds of the video to do; all of it by default.
            on_window: called with the number of windows finished.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        info = media.probe(Path(video)).require_video()
        seconds = info.duration if duration is None else min(duration, info.duration)
        visual = self.encode_video(video, duration=seconds)
        options = self.decoding_options(num_steps=num_steps, cfg_scale=cfg_scale, temperature=temperature)
        [codes] = self.generate_codes([visual], [seconds], seeds=[seed], options=options, on_window=on_window)
        return self.generation(codes, seconds, video=Path(video), seed=seed, options=options)

    def decoding_options(self, **changes: Any) -> DecodingOptions:
        """The weights' own options with the changes that are not None."""
        return replace(
            self.card.decoding, **{key: value for key, value in changes.items() if value is not None}
        )

    def generate_codes(
        self,
        visual: Sequence[Float[Tensor, "F E"]],
        seconds: Sequence[float],
        *,
        seeds: Sequence[int],
        options: DecodingOptions | None = None,
        batch_size: int = 8,
        on_window: Callable[[int], None] | None = None,
    ) -> list[Int[Tensor, "K S"]]:
        """Codes for features of several clips at once; see ``vab.models.vab.generate``."""
        return generate_codes(
            self.model,
            visual,
            [self._num_steps(length) for length in seconds],
            windows=self.windows,
            options=options or self.card.decoding,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )

    @property
    def windows(self) -> Windows:
        """How long clips are cut."""
        return Windows.of(self.model.config, self.card.window_seconds, self.card.overlap_seconds)

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes, for a progress bar."""
        return self.windows.count(self._num_steps(seconds))

    def generation(
        self,
        codes: Int[Tensor, "K S"],
        seconds: float,
        *,
        video: Path | None,
        seed: int,
        options: DecodingOptions,
    ) -> Generation:
        """Generated codes as sound of an exact length, with the settings that made them."""
        settings = {
            "weights": self.name,
            "weights_sha256": self.weights_hash,
            "seed": seed,
            "decoding": to_dict(options),
            "seconds": seconds,
            "visual_fps": self.visual_fps,
            "sample_rate": self.codec.sample_rate,
            "codec": self.card.codec.name,
            "encoder": self.card.encoder.name,
            "device": str(self.device),
            "vab": __version__,
            "torch": torch.__version__,
        }
        length = timing.num_samples(seconds, self.codec.sample_rate)
        return Generation(codes, self.codec, length, video, settings)

    @torch.inference_mode()
    def embed_audio(
        self, audio: str | Path | Float[Tensor, "1 L"], *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound: mean of the first N1 layers' outputs (section 3.4)."""
        codes = self.encode_audio(audio, start=start, duration=duration)
        return _pool(self.model.encode(codes=codes[None].to(self.device)))[0]

    @torch.inference_mode()
    def embed_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, " P"]:
        """Unit-norm embedding of the pictures of a video."""
        visual = self.encode_video(video, start=start, duration=duration)
        return _pool(self.model.encode(visual=visual[None].to(self.device)))[0]

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float[Tensor, " P"]:
        """Unit-norm embedding of words: the text tower's feature as a video of one frame.

        Nothing is trained for words; they come in because the text tower shares the frames' space.
        """
        visual = self.encoder.encode_text([text]).to(self.device)
        return _pool(self.model.encode(visual=visual[None]))[0]

    def _num_steps(self, seconds: float) -> int:
        return timing.num_steps(timing.num_samples(seconds, self.codec.sample_rate), self.codec.hop_length)


def load(name: str | Path = "demo", *, device: str = "auto", dtype: str = "auto") -> Pipeline:
    """Everything needed to use a model: its weights, its codec, its visual encoder.

    Args:
        name: ``demo``, another known name (``vab info`` lists them), or a path to a model's safetensors.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        dtype: of the arithmetic: ``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32`` or ``bfloat16``.

    Raises:
        WeightsError: weights are absent, damaged, or a codec or encoder is not the one the model was trained with.
    """
    path = resolve("demo-vab" if str(name) == "demo" else name)
    model, card = load_model(path)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    codec = load_codec(_component(card.codec, path), device=device)
    encoder = load_encoder(_component(card.encoder, path), device=device)
    for component, loaded in ((card.codec, codec), (card.encoder, encoder)):
        if loaded.fingerprint != component.fingerprint:
            raise WeightsError(
                f"{path.name} was trained with {component.name} {component.fingerprint}, "
                f"found {loaded.name} {loaded.fingerprint}; use the one it was trained with"
            )
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    model = model.to(device, getattr(torch, dtype))
    return Pipeline(model, card, codec, encoder, weights_hash=sha256_of(path), name=str(name))


def _component(component: Component, model_path: Path) -> str:
    """A file of the component's name beside the model's own, else the name itself."""
    beside = model_path.parent / f"{component.name}.safetensors"
    return str(beside) if beside.exists() else component.name


def _pool(features: Float[Tensor, "B N D"]) -> Float[Tensor, "B D"]:
    return F.normalize(features.float().mean(dim=1), dim=-1)
