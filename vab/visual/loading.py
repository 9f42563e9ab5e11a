"""Visual encoders by name or by file, and our own file format for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vab import checkpoint
from vab.errors import ConfigError, WeightsError
from vab.visual import open_clip
from vab.visual.open_clip import OpenClipEncoder, build_open_clip
from vab.visual.preprocess import Preprocess
from vab.visual.s3d import FORMAT, S3DEncoder
from vab.weights import RANDOM, find, resolve

LOCAL_FOLDER = "local-dir:"
RANDOM_SEED = 0

DEFAULT_WEIGHTS: Mapping[str, str] = {"EVA02-L-14": "eva02-l-14"}
"""Registered weights of open_clip model names."""

_FOLDER_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)

TINY_CLIP: Mapping[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""``tiny-clip``: for tests of whatever needs some encoder, with seeded random weights."""


@dataclass(frozen=True)
class _Source:
    """What an encoder's name leads to: how to build it, and where its weights are, None = random."""

    name: str
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    weights: Path | None
    tokenizer_folder: Path | None = None


def load_encoder(
    name: str = "EVA02-L-14",
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> OpenClipEncoder:
    """A visual encoder in evaluation mode, without gradients.

    Args:
        name: an open_clip model name such as ``EVA02-L-14``; ``demo-clip``; ``tiny-clip`` (random, for
            tests); ``local-dir:FOLDER`` with ``open_clip_config.json`` and weights; a ``.json`` in
            open_clip's format; or a ``.safetensors`` of ``save_encoder``.
        weights: a registered name of weights, a path, a tag of open_clip's for that model, or ``random``;
            None = the name's own. Weights are never random unless asked for.
        device: where to put it.
        dtype: precision of the image tower's arithmetic; weights stay float32.

    Raises:
        WeightsError: an unknown name, or weights that are absent, damaged, or of another model.
        ConfigError: a configuration that open_clip cannot build.
    """
    if (path := own_file(name)) is not None:
        return _load_own(name, path, weights, dtype).requires_grad_(False).to(device)
    source = _find(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = build_open_clip(source.config)
    if source.weights is not None:
        open_clip.load_weights(model, source.weights)
    encoder = OpenClipEncoder(
        model,
        source.config,
        Preprocess.from_dict({**source.preprocess, "size": source.config["vision_cfg"].get("image_size")}),
        name=source.name,
        dtype=dtype,
        tokenizer_folder=source.tokenizer_folder,
    )
    return encoder.requires_grad_(False).to(device)


def save_encoder(
    encoder: OpenClipEncoder | S3DEncoder,
    path: Path,
    provenance: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write an encoder to one safetensors file that ``load_visual`` reads by its path, whole or not at all.

    ``provenance`` says where the weights come from, as JSON can; floating tensors are stored as ``dtype`` and widened
    to float32 on loading.
    """
    header = {"format": FORMAT, "version": 1, **encoder.describe(), "provenance": dict(provenance or {})}
    tensors = {
        key: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for key, tensor in encoder.model.state_dict().items()
    }
    checkpoint.save_tensors(path, tensors, header)


def own_file(name: str) -> Path | None:
    """The file in our own format that a name leads to, if it leads to one."""
    if Path(name).suffix == ".safetensors" or _is_own_name(name):
        return resolve(name)
    return None


def _is_own_name(name: str) -> bool:
    entry = find(name)
    return entry is not None and entry.kind == "encoder" and entry.is_bundled


def _load_own(name: str, path: Path, weights: str | Path | None, dtype: torch.dtype) -> OpenClipEncoder:
    if weights is not None:
        raise WeightsError(f"{name}: this name stands for its weights already; leave {str(weights)!r} out")
    tensors, header = checkpoint.load_tensors(path, expected_format=FORMAT)
    try:
        config, preprocess = header["config"], Preprocess.from_dict(header["preprocess"])
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise WeightsError(f"{path}: its header describes no encoder that vab knows ({error})") from error
    model = checkpoint.build_for(lambda: build_open_clip(config), tensors, path)
    checkpoint.load_state(model, tensors, path)
    short_name = name if _is_own_name(name) else Path(name).stem
    return OpenClipEncoder(model, config, preprocess, name=short_name, dtype=dtype)


def _find(name: str, weights: str | Path | None) -> _Source:
    """Configuration, preprocessing and weights that a name and a choice of weights lead to."""
    if name.startswith(LOCAL_FOLDER):
        return _local_folder(Path(name.removeprefix(LOCAL_FOLDER)).expanduser(), weights)
    if name == "tiny-clip":
        return _Source(name, TINY_CLIP, {}, None if weights in (None, RANDOM) else resolve(str(weights)))
    if Path(name).suffix == ".json":
        config, preprocess = _read_json(Path(name).expanduser())
        return _Source(Path(name).stem, config, preprocess, _weights_file(name, weights))
    stock = open_clip.stock_config(name)
    if stock is None:
        raise WeightsError(
            f"{name}: not an open_clip model, demo-clip, tiny-clip, local-dir:FOLDER, .json or .safetensors"
        )
    tags = open_clip.stock_tags(name)
    tag = str(weights) if weights in tags else None
    if tag is not None:
        return _Source(name, stock, open_clip.stock_preprocess(name, tag), open_clip.download_tag(name, tag))
    chosen = weights or DEFAULT_WEIGHTS.get(name)
    if chosen is None:
        known = f", or one of open_clip's own: {', '.join(tags)}" if tags else ""
        raise WeightsError(f"{name}: no default weights; give the path of a file{known}")
    return _Source(name, stock, open_clip.stock_preprocess(name), _weights_file(name, chosen))


def _weights_file(name: str, weights: str | Path | None) -> Path | None:
    if weights is None:
        raise WeightsError(f"{name}: a configuration alone has no weights; give the path of a file")
    if weights == RANDOM:
        return None
    entry = find(str(weights))
    if entry is not None and entry.kind != "encoder":
        raise WeightsError(f"{weights}: weights of kind {entry.kind!r}, not of an encoder")
    return resolve(weights)


def _local_folder(folder: Path, weights: str | Path | None) -> _Source:
    config, preprocess = _read_json(folder / "open_clip_config.json")
    if weights is not None:
        path = _weights_file(str(folder), weights)
    else:
        path = next((folder / name for name in _FOLDER_WEIGHTS if (folder / name).is_file()), None)
        if path is None:
            raise WeightsError(f"{folder}: no weights in it; expected one of {', '.join(_FOLDER_WEIGHTS)}")
    return _Source(folder.name, config, preprocess, path, tokenizer_folder=folder)


def _read_json(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """``model_cfg`` and ``preprocess_cfg`` of a file in either of open_clip's two layouts."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable JSON file ({checkpoint.one_line(error)})") from error
    config = content.get("model_cfg", content) if isinstance(content, dict) else {}
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
        raise WeightsError(f"{path}: not an open_clip configuration (embed_dim, vision_cfg, text_cfg)")
    return config, content.get("preprocess_cfg", {})
