import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.rl.encoders import Numbers
from looptree.rl.networks import uniform_linear
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream, torch_generator
from looptree.rl.variants.dueling import Dueling, DuelingHead


def head(actions=3, outputs_per_action=1, sizes=(5, 8)):
    return DuelingHead(sizes, actions, outputs_per_action, uniform_linear, torch_generator(stream(0)))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from([(5,), (5, 8), (5, 8, 8)]))
def test_the_advantages_have_mean_zero(actions, outputs_per_action, sizes):
    dueling = head(actions, outputs_per_action, sizes)
    features = torch.randn(7, 5, generator=torch_generator(stream(1)))
    outputs = dueling(features).view(7, actions, outputs_per_action)
    torch.testing.assert_close(outputs.mean(1), dueling.value(features))


def test_values_of_known_numbers():
    dueling = head(sizes=(1,))
    with torch.no_grad():
        for stream_head, outputs in ((dueling.value, [10.0]), (dueling.advantage, [1.0, 2.0, 6.0])):
            stream_head.linears[0].weight.zero_()
            stream_head.linears[0].bias.copy_(torch.tensor(outputs))
    assert dueling(torch.zeros(1, 1)).tolist() == [[8.0, 9.0, 13.0]]


def test_what_all_actions_have_in_common_is_learnt_by_the_value_alone():
    dueling = head()
    dueling(torch.ones(1, 5)).sum().backward()
    assert dueling.value.linears[-1].bias.grad.tolist() == [3.0]
    assert dueling.advantage.linears[-1].bias.grad.tolist() == pytest.approx([0.0] * 3, abs=1e-6)


def test_the_streams_part_before_the_last_hidden_layer():
    network = Dueling().shape(QDesign(stream(0))).network(Numbers([4]), (16, 8), 2)
    shapes = {name: tuple(values.shape) for name, values in network.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "trunk.0.weight": (16, 4),
        "head.value.linears.0.weight": (8, 16),
        "head.value.linears.1.weight": (1, 8),
        "head.advantage.linears.0.weight": (8, 16),
        "head.advantage.linears.1.weight": (2, 8),
    }
    assert network(torch.zeros(3, 4)).shape == (3, 2)
