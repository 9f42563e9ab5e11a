"""A small Synchformer: names and construction of the official file at another width, depth and picture size."""

import torch

WIDTH, PATCH, SIDE = 24, 16, 2
DEPTH = {"pictures": 2, "sound": 2, "joint": 1}
PICTURE_STEPS, BANDS, SOUND_STEPS = 8, 12, 6


def shapes() -> dict[str, tuple[int, ...]]:
    """Names of all tensors with their axes."""
    seen, heard, joint = "vfeat_extractor", "afeat_extractor", "transformer"
    found: dict[str, tuple[int, ...]] = {
        f"{seen}.pos_embed": (1, 1 + SIDE**2, WIDTH),
        f"{seen}.temp_embed": (1, PICTURE_STEPS, WIDTH),
        f"{seen}.patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        f"{seen}.patch_embed_3d.proj.weight": (WIDTH, 3, 2, PATCH, PATCH),
        f"{heard}.ast.embeddings.position_embeddings": (1, 2 + BANDS * SOUND_STEPS, WIDTH),
        f"{heard}.ast.embeddings.patch_embeddings.projection.weight": (WIDTH, 1, 16, 16),
        f"{joint}.pos_emb_cfg.pos_emb": (1, 198, WIDTH),
    }
    convolutions = [name.removesuffix(".weight") for name in found if name.endswith(".weight")]
    tokens = [f"{seen}.cls_token", f"{seen}.spatial_attn_agg.cls_token", f"{heard}.freq_attn_agg.cls_token"]
    tokens += [f"{heard}.ast.embeddings.{name}_token" for name in ("cls", "distillation")]
    tokens += [f"{joint}.OFF_tok", f"{joint}.MOD_tok"]
    found |= {f"{convolution}.bias": (WIDTH,) for convolution in convolutions}
    found |= dict.fromkeys(tokens, (1, 1, WIDTH))

    norms = [f"{seen}.norm", f"{heard}.ast.layernorm"]
    norms += [f"{joint}.{name}" for name in ("vis_in_lnorm", "aud_in_lnorm", "ln_f")]
    linears = {"vproj": (WIDTH, WIDTH), "aproj": (WIDTH, WIDTH), f"{joint}.off_head": (21, WIDTH)}
    for block in (f"{seen}.blocks.{index}" for index in range(DEPTH["pictures"])):
        norms += [f"{block}.norm{number}" for number in (1, 2, 3)]
        for attention in ("attn", "timeattn"):
            linears[f"{block}.{attention}.qkv"] = (3 * WIDTH, WIDTH)
            linears[f"{block}.{attention}.proj"] = (WIDTH, WIDTH)
        linears |= {f"{block}.mlp.fc1": (4 * WIDTH, WIDTH), f"{block}.mlp.fc2": (WIDTH, 4 * WIDTH)}
    for layer in (f"{heard}.ast.encoder.layer.{index}" for index in range(DEPTH["sound"])):
        norms += [f"{layer}.layernorm_before", f"{layer}.layernorm_after"]
        names = ("attention.query", "attention.key", "attention.value", "output.dense")
        linears |= {f"{layer}.attention.{name}": (WIDTH, WIDTH) for name in names}
        linears[f"{layer}.intermediate.dense"] = (4 * WIDTH, WIDTH)
        linears[f"{layer}.output.dense"] = (WIDTH, 4 * WIDTH)
    for pool in (f"{seen}.spatial_attn_agg", f"{heard}.freq_attn_agg"):
        norms += [f"{pool}.norm1", f"{pool}.norm2"]
        linears |= {f"{pool}.linear1": (4 * WIDTH, WIDTH), f"{pool}.linear2": (WIDTH, 4 * WIDTH)}
        linears[f"{pool}.self_attn.out_proj"] = (WIDTH, WIDTH)
        found[f"{pool}.self_attn.in_proj_weight"] = (3 * WIDTH, WIDTH)
        found[f"{pool}.self_attn.in_proj_bias"] = (3 * WIDTH,)
    for block in (f"{joint}.blocks.{index}" for index in range(DEPTH["joint"])):
        norms += [f"{block}.ln1", f"{block}.ln2"]
        linears |= {f"{block}.attn.{name}": (WIDTH, WIDTH) for name in ("key", "query", "value", "proj")}
        linears |= {f"{block}.mlp.0": (4 * WIDTH, WIDTH), f"{block}.mlp.2": (WIDTH, 4 * WIDTH)}
    for name, (rows, columns) in linears.items():
        found |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    return found | {f"{norm}.{part}": (WIDTH,) for norm in norms for part in ("weight", "bias")}


def synchformer_state() -> dict[str, torch.Tensor]:
    """Random weights of the whole file; where tokens are pooled it chooses sharply, so each can change the answer."""
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes().items()}
    for name in state:
        if name.endswith("in_proj_weight") or (name.startswith("transformer.blocks.") and ".attn." in name):
            state[name] *= 4
    return state
