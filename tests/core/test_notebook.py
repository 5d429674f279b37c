"""Every output that is printed in the notebook looptree comes from, made with looptree's own classes."""

from looptree import Hook, Loop


class Outer(Loop):
    def before_step(self):
        return None

    def on_step(self, _order=2):
        return None

    def after_step(self, _order=3):
        return None

    def failed_step(self, _order=4):
        return None

    def finally_step(self, _order=5, _phase="valid"):
        return None


class Inner(Loop):
    def before_iteration(self):
        return None

    def on_iteration(self):
        return None

    def after_iteration(self):
        return None

    def failed_iteration(self):
        return None

    def finally_iteration(self):
        return None


def test_the_three_reprs():
    def test():
        pass

    def test2(_order=4):
        pass

    def test3(_phase="valid"):
        pass

    assert repr((Hook(test), Hook(test2), Hook(test3))) == "(-1_None_test, 4_None_test2, -1_valid_test3)"
    assert str(Hook(test2)) == "4_None_test2"


def test_the_eleven_lines_of_hooks_with_phases():
    loop = Outer(phases=["train", "valid"], inner_loops=Inner(call_on=["on_step"]))

    assert [repr(hook) for hook in loop.hooks_with_phases()] == [
        "-1_train_switch_phase",
        "-1_train_before_step",
        "2_train_on_step",
        "3_train_after_step",
        "4_train_failed_step",
        "-1_valid_switch_phase",
        "-1_valid_before_step",
        "2_valid_on_step",
        "3_valid_after_step",
        "4_valid_failed_step",
        "5_valid_finally_step",
    ]


def test_the_five_lines_of_hooks():
    loop = Outer(inner_loops=Inner())

    assert [repr(hook) for hook in loop.hooks()] == [
        "-1_None_before_step",
        "2_None_on_step",
        "3_None_after_step",
        "4_None_failed_step",
        "5_valid_finally_step",
    ]
    assert list(Outer.hooks()) == list(loop.hooks())


def test_the_phases_of_one_loop_do_not_reach_another():
    first = Outer(phases=["train", "valid"])
    before = [repr(hook) for hook in first.hooks_with_phases()]
    second = Outer(phases=["test"])

    assert [repr(hook) for hook in first.hooks_with_phases()] == before
    assert [repr(hook) for hook in second.hooks_with_phases()] == [
        "-1_test_switch_phase",
        "-1_test_before_step",
        "2_test_on_step",
        "3_test_after_step",
        "4_test_failed_step",
    ]
    assert Outer.phases is None
    assert not Outer().phases


def test_two_running_loops_of_one_class_keep_their_own_phases():
    class Noting(Loop):
        def on_step(self):
            self.seen = [*getattr(self, "seen", []), self.phase]

    first, second = Noting(phases=["train", "valid"], times=2), Noting(phases=["test"], times=2)
    for _ in zip(first, second, strict=True):
        pass

    assert first.seen == ["train", "valid"] * 2
    assert second.seen == ["test"] * 2
