"""``vab bench model``: how large a configuration is and how fast it runs here."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.table import Table

from tasks.bench.options import BenchModelOptions
from tasks.console import console
from vab.config import from_dict, read_yaml
from vab.decoding.in_windows import decode_in_windows
from vab.decoding.masks import mask_out
from vab.decoding.options import DecodingOptions
from vab.device import choose_device
from vab.features.batch import FeatureBatch
from vab.models import find_model
from vab.models.vab.config import VABConfig
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions
from vab.windows import Windows


def run(options: BenchModelOptions) -> int:
    """Print a table, a row a configuration."""
    device = choose_device(options.device)
    table = Table(
        title=f"{options.batch_size} x {options.seconds:g} s, {options.dtype}, {device}", title_justify="left"
    )
    for column in ("model", "all", "blocks", "first N1 + input", "training step s", "generation s", "steps"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for path in options.configs:
        table.add_row(path.stem, *_measure(path, options, device))
    console.print(table)
    return 0


def _measure(path: Path, options: BenchModelOptions, device: str) -> list[str]:
    document = read_yaml(path)
    folder = find_model(document.get("type", "vab"))
    config = from_dict(folder.config, document["model"], source=str(path))
    decoding = from_dict(DecodingOptions, document["sampling"], source=str(path))
    torch.manual_seed(0)
    model = folder.model(config).to(device)
    sizes = [millions(model), millions(model.blocks)]
    if not config.num_given_codebooks:
        inputs = millions(model.code_embedding.project) + millions(model.visual_embedding)
        sizes.append(millions(model.blocks[: config.num_encoder_layers]) + inputs)
    windows = Windows.of(config.streams, options.seconds, 0.0)
    batch = _batch(config, options.batch_size, windows).to(device)

    objective = MaskedPrediction(model, MaskedPredictionOptions())
    optimizer = torch.optim.AdamW(model.parameters(), 2e-4)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=options.dtype == "bfloat16"):
            loss = objective(batch, generator=torch.Generator().manual_seed(0))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step_seconds = seconds_of(step, device)
    model.zero_grad()
    model = model.eval().requires_grad_(False).to(getattr(torch, options.dtype))
    is_masked = torch.zeros_like(batch.streams["codes"], dtype=torch.bool)
    is_masked[:, config.num_given_codebooks :] = True
    masked = list(mask_out(batch.streams["codes"], is_masked, config.mask_token_id))
    generation_seconds = seconds_of(
        lambda: decode_in_windows(
            model,
            masked,
            batch.clips(),
            windows=windows,
            options=decoding,
            seeds=range(len(batch)),
        ),
        device,
    )
    return [
        *(f"{size:.2f} M" for size in sizes),
        *[""] * (3 - len(sizes)),
        f"{step_seconds:.1f}",
        f"{generation_seconds:.1f}",
        str(decoding.num_steps),
    ]


def _batch(config: VABConfig, size: int, windows: Windows) -> FeatureBatch:
    """Random codes and frames of the configuration's shapes."""
    return FeatureBatch(
        streams={
            "codes": torch.randint(0, config.codebook_size, (size, config.num_codebooks, windows.num_steps)),
            "clip": torch.randn(size, windows.num_frames, config.visual_dim),
        },
        is_valid={
            "codes": torch.ones(size, windows.num_steps, dtype=torch.bool),
            "clip": torch.ones(size, windows.num_frames, dtype=torch.bool),
        },
        ids=tuple(map(str, range(size))),
        labels=((),) * size,
    )


def millions(module: torch.nn.Module) -> float:
    """Parameters, in millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def seconds_of(work: Callable[[], object], device: str) -> float:
    """How long some work takes on a device."""
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
