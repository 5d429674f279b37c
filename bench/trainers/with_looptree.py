"""looptree."""

from tasks import ENDLESS, Task
from turns import Turns

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner


def learner(task: Task, cbs: Callback | None = None) -> Learner:
    """The run that a task asks for, without evaluations."""
    algorithm = ALGORITHMS[task.algorithm]
    settings = algorithm.settings(
        total_env_steps=ENDLESS, num_envs=task.num_envs, evaluate_every_env_steps=ENDLESS, **task.ours
    )
    return algorithm.learner(task.env_id, settings, cbs, seed=0)


class Wait(Callback):
    """Holds the learner before each pass until it is its turn."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def before_pass(self) -> None:
        run = self.loop
        self.turns.before_pass(run.env_steps, lambda: run.gradient_steps)


def train(task: Task, threads: int, turns: Turns) -> None:
    learner(task, Wait(turns)).run()
