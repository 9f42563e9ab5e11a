"""A small ImageBind: names and construction of the official file at another width, depth and picture size."""

import torch

PATCH, JOINT, DEPTH = 14, 8, 2
WIDTH = {"vision": 32, "audio": 24}
HEADS = {"vision": 16, "audio": 12}
TOKENS = {"vision": 5, "audio": 229}
STEM = {"vision": "rgbt_stem.proj.1", "audio": "rgbt_stem.proj"}


def shapes(modality: str) -> dict[str, tuple[int, ...]]:
    """Names of one modality's tensors with their axes."""
    width = WIDTH[modality]
    before, trunk = f"modality_preprocessors.{modality}", f"modality_trunks.{modality}"
    kernel = (3, 2, PATCH, PATCH) if modality == "vision" else (1, 16, 16)
    found: dict[str, tuple[int, ...]] = {
        f"{before}.cls_token": (1, 1, width),
        f"{before}.pos_embedding_helper.pos_embed": (1, TOKENS[modality], width),
        f"{before}.{STEM[modality]}.weight": (width, *kernel),
        f"modality_heads.{modality}.2.weight": (JOINT, width),
    }
    linear = {"attn.in_proj_": (3 * width, width), "attn.out_proj.": (width, width)}
    linear |= {"mlp.fc1.": (4 * width, width), "mlp.fc2.": (width, 4 * width)}
    first = {"vision": f"{trunk}.pre_transformer_layer.0", "audio": f"{before}.rgbt_stem.norm_layer"}
    norms = [f"modality_heads.{modality}.0", first[modality]]
    for block in (f"{trunk}.blocks.{index}" for index in range(DEPTH)):
        norms += [f"{block}.norm_1", f"{block}.norm_2"]
        for name, (rows, columns) in linear.items():
            found |= {f"{block}.{name}weight": (rows, columns), f"{block}.{name}bias": (rows,)}
        if modality == "audio":
            found |= {f"{block}.attn.bias_k": (1, 1, width), f"{block}.attn.bias_v": (1, 1, width)}
    return found | {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}


def imagebind_state() -> dict[str, torch.Tensor]:
    """Random weights of both towers, and some of what the file has besides."""
    generator = torch.Generator().manual_seed(0)
    every = shapes("vision") | shapes("audio")
    # Of towers and parts that no cosine of pictures and sound needs.
    every |= {
        "modality_trunks.depth.blocks.0.norm_1.weight": (4,),
        "modality_heads.text.proj.1.weight": (8, 4),
    }
    every |= {f"modality_postprocessors.{name}.1.log_logit_scale": () for name in ("audio", "text")}
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in every.items()}
