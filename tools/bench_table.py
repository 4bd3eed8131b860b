#!/usr/bin/env python3
"""Prints a table of what `make bench` measured last: the medians in target/criterion, one row for all parameters of a benchmark."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

CRITERION = Path(__file__).parent.parent / "target" / "criterion"


def duration(nanoseconds):
    """With its unit, and two digits at least."""
    for unit in ("ns", "us", "ms"):
        if nanoseconds < 999.5:
            return f"{nanoseconds:.2g} {unit}" if nanoseconds < 10 else f"{nanoseconds:.0f} {unit}"
        nanoseconds /= 1000
    return f"{nanoseconds:.2g} s"


def by_number(measured):
    """Order of parameters: numbers in a text by their size."""
    parameter, _ = measured
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", parameter) if part]


def main():
    rows = defaultdict(list)
    for file in CRITERION.glob("**/new/benchmark.json"):
        benchmark = json.loads(file.read_text())
        median = json.loads(file.with_name("estimates.json").read_text())["median"]["point_estimate"]
        name = ": ".join(filter(None, [f"`{benchmark['group_id']}`", benchmark["function_id"]]))
        rows[name].append((benchmark["value_str"] or "", median))
    if not rows:
        sys.exit(f"nothing was measured in {CRITERION}; run make bench first")
    print("| benchmark | median |\n|---|---|")
    for name, measured in sorted(rows.items()):
        measured.sort(key=by_number)
        parameters = ", ".join(parameter for parameter, _ in measured if parameter)
        medians = ", ".join(duration(median) for _, median in measured)
        separator = "" if not parameters else " of " if name.endswith("`") else ", "
        print(f"| {name}{separator}{parameters} | {medians} |")


if __name__ == "__main__":
    main()
