import importlib
import os
import time
from pathlib import Path

import pytest

from vab.errors import MediaError, VABError
from vab.features.decode_pool import DecodePool, Failure


def work(task: tuple[str, object]) -> object:
    kind, value = task
    if kind == "sleep":
        time.sleep(float(str(value)))
    elif kind == "ours":
        raise MediaError(f"{value}: cannot be read")
    elif kind == "theirs":
        raise RuntimeError("two\nlines")
    elif kind == "crash":
        os.abort()
    elif kind == "exit":
        os._exit(3)
    elif kind == "crash once" and not Path(str(value)).exists():
        Path(str(value)).touch()
        os.abort()
    elif kind == "pid":
        return os.getpid()
    elif kind == "array":
        return bytes(int(str(value)))
    return value


def pool(**options: float) -> DecodePool[tuple[str, object], object]:
    keywords = {"num_workers": 2, "lookahead": 4, "timeout": 30.0} | options
    return DecodePool(
        work,
        num_workers=int(keywords["num_workers"]),
        lookahead=int(keywords["lookahead"]),
        timeout=keywords["timeout"],
        then=lambda value: value,
    )


def test_results_keep_order_and_trouble_stays_with_its_task(tmp_path: Path) -> None:
    tasks: list[tuple[str, object]] = [
        ("sleep", 0.3),
        ("echo", 1),
        ("ours", "a.mp4"),
        ("crash", 0),
        ("echo", 2),
        ("theirs", 0),
        ("exit", 0),
        ("crash once", str(tmp_path / "crashed")),
        ("array", 10_000_000),
        ("echo", 3),
    ]
    with pool() as workers:
        results = list(workers.map(tasks))
    assert results == [
        0.3,
        1,
        Failure("a.mp4: cannot be read"),
        Failure("the decoder process died (SIGABRT)"),
        2,
        Failure("RuntimeError: two lines"),
        Failure("the decoder process died (exit code 3)"),
        str(tmp_path / "crashed"),
        bytes(10_000_000),
        3,
    ]


def test_what_fails_after_decoding_stays_with_its_task() -> None:
    def then(value: object) -> object:
        if value == 1:
            raise MemoryError("too large")
        return value

    with DecodePool(work, num_workers=1, lookahead=1, timeout=60.0, then=then) as workers:
        results = list(workers.map([("echo", 1), ("echo", 2)]))
    assert results == [Failure("MemoryError: too large"), 2]


def test_a_task_that_hangs_is_given_up() -> None:
    with pool(num_workers=1, timeout=1.0) as workers:
        assert list(workers.map([("sleep", 60), ("echo", 1)])) == [Failure("decoding took more than 1 s"), 1]


def test_few_tasks_are_under_way_and_processes_end() -> None:
    taken = []

    def tasks():  # type: ignore[no-untyped-def]
        for number in range(100):
            taken.append(number)
            yield ("pid", 0)

    with pool(lookahead=3) as workers:
        results = workers.map(tasks())
        first = next(results)
        assert len(taken) <= 5
    assert isinstance(first, int)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_leaving_early_does_not_wait_for_work() -> None:
    began = time.perf_counter()
    with pool() as workers:
        results = workers.map([("echo", 1), *[("sleep", 30)] * 10])
        # The first result means that processes run; the others are asleep.
        assert next(results) == 1
        raised = time.perf_counter()
    assert time.perf_counter() - raised < 5
    assert time.perf_counter() - began < 25


def test_processes_that_cannot_start_are_an_error_not_a_failure_of_each_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vanishing_work.py"
    path.write_text("def work(task): return task\n")
    monkeypatch.syspath_prepend(tmp_path)
    vanishing = importlib.import_module("vanishing_work")
    path.unlink()
    with (
        DecodePool(
            vanishing.work, num_workers=1, lookahead=1, timeout=30.0, then=lambda value: value
        ) as workers,
        pytest.raises(VABError, match=r"decoder processes cannot start \(exit code 1\)"),
    ):
        list(workers.map([1, 2]))
