"""Learner: collects experience, learns from it, and evaluates what it has learnt; Update: the learning
itself."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting, listed
from looptree.core.loop import Loop
from looptree.core.phase import Phase
from looptree.rl.agent import Callbacks
from looptree.rl.environments import Recipe
from looptree.rl.errors import NoGradient
from looptree.rl.finite import check_learnt
from looptree.rl.flat import FlatParameters, clipped
from looptree.rl.memory import ReplayBuffer
from looptree.rl.networks import Network
from looptree.rl.optimizers import Optimizer
from looptree.rl.seeding import checked_seed, stream
from looptree.rl.settings import plain
from looptree.rl.source import EpisodeSource, Source
from looptree.rl.state import load_module_state, load_optimizer_state, module_state, optimizer_state
from looptree.rl.threads import one_thread
from looptree.rl.transition import Transition


class Learner(Loop):
    """A training run: one pass collects some env steps, makes some gradient steps, and now and then
    evaluates.

    In its train phase the `source` runs on `on_collect` and the `update` on `on_update`; in its valid phase,
    which comes every `passes_per_evaluation` passes, the `valid_source` plays whole episodes on
    `on_evaluate`, in environments of its own and without exploration. All three work on the one `network`.
    The parameters with the best mean return of an evaluation (the later ones of two that are equally good)
    are kept in `best_state`.

    A run ends when `total_env_steps` have been made in the learner's life, so that one that was loaded from a
    state makes what is left of them.
    """

    metrics: ClassVar[tuple[str, ...]] = ("episode_return", "episode_length", "valid_return", "loss", "restarts")
    """The fields that say how well a run goes, for a Recorder."""
    traced: ClassVar[tuple[str, ...]] = ("valid_return", "best_return")
    """The fields of which a Recorder is to keep every change: those that change no more than once a pass."""

    settings: Any = None  # of the algorithm; None where a learner has none
    other_versions: tuple[
        str, ...
    ] = ()  # of packages, with which the checkpoint was written that this run goes on from
    _made_otherwise: tuple[str, ...] = ()  # what the run was made with, of which the latest state is, and this one not
    loss: Tensor  # () the latest minibatch's, NaN before the first
    valid_return: float  # mean return of the latest evaluation, NaN before the first
    best_return: float  # mean return of the best evaluation, minus infinity before the first
    best_env_steps: int  # made when the best evaluation was
    best_state: dict[str, NDArray[Any]]  # the parameters of the best evaluation, none before the first

    source: Source
    update: Any  # an Update, or a loop that holds one
    valid_source: EpisodeSource

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        source: Source,
        update: Loop,
        valid_source: EpisodeSource,
        cbs: Callbacks | None = None,
        *,
        seed: int,
        total_env_steps: int,
        env_steps_per_pass: int,
        passes_per_evaluation: int,
        name: str | None = None,
    ) -> None:
        """`recipe` says how further environments of the kind are made."""
        self.recipe = recipe
        self.seed = checked_seed(seed)
        self.network = network
        self.total_env_steps = total_env_steps
        self.env_steps_per_pass = env_steps_per_pass
        self.loss = torch.tensor(math.nan)
        self.valid_return = math.nan
        self.best_return = -math.inf
        self.best_env_steps = 0
        self.best_state = {}
        super().__init__(
            [source, update, valid_source],
            cbs,
            phases=("train", Phase("valid", every=passes_per_evaluation)),
            name=name,
        )

    def items(self) -> Iterator[int]:
        """The env steps made so far, until all are made; once where the run is without training:
        `run(phases="valid")` is one evaluation, before, between and after."""
        if all(phase.name != "train" for phase in self.plan.phases):
            yield self.env_steps
            return
        while self.env_steps < self.total_env_steps:
            yield self.env_steps

    def switch_phase(self, phase: str) -> None:
        """Put the network in train mode for the train phase, in eval mode for any other."""
        super().switch_phase(phase)
        self.network.train(phase == "train")

    def on_collect(self, _phase: str = "train") -> None:
        """Let the source make its env steps, no more than are left."""
        self.source.env_steps_per_run = min(self.env_steps_per_pass, self.total_env_steps - self.env_steps)

    def on_update(self, _phase: str = "train") -> None:
        """Let the update make its gradient steps."""

    def after_update(self, _phase: str = "train") -> None:
        """Keep the loss without the graph behind it, with which it could not be copied."""
        if self.loss.requires_grad:
            self.loss = self.loss.detach()

    def on_evaluate(self, _phase: str = "valid") -> None:
        """Let the valid source play its episodes."""

    def after_evaluate(self, _phase: str = "valid") -> None:
        """Keep the parameters where they are the best so far."""
        self.valid_return = float(self.valid_source.returns.mean())
        if self.valid_return >= self.best_return:
            self.best_return = self.valid_return
            self.best_env_steps = self.env_steps
            self.best_state = module_state(self.network)

    @property
    def env_id(self) -> str:
        """The environment that is learnt."""
        return self.recipe.env_id

    @property
    def env_steps(self) -> int:
        """Real steps of single environments made for training, in the learner's life."""
        return self.source.env_steps

    @property
    def gradient_steps(self) -> int:
        """Made in the learner's life."""
        return int(self.update.count)

    @property
    def episode_return(self) -> float:
        """The mean return of the last 100 training episodes, exploration included; NaN before the first has
        ended."""
        return self.source.episode_return

    @property
    def restarts(self) -> int | None:
        """Episodes that ended nowhere, since their environment broke, in training and in evaluations; None as long as
        there was none."""
        return self.source.restarts + self.valid_source.restarts or None

    @property
    def kept_state(self) -> dict[str, NDArray[Any]]:
        """The parameters that the run keeps: the best evaluation's; before the first evaluation, the present
        ones."""
        return self.best_state or module_state(self.network)

    @property
    def episode_length(self) -> float:
        """The mean length of the last 100 training episodes, in env steps; NaN before the first has ended."""
        return self.source.episode_length

    @property
    def inexact(self) -> tuple[str, ...]:
        """What of the latest state that was loaded this run cannot go on with exactly, or does not, since it was made
        otherwise: a sentence for each, none where it goes on as if it had never been interrupted."""
        what = {
            "The episodes under way count as truncated, and new ones begin": self.source.restarted,
            "Evaluations are made in new environments": self.valid_source.restarted,
        }
        restarted = (f"{sentence}: {reason}" for sentence, reason in what.items() if reason)
        return (*restarted, *self._made_otherwise, *self.other_versions)

    def episode_source(
        self,
        network: Network,
        episodes: int,
        seed: np.random.SeedSequence,
        environments: VectorEnv[Any, Any, Any] | None = None,
    ) -> EpisodeSource:
        """A source that plays that many episodes of the learner's environment as its evaluations do, with an agent like
        theirs that asks `network`; where `environments` are given, an episode in each of those."""
        asks_it = dict(zip(map(id, self.network.modules()), network.modules(), strict=True))
        agent = copy.deepcopy(self.valid_source.inner_loops[0], asks_it)
        to_environment = self.valid_source.to_environment
        return EpisodeSource(environments or self.recipe, episodes, agent, to_environment=to_environment, seed=seed)

    def evaluate(self, episodes: int = 20) -> NDArray[np.float64]:
        """The returns `(episodes,)` of the agent that the run keeps, acting greedily in new environments.

        Their seeds are used for nothing else, neither in training nor for choosing that agent; asked again,
        it plays the same episodes.
        """
        network = copy.deepcopy(self.network)
        load_module_state(network, self.kept_state)
        network.eval()
        source = self.episode_source(network, episodes, stream(self.seed, "evaluate"))
        with one_thread():
            source.run()
        source.close()
        return source.returns

    @classmethod
    def resume(
        cls,
        path: str | Path,
        cbs: Callbacks | None = None,
        *,
        env_id: str | None = None,
        wrappers: Sequence[str] | None = None,
    ) -> Self:
        """The learner of a run, which goes on from the run's newest whole checkpoint as if it had never been
        interrupted.

            DQN("CartPole-v1").run(cbs=Checkpoint("runs/first"))
            ...
            DQN.resume("runs/first").run(cbs=Checkpoint("runs/first"))

        It is made with the environment, the settings, the seed and the name of that run, and with `cbs`, which are to
        be those that it was made with. `Learner.resume` makes a learner of whichever of looptree's algorithms it was, a
        class of your own, if it takes `settings`, `cbs` and `seed` as they do, goes on with its own runs. What is not
        exact `inexact` says. Needs the package safetensors.

        Args:
            path: of the run's folder, or of one of its checkpoints.
            cbs: callbacks and variants.
            env_id: stands for the run's where that is of a module, `module:id`: what a file names is not imported.
            wrappers: stand for the run's where one of them is of a module.

        Raises:
            CheckpointError: there is no whole checkpoint, or none that can be read here.
            StateMismatch: the run is of another class or other callbacks, or of one that cannot be made again here.
            BadSetting: the settings are none of this version's.
            NamesModule: the environment or a wrapper is of a module, and nothing is given for it.
        """
        # Algorithms are built on this class, so that it finds them only when it is asked to.
        found: Self = importlib.import_module("looptree.rl.resumed").resumed(cls, path, cbs, env_id, wrappers)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run between two passes, and what the learner was made with."""
        return super().state_dict() | {
            "made_with": self._made_with(),
            "network": module_state(self.network),
            "valid_return": self.valid_return,
            "best_return": self.best_return,
            "best_env_steps": self.best_env_steps,
            "best_state": {name: values.copy() for name, values in self.best_state.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the next run goes on from there.

        A run may go on in a learner that was made otherwise: for longer, with another gamma, or in another environment
        with the same spaces. `inexact` names what differs. What hooks may change, such as the learning rate, is that of
        the state.

        Raises `StateMismatch` where the state does not fit: it is of other loops, callbacks or shapes.
        """
        load_module_state(self.network, state["network"])
        super().load_state_dict(state)
        self.valid_return = state["valid_return"]
        self.best_return = state["best_return"]
        self.best_env_steps = state["best_env_steps"]
        self.best_state = {name: values.copy() for name, values in state["best_state"].items()}
        self._made_otherwise = _differences(state.get("made_with"), self._made_with())

    def _made_with(self) -> dict[str, Any] | None:
        if self.settings is None:
            return None
        return {
            "learner": type(self).__name__,
            "name": self.name,
            "env_id": self.env_id,
            "seed": self.seed,
            "settings": plain(self.settings),
        }


def _differences(before: dict[str, Any] | None, now: dict[str, Any] | None) -> tuple[str, ...]:
    """What learners were made with differently, in sentences, but for their names, on which nothing depends; a setting
    that only one of them has is left out."""
    if before is None or now is None:
        return ()
    was, is_now = ({**made, **made["settings"], "settings": None, "name": None} for made in (before, now))
    both = [name for name in is_now if name in was]
    return tuple(
        f"The run was made with {name}={was[name]!r}, and goes on in one made with {is_now[name]!r}."
        for name in both
        if was[name] != is_now[name]
    )


class Update(Loop):
    """Learning: one pass is one gradient step on one minibatch from the learner's memory.

    Its events are the parts of a gradient step, so that a callback can stand between any two, or replace one:
    the batch is sampled, what the network should say is worked out as `targets`, how far it is from that as
    the learner's `loss`, and the optimizer steps down its gradient. An algorithm says what target and loss
    are. With a loss goes either the graph behind it, or its `slopes` at what the network said to `backward`: that is
    quicker, for the rest of the gradient is then worked out without autograd.

    Where a loss has both, the gradient is the sum of the two, so that a callback may add a term to any loss:

        def after_loss(self):
            self.learner.loss = self.learner.loss + 1e-4 * sum((p**2).sum() for p in self.network.parameters())

    Slopes know nothing of what is done with the number that they belong to: to halve a loss, or to learn from another
    one, stand in place of the hooks that work it out, `on_loss` and, where there is one, `after_loss`
    (`_replace=True`), and ask the network itself.
    """

    call_on = "on_update"

    batch: Any  # a named tuple of tensors: what `on_sample` drew
    targets: Tensor
    backward: Any = None  # during a run, a Backward of the network
    slopes: Any = None  # of what in the loss has no graph; None once a step has been made

    if TYPE_CHECKING:  # read on the learner
        learner: Learner
        network: Network
        flat: FlatParameters
        loss: Tensor
        memory: ReplayBuffer

    def __init__(
        self,
        optimizer: Optimizer,
        batch_size: int,
        max_gradient_norm: float = math.inf,
        cbs: Callbacks | None = None,
        *,
        name: str = "update",
    ) -> None:
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.max_gradient_norm = max_gradient_norm
        self.gradient_steps_per_run = 1
        super().__init__(cbs=cbs, name=name)

    def items(self) -> Sequence[Any]:
        """The gradient steps of this run."""
        return range(self.gradient_steps_per_run)

    def before_run(self) -> None:
        """Get ready: the vector on which the optimizer works, and the way to its gradient.

        Raises `BadSetting` where the optimizer works on something else, where a parameter is frozen, and where the
        network has others than it was made with.
        """
        self._check_optimizer()
        self.flat.check_trainable(self.network)
        self.flat.tie()
        self.backward = self.network.backward(self.flat)

    def on_sample(self) -> None:
        """Draw a batch."""
        self.batch = self.memory.sample(self.batch_size)

    def on_target(self) -> None:
        """Work out `targets`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it aims at; give it an on_target hook.")

    def on_loss(self) -> None:
        """Work out the learner's `loss`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its loss is; give it an on_loss hook.")

    def on_step(self) -> None:
        """Go a step down the gradient, which is clipped to `max_gradient_norm`.

        Raises `NoGradient` where the loss has neither a graph nor slopes, and `NotFinite` where it, or the gradient, is
        NaN or infinite.
        """
        gradient, norm = clipped(self.gradient(), self.max_gradient_norm)
        check_learnt(self, self.loss.item(), norm)
        self.flat.vector.grad = gradient
        self.optimizer.step()
        self.flat.mark_changed()
        self.slopes = None

    def finally_run(self) -> None:
        """Let go of the graphs and views by which gradients are found: a copy has to make its own."""
        self.backward = self.slopes = None

    def gradient(self) -> Tensor:
        """The gradient `(parameters,)` of the learner's `loss`: by its slopes, by its graph, or by both together."""
        if self.slopes is None:
            self._check_graph()
            return self.flat.gradient_of(self.loss)
        gradient: Tensor = self.backward.gradient(self.slopes)
        return gradient.add_(self.flat.gradient_of(self.loss)) if self.loss.requires_grad else gradient

    def _check_optimizer(self) -> None:
        optimized = [each for group in self.optimizer.param_groups for each in group["params"]]
        if type(self).on_step is Update.on_step and not any(each is self.flat.vector for each in optimized):
            kind, root = type(self.optimizer).__name__, self.root.name
            raise BadSetting(
                f"The optimizer of {self.path}, {kind}, does not work on {root}.flat.vector, which holds all parameters"
                f" in one: no gradient step would change them. Write {kind}([{root}.flat.vector], ...)."
            )

    def _check_graph(self) -> None:
        if not self.loss.requires_grad:
            makers = listed(name for name in ("on_loss", "after_loss") if hasattr(self, name))
            raise NoGradient(
                f"The loss of {self.learner.name} cannot be differentiated: it has no graph, and {self.name} has no "
                f"slopes of it. Ask the network itself, self.learner.network(self.loop.batch.observation), and work "
                f"the loss out of what it says, in place of {makers} (_replace=True)."
            )

    def state_dict(self) -> dict[str, Any]:
        """The counters and the optimizer."""
        return super().state_dict() | {"optimizer": optimizer_state(self.optimizer)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(state)
        load_optimizer_state(self.optimizer, state["optimizer"])


class Remember(Callback):
    """Puts each transition of a source into a memory."""

    if TYPE_CHECKING:  # read on the source and the learner
        transition: Transition
        memory: ReplayBuffer

    def after_step(self) -> None:
        """Store the real rows of the latest transition."""
        self.memory.add(self.transition)
