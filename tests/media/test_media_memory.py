"""An hour in miniature: twenty-four times the length, the same memory."""

import subprocess
import sys

import numpy as np
from made_clips import clicks, steady

PROGRAM = """
import resource, sys
from pathlib import Path
import torch
from vab.media import iter_audio, iter_frames, mux, probe, read_audio

def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def work(path):
    info = probe(path)
    num_frames = sum(len(batch) for batch in iter_frames(path, 25))
    num_samples = sum(chunk.shape[1] for chunk in iter_audio(path, 48_000))
    seconds = int(info.duration)
    mux(path, (torch.zeros(1, 48_000) for _ in range(seconds)), 48_000, path.with_suffix(".out.mp4"))
    return num_frames, num_samples

short, long = Path(sys.argv[1]), Path(sys.argv[2])
work(short)
before = peak_megabytes()
num_frames, num_samples = work(long)
streamed = peak_megabytes()
held = read_audio(long, 192_000).numel() * 4 / 2**20
print(num_frames, num_samples, streamed - before, held, peak_megabytes() - streamed)
"""


def test_memory_does_not_grow_with_length(make_clip):
    settings = {"video_options": {"preset": "ultrafast", "g": "250"}, "audio_codec": "mp2"}
    paths = []
    for seconds in (10, 240):
        sound = clicks(range(seconds), seconds, 48_000)
        count = 25 * seconds
        # One picture for all: the list of pictures must not be the largest thing in this test.
        picture = np.zeros((64, 96, 3), np.uint8)
        paths.append(
            make_clip(f"{seconds}.mkv", steady(count), pictures=[picture] * count, sound=sound, **settings)
        )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True, check=True
    )
    num_frames, num_samples, grown_megabytes, held_megabytes, reading_megabytes = map(
        float, done.stdout.split()
    )
    assert num_frames == 6_000
    assert num_samples >= 239 * 48_000
    # All frames would be 110 MB and all samples 46 MB.
    assert grown_megabytes < 30
    # What is read whole is in memory once, with some room to grow.
    assert reading_megabytes < 1.3 * held_megabytes
