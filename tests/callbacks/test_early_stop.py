import math

import pytest

from looptree import Callback, EarlyStop, Loop, Phase
from looptree.core.errors import BadSetting, NoSuchField


class Training(Loop):
    """Its score in each pass is the next of a list."""

    loss: float | None = None

    def __init__(self, scores, **settings):
        self.scores = list(scores)
        super().__init__(times=len(self.scores), **settings)

    def on_epoch(self):
        self.loss = self.scores[self.index]


def passes(scores, **settings):
    loop = Training(scores, cbs=EarlyStop("loss", **settings)).run()
    return loop.count, loop.ended


def test_it_stops_after_so_many_passes_without_improvement_and_says_so():
    assert passes([3, 2, 2.5, 2.5, 2, 1], patience=3) == (
        5,
        "stopped by EarlyStop.after_pass: no improvement in 3 epochs",
    )
    assert passes([3, 3, 1]) == (2, "stopped by EarlyStop.after_pass: no improvement in 1 epoch")


def test_a_better_score_starts_the_count_anew():
    assert passes([5, 6, 4, 5, 3, 4, 4, 0], patience=2) == (
        7,
        "stopped by EarlyStop.after_pass: no improvement in 2 epochs",
    )
    assert passes([5, 4, 3, 2, 1], patience=1) == (5, "ran all 5 items")


def test_it_tests_the_score_of_now_against_the_best_before():
    """Not the best against itself: Tianshou's early stop tests the best score, which never gets worse."""
    assert passes([1, 9, 9], patience=2)[0] == 3
    assert passes([9, 1, 2, 3, 4], patience=3, mode="min")[0] == 5


def test_higher_can_be_better():
    assert passes([1, 2, 3, 2, 2], patience=2, mode="max")[0] == 5
    assert passes([3, 2, 1], patience=2, mode="max")[0] == 3


def test_a_gain_must_be_more_than_min_delta():
    assert passes([1.0, 0.95, 0.91, 0.5], patience=2, min_delta=0.1)[0] == 3
    assert passes([1.0, 0.95, 0.85, 0.84, 0.5], patience=2, min_delta=0.1)[0] == 5


def test_nan_is_never_better_and_none_is_passed_over():
    assert passes([None, None, None, 1.0, None, 2.0, 2.0], patience=2)[0] == 7
    assert passes([1.0, math.nan, 0.5, 0.7, 0.7], patience=2)[0] == 5


class Phased(Loop):
    phases = ("train", Phase("valid", every=3))
    score: float | None = None

    def on_train(self, _phase="train"):
        pass

    def on_valid(self, _phase="valid"):
        self.score = 1.0


def test_only_passes_count_in_which_the_score_is_measured():
    loop = Phased(times=20, cbs=EarlyStop("score", patience=2, mode="max", phase="valid")).run()
    assert loop.count == 9
    assert loop.ended == "stopped by EarlyStop.after_pass: no improvement in 2 valid phases"
    loop = Phased(times=20, cbs=EarlyStop("score", patience=2, mode="max")).run()
    assert loop.count == 5
    assert loop.ended == "stopped by EarlyStop.after_pass: no improvement in 2 passes"
    loop = Phased(times=20, cbs=EarlyStop("score", patience=2, phase="valid")).run(phases=["train"])
    assert loop.ended == "ran all 20 items"
    loop = Phased(times=20, cbs=EarlyStop("score", patience=2, phase="valid")).run(phases=["valid"])
    assert loop.count == 3


def test_the_score_may_be_an_inner_loops_or_a_callbacks_and_a_tensor_like_thing():
    class Score:
        def __float__(self):
            return 1.0

    class Inner(Loop):
        call_on = "on_epoch"
        inner_loss: Score = Score()

        def on_step(self):
            pass

    loop = Training([1, 1, 1, 1], inner_loops=Inner, cbs=EarlyStop("inner.inner_loss", patience=2)).run()
    assert loop.count == 3


def test_its_state_goes_on_in_another_run():
    first = Training([1, 2, 2], cbs=EarlyStop("loss", patience=4)).run()
    second = Training([2, 2, 2], cbs=EarlyStop("loss", patience=4))
    second.load_state_dict(first.state_dict())
    second.run()
    assert first.early_stop.state_dict() == {"best": 1.0, "worse": 2}
    assert second.count == 3 + 2


def test_every_run_begins_anew():
    loop = Training([1, 2, 2, 2, 2, 2], cbs=EarlyStop("loss", patience=2)).run()
    assert (loop.count, loop.run().count) == (3, 3 + 3)


def test_a_fold_is_not_measured_by_the_one_before():
    loop = Training([3, 2, 1], cbs=EarlyStop("loss", patience=1)).run()
    loop.scores = [30, 20, 10]
    loop.run()
    assert loop.ended == "ran all 3 items"


def test_nan_before_the_first_number_is_not_measured_yet():
    assert passes([math.nan, math.nan, 2.0, math.nan, 2.0], patience=2)[0] == 5
    second = Training([math.nan, math.nan], cbs=EarlyStop("loss", patience=2))
    second.load_state_dict(Training([1.0], cbs=EarlyStop("loss", patience=2)).run().state_dict())
    assert second.run().count == 1 + 2


def test_the_score_is_that_which_another_callback_gives_after_the_pass():
    class Judge(Callback):
        def after_pass(self):
            self.loop.score = -self.loop.index

    class Judged(Loop):
        score = 0

        def on_step(self):
            pass

    assert Judged(times=4, cbs=[EarlyStop("score", patience=1), Judge]).run().ended == "ran all 4 items"


def test_a_field_that_nobody_has_is_not_told_by_a_private_one():
    class Private(Training):
        def after_epoch(self):
            self._returns = self.loss

    with pytest.raises(NoSuchField, match=r"has a field 'returns'\.$"):
        Private([1], cbs=EarlyStop("returns")).run()


def test_a_field_that_nobody_has():
    with pytest.raises(NoSuchField, match=r"No loop or callback of training has a field 'los'. Nearest is 'loss'."):
        Training([1], cbs=EarlyStop("los")).run()


def test_settings_that_do_not_fit():
    with pytest.raises(BadSetting, match=r"EarlyStop\(patience=0\): patience counts passes, so 1, 2, 3... would fit."):
        EarlyStop("loss", patience=0)
    with pytest.raises(BadSetting, match="'min' or 'max' would fit"):
        EarlyStop("loss", mode="least")
    with pytest.raises(BadSetting, match="0 or a positive number"):
        EarlyStop("loss", min_delta=-1)
    with pytest.raises(BadSetting, match=r"EarlyStop\(phase='test'\) on phased: its phases are 'train' and 'valid'."):
        Phased(cbs=EarlyStop("score", phase="test")).run()
    with pytest.raises(BadSetting, match="it has no phases"):
        Training([1], cbs=EarlyStop("loss", phase="test")).run()


def test_it_gives_rise_to_no_findings():
    assert Training([1], cbs=EarlyStop("loss")).check() == ()
