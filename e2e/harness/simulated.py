"""A process of simulated Envoys (harness/simulated_envoys.py), for tests that take more Envoys than a machine holds."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from harness.waiting import wait_until

# what a process opens besides the connections of Envoys
FILES_BESIDES = 256


def why_not(connections):
    """Why no process here can have so many connections, or None.

    Raises the limit as far as it takes; programs that are started afterwards inherit it, `legation serve` among them."""
    needed = connections + FILES_BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        return f"{connections} connections take {needed} open files and the limit is {hard} (`ulimit -Hn`)"
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return None


class SimulatedEnvoys:
    def __init__(self, address):
        """They connect to `address`, HOST:PORT."""
        host, port = address.rsplit(":", 1)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.simulated_envoys", host, port],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()  # it ends by that
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def add(self, count, node_id, protocol="delta", routes=(), attempts=None):
        """`count` more, which connect at once.

        `routes` are the route configurations that they ask for. One gives up after so many `attempts` that failed, one
        after the other; without a number it never does."""
        return self._ask("add", count=count, node_id=node_id, protocol=protocol, routes=list(routes), attempts=attempts)

    def mark(self):
        """Counts start again; how they were before."""
        before = self.report()
        self._ask("mark")
        return before

    def report(self):
        """What has become of them.

        connected       how many have a stream
        given_up        how many try no longer
        waiting         how many never had anything of some type that they ask for

        and since the last mark:

        refused         attempts that ended before the stream was taken
        unreachable     attempts that found nobody
        ends            when streams that had been taken ended, by the monotonic clock
        returns         the same of those whose Envoys have a stream again, and how many seconds they had none
        received        responses that carried anything, {protocol: {type: number}}
        receivers       how many Envoys had any, the same way
        bytes           how many bytes these responses had, with what gRPC puts before each, the same way
        again           how much of it they had already as it is: resources in delta, responses in state of the world
        last_received   when the last response came
        """
        return self._ask("report")

    def wait_until_served(self):
        """Until none of them waits for the first of anything: from then on, what comes is a change or is resent."""
        wait_until(lambda: self.report()["waiting"] == 0, "all simulated Envoys have something of each type")

    def _ask(self, command, **details):
        self._process.stdin.write(json.dumps({"command": command, **details}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the simulated Envoys ended with code {self._process.wait()}")
        return json.loads(answer)
