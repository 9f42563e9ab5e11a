"""Decoding in a child process: results come back, and whatever goes wrong is one line."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from vab.errors import MediaError
from vab.media import decode_limited


def numbers(path, count):
    return np.arange(count)


def take_memory(path, megabytes):
    return len(bytearray(megabytes << 20))


def crash(path):
    os.abort()


def fail(path):
    raise KeyError("first line\nsecond")


def test_the_result_comes_back():
    assert decode_limited(numbers, Path("a.mp4"), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("decode", "arguments", "limits", "message"),
    [
        (numbers, (3,), {"seconds": 0.1}, "more than 0.1 s"),
        (crash, (), {}, "its decoder crashed"),
        (fail, (), {}, "cannot be decoded"),
        pytest.param(
            take_memory,
            (200,),
            {"megabytes": 100},
            "more than 100 MB",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory"),
        ),
    ],
)
def test_what_goes_wrong_is_one_line(decode, arguments, limits, message):
    with pytest.raises(MediaError, match=message) as caught:
        decode_limited(decode, Path("a.mp4"), *arguments, **limits)
    assert str(caught.value).startswith("a.mp4: ")
    assert "\n" not in str(caught.value)
