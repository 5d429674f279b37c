"""The process of one trainer: reads numbers of passes, and writes a `Turn` for each.

PYTHONPATH=bench python bench/trainers with_sb3 dqn-cartpole 1
"""

import importlib
import os
import sys

from mujoco_warnings import leave_out_the_known
from tasks import TASKS
from turns import Turns


def main() -> None:
    module, task, threads = sys.argv[1:]
    with os.fdopen(os.dup(1), "w") as reports:
        os.dup2(2, 1)  # nothing that a library prints gets between the reports
        leave_out_the_known()
        importlib.import_module(f"trainers.{module}").train(TASKS[task], int(threads), Turns(sys.stdin, reports))


if __name__ == "__main__":
    main()
