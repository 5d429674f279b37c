import copy
import pickle

import pytest

from looptree import Callback, Loop, Schedule
from looptree.callbacks import cosine, exponential, linear
from looptree.core.errors import BadSetting, NoSuchField


class Training(Loop):
    epsilon: float = 9.0

    def __init__(self, *args, **settings):
        self.seen = []
        super().__init__(*args, **settings)

    def before_pass(self):
        self.seen.append(self.epsilon)

    def on_step(self):
        pass


def test_the_field_is_set_before_anybody_looks_at_it_in_a_pass():
    loop = Training(times=6, cbs=Schedule("epsilon", linear(1.0, 0.0, 4))).run()
    assert loop.seen == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_it_goes_on_where_an_earlier_run_was():
    loop = Training(cbs=Schedule("epsilon", linear(1.0, 0.0, 4)))
    loop.run(times=2)
    again = Training(cbs=Schedule("epsilon", linear(1.0, 0.0, 4)))
    again.load_state_dict(loop.state_dict())
    assert again.run(times=3).seen == [0.5, 0.25, 0.0]


class Agent(Loop):
    call_on = "on_step"

    def on_act(self):
        self.training.env_steps += 10


class Explore(Callback):
    epsilon: float = 9.0

    def before_act(self):
        self.training.seen.append(self.epsilon)


class Collecting(Loop):
    env_steps: int = 0

    def __init__(self, *args, **settings):
        self.seen = []
        super().__init__(*args, name="training", **settings)

    def on_step(self):
        pass


def test_it_sets_the_field_of_whoever_has_it_over_any_other_field():
    agent = Agent(times=1, cbs=Explore)
    loop = Collecting(agent, Schedule("epsilon", linear(1.0, 0.0, 40), over="env_steps"), times=5).run()
    assert loop.seen == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert not hasattr(loop, "epsilon")


def test_from_inside_it_sets_the_field_of_an_ancestor():
    class Inner(Loop):
        call_on = "on_step"

        def on_part(self):
            pass

    loop = Training(Inner(times=2, cbs=Schedule("epsilon", float)), times=2).run()
    assert loop.epsilon == 3.0
    assert loop.seen == [9.0, 1.0]


def test_a_callback_that_only_reads_the_field_does_not_have_it():
    class Reader(Callback):
        def before_act(self):
            self.training.seen.append(self.epsilon)

    class Having(Collecting):
        epsilon: float = 9.0

    loop = Having(Agent(times=1, cbs=[Reader, Schedule("epsilon", linear(1.0, 0.0, 2))]), times=2).run()
    assert loop.seen == [1.0, 0.5]
    assert loop.epsilon == 0.5


def test_a_dotted_name_picks_one_of_several():
    class Twin(Explore):
        pass

    agent = Agent(times=1, cbs=[Explore, Twin])
    loop = Collecting(agent, Schedule("twin.epsilon", linear(1.0, 0.0, 1)), times=1).run()
    assert (agent.explore.epsilon, agent.twin.epsilon) == (9.0, 1.0)
    loop.schedule.field = "epsilon"
    with pytest.raises(BadSetting) as caught:
        loop.run()
    assert str(caught.value) == (
        "Several have a field 'epsilon': 'training.agent.explore.epsilon' and 'training.agent.twin.epsilon'."
        " Write the one that is meant."
    )


def test_a_field_that_nobody_has():
    with pytest.raises(
        NoSuchField, match=r"No loop or callback of training has a field 'epsilom'. Nearest is 'epsilon'."
    ):
        Training(cbs=Schedule("epsilom", float)).run()
    with pytest.raises(NoSuchField, match=r"has a field 'env_stps'. Nearest is 'env_steps'"):
        Collecting(Agent(times=1, cbs=Explore), Schedule("epsilon", float, over="env_stps")).run()
    with pytest.raises(NoSuchField, match=r"'agnt.epsilon'"):
        Collecting(Agent(times=1, cbs=Explore), Schedule("agnt.epsilon", float)).run()


def test_settings_that_do_not_fit():
    with pytest.raises(BadSetting, match=r"Schedule\('epsilon', 0.1\): a function of 'count' would fit"):
        Schedule("epsilon", 0.1)
    with pytest.raises(BadSetting, match=r"linear\(start=1, end=0, steps=0\): steps is how long the way takes"):
        linear(1, 0, 0)
    with pytest.raises(BadSetting, match="no factor leads from 1 to 0"):
        exponential(1, 0, 10)


@pytest.mark.parametrize("curve", [linear, cosine, exponential])
def test_curves_lead_from_start_to_end_and_stay_there(curve):
    way = curve(2.0, 0.5, 10)
    values = [way(now) for now in range(15)]
    assert values[0] == pytest.approx(2.0)
    assert values[10:] == pytest.approx([0.5] * 5)
    assert values == sorted(values, reverse=True)


def test_curves_between():
    assert linear(1.0, 0.0, 10)(5) == 0.5
    assert cosine(1.0, 0.0, 10)(5) == pytest.approx(0.5)
    assert cosine(1.0, 0.0, 10)(1) > linear(1.0, 0.0, 10)(1)
    assert exponential(1.0, 0.01, 10)(5) == pytest.approx(0.1)


def test_schedules_travel_with_their_loop():
    loop = Training(times=2, cbs=Schedule("epsilon", linear(1.0, 0.0, 4)))
    for twin in (copy.deepcopy(loop), pickle.loads(pickle.dumps(loop))):
        assert twin.run().seen == [1.0, 0.75]
    assert loop.check() == ()
    assert loop.schedule.curve == linear(1.0, 0.0, 4)
