"""A temporary directory that stays when something went wrong, so that its logs can be read."""

import shutil
import sys
import tempfile
from pathlib import Path


class Scratch:
    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="legation-"))
        return self.path

    def __exit__(self, kind, *_):
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            print(f"logs are kept in {self.path}", file=sys.stderr)
