"""Waiting for something to become true, with a limit and a message that says what was awaited."""

import time

POLL_INTERVAL_SECONDS = 0.02


def wait_until(condition, what, timeout_seconds=15):
    """Returns the first true value of `condition()`. An exception counts as false, and the last one is reported."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        last = None
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # the thing that is awaited may not listen yet
            last = repr(error)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen in {timeout_seconds} s; last seen: {last}")
        time.sleep(POLL_INTERVAL_SECONDS)
