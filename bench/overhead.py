"""What looptree costs beside the same loop written by hand and beside peers: each figure next to its bar.

    python bench/overhead.py            all of it, in about two minutes
    python bench/overhead.py --quick    only that it runs: few passes, no peers, no training
    python bench/overhead.py --json     the same rows as JSON

The bodies only count, so what is measured is the loop around them. A ratio compares two loops with the same bodies,
timed in many short turns in this process. All times are processor time. Peers that are not installed are named.
"""

import argparse
import importlib
import json

import fields
import once
import passes
from measure import Effort

FULL = Effort(rounds=150, slice_ms=2)
QUICK = Effort(rounds=2, slice_ms=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few passes, no peers, no training")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL

    sections = {
        "A pass of a loop whose body counts, beside the loop written by hand": passes.rows(effort, not options.quick),
        "A field, beside a plain class": fields.rows(effort),
        "Once in a program": once.rows(1 if options.quick else 15),
    }
    if not options.quick:
        sections["A pass of training"] = importlib.import_module("training").rows()

    data = []
    for title, rows in sections.items():
        if not options.json:
            print(title, flush=True)
        for row in rows:
            data.append({"section": title, **row.as_data()})
            if not options.json:
                print(row, flush=True)
    if options.json:
        print(json.dumps(data, indent=2))


if __name__ == "__main__":
    main()
