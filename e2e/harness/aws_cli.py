"""The AWS CLI, as its users run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

TIMEOUT_SECONDS = 120


class AwsCli:
    """`aws appmesh` against one endpoint; `variables` are AWS's own, such as AWS_CA_BUNDLE."""

    def __init__(self, endpoint, key=None, **variables):
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL_APP_MESH": endpoint,
            # the first version of the CLI reads the first, the second both
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # nothing of who runs the tests
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **({"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]} if key else {}),
            **variables,
        }

    def run(self, *words):
        """What became of `aws appmesh` with these words."""
        program = Path(sys.executable).parent / "aws"
        return subprocess.run([program, "appmesh", *words], capture_output=True, text=True,
                              timeout=TIMEOUT_SECONDS, env=self._environment)

    def __call__(self, *words):
        """The answer to a command that has to succeed."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return json.loads(done.stdout)

    def refused(self, *words):
        """What is said to a command that has to fail."""
        done = self.run(*words)
        assert done.returncode != 0, f"{words}: {done.stdout}"
        return done.stderr
