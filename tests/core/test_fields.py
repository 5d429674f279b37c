"""Fields: which ones a hook is said to read and write, what is found wrong with them, and how reads are delegated."""

import functools
import inspect
import textwrap
import warnings

import pytest

from looptree import BindingError, Callback, FieldWarning, Loop
from looptree.core.errors import NoSuchField
from looptree.core.names import short_path
from looptree.core.node import Forward
from looptree.core.plan import HookPlan

# --- what a hook reads and writes ---------------------------------------------------------------------------


class Learner(Loop):
    """The root of the tree in which the hooks of this section stand; they are on its Source."""

    loss: float
    scale = 2

    def before_run(self):
        self.rate = 0.1
        self.loss = 0.0

    def on_collect(self):
        pass

    @property
    def doubled(self):
        return self.rate * 2

    def discounted(self, reward):
        self.asked = True
        return reward * self.scale


class Agent(Loop):
    """The loop below Source."""

    call_on = "before_step"

    def on_act(self):
        self.action = 1

    def reset(self):
        self.state = self.scale


class Noise(Callback):
    """A callback of Source."""

    def after_step(self):
        self.sigma = 0.5


class SourceBase(Loop):
    """What the source of each case derives from."""

    call_on = "on_collect"

    def before_run(self):
        self.env = self.obs = self.own = self.x = None

    def helper(self):
        self.helped = self.own
        self.other_helper()

    def other_helper(self):
        self.far = self.rate
        self.helper()

    @property
    def computed(self):
        return self.own + self.scale

    @computed.setter
    def computed(self, value):
        self.stored = value

    @staticmethod
    def mean(batch):
        batch.touched = batch.rewards

    @classmethod
    def kinds(cls):
        return cls.known


def accessed(body: str, tree=None) -> tuple[set[str], set[str]]:
    """What a hook of Source with this body is said to read and write, by the plan of the whole tree."""
    namespace = {"SourceBase": SourceBase}
    exec(
        f"class Source(SourceBase):\n  def on_step(self):\n{textwrap.indent(textwrap.dedent(body), '    ')}", namespace
    )
    learner = Learner(inner_loops=namespace["Source"](inner_loops=Agent, cbs=Noise))
    (hook,) = [step for plan in learner.plan.walk() for step in plan.steps() if step.name == "on_step"]
    return set(hook.reads), set(hook.writes)


@pytest.mark.parametrize(
    ("body", "reads", "writes"),
    [
        # its own fields, and those that are read further up
        ("self.x = self.obs", "source.obs", "source.x"),
        ("self.x = self.rate + self.scale", "rate scale", "source.x"),
        ("self.x += self.rate", "source.x rate", "source.x"),
        ("self.x, (self.own, *self.obs) = self.env", "source.env", "source.x source.own source.obs"),
        ("for self.x in self.env: pass", "source.env", "source.x"),
        ("with self.env as self.x: pass", "source.env", "source.x"),
        ("del self.x", "", "source.x"),
        ("self.x: int = self.own", "source.own", "source.x"),
        ("self.env.x = self.env.y", "source.env", ""),
        ("self.x[self.own] = 1", "source.x source.own", ""),
        ("self.x.append(self.own)", "source.x source.own", ""),
        # loops named on the way
        ("self.learner.loss = self.learner.rate", "rate", "loss"),
        ("self.learner.loss += 1", "loss", "loss"),
        ("self.agent.action = self.agent.state", "source.agent.state", "source.agent.action"),
        ("self.noise.sigma = self.noise.sigma * 2", "source.noise.sigma", "source.noise.sigma"),
        ("self.learner.source.agent.action = 1", "", "source.agent.action"),
        ("self.loop.x = self.loop.own", "source.own", "source.x"),
        ("self.parent.loss = self.root.rate", "rate", "loss"),
        ("self.agent.learner.loss = self.agent.parent.x", "source.x", "loss"),
        ("del self.learner.loss", "", "loss"),
        # other names for a loop
        ("s = self.learner\ns.loss = s.rate", "rate", "loss"),
        ("s = self\ns.x = s.agent.action", "source.agent.action", "source.x"),
        ("s, t = self, self.learner\nt.loss = s.own", "source.own", "loss"),
        ("s = self.agent if self.own else self.noise\ns.y = 1", "source.own", "source.agent.y source.noise.y"),
        ("for i in range(3):\n  s = self.agent\ns.action = i", "", "source.agent.action"),
        # functions inside
        ("[self.x for i in self.env if self.own]", "source.x source.env source.own", ""),
        ("sum(i * self.rate for i in self.env)", "rate source.env", ""),
        ("def put():\n  self.x = self.own\nput()", "source.own", "source.x"),
        ("s = self.learner\n(lambda: s.rate)()", "rate", ""),
        # helpers
        ("self.helper()", "source.own rate", "source.helped source.far"),
        ("self.agent.reset()", "scale", "source.agent.state"),
        ("self.x = self.discounted(1)", "scale", "source.x asked"),
        ("self.x = self.learner.discounted(1)", "scale", "source.x asked"),
        ("f = self.helper\nf()", "source.own rate", "source.helped source.far"),
        ("self.mean(self.x)", "source.x", ""),
        ("self.x = self.kinds()", "", "source.x"),
        # properties
        ("self.x = self.computed", "source.own scale", "source.x"),
        ("self.computed = self.obs", "source.obs", "source.stored"),
        ("self.computed += 1", "source.own scale", "source.stored"),
        ("self.x = self.doubled + self.learner.doubled", "rate", "source.x"),
        # the base fields of loops are not listed
        ("self.x = self.times, self.name, self.call_on", "", "source.x"),
        ("self.stop('enough')", "", ""),
    ],
)
def test_what_a_hook_reads_and_writes(body, reads, writes):
    expected = tuple({f"learner.{name}" for name in names.split()} for names in (reads, writes))
    assert accessed(body) == expected


def steps_of(loop):
    steps = [step for plan in loop.plan.walk() for step in plan.steps()]
    return {step.label: step for step in steps if isinstance(step, HookPlan)}


def test_what_super_does_is_done_by_the_hook():
    class Base(Loop):
        def on_step(self):
            self.of_base = self.shared
            self.prepare()

        def prepare(self):
            self.prepared_by_base = 1

    class Mixin(Loop):
        def on_step(self):
            super().on_step()
            self.of_mixin = 1

    class Derived(Mixin, Base):
        def before_run(self):
            self.shared = 1

        def on_step(self):
            super().on_step()
            self.of_derived = 1

        def prepare(self):
            super().prepare()
            self.prepared = 1

    step = steps_of(Derived())["Derived.on_step"]
    assert step.reads == ("derived.shared",)
    assert set(step.writes) == {
        f"derived.{name}" for name in ("of_base", "of_mixin", "of_derived", "prepared", "prepared_by_base")
    }


def test_a_hook_of_a_base_class_calls_the_helpers_of_the_derived_one():
    class Base(Loop):
        def on_step(self):
            self.helper()

        def helper(self):
            self.x = 1

    class Derived(Base):
        def helper(self):
            self.y = 1

    assert steps_of(Base())["Base.on_step"].writes == ("base.x",)
    assert steps_of(Derived())["Derived.on_step"].writes == ("derived.y",)


def test_the_loop_of_a_callback_is_each_whose_hook_it_may_be():
    class Inner(Loop):
        call_on = "on_step"

        def on_step(self):
            self.x = 1

    class Outer(Loop):
        def on_step(self):
            self.x = 1

    class Reads(Callback):
        def after_step(self):
            self.loop.seen = self.loop.x, self.parent.x

    loop = Outer(cbs=Reads, inner_loops=Inner)
    step = steps_of(loop)["Reads.after_step"]
    assert set(step.reads) == {"outer.x", "outer.inner.x"}
    assert set(step.writes) == {"outer.seen", "outer.inner.seen"}


def test_a_callback_reads_from_the_loop_it_is_attached_to_and_those_above():
    class Inner(Loop):
        call_on = "on_step"
        near = 1

        def on_go(self):
            pass

    class Outer(Loop):
        far = near = 2

        def on_step(self):
            pass

    class Reads(Callback):
        def after_go(self):
            self.seen = self.near, self.far, self.inner.own, self.own

        def before_run(self):
            self.own = 0

    loop = Outer(inner_loops=Inner(cbs=Reads()))
    loop.inner.own = 5
    step = steps_of(loop)["Reads.after_go"]
    assert set(step.reads) == {"outer.inner.near", "outer.far", "outer.inner.own", "outer.inner.reads.own"}
    assert loop.run().inner.reads.seen == (1, 2, 5, 0)


def test_the_fields_of_a_tree():
    class Counts(Callback):
        total: int

        def before_run(self):
            self.total = 0

        def after_step(self):
            self.total += self.size

    class Steps(Loop):
        size: int
        unused: str

        def on_step(self):
            self.size = 3

    loop = Steps(cbs=Counts)
    fields = {(field.owner, field.name): field for field in loop.plan.fields}
    assert set(fields) == {("steps", "size"), ("steps", "unused"), ("steps.counts", "total")}
    keys = {step.label: step.key for step in loop.plan.steps()}
    size, total, unused = fields["steps", "size"], fields["steps.counts", "total"], fields["steps", "unused"]
    assert (size.writers, size.readers) == ((keys["Steps.on_step"],), (keys["Counts.after_step"],))
    assert set(total.writers) == {keys["Counts.before_run"], keys["Counts.after_step"]}
    assert (unused.writers, unused.readers, unused.declared) == ((), (), True)


# --- findings -----------------------------------------------------------------------------------------------


def place(function, line: int) -> str:
    """`file:line` of a line of a function, counted from its `def`."""
    return f"{short_path(inspect.getsourcefile(function))}:{inspect.getsourcelines(function)[1] + line}"


def class_place(cls) -> str:
    return place(cls, 0)


class Training(Loop):
    """Declares fields that inner loops and callbacks are tempted to set."""

    loss: float
    epsilon: float = 1.0

    def on_epoch(self):
        self.loss = 0.0


class Sets(Callback):
    def after_epoch(self):
        self.loss = 1.0


def texts(loop) -> list[str]:
    return [str(finding) for finding in loop.check()]


def test_a_shadowed_field():
    (finding,) = Training(cbs=Sets).check()
    assert (finding.kind, finding.severity) == ("shadowed field", "warning")
    assert str(finding) == (
        f"{place(Sets.after_epoch, 1)}: Sets.after_epoch sets 'loss' on 'sets', but Training"
        f" ({class_place(Training)}) declares it for 'training', which would not see the change."
        " Name the loop that the field belongs to, or declare 'loss' in Sets too.\n"
        "    write: self.training.loss = ..."
    )


def test_the_two_ways_out_of_a_shadow():
    class Named(Callback):
        def after_epoch(self):
            self.training.loss = 1.0

    class Declared(Callback):
        loss: float

        def after_epoch(self):
            self.loss = 1.0

    assert Training(cbs=[Named, Declared]).check() == ()


@pytest.mark.parametrize(
    "line",
    [
        "self.loss += 1",
        "self.loss, self.x = 1, 2",
        "for self.loss in (1, 2): pass",
        "s = self; s.loss = 1",
        "self.helper()",
        "del self.loss",
        "self.loop.sets.loss = 1",
        "if self.loss is None: self.loss = 1",
        "(lambda: [setattr(self, 'x', 1) for _ in 'ab'])(); self.loss = 1",
    ],
)
def test_every_way_of_setting_shadows(line):
    namespace = {"Callback": Callback}
    helper = "  def helper(self): self.loss = 1"
    exec(f"class Sets(Callback):\n  def after_epoch(self):\n    {line}\n{helper}", namespace)
    (finding,) = Training(cbs=namespace["Sets"]).check()
    assert finding.given.startswith("Sets.after_epoch sets 'loss' on 'sets', but Training (")


def test_a_shadow_in_an_inner_loop_of_a_field_that_a_base_class_declares():
    class Special(Training):
        pass

    class Inner(Loop):
        call_on = "on_epoch"

        def on_update(self):
            self.epsilon = 0.5

    class Middle(Loop):
        call_on = "on_epoch"

        def on_go(self):
            pass

    (finding,) = Special(inner_loops=Middle(inner_loops=Inner(call_on="on_go"))).check()
    assert str(finding) == (
        f"{place(Inner.on_update, 1)}: Inner.on_update sets 'epsilon' on 'inner', but Training"
        f" ({class_place(Training)}) declares it for 'special', which would not see the change."
        " Name the loop that the field belongs to, or declare 'epsilon' in Inner too.\n"
        "    write: self.special.epsilon = ..."
    )


def test_what_is_no_shadow():
    class Undeclared(Training):
        def before_run(self):
            self.plain = 1  # set, but not declared

    class Inner(Loop):
        call_on = "on_epoch"

        def __init__(self):
            super().__init__()
            self.loss = 0  # not in a hook: nobody takes it for the outer one's

        def on_update(self):
            self.plain = 2
            self.training.loss = 3
            self.inner_loss = 4
            loss = self.loss
            self.other = Inner
            self.other.loss = loss

    assert Undeclared(inner_loops=Inner).check() == ()


def test_a_shadow_is_reported_once_for_each_hook():
    class Twice(Callback):
        def before_epoch(self):
            self.set_it()

        def after_epoch(self):
            self.loss = 1
            self.loss = 2

        def set_it(self):
            self.loss = 3

    found = Training(cbs=Twice).check()
    assert [finding.given.partition(" on ")[0] for finding in found] == [
        "Twice.before_epoch sets 'loss'",
        "Twice.after_epoch sets 'loss'",
    ]
    assert [finding.place for finding in found] == [place(Twice.set_it, 1), place(Twice.after_epoch, 1)]


def test_an_unknown_field():
    class Reads(Callback):
        def after_epoch(self):
            if self.count_of_nothing is None:
                return self.los

        count_of_nothing = None

    assert texts(Training(cbs=Reads)) == [
        f"{place(Reads.after_epoch, 2)}: Reads.after_epoch reads 'los', which nobody sets or declares on 'reads' or"
        " 'training'. Nearest is 'loss'.\n"
        "    write: self.loss"
    ]


def test_an_unknown_field_that_is_like_no_other():
    class Alone(Loop):
        def on_step(self):
            return self.xyzzy

    assert texts(Alone()) == [
        f"{place(Alone.on_step, 1)}: Alone.on_step reads 'xyzzy', which nobody sets or declares on 'alone'."
        " A field is set by a hook or in __init__, or declared in the class.\n"
        "    write: self.xyzzy = ...  # in Alone.__init__"
    ]


def test_an_unknown_field_of_another_loop_has_the_way_there():
    class Inner(Loop):
        call_on = "on_epoch"

        def on_update(self):
            self.td_error = 1

    class Reads(Callback):
        def after_epoch(self):
            self.a = self.training.lss
            self.b = self.training.inner.td_eror
            inner = self.loop.inner
            self.c = inner.td_errors

    found = Training(cbs=Reads, inner_loops=Inner).check()
    assert [finding.write for finding in found] == [
        "self.training.loss",
        "self.training.inner.td_error",
        "self.training.inner.td_error",
    ]
    assert found[1].given == "Reads.after_epoch reads 'td_eror', which nobody sets or declares on 'inner'."


def test_a_read_on_a_named_loop_is_handed_on_only_if_that_loop_reads_it_itself():
    class Outer(Loop):
        rate = 0.1

        def on_epoch(self):
            pass

    class Inner(Loop):
        call_on = "on_epoch"

        def on_update(self):
            pass

    class ReadsItself(Inner):
        def before_update(self):
            self.own_rate = self.rate

    class Reads(Callback):
        def after_epoch(self):
            self.seen = self.outer.inner.rate

    assert Outer(cbs=Reads, inner_loops=ReadsItself(name="inner")).check() == ()
    loop = Outer(cbs=Reads, inner_loops=Inner)
    assert texts(loop) == [
        f"{place(Reads.after_epoch, 1)}: Reads.after_epoch reads 'rate', which nobody sets or declares on 'inner'."
        " 'outer' has it.\n"
        "    write: self.outer.rate"
    ]
    with pytest.warns(FieldWarning), pytest.raises(AttributeError, match="rate"):
        loop.run()


def test_the_unknown_field_of_a_helper_is_shown_where_it_is_read():
    class Reads(Callback):
        def after_epoch(self):
            self.helper()

        def helper(self):
            return self.los

    (finding,) = Training(cbs=Reads).check()
    assert finding.place == place(Reads.helper, 1)
    assert finding.given.startswith("Reads.after_epoch reads 'los'")


def test_warnings_come_with_the_first_run_and_once():
    loop = Training(cbs=Sets)
    (finding,) = loop.check()
    with pytest.warns(FieldWarning) as caught:
        loop.run()
    assert [(str(warning.message), warning.filename) for warning in caught] == [(str(finding), __file__)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run()
        loop.run(times=2)
        assert loop.plan and loop.code and loop.check()


def test_warnings_come_with_the_plan_too():
    with pytest.warns(FieldWarning, match="sets 'loss'"):
        assert Training(cbs=Sets).plan


def test_warnings_may_be_made_errors():
    loop = Training(cbs=Sets)
    with pytest.raises(BindingError) as raised:
        loop.check(strict=True)
    assert raised.value.findings == loop.check()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FieldWarning)
        with pytest.raises(FieldWarning, match="sets 'loss'"):
            loop.run()
        assert (loop.count, hasattr(loop, "loss")) == (0, False)
    with pytest.warns(FieldWarning):
        assert loop.run().count == 1


# --- reads that are delegated -------------------------------------------------------------------------------


class Top(Loop):
    far = "top"
    near = "top"

    def on_top(self):
        pass


class Middle(Loop):
    call_on = "on_top"
    near = "middle"

    def on_middle(self):
        pass


def chain(inner: type, *callbacks) -> Loop:
    """Top > Middle > inner."""
    return Top(inner_loops=Middle(inner_loops=inner(call_on="on_middle", cbs=callbacks)))


def test_a_read_finds_the_nearest():
    class Inner(Loop):
        def on_go(self):
            self.found = self.near, self.far

    assert chain(Inner).run().middle.inner.found == ("middle", "top")


def test_own_attributes_go_first_however_they_came():
    class Inner(Loop):
        def on_go(self):
            self.found = self.near, self.far

    class InClass(Inner):
        near = "own"

    class Declares(Inner):
        near: str

        def __init__(self, **settings):
            super().__init__(**settings)
            self.near = "own"

    class Computes(Inner):
        @property
        def near(self):
            return "own"

    for cls in (InClass, Declares, Computes):
        (inner,) = chain(cls).run().middle.inner_loops
        assert inner.found == ("own", "top")
    loop = chain(Inner)
    setattr(loop.middle.inner, "near", "own")
    assert loop.run().middle.inner.found == ("own", "top")
    assert list(steps_of(loop)["Inner.on_go"].reads) == ["top.middle.inner.near", "top.far"]
    del loop.middle.inner.near
    assert loop.run().middle.inner.found == ("middle", "top")


def test_a_value_that_an_ancestor_is_given_later_is_read_from_then_on():
    class Inner(Loop):
        def on_go(self):
            self.found = [*getattr(self, "found", []), self.near]

    loop = chain(Inner)
    loop.run()
    loop.middle.near = "changed"
    loop.run()
    del loop.middle.near
    loop.run()
    assert loop.middle.inner.found == ["middle", "changed", "middle"]


def test_ancestors_have_the_names_of_all_their_classes():
    class BaseLearner(Loop):
        def on_update(self):
            pass

    class DQN(BaseLearner):
        value = 1

    class Mixin:
        pass

    class DoubleDQN(Mixin, DQN):
        pass

    class Inner(Loop):
        call_on = "on_update"

        def on_go(self):
            self.found = [self.double_dqn, self.dqn, self.base_learner, self.mixin]
            self.dqn.value = 2

    loop = DoubleDQN(inner_loops=Inner).run()
    assert all(found is loop for found in loop.inner.found)
    assert (loop.value, DQN.value) == (2, 1)
    assert steps_of(loop)["Inner.on_go"].writes == ("double_dqn.inner.found", "double_dqn.value")
    named = DoubleDQN(inner_loops=Inner, name="student").run()
    assert all(found is named for found in named.inner.found)


def test_a_name_of_ones_own_is_not_looked_up_further():
    class Inner(Loop):
        call_on = "on_top"

        def on_go(self):
            self.found = self.inner_value

    loop = Top(inner_loops=Inner)
    loop.inner_value = 1
    assert loop.run().inner.found == 1
    assert isinstance(vars(Inner)["inner_value"], Forward)


def test_no_such_field():
    class Inner(Loop):
        def on_go(self):
            return self.nere

    inner = chain(Inner).middle.inner
    with pytest.raises(NoSuchField) as raised:
        inner.on_go()
    assert isinstance(raised.value, AttributeError)
    assert str(raised.value) == (
        "Inner 'inner' has no field 'nere', nor has a loop above it (middle, top). Nearest is 'near'."
    )
    alone = Inner()
    with pytest.raises(NoSuchField) as raised:
        alone.on_go()
    assert str(raised.value) == "Inner 'inner' has no field 'nere', and it has no parent. Nearest is 'name'."


@pytest.mark.parametrize("annotations", [{}, {"score": "float"}], ids=["set", "declared"])
def test_a_field_that_has_no_value_yet(annotations):
    class Fit(Loop):
        __annotations__ = annotations

        def on_step(self):
            pass

        def on_measure(self):
            self.score = 1.0

    class Show(Callback):
        def after_step(self):
            return self.score

    with pytest.raises(NoSuchField) as raised:
        Fit(cbs=Show).run()
    assert str(raised.value) == (
        "'score' has no value yet for Show 'show': Fit declares or sets it, and has not done so before this read."
        " Set it earlier, or read it later."
    )


def test_a_field_of_ones_own_that_has_no_value_yet():
    class Inner(Loop):
        def on_go(self):
            return self.late

    class Later(Inner):
        def after_go(self):
            self.late = 1

    with pytest.raises(NoSuchField, match=r"^'late' has no value yet for Later 'later': Later declares"):
        Later().run()


def test_hasattr_and_getattr_work():
    class Inner(Loop):
        call_on = "on_top"

        def on_go(self):
            self.found = hasattr(self, "far"), hasattr(self, "nowhere"), getattr(self, "nowhere", 5), self.far
            if hasattr(self, "nowhere"):
                self.found = self.nowhere

    loop = Top(inner_loops=Inner)
    assert loop.check() == ()
    assert loop.run().inner.found == (True, False, 5, "top")
    loop.nowhere = "now here"
    assert loop.run().inner.found == "now here"


def test_names_that_a_class_writes_or_declares_are_its_own():
    class Inner(Loop):
        call_on = "on_top"
        near: str

        def on_go(self):
            if self.count > 100:
                self.far = 1
            return self.far, self.near

    for name in ("near", "far"):
        assert name not in vars(Inner)
        with pytest.raises(AttributeError, match=name):
            getattr(Top(inner_loops=Inner).inner, name)


def test_names_of_a_base_class_are_its_subclasses_own_too():
    class Base(Loop):
        def prepare(self):
            self.near = "own"

    class Inner(Base):
        call_on = "on_top"

        def on_go(self):
            self.prepare()
            self.found = self.near

    assert "near" not in vars(Inner)
    assert Top(inner_loops=Inner).run().inner.found == "own"


def test_a_subclass_that_writes_what_its_base_only_reads():
    class Base(Loop):
        call_on = "on_top"

        def on_go(self):
            self.found = self.near

    class Inner(Base):
        def before_go(self):
            self.near = "own"

    assert Top(inner_loops=Base).run().base.found == "top"
    assert Top(inner_loops=Inner).run().inner.found == "own"


def test_mixins_that_are_no_loops():
    class Reading:
        def total(self):
            return self.near + self.own

    class Writing:
        def prepare(self):
            self.own = "+"

    class Inner(Reading, Writing, Loop):
        call_on = "on_top"

        def on_go(self):
            self.prepare()
            self.found = self.total()

    loop = Top(inner_loops=Inner)
    assert loop.check() == ()
    assert loop.run().inner.found == "top+"
    step = steps_of(loop)["Inner.on_go"]
    assert (set(step.reads), set(step.writes)) == ({"top.near", "top.inner.own"}, {"top.inner.own", "top.inner.found"})
    assert "near" not in vars(Reading)


def test_an_ancestors_method_and_property_are_its_own():
    class Counting(Top):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.asked = 0

        def ask(self, more):
            self.asked += more
            return self.asked

        @property
        def answer(self):
            return self.asked * 10

    class Inner(Loop):
        call_on = "on_top"

        def on_go(self):
            self.found = self.ask(2), self.answer

    loop = Counting(inner_loops=Inner)
    assert loop.run().inner.found == (2, 20)
    assert set(steps_of(loop)["Inner.on_go"].writes) == {"counting.inner.found", "counting.asked"}


def test_binding_runs_no_property():
    class Ready(Top):
        @property
        def summary(self):
            if not self.count:
                raise RuntimeError("not before the first pass")
            return "ready"

    class Inner(Loop):
        call_on = "on_top"

        def on_go(self):
            if self.parent.count:
                self.found = self.summary

    loop = Ready(inner_loops=Inner)
    assert loop.check() == ()
    loop.run(times=2)
    assert loop.inner.found == "ready"
    assert steps_of(loop)["Inner.on_go"].reads == ("ready.count",)


def test_a_field_set_from_outside_before_the_run():
    class Inner(Loop):
        call_on = "on_top"

        def on_go(self):
            self.found = self.model, self.data

    loop = Top(inner_loops=Inner)
    loop.model = "net"
    loop.inner.data = "data"
    assert loop.check() == ()
    assert loop.run().inner.found == ("net", "data")
    assert steps_of(loop)["Inner.on_go"].reads == ("top.model", "top.inner.data")


def test_a_callback_that_is_moved_reads_from_its_new_loop():
    class Reads(Callback):
        def after_pass(self):
            self.found = self.near

    callback = Reads()
    top = Top(cbs=callback, inner_loops=Middle)
    assert top.run().reads.found == "top"
    top.remove_cb(callback)
    top.middle.add_cb(callback)
    top.run()
    assert callback.found == "middle"


def test_setting_a_field_that_the_engine_keeps_is_found():
    class Counts(Loop):
        def on_step(self):
            self.count = 0

    (finding,) = Counts().check()
    assert finding.kind == "reserved field"
    assert "sets 'count' on counts, where looptree itself keeps it" in str(finding)


def test_a_callback_may_count_for_itself():
    class Counts(Callback):
        def __init__(self):
            self.count = 0

        def after_pass(self):
            self.count += 1

    class Plain(Loop):
        def on_step(self):
            pass

    assert Plain(cbs=Counts).check() == ()


def test_a_cached_property_may_read_what_an_ancestor_has():
    class Inner(Loop):
        call_on = "on_step"

        @functools.cached_property
        def twice(self):
            return 2 * self.rate

        def on_do(self):
            self.seen = self.twice

    class Outer(Loop):
        rate = 4

        def on_step(self):
            pass

    loop = Outer(inner_loops=Inner).run()
    assert loop.inner.seen == 8


def test_a_static_method_has_no_self_to_read_from():
    class Plain(Loop):
        def on_step(self):
            self.value = self.of(self)

        @staticmethod
        def of(other):
            return other.count

    assert Plain().run().value == 0


def test_a_warning_is_given_once_however_often_the_tree_is_bound():
    class Reads(Loop):
        def on_step(self):
            if self.index is None:
                print(self.los)

    class Extra(Callback):
        def after_step(self):
            pass

    loop = Reads()
    with pytest.warns(FieldWarning):
        loop.run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run(cbs=Extra)
