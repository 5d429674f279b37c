"""TorchTNT: a train unit whose step is the body, with callbacks at the start and end of each step."""

from measure import Clocked, Contender
from torchtnt.framework.callback import Callback
from torchtnt.framework.state import State
from torchtnt.framework.train import train
from torchtnt.framework.unit import TrainUnit


class BodyUnit(TrainUnit):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def train_step(self, state: State, data: int) -> None:
        self.body.on_batch()


class Counting(Callback):
    def __init__(self, counter):
        self.counter = counter

    def on_train_step_start(self, state, unit):
        self.counter.before_batch()

    def on_train_step_end(self, state, unit):
        self.counter.after_batch()


def contender(body, counters) -> Contender:
    def run(passes: int) -> int:
        data = Clocked(passes)
        train(BodyUnit(body), data, max_epochs=1, callbacks=[Counting(counter) for counter in counters])
        return data.elapsed_ns

    return run
