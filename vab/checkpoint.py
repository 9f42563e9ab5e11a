"""Tensors on disk: safetensors with a JSON header of our own, and foreign files read without pickle."""

from __future__ import annotations

import errno
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from vab.errors import WeightsError
from vab.files import complete_file
from vab.shapes import Tensor

T = TypeVar("T", bound=Any)

HEADER_KEY = "vab"
"""The one metadata key of our files; its value is the header as JSON."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file, whole or not at all.

    Raises:
        WeightsError: a tensor holds NaN or infinity; nothing is written.
        OSError: the disk is full, or writing is not allowed.
        TypeError: the header holds something JSON cannot.
    """
    check_finite(tensors, path)
    metadata = {HEADER_KEY: json.dumps(header)}
    with complete_file(path) as partial:
        try:
            save_file(_unshared(tensors), partial, metadata=metadata)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(errno.EIO, one_line(error)) from error


def load_tensors(
    path: Path, *, expected_format: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of ``save_tensors``: the tensors on the CPU, and the header.

    A safetensors file that somebody else wrote has an empty header. With ``expected_format``, a header whose ``format``
    is another or whose ``version`` is newer than 1 is refused.

    Raises:
        WeightsError: absent, damaged, or not of the expected format.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(file)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({one_line(error)})") from error
    if expected_format is not None:
        found = header.get("format", "a foreign file") if isinstance(header, dict) else "a foreign file"
        if found != expected_format:
            raise WeightsError(f"{path}: expected weights of format {expected_format!r}, this is {found!r}")
        if header.get("version") != 1:
            raise WeightsError(
                f"{path}: written by a newer vab (version {header.get('version')!r}); update vab to read it"
            )
    return tensors, header


def load_header(path: Path) -> dict[str, Any]:
    """The header alone of a file of ``save_tensors``; empty where there is none, or no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(file)
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _header(file: Any) -> Any:
    return json.loads((file.metadata() or {}).get(HEADER_KEY, "{}"))


def load_torch_file(path: Path) -> Any:
    """Read a ``torch.save`` file of plain containers and tensors; code inside is never run.

    Raises:
        WeightsError: absent, damaged, or holding anything but plain data.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: damaged, or holds more than plain tensors, which vab does not unpickle"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable PyTorch file ({one_line(error)})") from error


def load_torch_state(path: Path, what: str) -> dict[str, Tensor]:
    """The state dict that is all of a published PyTorch file, safely.

    ``what`` is the network it should be of and the remedy, for the error.

    Raises:
        WeightsError: the file is absent or damaged, or holds something else.
    """
    try:
        state = load_torch_file(path)
    except WeightsError as error:
        raise WeightsError(f"{error}; expected the state dict of {what}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not the state dict of {what}")
    return state


def build_for(build: Callable[[], T], tensors: Mapping[str, Tensor], source: Path | str) -> T:
    """Build the network that a header describes, but not before it is known to fit the tensors beside it.

    It is built without memory first, and given up where it grows beyond what the file could fill. Any error of
    ``build`` is taken for the header's; ``source`` is named in it.

    Raises:
        WeightsError: the header describes no network, or one of other tensors.
    """
    most = 4 * len(tensors) + 1000
    names: list[str] = []

    def count(_: torch.nn.Module, name: str, __: Any) -> None:
        names.append(name)
        if len(names) > most:
            raise WeightsError(
                f"{source}: its header describes a network of more than the {len(tensors)} tensors it holds"
            )

    hooks = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    ]
    try:
        with torch.device("meta"):
            outline = build()
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(
            f"{source}: its header describes no network that can be built ({type(error).__name__}: {one_line(error)})"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    _check_shapes(getattr(outline, "model", outline).state_dict(), tensors, source)
    return build()


def load_state(module: torch.nn.Module, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Load a state dict strictly, halves widened to what the module holds.

    Raises:
        WeightsError: keys missing, left over, or of another shape, or numbers that are not finite; one line that
            names a few.
    """
    _check_shapes(module.state_dict(), tensors, source)
    check_finite(tensors, source)
    module.load_state_dict(dict(tensors), strict=True)


def _check_shapes(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path | str) -> None:
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    misshapen = sorted(
        key for key in expected.keys() & tensors.keys() if expected[key].shape != tensors[key].shape
    )
    problems = [
        f"{len(keys)} tensors {what} (such as {', '.join(keys[:2])})"
        for keys, what in ((missing, "missing"), (extra, "unknown"), (misshapen, "of another shape"))
        if keys
    ]
    if problems:
        raise WeightsError(f"{source}: weights do not fit the architecture: {'; '.join(problems)}")


def check_finite(tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Refuse NaN and infinity.

    Raises:
        WeightsError: names the source and a tensor.
    """
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise WeightsError(
            f"{source}: {len(bad)} tensors hold NaN or infinity (such as {bad[0]}): a training that diverged; "
            "use an earlier checkpoint"
        )


def fingerprint(config: Mapping[str, Any], tensors: Iterable[tuple[str, Tensor]]) -> str:
    """First 16 hex digits of the SHA-256 over a configuration and named tensors, order-independent."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def one_line(error: BaseException) -> str:
    """An error's message without line breaks, at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors, each with memory of its own, as safetensors demands."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor
    return result
