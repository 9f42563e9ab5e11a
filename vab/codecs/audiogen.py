"""Compression checkpoints of audiocraft, such as AudioGen's: container and configuration to ours.

The file is ``{'best_state': state dict, 'xp.cfg': YAML}``; its tensors bear the ``encodec`` package's own
names. The YAML is OmegaConf's and may hold unresolved ``${...}``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vab.codecs.encodec import SEANET_FIELDS, EncodecConfig
from vab.config import from_dict, load_yaml
from vab.errors import ConfigError, WeightsError
from vab.shapes import Tensor

logger = logging.getLogger(__name__)


def is_audiocraft_file(content: Any) -> bool:
    """Whether a ``torch.load`` result is an audiocraft checkpoint or a pointer to one."""
    return isinstance(content, dict) and ("best_state" in content or "pretrained" in content)


def read_audiocraft(content: Mapping[str, Any], path: Path) -> tuple[EncodecConfig, dict[str, Tensor]]:
    """Configuration and state dict of an audiocraft compression checkpoint.

    Raises:
        WeightsError: a pointer file, or a network that is not a mono EnCodec as ours.
    """
    if "best_state" not in content:
        raise WeightsError(
            f"{path}: holds no weights, only points to {content['pretrained']!r}; "
            "use that repository's own file"
        )
    try:
        root = load_yaml(content["xp.cfg"])
        config = _config(_resolve(root.get("seanet"), root), _resolve(root.get("rvq"), root), root, path)
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError, ConfigError) as error:
        raise WeightsError(f"{path}: its configuration is not that of a mono EnCodec ({error})") from error
    return config, dict(content["best_state"])


def _config(
    seanet: Mapping[str, Any], rvq: Mapping[str, Any], root: Mapping[str, Any], path: Path
) -> EncodecConfig:
    decoder = dict(seanet.get("decoder") or {})
    decoder.pop("final_activation_params", None)
    known = {
        "channels": (seanet.get("channels", 1), 1),
        "activation": (seanet.get("activation", "ELU"), "ELU"),
        "activation_params": (seanet.get("activation_params", {"alpha": 1.0}), {"alpha": 1.0}),
        "disable_norm_outer_blocks": (seanet.get("disable_norm_outer_blocks", 0), 0),
        "renormalize": (bool(root.get("encodec", {}).get("renormalize", False)), False),
        "decoder.trim_right_ratio": (decoder.pop("trim_right_ratio", 1.0), 1.0),
        "decoder.final_activation": (decoder.pop("final_activation", None), None),
        "encoder": (seanet.get("encoder") or {}, {}),
    }
    known["decoder"] = (decoder, {})
    for key, (found, supported) in known.items():
        if found != supported:
            raise ValueError(f"{key} is {found!r}, only {supported!r} is supported")
    if "pad_mode" not in seanet:
        # It changes no shape, only the first and last moments of a clip, so loading may go on.
        logger.warning("%s: no pad mode in its configuration; taking 'constant'", path)
    return from_dict(
        EncodecConfig,
        {
            **{key: seanet[key] for key in SEANET_FIELDS if key in seanet},
            "sample_rate": int(_resolve(root["sample_rate"], root)),
            "ratios": seanet["ratios"],
            "num_codebooks": rvq["n_q"],
            "codebook_size": rvq["bins"],
        },
        source=str(path),
    )


def _resolve(value: Any, root: Mapping[str, Any]) -> Any:
    """Replace OmegaConf's ``${a.b}`` by what stands at a.b."""
    if isinstance(value, dict):
        return {key: _resolve(item, root) for key, item in value.items()}
    if isinstance(value, str) and (match := re.fullmatch(r"\$\{([\w.]+)\}", value)):
        target: Any = root
        for key in match[1].split("."):
            target = target[key]
        if target == value:
            raise ValueError(f"{value} refers to itself")
        return _resolve(target, root)
    return value
