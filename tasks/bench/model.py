"""``vab bench generate`` and ``vab bench train``: how fast a configuration runs here, and how fast it could."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tasks.bench.options import BenchModelOptions
from tasks.console import console, numbers_table
from tasks.options import command_line
from tasks.record import conditions, write_record
from vab.config import from_dict, read_yaml, to_dict
from vab.decoding.guidance import branches
from vab.decoding.in_windows import decode_in_windows
from vab.decoding.masks import mask_out
from vab.decoding.options import DecodingOptions
from vab.device import choose_device, compile_blocks, on_device
from vab.errors import ConfigError
from vab.features.batch import FeatureBatch, time_axis
from vab.files import check_outputs
from vab.models import find_model
from vab.models.maskvat.config import MaskVATConfig
from vab.models.vab.config import VABConfig
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions
from vab.windows import Windows


def generate(options: BenchModelOptions) -> int:
    """Time the decoding of a configuration's own steps and guidance, without the codec."""
    return _bench("generate", options)


def train(options: BenchModelOptions) -> int:
    """Time a training step: forward, backward and the optimiser.

    Raises:
        ConfigError: in 8 bits.
    """
    if options.dtype == "int8":
        raise ConfigError("--dtype int8 is for generating; train in float32 or bfloat16")
    return _bench("train", options)


def _bench(what: str, options: BenchModelOptions) -> int:
    if options.profile:
        check_outputs([options.profile], options.configs)
    device = choose_device(options.device)
    rows, profiles = zip(*(_measure(path, what, options, device) for path in options.configs), strict=True)
    _show(rows, f"{what}: {options.batch_size} x {options.seconds:g} s, {options.dtype}, {device}")
    measured = conditions(
        clips="random codes and frames",
        num_clips=options.batch_size,
        clip_seconds=options.seconds,
        seed=0,
        device=f"{processor(device)}, {options.dtype}",
        command=command_line(f"bench {what}", options),
    )
    if options.output:
        write_record(options.output, "speed", {"what": what, "models": rows}, measured)
    if options.profile:
        write_record(options.profile, "profile", {"what": what, "models": profiles}, measured)
    return 0


def _measure(
    path: Path, what: str, options: BenchModelOptions, device: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of one model its sizes, seconds, and the least that its products take at this machine's rate; and its profile."""
    document = read_yaml(path)
    kind = document.get("type", "vab")
    folder = find_model(kind)
    if not issubclass(folder.config, VABConfig | MaskVATConfig):
        raise ConfigError(f"{path}: type {kind!r}; bench {what} is for models that predict masked codes")
    config = from_dict(folder.config, document["model"], source=str(path))
    torch.manual_seed(0)
    model = folder.model(config).to(device)
    sizes = {"all": millions(model), "blocks": millions(model.blocks)}
    if isinstance(config, VABConfig) and not config.num_given_codebooks:
        inputs = millions(model.code_embedding.project) + millions(model.visual_embedding)
        sizes["first N1 + input"] = millions(model.blocks[: config.num_encoder_layers]) + inputs
    windows = Windows.of(config.streams, options.seconds, 0.0)
    decoding = from_dict(DecodingOptions, document["sampling"], source=str(path))
    batch = _batch(config, options.batch_size, windows).to(device)
    prepare, num_passes = (_decoding, decoding.num_steps) if what == "generate" else (_training_step, 1)
    # Not counted are a CPU's kernel of attention, and products by weights that are packed for bfloat16 or in 8 bits.
    attention = sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()
    counted = replace(options, dtype="float32") if what == "generate" else options
    with FlopCounterMode(display=False) as counter, attention:
        prepare(model, batch, windows, replace(decoding, num_steps=1), counted)()
    operations = counter.get_total_flops() * num_passes
    if options.compile:
        compile_blocks(model)
    work = prepare(model, batch, windows, decoding, options)
    work()  # warms up
    seconds = [seconds_of(work, device) for _ in range(options.repeats)]
    num_rows = options.batch_size * windows.num_steps
    if what == "generate":
        num_rows *= len(branches(decoding.cfg_scale))
    dtype = "bfloat16" if options.dtype == "int8" else options.dtype
    rate = matrix_rate(num_rows, config.width, dtype, device, is_trained=what == "train")
    floor = operations / rate
    name = f"{path.parent.name}/{path.stem}"
    profile = {"model": name, "seconds": _profile(work, device)} if options.profile else {}
    row = {
        "model": name,
        "parameters_millions": sizes,
        "num_code_steps": windows.num_steps,
        "num_frames": {name: windows.length(name) for name in config.conditions},
        "sampling": to_dict(decoding),
        "seconds": {"median": median(seconds), "each": seconds},
        "teraflops": operations / 1e12,
        "matrix_teraflops_a_second": rate / 1e12,
        "floor_seconds": floor,
        "times_floor": median(seconds) / floor,
    }
    return row, profile


def _profile(work: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds of each operation, on a GPU of each kernel, the longest first; without those within it."""
    with torch.profiler.profile(acc_events=True) as profile:
        work()
    is_cuda = device.startswith("cuda")
    kind = torch.autograd.DeviceType.CUDA if is_cuda else torch.autograd.DeviceType.CPU
    seconds = {
        event.key: (event.self_device_time_total if is_cuda else event.self_cpu_time_total) / 1e6
        for event in profile.key_averages()
        if event.device_type == kind
    }
    return dict(sorted(seconds.items(), key=lambda each: -each[1]))


def _training_step(
    model: Any, batch: FeatureBatch, _: Windows, __: DecodingOptions, options: BenchModelOptions
) -> Callable[[], object]:
    objective = MaskedPrediction(model, MaskedPredictionOptions())
    optimizer = torch.optim.AdamW(model.parameters(), 2e-4, fused=True)
    device = batch.streams["codes"].device.type

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=options.dtype == "bfloat16"):
            loss = objective(batch, generator=torch.Generator().manual_seed(0))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _decoding(
    model: Any, batch: FeatureBatch, windows: Windows, decoding: DecodingOptions, options: BenchModelOptions
) -> Callable[[], object]:
    config = model.config
    model = on_device(model.eval().requires_grad_(False), batch.streams["codes"].device.type, options.dtype)
    is_masked = torch.zeros_like(batch.streams["codes"], dtype=torch.bool)
    is_masked[:, config.num_given_codebooks :] = True
    masked = list(mask_out(batch.streams["codes"], is_masked, config.mask_token_id))
    clips, seeds = batch.clips(), range(len(batch))
    return lambda: decode_in_windows(
        model, masked, clips, windows=windows, options=decoding, seeds=seeds, batch_size=len(batch)
    )


def _batch(config: VABConfig | MaskVATConfig, size: int, windows: Windows) -> FeatureBatch:
    codes = torch.randint(0, config.codebook_size, (size, config.num_codebooks, windows.num_steps))
    streams = {"codes": codes} | {
        name: torch.randn(size, windows.length(name), condition.width)
        for name, condition in config.conditions.items()
    }
    return FeatureBatch(
        streams=streams,
        is_valid={
            name: torch.ones(size, stream.shape[time_axis(stream)], dtype=torch.bool)
            for name, stream in streams.items()
        },
        ids=tuple(map(str, range(size))),
        labels=((),) * size,
    )


@torch.no_grad()
def matrix_rate(num_rows: int, width: int, dtype: str, device: str, *, is_trained: bool) -> float:
    """Operations a second of the product that a model is mostly made of: [rows, width] by [width, 4 width].

    Weights that are not trained are kept as ``on_device`` keeps them.
    """
    layer: torch.nn.Module = torch.nn.Linear(width, 4 * width, bias=False)
    if is_trained:
        layer = layer.to(device, getattr(torch, dtype))
    else:
        network = torch.nn.Module()
        network.blocks = torch.nn.ModuleList([layer])
        [layer] = on_device(network, device, dtype).get_submodule("blocks").children()
    rows = torch.randn(num_rows, width, device=device).to(getattr(torch, dtype))
    operations = 8 * num_rows * width**2
    times = max(1, round((1e12 if device == "cuda" else 1e10) / operations))

    def products() -> None:
        for _ in range(times):
            layer(rows)

    products()
    work = products
    if device == "cuda":  # launched one by one, small products wait for the host
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            products()
        work = graph.replay
    return times * operations / min(seconds_of(work, device) for _ in range(5))


def _show(rows: Sequence[dict[str, Any]], title: str) -> None:
    table = numbers_table(title, "model", "parameters", "seconds", "floor, s", "times floor")
    for row in rows:
        table.add_row(
            row["model"],
            f"{row['parameters_millions']['all']:.1f} M",
            f"{row['seconds']['median']:.3g}",
            f"{row['floor_seconds']:.3g}",
            f"{row['times_floor']:.2f}",
        )
    console.print(table)


def millions(module: torch.nn.Module) -> float:
    """Parameters, in millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def processor(device: str) -> str:
    """What work on a device runs on."""
    return torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def seconds_of(work: Callable[[], object], device: str) -> float:
    """How long some work takes on a device."""
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
