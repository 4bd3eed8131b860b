"""The AWS CLI, as its users run it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

TIMEOUT_SECONDS = 120


class AwsCli:
    """`aws appmesh` against one endpoint; `variables` are AWS's own, such as AWS_CA_BUNDLE."""

    def __init__(self, endpoint, key=None, **variables):
        self.environment = {
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
                              timeout=TIMEOUT_SECONDS, env=self.environment)

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


class AwsCliSession(AwsCli):
    """The same program, for hundreds of commands: each is what `aws` does, in one process of Python that stays, because a new
    one takes most of its second to begin."""

    def __init__(self, endpoint, key=None, **variables):
        super().__init__(endpoint, key, **variables)
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env=self.environment, cwd=Path(__file__).parents[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(TIMEOUT_SECONDS)
        self._process.stdout.close()

    def run(self, *words):
        self._process.stdin.write(json.dumps(["appmesh", *words]) + "\n")
        self._process.stdin.flush()
        code, stdout, stderr = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, code, stdout, stderr)


def _serve():
    """Runs a command for each line of standard input."""
    from awscli.clidriver import create_clidriver

    for line in sys.stdin:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = create_clidriver().main(json.loads(line))
        print(json.dumps([code, out.getvalue(), errors.getvalue()]), flush=True)


if __name__ == "__main__":
    _serve()
