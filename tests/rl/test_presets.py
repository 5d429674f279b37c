import pytest

from looptree.core.errors import BadSetting
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.a2c import A2CSettings
from looptree.rl.algorithms.dqn import DQNSettings
from looptree.rl.algorithms.ppo import PPOSettings
from looptree.rl.presets import PRESETS, Presets

KINDS = {name: algorithm.settings for name, algorithm in ALGORITHMS.items()}


def presets(tmp_path, text):
    path = tmp_path / "presets.toml"
    path.write_text(text, encoding="utf-8")
    return Presets(path)


def test_every_table_of_the_file_fits():
    PRESETS.check(KINDS)
    for name, kind in KINDS.items():
        of_cartpole = PRESETS.all_of(name, kind)["CartPole-v1"]
        assert PRESETS.settings(name, "CartPole-v1", kind) == of_cartpole.settings != kind()
        assert of_cartpole.source
        assert of_cartpole.settings.total_env_steps == of_cartpole.given["total_env_steps"]


def test_a_learner_made_without_settings_has_those_of_the_file():
    for name, algorithm in ALGORITHMS.items():
        made = algorithm.learner("CartPole-v1")
        assert made.settings == PRESETS.settings(name, "CartPole-v1", algorithm.settings)


def test_an_environment_without_a_table_has_the_defaults():
    assert PRESETS.settings("dqn", "Unknown-v0", DQNSettings) == DQNSettings()


def test_values_become_those_of_the_settings(tmp_path):
    text = '[ppo."A-v0"]\nsource = "me"\nlearning_rate = 1\ntarget_kl = inf\nhidden_sizes = [8, 4]\n'
    settings = presets(tmp_path, text).settings("ppo", "A-v0", PPOSettings)
    assert settings == PPOSettings(learning_rate=1.0, hidden_sizes=(8, 4))
    assert isinstance(settings.learning_rate, float)


def test_a_preset_may_say_how_environments_are_made(tmp_path):
    text = '[a2c."A-v0"]\nsource = "me"\nvectorization = "async"\nwrappers = ["TimeAwareObservation"]\n'
    settings = presets(tmp_path, text).settings("a2c", "A-v0", A2CSettings)
    assert settings == A2CSettings(vectorization="async", wrappers=("TimeAwareObservation",))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('source = "me"\nbatch_sizes = 8', "DQNSettings has no setting 'batch_sizes'; nearest is 'batch_size'."),
        ('source = "me"\nzzz = 8', "DQNSettings has no setting 'zzz'; its settings are those of DQNSettings()."),
        ('source = "me"\nbatch_size = 8.5', "DQNSettings(batch_size=8.5): a whole number would fit."),
        ('source = "me"\nbatch_size = true', "DQNSettings(batch_size=True): a whole number would fit."),
        ('source = "me"\ngamma = "1"', "DQNSettings(gamma='1'): a number would fit."),
        ('source = "me"\nhidden_sizes = 8', "DQNSettings(hidden_sizes=8): a list of whole numbers would fit."),
        ('source = "me"\nwrappers = "A"', "DQNSettings(wrappers='A'): a list of strings such as "),
        ('source = "me"\nwrappers = ["A", 1]', "DQNSettings(wrappers=['A', 1]): a list of strings such as "),
        (
            'source = "me"\nvectorization = "x"',
            "DQNSettings(vectorization='x'): one of 'auto', 'native', 'sync', 'async' and 'envpool' would fit.",
        ),
        ('source = "me"\ngamma = 2.0', "DQNSettings(gamma=2.0): a number from 0 to 1 would fit."),
        ("gamma = 0.9", 'it does not say where its values are from; source = "..." would fit.'),
    ],
)
def test_what_does_not_fit_is_named_with_its_table(tmp_path, table, message):
    file = presets(tmp_path, f'[dqn."A-v0"]\n{table}\n')
    with pytest.raises(BadSetting) as error:
        file.settings("dqn", "A-v0", DQNSettings)
    assert str(error.value).startswith(f'presets.toml [dqn."A-v0"]: {message}')
    with pytest.raises(BadSetting):
        file.check(KINDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dqm]\n", "presets.toml [dqm]: there is no algorithm 'dqm'; nearest is 'dqn'."),
        ("[dqn]\ngamma = 0.9\n", 'presets.toml [dqn."gamma"]: 0.9 is no table of settings.'),
        ("dqn = 3\n", "presets.toml [dqn]: 3 is no table of environments."),
        ("[dqn\n", "presets.toml is not TOML: "),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    with pytest.raises(BadSetting) as error:
        presets(tmp_path, text).check(KINDS)
    assert str(error.value).startswith(message)
