"""`looptree train dqn`, in a process that is told to say what each pass left behind, so that it may be killed."""

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from looptree.cli.options import read_options
from looptree.cli.train import train
from looptree.rl.algorithms.dqn import DQN

WORDS = ["dqn", "CartPole-v1", "--steps", "1_000_000", "--learning-starts-env-steps", "64"]
WORDS += ["--env-steps-per-pass", "16", "--gradient-steps-per-pass", "8"]


class Witness(NamedTuple):
    """What a pass left behind, and when it was over, by `time.time`."""

    at_s: float
    number: int
    env_steps: int
    loss: float
    epsilon: float


def train_and_tell(folder: Path, told: Connection) -> None:
    """Train without end, and tell of each pass when it is over."""

    class Telling(DQN):
        def after_pass(self) -> None:
            told.send(Witness(time.time(), self.count, self.env_steps, float(self.loss), self.epsilon))

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    options = read_options("train", [*WORDS, "--out", str(folder)])
    train(options._replace(algorithm=options.algorithm._replace(learner=Telling)))
