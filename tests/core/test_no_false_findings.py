"""Correct programs of many styles: each runs, and nothing is found to be wrong with it."""

import contextlib
import dataclasses
import functools
import math
import random
import statistics
import warnings
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import pytest

from looptree import Callback, EarlyStop, Loop, Phase, Progress, Schedule
from looptree.callbacks import GracefulInterrupt, linear
from looptree.core.errors import NoSuchField
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.variants.double_q import DoubleQ
from looptree.rl.variants.dueling import Dueling
from looptree.rl.variants.n_step import NStep

TREES = []


def tree(make):
    """A function that makes a correct tree."""
    TREES.append(make)
    return make


@tree
def plain():
    """Fields come into being in the hooks."""

    class Steps(Loop):
        def before_run(self):
            self.total = 0

        def on_step(self):
            self.total += self.item
            self.mean = self.total / (self.index + 1)

        def after_run(self):
            self.result = self.mean

    return Steps(times=3)


@tree
def gan():
    """Two players who read from the game and set fields of each other by name."""

    class Game(Loop):
        def __init__(self, **settings):
            self.real = 4.0
            super().__init__([Forger, Critic], **settings)

        def on_play(self):
            self.noise = random.random()

        def after_pass(self):
            self.history = [*getattr(self, "history", []), (self.forger.loss, self.critic.loss)]

    class Player(Loop):
        call_on = "on_play"
        weight = 0.0

        def on_loss(self):
            self.loss = self.compare(self.game.forger.weight + self.noise, self.real)
            self.rival.seen = self.loss

        def on_step(self):
            self.weight -= 0.1 * self.loss

        def compare(self, fake, real):
            raise NotImplementedError

    class Forger(Player):
        seen: float

        @property
        def rival(self):
            return self.game.critic

        def compare(self, fake, real):
            return real - fake

    class Critic(Player):
        seen: float

        @property
        def rival(self):
            return self.game.forger

        def compare(self, fake, real):
            return fake - real

    return Game(times=3)


@tree
def k_fold():
    """Items of its own, phases, inner loops whose data the outer one keeps, scores collected by a callback."""

    class Folds(Loop):
        produces = "score"

        def __init__(self, data, folds, **settings):
            super().__init__(**settings)
            self.data, self.folds, self.scores = data, folds, []

        def items(self):
            for fold in range(self.folds):
                self.held_out = self.data[fold :: self.folds]
                self.kept = [x for x in self.data if x not in self.held_out]
                yield fold

        def before_fit(self):
            self.fit.center = 0.0

        def on_fit(self):
            pass

        def after_fit(self):
            self.score = self.fit.misfit
            self.scores.append(self.score)

    class Fit(Loop):
        call_on = "on_fit"
        phases = ("train", Phase("valid", every=2))

        def on_epoch(self):
            pass

    class Batches(Loop):
        call_on = Fit.on_epoch

        def items(self):
            return self.kept if self.phase == "train" else self.held_out

        def before_run(self):
            self.errors = []

        def on_move(self, _phase="train"):
            self.fit.center += 0.1 * (self.item - self.center)

        def on_measure(self, _phase="valid"):
            self.errors.append(abs(self.item - self.center))

        def after_run(self):
            if self.errors:
                self.fit.misfit = statistics.fmean(self.errors)

    return Folds(list(range(9)), 3, inner_loops=Fit(times=2, inner_loops=Batches))


@tree
def meta_learning():
    """An inner loop that starts from a copy of the outer one's field, under its own name for it."""

    class Meta(Loop):
        slow: list

        def before_run(self):
            self.slow = [0.0, 0.0]

        def on_task(self):
            self.target = random.random()

        def on_meta_step(self):
            self.slow = [s + 0.5 * (f - s) for s, f in zip(self.slow, self.adapt.fast, strict=True)]

    class Adapt(Loop):
        call_on = "on_task"

        def before_run(self):
            self.fast = list(self.slow)

        def on_step(self):
            self.fast = [f - 0.1 * (f - self.target) for f in self.fast]

    return Meta(times=2, inner_loops=Adapt(times=3))


@tree
def set_by_name():
    """setattr and getattr, with names in strings, in fields, in containers, in the settings of the constructor."""

    class Named(Callback):
        def __init__(self, field, others):
            self.field, self.others = field, others

        def before_pass(self):
            setattr(self.parent, self.field, 0.5)
            for name, value in self.others.items():
                setattr(self.parent, name, value)

    class Steps(Loop):
        def __init__(self, **settings):
            super().__init__()
            for name, value in settings.items():
                setattr(self, name, value)

        def before_run(self):
            for name in ("left", "right"):
                setattr(self, name, 1)
            setattr(self, "middle", 2)

        def on_step(self):
            self.total = self.left + self.right + self.middle + self.rate + self.beta + self.gamma
            self.total += self.size if getattr(self, "size", None) else 0

    return Steps(size=3).add_cb(Named("rate", {"beta": 0.9, "gamma": 0.99}))


@tree
def set_in_init():
    """Before and after super().__init__(), in helpers, by a base class that knows nothing of loops."""

    class Configured:
        def configure(self, size):
            self.size = size

    class Steps(Configured, Loop):
        def __init__(self, size):
            self.first = size
            super().__init__(times=2)
            self.second = size
            self.configure(size)

        def on_step(self):
            self.total = self.first + self.second + self.size

    return Steps(1)


@tree
def set_by_a_callback():
    """A callback sets fields of whichever loop it serves, that loop reads them."""

    class Measure(Callback):
        def before_step(self):
            self.loop.started = self.loop.count

        def after_step(self):
            loop = self.loop
            loop.lasted = loop.count - loop.started + 1

    class Inner(Loop):
        call_on = "on_step"

        def on_step(self):
            self.seen = self.started

    class Outer(Loop):
        def on_step(self):
            pass

        def on_report(self):
            self.report = self.lasted, self.inner.lasted, self.inner.seen

    return Outer(times=2, inner_loops=Inner, cbs=Measure)


@tree
def class_attributes():
    """Fields that stand on classes, overridden in subclasses, with descriptors and annotations among them."""

    class Celsius:
        def __get__(self, instance, owner):
            return 20.0 if instance is not None else self

    class Base(Loop):
        rate = 0.1
        hidden: ClassVar[tuple] = (64, 64)
        temperature = Celsius()
        loss: float

        def on_step(self):
            self.loss = self.rate * len(self.hidden) * self.temperature * self.factor()

        factor = functools.partialmethod(lambda self, by: self.rate * by, 2)

    class Derived(Base):
        rate = 0.2
        loss = 3.0

    return Derived()


@tree
def like_a_dataclass():
    """Settings as annotations, filled in by a generated constructor."""

    def settings(cls):
        fields = dict(cls.__annotations__)

        def __init__(self, **given):
            Loop.__init__(self)
            for name in fields:
                setattr(self, name, given.get(name, getattr(cls, name, None)))

        cls.__init__ = __init__
        return cls

    @settings
    class Steps(Loop):
        size: int
        rate: float = 0.1

        def on_step(self):
            self.total = self.size * self.rate

    return Steps(size=3)


@tree
def real_dataclass():
    @dataclasses.dataclass(eq=False, repr=False)
    class Steps(Loop):
        size: int
        rates: list = dataclasses.field(default_factory=lambda: [0.1])

        def __post_init__(self):
            super().__init__(times=2)

        def on_step(self):
            self.total = self.size * self.rates[0]

    return Steps(3)


@tree
def set_by_the_parent():
    """The parent gives its child what the child reads as its own."""

    class Child(Loop):
        call_on = "on_step"

        def on_go(self):
            self.result = self.task * 2 + self.options["more"]

    class Parent(Loop):
        def before_step(self):
            child = self.child
            child.task, child.options = self.index, {"more": 1}

        def on_step(self):
            pass

        def after_step(self):
            self.results = [*getattr(self, "results", ()), self.child.result]

    return Parent(times=2, inner_loops=Child)


@tree
def conditional():
    """Fields that exist sometimes, asked for in the ways that Python has."""

    class Steps(Loop):
        def on_step(self):
            if not hasattr(self, "buffer"):
                self.buffer = []
            self.buffer.append(self.index)
            self.best = max(getattr(self, "best", -math.inf), self.index)
            if hasattr(self, "optional"):
                self.buffer.append(self.optional)
            with contextlib.suppress(AttributeError):
                del self.scratch
            try:
                self.previous = self.current
            except NoSuchField:
                self.previous = None
            except AttributeError:
                self.previous = None
            self.current = self.index
            if self.index > 0:
                self.late += 1
            else:
                self.late = 0

    return Steps(times=3)


@tree
def properties():
    """Computed fields, lazily made ones, checked ones, and one that must not be asked before the run."""

    class Outer(Loop):
        def on_step(self):
            self.raw = 1

        @property
        def twice(self):
            if self.index is None:
                raise RuntimeError("there is nothing before the first pass")
            return self.raw * 2

        @property
        def checked(self):
            return self._checked

        @checked.setter
        def checked(self, value):
            self._checked = abs(value)

        @functools.cached_property
        def lazy(self):
            return [self.raw]

    class Inner(Loop):
        call_on = "after_step"

        def on_go(self):
            self.outer.checked = -self.twice
            self.found = self.checked + self.lazy[0]

    return Outer(times=2, inner_loops=Inner)


@tree
def own_getattr():
    """A class that answers for names of something it wraps."""

    class Wrapped:
        num_envs = 4

        def reset(self):
            return 0

    class Source(Loop):
        def __init__(self, env, **settings):
            super().__init__(**settings)
            self.env = env

        def __getattr__(self, name):
            if name.startswith("_") or name == "env":
                raise AttributeError(name)
            return getattr(self.env, name)

        def on_step(self):
            self.observation = self.reset()
            self.total = self.num_envs

    class Below(Loop):
        call_on = "on_step"

        def on_go(self):
            self.found = self.num_envs

    return Source(Wrapped(), inner_loops=Below)


@tree
def functions_of_loops():
    """Functions, methods of helpers and classes of this module that are given a loop and set fields on it."""

    class Board:
        def __init__(self, loop, size):
            loop.board = [0] * size

        @classmethod
        def mark(cls, loop):
            loop.marked = True

    def reset(loop, start):
        loop.returns = [start]

    def reset_both(one, other):
        reset(one, 0)
        other.done = False

    class Steps(Loop):
        def before_run(self):
            reset_both(self, self)
            self.keeper = Board(loop=self, size=3)
            Board.mark(self)
            helpers_reset(self)

        def on_step(self):
            self.returns.append(len(self.board) + self.marked + self.helped + self.done)

    return Steps()


def helpers_reset(loop):
    """A function of the module."""
    _further(loop)


def _further(that):
    setattr(that, "helped", 1)


@tree
def static_and_class_methods():
    """What a static method's first argument has is no field of the loop."""

    class Batch(NamedTuple):
        rewards: list

    class Steps(Loop):
        preset = 3

        @staticmethod
        def mean(batch):
            return statistics.fmean(batch.rewards)

        @classmethod
        def known(cls):
            return cls.preset

        def on_step(self):
            self.batch = Batch([1.0, 2.0])
            self.loss = self.mean(self.batch) + self.known()

    return Steps()


@tree
def own_meaning_of_a_declared_name():
    """An inner loop and a callback with a field of a name that the outer one declares too."""

    class Outer(Loop):
        loss: float

        def on_step(self):
            self.loss = 1.0

    class Inner(Loop):
        call_on = "on_step"
        loss: float

        def on_go(self):
            self.loss = 2.0

    class Average(Callback):
        loss: float = 0.0

        def after_go(self):
            self.loss += self.loop.loss
            self.outer.loss = self.loss

    return Outer(inner_loops=Inner, cbs=Average)


@tree
def set_from_outside():
    class Inner(Loop):
        call_on = "on_step"

        def on_go(self):
            self.found = self.model, self.data

    class Outer(Loop):
        def on_step(self):
            pass

    loop = Outer(inner_loops=Inner)
    loop.model = "network"
    loop.inner.data = [1]
    return loop


Item = TypeVar("Item")


@tree
def generic_and_multiple():
    """Generic loops, mixins on both sides, slots, methods that a callback finds above it."""

    class Over(Loop, Generic[Item]):
        items_: list[Item]

        def items(self):
            return iter(self.items_)

    class Logging:
        __slots__ = ()

        def log(self, value):
            self.lines.append(f"{self.name}: {value}")

    class Words(Logging, Over[str]):
        def __init__(self, words, **settings):
            super().__init__(**settings)
            self.items_, self.lines = words, []

        def on_word(self):
            self.log(self.item)

    class Shout(Callback):
        def after_word(self):
            self.log(self.item.upper())

    class Inside(Loop):
        call_on = "on_word"

        def on_letter(self):
            self.log(len(self.words.item))

    return Words(["a", "b"], cbs=Shout, inner_loops=Inside)


@tree
def one_callback_for_different_loops():
    """It asks each loop for what that one has."""

    class Loss(Callback):
        def after_step(self):
            loop = self.loop
            self.last = loop.actor_loss if loop.name == "actor" else loop.critic_loss
            self.all = [*getattr(self, "all", []), self.last]

    class Actor(Loop):
        call_on = "on_step"

        def on_step(self):
            self.actor_loss = 1

    class Critic(Loop):
        def on_step(self):
            self.critic_loss = 2

    return Critic(cbs=Loss, inner_loops=Actor)


@tree
def looptrees_own_callbacks():
    class Fit(Loop):
        phases = ("train", Phase("valid", every=2))

        def before_run(self):
            self.rate: Any = 1.0
            self.weight = self.valid_loss = 0.0

        def on_step(self, _phase="train"):
            self.weight += self.rate

        def on_measure(self, _phase="valid"):
            self.valid_loss = abs(3 - self.weight)

    stop = EarlyStop("valid_loss", patience=1, phase="valid")
    return Fit(times=4, cbs=[stop, Schedule("rate", linear(1.0, 0.0, 4)), Progress("weight"), GracefulInterrupt])


@pytest.mark.parametrize("make", TREES, ids=lambda make: make.__name__)
def test_a_correct_tree_runs_and_nothing_is_found(make):
    loop = make()
    assert loop.check(strict=True) == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run()
    assert loop.count
    assert loop.check(strict=True) == ()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_nothing_is_found_in_the_algorithms(name):
    algorithm = ALGORITHMS[name]
    assert algorithm.learner("CartPole-v1", algorithm.settings(), seed=0).check(strict=True) == ()


def test_nothing_is_found_in_variants_and_callbacks_of_dqn():
    callbacks = [DoubleQ(), Dueling(), NStep(3), Progress("epsilon"), Schedule("epsilon", linear(1.0, 0.1, 9))]
    assert DQN("CartPole-v1", DQNSettings(), callbacks, seed=0).check(strict=True) == ()
