"""Damage files in many ways and read them all: run by ``test_fuzzed_files.py`` in a process of its own.

Prints one JSON: what each file gave by its name, and by how many megabytes the peak of memory grew.
"""

import faulthandler
import json
import logging
import random
import resource
import sys
from pathlib import Path

import numpy as np

from vab.errors import MediaError
from vab.media import iter_audio, iter_frames, probe

SECONDS_PER_FILE = 10
# Values that a length, a count or an offset must not be believed at.
EXTREMES = [
    bytes(4),
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\1",
    b"\0\1\0\0",
    b"\x80\0\0\0",
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The file with one to five damages of one kind, most of them where headers and indices are."""
    changed = bytearray(content)
    kind = chance.choice(["bit", "byte", "number", "missing", "twice", "cut off"])
    for _ in range(chance.choice([1, 1, 2, 5])):
        length = len(changed)
        head, tail = chance.randrange(min(length, 600)), length - 1 - chance.randrange(min(length, 1500))
        at = chance.choice([head, tail, chance.randrange(length)])
        if kind == "bit":
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == "byte":
            changed[at] = chance.randrange(256)
        elif kind == "number":
            changed[at : at + 4] = chance.choice(EXTREMES)
        elif kind == "missing":
            del changed[max(1, at) : at + chance.randrange(1, 200)]
        elif kind == "twice":
            changed[at:at] = changed[at : at + chance.randrange(1, 400)]
        else:
            del changed[max(1, at) :]
    return bytes(changed)


def outcome(path: Path) -> dict[str, str]:
    """What each reader makes of a file: ``decoded``, a :class:`MediaError`'s line, or an error's type."""
    found = {}
    readers = {
        "probe": lambda: probe(path),
        "frames": lambda: [np.isfinite(batch).all() for batch in iter_frames(path, 8, max_size=32)],
        "audio": lambda: [chunk.isfinite().all() for chunk in iter_audio(path, 16_000)],
    }
    for name, read in readers.items():
        try:
            read()
            found[name] = "decoded"
        except MediaError as error:
            found[name] = str(error)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def main(folder: Path, per_file: int) -> None:
    """Read ``per_file`` damaged copies of every file in ``folder``."""
    logging.disable()
    chance = random.Random(0)
    outcomes = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for source in sorted(folder.iterdir()):
        content = source.read_bytes()
        for number in range(per_file):
            path = folder.with_name("damaged") / f"{source.stem}-{number}{source.suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(damaged(content, chance))
            # Also ends a decoder that never gives the interpreter back; the file stays for whoever looks.
            faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
            outcomes[path.name] = outcome(path)
            faulthandler.cancel_dump_traceback_later()
            path.unlink()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"outcomes": outcomes, "grown_megabytes": grown / 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
