"""``vab bench decoding``: seconds of masked decoding beside those of an autoregressive twin, with random weights."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from tasks.bench.model import seconds_of
from tasks.bench.options import BenchDecodingOptions
from tasks.console import console, numbers_table
from vab.config import from_dict, read_yaml, to_dict
from vab.decoding.options import AutoregressiveOptions, DecodingOptions
from vab.device import choose_device, on_device
from vab.files import check_outputs, write_atomically
from vab.models.masked import generate_codes
from vab.models.v_aura.config import VAURAConfig
from vab.models.v_aura.generate import generate_codes as generate_columns
from vab.models.v_aura.model import VAURA
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.provenance import made_with
from vab.windows import Windows


def twin_of(config: VABConfig) -> VAURAConfig:
    """An autoregressive model of a VAB's layers, width and heads on the same codes and frames.

    The gated networks have three matrices where the others have two, and so two thirds of the inner width.
    """
    return VAURAConfig(
        num_layers=config.num_layers,
        width=config.width,
        fused_visual_width=config.width // 4,
        num_heads=config.num_heads,
        feed_forward_width=round(config.feed_forward_ratio * config.width * 2 / 3),
        num_codebooks=config.num_codebooks,
        codebook_size=config.codebook_size,
        frame_rate=config.frame_rate,
        conditions=config.conditions,
    )


def run(options: BenchDecodingOptions) -> int:
    """Print a table, write JSON if asked."""
    if options.output:
        check_outputs([options.output])
    device = choose_device(options.device)
    document = read_yaml(options.config)
    config = from_dict(VABConfig, document["model"], source=str(options.config))
    num_layers = options.layers or config.num_layers
    config = replace(
        config,
        num_layers=num_layers,
        num_encoder_layers=min(config.num_encoder_layers, num_layers),
        width=options.width or config.width,
    )
    decoding = from_dict(DecodingOptions, document["sampling"], source=str(options.config))
    rows: list[dict[str, Any]] = []
    for system in options.systems:
        torch.manual_seed(0)
        rows.append({"system": system, **_measure(system, config, decoding, options, device)})
        console.print(f"{system}: {rows[-1]['seconds']:.2f} s", markup=False)
    by_system = {row["system"]: row["seconds"] for row in rows}
    ratios = {
        f"{system}/masked": seconds / by_system["masked"]
        for system, seconds in by_system.items()
        if "masked" in by_system and system != "masked"
    }
    _show(rows, ratios, f"{options.batch_size} x {options.seconds:g} s, {options.dtype}, {device}")
    if options.output:
        facts = {
            "benchmark": "decoding",
            "rows": rows,
            "ratios": ratios,
            "model": to_dict(config),
            "twin": to_dict(twin_of(config)),
            "sampling": to_dict(decoding),
            "options": to_dict(options),
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
            "threads": torch.get_num_threads(),
            "processors": os.cpu_count(),
            **made_with(),
        }
        write_atomically(options.output, json.dumps(facts, indent=2) + "\n")
    return 0


def _measure(
    system: str, config: VABConfig, decoding: DecodingOptions, options: BenchDecodingOptions, device: str
) -> dict[str, Any]:
    windows = Windows.of(config.streams, options.seconds, 0.0)
    visual = torch.randn(options.batch_size, windows.num_frames, config.visual_dim)
    conditions = [{"clip": each} for each in visual]
    lengths = [windows.num_steps] * len(visual)
    size = len(visual)
    settings: dict[str, Any] = {"windows": windows, "seeds": range(size), "batch_size": size}
    model: Any = VAB(config) if system == "masked" else VAURA(twin_of(config))
    num_parameters = sum(each.numel() for each in model.parameters())
    model = on_device(model.eval().requires_grad_(False), device, options.dtype)
    if system == "masked":
        num_passes = decoding.num_steps
        work = partial(generate_codes, model, conditions, lengths, options=decoding, **settings)
    else:
        num_passes = model.pattern(windows.num_steps).num_columns
        settings |= {
            "options": AutoregressiveOptions(cfg_scale=decoding.cfg_scale),
            "is_cached": system == "cached",
        }
        work = partial(generate_columns, model, conditions, lengths, **settings)
    if device == "cuda" and system != "uncached":
        work()  # a first run loads the kernels
    return {"parameters": num_parameters, "passes": num_passes, "seconds": seconds_of(work, device)}


def _show(rows: list[dict[str, Any]], ratios: dict[str, float], title: str) -> None:
    table = numbers_table(title, "system", "parameters", "passes", "seconds", "times masked")
    for row in rows:
        ratio = ratios.get(f"{row['system']}/masked")
        table.add_row(
            row["system"],
            f"{row['parameters'] / 1e6:.1f} M",
            str(row["passes"]),
            f"{row['seconds']:.2f}",
            "" if ratio is None else f"{ratio:.1f}",
        )
    console.print(table)
