"""A child process that writes its output to files and never outlives the program that started it."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_SECONDS = 10

_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    def __init__(self, name, command, directory, **popen):
        """`popen` is passed on to subprocess.Popen. Output is appended to NAME.out and NAME.err in `directory`."""
        self.name = name
        self.stdout_path = Path(directory) / f"{name}.out"
        self.stderr_path = Path(directory) / f"{name}.err"
        with open(self.stdout_path, "ab") as stdout, open(self.stderr_path, "ab") as stderr:
            self._popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=_die_with_parent,
                **popen,
            )
        self.pid = self._popen.pid

    @property
    def running(self):
        return self._popen.poll() is None

    @property
    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def stop(self, timeout_seconds=STOP_TIMEOUT_SECONDS):
        """SIGTERM, then SIGKILL for one that does not listen. Returns the exit code; negative means a signal."""
        if self.running:
            self._popen.terminate()
            try:
                self._popen.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._popen.returncode

    def kill(self):
        """SIGKILL: the process has no chance to put anything in order."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        return self._popen.wait()

    @property
    def resident_kib(self):
        """Resident memory, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))

    def expect_running(self):
        if not self.running:
            tail = self.stderr[-3000:]
            raise RuntimeError(f"{self.name} ended with code {self._popen.returncode}:\n{tail}")


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
