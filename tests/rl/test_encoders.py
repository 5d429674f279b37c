import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from looptree.rl.encoders import NatureCNN, encoder_for, is_image
from looptree.rl.errors import UnfitEnvironment
from looptree.rl.networks import orthogonal, uniform
from looptree.rl.packed import as_bytes, fill, kept_type
from tests.rl.some_spaces import SPACES, members


def made(space, seed=0, initialise=uniform):
    return encoder_for("Reader", space, initialise, torch.Generator().manual_seed(seed))


def read(space, observed):
    """Observations as networks read them."""
    rows = np.zeros(len(observed), kept_type(space))
    for row, observation in enumerate(observed):
        fill(rows[row : row + 1], space, observation)
    return torch.from_numpy(as_bytes(rows))


@settings(deadline=None)
@given(SPACES, st.integers(1, 4), st.integers(0, 9))
def test_features_are_those_of_gymnasiums_flatten(space, number, seed):
    observed = members(space, number, seed)
    encoder = made(space)
    features = encoder(read(space, observed))
    assert (features.dtype, features.shape) == (torch.float32, (number, encoder.size))
    assert encoder.size == flatdim(space)
    expected = np.stack([flatten(space, observation) for observation in observed]).astype(np.float32)
    np.testing.assert_array_equal(features, expected)
    assert not list(encoder.parameters())


IMAGES = {
    (84, 84, 4): (4, 84, 84),
    (4, 84, 84): (4, 84, 84),
    (36, 50, 3): (3, 36, 50),
    (1, 36, 36): (1, 36, 36),
    (2, 40, 38, 3): (6, 40, 38),
    (2, 3, 40, 38): (6, 40, 38),
    (40, 38): (1, 40, 38),
}


@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_images_go_through_the_published_layers(shape):
    space = spaces.Box(0, 255, shape, np.uint8)
    channels, height, width = IMAGES[shape]
    encoder = made(space)
    assert isinstance(encoder, NatureCNN)
    layers = nn.Sequential(
        nn.Conv2d(channels, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(), nn.Flatten(), nn.LazyLinear(512), nn.ReLU(),
    )  # fmt: skip
    observed = members(space, 3, 0)
    images = np.stack(observed)
    if shape[-1] < 5:  # the channels are last
        images = np.moveaxis(images, -1, -3)
    images = torch.from_numpy(images.reshape(3, channels, height, width)).float() / 255
    layers(images)
    weights = dict(zip(layers.state_dict(), encoder.state_dict().values(), strict=True))
    layers.load_state_dict(weights)
    torch.testing.assert_close(encoder(read(space, observed)), layers(images))
    assert encoder.size == 512


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (35, 84, 3), np.uint8),
        spaces.Box(0, 255, (7, 7, 3), np.uint8),
        spaces.Box(0, 255, (4, 128), np.uint8),
        spaces.Box(0, 255, (128,), np.uint8),
        spaces.Box(0, 1, (84, 84, 3), np.float32),
        spaces.Box(0, 255, (2, 2, 84, 84, 3), np.uint8),
    ],
    ids=str,
)
def test_what_is_no_image_is_numbers(space):
    assert not is_image(space)
    assert made(space).size == np.prod(space.shape)


def test_an_image_among_other_entries():
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    space = spaces.Dict({"place": spaces.Discrete(3), "image": image})
    observed = members(space, 4, 0)
    both = made(space)(read(space, observed)).detach()
    alone = made(image)(read(image, [observation["image"] for observation in observed])).detach()
    torch.testing.assert_close(both[:, :512], alone)
    np.testing.assert_array_equal(both[:, 512:], np.eye(3)[[observation["place"] for observation in observed]])


@pytest.mark.parametrize("initialise", [uniform, orthogonal])
def test_initial_weights_come_from_the_generator_alone(initialise):
    space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    before = torch.get_rng_state()
    encoder, again, other = (made(space, seed, initialise) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for mine, same, others in zip(encoder.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, same)
        assert not mine.any() or not torch.equal(mine, others)
    layers = [*encoder.filters, encoder.linear]
    if initialise is orthogonal:
        for layer in layers:
            weight = layer.weight.detach().flatten(1)
            few = weight if weight.shape[0] <= weight.shape[1] else weight.T
            torch.testing.assert_close(few @ few.T, 2 * torch.eye(len(few)), atol=1e-4, rtol=1e-4)
            assert not layer.bias.any()
    else:
        for layer in layers:
            bound = layer.weight[0].numel() ** -0.5
            assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound


def test_copies_read_the_same():
    space = spaces.Dict({"place": spaces.Discrete(3, start=-1), "bits": spaces.MultiBinary(2)})
    rows = read(space, members(space, 4, 0))
    encoder = made(space)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(rows), encoder(rows))


@pytest.mark.parametrize("space", [spaces.Dict(), spaces.Box(0, 1, (0,)), spaces.Tuple([spaces.Dict()])], ids=str)
def test_nothing_to_be_seen(space):
    with pytest.raises(UnfitEnvironment) as error:
        made(space)
    assert str(error.value) == f"Reader cannot learn from {space}: there is nothing to be seen in it."
