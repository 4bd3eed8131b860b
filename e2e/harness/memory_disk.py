"""Temporary files in memory, on machines that have the room.

A store waits for its disk with every commit, and a disk that others use may take seconds for one. The tests ask what is
done, not how long a disk takes, and what a killed process leaves behind is the same in memory.
"""

import os
import tempfile

DIRECTORY = "/dev/shm"

# what the largest tests write, several times over
FREE_BYTES_MIN = 2 << 30


def use():
    """From here on temporary files, also those of programs that are started, are in memory, unless `TMPDIR` says where."""
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = DIRECTORY


def _has_room():
    try:
        found = os.statvfs(DIRECTORY)
    except OSError:
        return False
    return os.access(DIRECTORY, os.W_OK) and found.f_bavail * found.f_frsize >= FREE_BYTES_MIN
