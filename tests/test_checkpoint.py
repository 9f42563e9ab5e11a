"""Files of tensors: whole or not at all, damaged ones named in one line, nothing unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vab import checkpoint
from vab.errors import WeightsError

HEADER = {"format": "model", "version": 1, "config": {"width": 3}}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2]), "half": torch.ones(2).half()}
    path = tmp_path / "new" / "x.safetensors"
    checkpoint.save_tensors(path, tensors, HEADER)
    loaded, header = checkpoint.load_tensors(path, expected_format="model")
    assert header == HEADER
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_shared_and_sliced_tensors_are_saved(tmp_path: Path) -> None:
    big = torch.arange(10.0)
    path = tmp_path / "x.safetensors"
    checkpoint.save_tensors(
        path, {"tied": big, "same": big, "part": big[2:4], "turned": big.view(2, 5).T}, {}
    )
    loaded, header = checkpoint.load_tensors(path)
    assert header == {}
    assert torch.equal(loaded["same"], big)
    assert torch.equal(loaded["part"], big[2:4])
    assert torch.equal(loaded["turned"], big.view(2, 5).T)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    checkpoint.save_tensors(path, {"a": torch.ones(1)}, HEADER)
    with pytest.raises(TypeError):
        checkpoint.save_tensors(path, {"a": torch.zeros(1)}, {"no JSON": object()})
    assert checkpoint.load_tensors(path)[0]["a"].item() == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{broken", b"PK not this either" * 10])
def test_damaged_files_are_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    for read in (checkpoint.load_tensors, checkpoint.load_torch_file):
        with pytest.raises(WeightsError, match=r"^.*bad\.safetensors: [^\n]*$"):
            read(path)


def test_absent_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        checkpoint.load_tensors(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        checkpoint.load_torch_file(tmp_path / "absent.pt")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    assert checkpoint.load_tensors(foreign)[1] == {}
    with pytest.raises(WeightsError, match="foreign"):
        checkpoint.load_tensors(foreign, expected_format="codec")
    newer = tmp_path / "newer.safetensors"
    checkpoint.save_tensors(newer, {"a": torch.ones(1)}, {"format": "codec", "version": 2})
    with pytest.raises(WeightsError, match="version 2"):
        checkpoint.load_tensors(newer, expected_format="codec")


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    checkpoint.save_tensors(path, {"a": torch.ones(1000)}, HEADER)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        checkpoint.load_tensors(path)


class _Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


def test_code_in_a_torch_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Evil()}, "evil.pt")
    with pytest.raises(WeightsError, match="does not unpickle"):
        checkpoint.load_torch_file(Path("evil.pt"))
    Path("raw.pt").write_bytes(pickle.dumps(_Evil(), protocol=2))
    with pytest.raises(WeightsError, match=r"raw\.pt"):
        checkpoint.load_torch_file(Path("raw.pt"))
    assert not Path("executed").exists()


def test_load_state_names_what_does_not_fit() -> None:
    module = torch.nn.Linear(2, 3)
    checkpoint.load_state(module, {"weight": torch.ones(3, 2).half(), "bias": torch.zeros(3)}, "file")
    assert module.weight.dtype == torch.float32
    with pytest.raises(
        WeightsError, match=r"^file: .*1 tensors missing \(such as bias\); 1 tensors unknown"
    ) as info:
        checkpoint.load_state(module, {"weight": torch.ones(3, 2), "what": torch.zeros(3)}, "file")
    assert "\n" not in str(info.value)
    with pytest.raises(WeightsError, match="another shape"):
        checkpoint.load_state(module, {"weight": torch.ones(2, 2), "bias": torch.zeros(3)}, "file")


def test_fingerprint_depends_on_content_alone() -> None:
    a, b = torch.ones(2, 3), torch.zeros(1)
    first = checkpoint.fingerprint({"x": 1, "y": 2}, [("a", a), ("b", b)])
    assert len(first) == 16
    assert first == checkpoint.fingerprint({"y": 2, "x": 1}, [("b", b.clone()), ("a", a.clone())])
    assert first != checkpoint.fingerprint({"x": 1, "y": 3}, [("a", a), ("b", b)])
    assert first != checkpoint.fingerprint({"x": 1, "y": 2}, [("a", a + 1e-6), ("b", b)])
    assert first != checkpoint.fingerprint({"x": 1, "y": 2}, [("a", a.view(3, 2)), ("b", b)])
