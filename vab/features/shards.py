"""One shard on disk: stacked features in ``NNNNN.safetensors``, one line a clip in ``NNNNN.jsonl``.

Both are immutable. The features are written first and the lines last, so a shard exists when its lines do.
The lines open with one that describes the shard; then come all clips it was planned for, in order: those
with features have a ``row``, those that failed a ``failure`` (the reason).
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from vab.errors import StoreError
from vab.features.files import read_lines, to_lines
from vab.features.info import DTYPES, StoreInfo
from vab.files import complete_file, write_atomically
from vab.shapes import Bool, Int, Tensor

LENGTH_DTYPE = torch.int32
_LENGTH = ".num_steps"
_DTYPE_NAMES = {torch.int16: "I16", torch.float16: "F16", torch.float32: "F32", LENGTH_DTYPE: "I32"}
_OLD_NAMES = {"codes.num_steps": "num_steps", "clip": "visual", "clip.num_steps": "num_frames"}
"""What shards of format version 1 call their arrays."""


@dataclass(frozen=True)
class ShardArrays:
    """Features of n clips, in the types they have on disk."""

    streams: dict[str, Tensor]
    """[n, ...] by stream; zeros where a clip lacks it."""
    num_steps: dict[str, Int[Tensor, " n"]]
    """int32 by stream: steps that are real; 0 = the clip lacks it."""

    @classmethod
    def zeros(cls, size: int, info: StoreInfo) -> ShardArrays:
        """Arrays of the right shape for ``size`` clips, to be filled in place."""
        return cls.named(
            {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in _layout(size, info).items()}
        )

    @classmethod
    def named(cls, arrays: dict[str, Tensor]) -> ShardArrays:
        """From arrays under the names they have on disk."""
        return cls(
            {name: array for name, array in arrays.items() if not name.endswith(_LENGTH)},
            {name[: -len(_LENGTH)]: array for name, array in arrays.items() if name.endswith(_LENGTH)},
        )

    @classmethod
    def concatenated(cls, pieces: Sequence[ShardArrays], info: StoreInfo) -> ShardArrays:
        """One after the other."""
        tensors = [piece.tensors() for piece in [*pieces, cls.zeros(0, info)]]
        return cls.named({name: torch.cat([each[name] for each in tensors]) for name in tensors[-1]})

    def rows(self, keep: Bool[Tensor, " n"]) -> ShardArrays:
        """Only some of the clips."""
        return ShardArrays.named({name: tensor[keep] for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """By the names they have on disk."""
        return self.streams | {name + _LENGTH: lengths for name, lengths in self.num_steps.items()}

    def __len__(self) -> int:
        return len(next(iter(self.num_steps.values())))


def shard_name(number: int) -> str:
    """Stem of the files of a shard."""
    return f"{number:05d}"


def shard_lines(folder: Path, number: int) -> Path:
    """The file of lines of a shard, or of what is planned for it."""
    return folder / f"{shard_name(number)}.jsonl"


def shard_numbers(folder: Path) -> list[int]:
    """Numbers of the ``NNNNN.jsonl`` in a folder, ascending; none where there is no such folder."""
    return sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())


def write_shard(lines_path: Path, arrays: ShardArrays, clips: Sequence[dict[str, Any]]) -> None:
    """Write features, then lines; ``clips`` with features come in the order of the arrays.

    Equal content gives equal bytes.

    Raises:
        OSError: the disk is full, or writing is not allowed.
    """
    path = lines_path.with_suffix(".safetensors")
    with complete_file(path) as partial:
        try:
            save_file({name: tensor.contiguous() for name, tensor in arrays.tensors().items()}, partial)
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(errno.EIO, str(error)) from error
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = iter(range(len(arrays)))
    lines = [{"row": None if "failure" in clip else next(rows), **clip} for clip in clips]
    head = {"num_clips": len(clips), "num_rows": len(arrays), "sha256": digest}
    write_atomically(lines_path, to_lines([head, *lines]))


def read_clips(lines_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head and the clips of a shard.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        head, *clips = read_lines(lines_path)
        num_rows = sum(clip["row"] is not None for clip in clips)
        if (head["num_clips"], head["num_rows"]) != (len(clips), num_rows):
            raise ValueError(
                f"{len(clips)} clips of {head['num_clips']}, {num_rows} rows of {head['num_rows']}"
            )
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{lines_path}: damaged ({error}); delete this shard and extract again") from error
    return head, clips


def map_arrays(lines_path: Path, head: dict[str, Any], info: StoreInfo) -> ShardArrays:
    """The features of a shard, memory-mapped: nothing is read before it is used.

    Raises:
        StoreError: absent, truncated, damaged, or of another shape than the store's.
    """
    path = lines_path.with_suffix(".safetensors")
    wanted = _layout(head["num_rows"], info)
    offsets, size = _data_offsets(path, wanted)
    # Torch's own mapping holds no file descriptor, so thousands of shards may be open at once.
    storage = torch.UntypedStorage.from_file(str(path), False, size)
    arrays = {}
    for name, (dtype, shape) in wanted.items():
        # An empty tensor may lie at the very end, where a view is not allowed.
        arrays[name] = torch.empty(shape, dtype=dtype)
        if arrays[name].numel():
            arrays[name].set_(storage, offsets[name] // dtype.itemsize, shape)  # type: ignore[call-overload]
    return ShardArrays.named(arrays)


def check_digest(lines_path: Path, head: dict[str, Any]) -> None:
    """Read a shard's features in full and compare them with the digest noted when they were written.

    Raises:
        StoreError: they changed since.
    """
    path = lines_path.with_suffix(".safetensors")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != head["sha256"]:
            raise StoreError(f"{path}: content differs from what was written; {_REMEDY}")


_REMEDY = "delete this shard's two files and extract again"


def _layout(size: int, info: StoreInfo) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
    for name, stream in info.streams.items():
        layout[name] = (DTYPES[stream.dtype], stream.batch_shape(size, info.num_steps(name)))
        layout[name + _LENGTH] = (LENGTH_DTYPE, (size,))
    return layout


def _data_offsets(
    path: Path, wanted: dict[str, tuple[torch.dtype, tuple[int, ...]]]
) -> tuple[dict[str, int], int]:
    """Where each tensor's bytes begin in a safetensors file, and the file's size, everything checked."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            if start > size:
                raise ValueError(f"{size} bytes, its header needs {start}")
            header = json.loads(file.read(start - 8))
        offsets, end = {}, start
        for name, (dtype, shape) in wanted.items():
            found = header[name] if name in header else header[_OLD_NAMES.get(name, name)]
            if (found["dtype"], tuple(found["shape"])) != (_DTYPE_NAMES[dtype], shape):
                raise ValueError(
                    f"{name} is {found['dtype']} {found['shape']}, this store has {_DTYPE_NAMES[dtype]} {list(shape)}"
                )
            offsets[name] = start + found["data_offsets"][0]
            end = max(end, start + found["data_offsets"][1])
        if end != size:
            raise ValueError(f"{size} bytes, should be {end}: truncated")
    except FileNotFoundError:
        raise StoreError(f"{path}: missing, though its .jsonl is there; {_REMEDY}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: damaged ({type(error).__name__}: {error}); {_REMEDY}") from error
    return offsets, size
