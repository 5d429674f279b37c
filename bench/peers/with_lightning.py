"""Lightning: manual optimisation, no logger, no bar, and callbacks at the start and end of each batch."""

import logging
import warnings

from lightning.pytorch import Callback, LightningModule, Trainer
from measure import Clocked, Contender


class BodyModule(LightningModule):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.automatic_optimization = False

    def training_step(self, batch, batch_index):
        self.body.on_batch()

    def configure_optimizers(self):
        return None


class Counting(Callback):
    def __init__(self, counter):
        self.counter = counter

    @property
    def state_key(self):
        return f"{type(self).__name__}_{id(self)}"

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.counter.before_batch()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.counter.after_batch()


def contender(body, counters) -> Contender:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    def run(passes: int) -> int:
        data = Clocked(passes)
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            callbacks=[Counting(counter) for counter in counters],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(BodyModule(body), data)
        return data.elapsed_ns

    return run
