"""Descriptions: the tree as text, HTML, Mermaid and JSON, always from the objects as they are."""

import json
import math
import re

import pytest

from looptree import BindingError, Callback, Loop, Phase, Profile, describe
from looptree.core.errors import NotALoop
from tests.parsed_html import Parsed, shown_html


class Agent(Loop):
    call_on = "before_step"

    def on_forward(self):
        self.values = self.observation

    def on_select(self):
        self.action = max(self.values)


class EpsilonGreedy(Callback):
    def after_select(self, _phase="train"):
        self.loop.action = 0 if self.learner.epsilon > 0.5 else self.loop.action


class Source(Loop):
    call_on = "on_collect"
    observation: list

    def before_step(self):
        self.observation = [1, 2]

    def on_step(self):
        pass


class Update(Loop):
    call_on = "on_update"
    times = 1000

    def on_loss(self):
        self.loss = self.learner.scale

    def on_step(self):
        pass


class DoubleQ(Callback):
    def on_loss(self, _replace=True):
        pass


class Fit(Loop):
    """A loop that stands alone."""

    def on_loss(self):
        self.loss = 1.0

    def on_step(self):
        pass


class Clip(Callback):
    def before_step(self, _every=3):
        pass


class Bar(Callback):
    def before_run(self):
        pass

    def after_pass(self):
        pass

    def finally_run(self):
        pass


class Learner(Loop):
    scale: float
    epsilon: float = 1.0

    def __init__(self, **settings):
        self.scale = 2.0
        source = Source(Agent(cbs=EpsilonGreedy))
        super().__init__([source, Update(cbs=[DoubleQ, Clip])], [Bar], **settings)

    def on_collect(self):
        pass

    def on_update(self, _phase="train"):
        pass


def learner():
    return Learner(phases=["train", Phase("valid", every=5)], times=50_000)


def brief(text):
    """A tree whose places are only `N`, and whose lines end where their text ends."""
    return "\n".join(re.sub(r" +\S+\.py(:\d+)?$", "", line) for line in text.splitlines())


TREE = """\
learner: Learner · 50,000 passes
├─ before_run   bar
├─ phase train
│  ├─ on_collect
│  ├─ on_collect  source: Source · 1 pass
│  │  ├─ before_step
│  │  ├─ before_step  agent: Agent · 1 pass
│  │  │  ├─ on_forward
│  │  │  ├─ on_select
│  │  │  └─ after_select  epsilon_greedy · in train
│  │  └─ on_step
│  ├─ on_update
│  └─ on_update   update: Update · 1,000 passes
│     ├─ on_loss      double_q · instead of Update.on_loss
│     ├─ before_step  clip · every 3
│     └─ on_step
├─ phase valid · every 5
│  ├─ on_collect
│  └─ on_collect  source: Source (above)
├─ after_pass   bar
└─ finally_run  bar"""


def test_the_tree_has_every_hook_in_the_order_in_which_it_runs():
    assert brief(str(describe(learner()))) == TREE


def test_printing_a_loop_prints_the_same_tree():
    loop = learner()
    assert str(loop) == repr(loop) == str(describe(loop)) == repr(describe(loop))


def test_nothing_is_run_and_nothing_changed():
    loop = learner()
    code = loop.code
    describe(loop)
    assert (loop.count, loop.index, loop.ended) == (0, None, "not run yet")
    assert loop.code == code


def test_places_stand_in_one_column_and_name_the_file_and_line_of_each_hook():
    lines = str(describe(learner())).splitlines()
    placed = [line for line in lines if ".py:" in line]
    assert len({line.index("tests/observe/") for line in placed}) == 1
    assert len(placed) == len(lines) - 2  # all but the two phases
    line = Learner.on_collect.__code__.co_firstlineno
    assert next(line for line in lines if "─ on_collect   " in line).endswith(f"tests/observe/test_describe.py:{line}")


def test_a_tree_of_ordinary_width_fits_a_terminal_of_100_columns():
    assert max(map(len, str(describe(learner())).splitlines())) <= 100


def test_a_line_too_long_for_the_column_still_ends_in_its_place():
    class Long(Loop):
        def on_an_event_whose_name_is_so_long_that_it_leaves_no_room_for_its_place_beside_it_on_the_line(self):
            pass

        def on_short(self):
            pass

    long, short = str(describe(Long())).splitlines()[1:]
    assert re.search(r"on_the_line  tests/observe/test_describe.py:\d+$", long)
    assert len(short) == 100


def test_fields_show_what_each_hook_reads_and_writes():
    text = brief(str(describe(Fit(cbs=Clip), fields=True)))
    assert text == ("fit: Fit · 1 pass\n├─ on_loss\n│     writes fit.loss\n├─ before_step  clip · every 3\n└─ on_step")
    text = brief(str(describe(learner(), fields=True)))
    assert "│  │  │  ├─ on_forward\n│  │  │  │     reads  learner.source.observation\n" in text
    assert "│     writes learner.source.agent.values\n" in text


def test_many_fields_go_over_several_lines():
    class Wide(Loop):
        def on_step(self):
            for name in ():
                self.first_field_with_a_long_name = self.second_field_with_a_long_name = name
                self.third_field_with_a_long_name = self.fourth_field_with_a_long_name = name

    lines = str(describe(Wide(), fields=True)).splitlines()[2:]
    assert lines == [
        "      writes wide.first_field_with_a_long_name, wide.second_field_with_a_long_name,",
        "             wide.third_field_with_a_long_name, wide.fourth_field_with_a_long_name",
    ]


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({}, "1 pass"),
        ({"times": 1}, "1 pass"),
        ({"times": 0}, "0 passes"),
        ({"times": 2500}, "2,500 passes"),
        ({"times": math.inf}, "endless"),
    ],
)
def test_how_many_passes_a_run_makes(settings, note):
    assert brief(str(describe(Fit(**settings)))).splitlines()[0] == f"fit: Fit · {note}"


@pytest.mark.parametrize(
    ("times", "note"), [(None, "its items()"), (math.inf, "its items()"), (7, "its items(), at most 7 passes")]
)
def test_items_of_its_own(times, note):
    class Batches(Loop):
        def items(self):
            return "abc"

        def on_batch(self):
            pass

    assert brief(str(describe(Batches(times=times)))).splitlines()[0] == f"batches: Batches · {note}"


def test_a_callback_shows_its_class_where_its_name_does_not():
    first, second, third = Clip(), Clip(), Clip()
    third.name = "cut"
    text = brief(str(describe(Fit(cbs=[first, second, third]))))
    assert text.splitlines()[2:5] == [
        "├─ before_step  clip · every 3",
        "├─ before_step  clip_2 · every 3",
        "├─ before_step  cut: Clip · every 3",
    ]


def test_a_replaced_hook_shows_where_it_still_runs():
    class Sometimes(Callback):
        def on_loss(self, _replace=True, _every=10):
            pass

    lines = brief(str(describe(Fit(cbs=Sometimes)))).splitlines()
    assert lines[1:3] == ["├─ on_loss  sometimes · instead of Fit.on_loss · every 10", "├─ on_loss  otherwise"]


def test_an_overridden_switch_is_shown_and_the_plain_one_is_not():
    class Switching(Fit):
        def switch_phase(self, phase):
            super().switch_phase(phase)

    assert "switch_phase" not in str(describe(Fit(phases=["train"])))
    assert brief(str(describe(Switching(phases=["train"])))).splitlines()[1:3] == [
        "└─ phase train",
        "   ├─ switch_phase",
    ]


def test_frames_stand_around_what_they_frame():
    class Frames(Callback):
        def before_run(self):
            pass

        def before_pass(self):
            pass

        def before_phase(self):
            pass

        def after_phase(self):
            pass

        def failed_pass(self):
            pass

        def after_run(self):
            pass

    assert brief(str(describe(Fit(phases=["train"], cbs=Frames)))) == (
        "fit: Fit · 1 pass\n"
        "├─ before_run   frames\n"
        "├─ before_pass  frames\n"
        "├─ phase train\n"
        "│  ├─ before_phase  frames\n"
        "│  ├─ on_loss\n"
        "│  ├─ on_step\n"
        "│  └─ after_phase   frames\n"
        "├─ failed_pass  frames\n"
        "└─ after_run    frames"
    )


class Remarking(Loop):
    call_on = "after_step"

    def remarks(self):
        return "network: <wide>", "made by hand"


def test_what_a_loop_remarks_of_itself_stands_first_in_every_description_of_it():
    description = describe(Fit(Remarking))
    lines = str(description).splitlines()
    place = next(number for number, line in enumerate(lines) if "remarking: Remarking" in line)
    assert lines[place + 1 : place + 3] == ["   ├─ network: <wide>", "   └─ made by hand"]
    plan = json.loads(description.json())
    assert (plan["remarks"], plan["inner_loops"][0]["remarks"]) == ([], ["network: <wide>", "made by hand"])
    assert '<p><span class="note">network: &lt;wide&gt;</span></p>' in shown_html(description)
    assert '>"network: #lt;wide#gt;"]' in description.mermaid()


def test_a_profile_has_no_line_for_what_takes_no_time():
    loop = Fit(Remarking)
    with Profile(loop) as profile:
        loop.run()
    assert "remarking: Remarking" in str(profile) and "wide" not in str(profile) + profile.csv() + profile.json()


def test_a_description_is_of_the_loop_as_it_is_when_described():
    loop = Fit()
    assert "clip" not in str(describe(loop))
    before = describe(loop)
    loop.add_cb(Clip)
    assert "clip" in str(describe(loop))
    assert "clip" not in str(before)
    loop.remove_cb(Clip)
    assert str(describe(loop)) == str(before)


def test_an_inner_loop_is_described_with_its_full_path():
    loop = learner()
    assert json.loads(describe(loop.source).json())["path"] == "learner.source"
    assert brief(str(describe(loop.source.agent))).splitlines()[0] == "agent: Agent · 1 pass"


def test_a_loop_without_hooks_is_one_line():
    assert brief(str(describe(Loop()))) == "loop: Loop · 1 pass"


def test_fifty_levels_and_hundreds_of_hooks():
    class Level(Loop):
        call_on = "on_step"

        def on_step(self):
            pass

    loop = Level()
    for _ in range(49):
        loop = Level(loop)
    assert len(str(describe(loop)).splitlines()) == 100
    hooks = {f"on_event{number}": lambda self: None for number in range(200)}
    assert len(str(describe(type("Many", (Loop,), hooks)())).splitlines()) == 201


def test_a_tree_that_cannot_run_cannot_be_described_and_says_why():
    class Lost(Loop):
        call_on = "on_stepp"

    with pytest.raises(BindingError, match="Nearest is 'on_step'"):
        describe(Fit(Lost()))


def test_something_that_is_no_loop():
    with pytest.raises(NotALoop, match=r"^describe takes a loop; given was the class Agent: describe\(Agent\(\)\)\.$"):
        describe(Agent)
    with pytest.raises(NotALoop, match="given was 3"):
        describe(3)


# --- JSON ---------------------------------------------------------------------------------------------------


def test_json_has_the_whole_plan():
    data = json.loads(describe(learner()).json())
    assert (data["path"], data["class"], data["times"]) == ("learner", "Learner", 50_000)
    assert [phase["name"] for phase in data["phases"]] == ["train", "valid"]
    assert [event["name"] for event in data["phases"][0]["events"]] == ["collect", "update"]
    collect = data["phases"][0]["events"][0]
    assert [step.get("hook", step.get("calls")) for step in collect["on"]] == ["on_collect", "learner.source"]
    assert [hook["label"] for hook in data["pass"]["after"]] == ["Bar.after_pass"]
    source, update = data["inner_loops"]
    assert source["inner_loops"][0]["path"] == "learner.source.agent"
    loss = update["phases"][0]["events"][0]["on"][0]
    assert loss["owner"] == "learner.update.double_q"
    assert loss["instead_of"]["label"] == "Update.on_loss"
    assert loss["instead_of"]["writes"] == ["learner.update.loss"]
    fields = {(field["owner"], field["name"]): field for field in data["fields"]}
    assert fields["learner", "epsilon"]["declared"]
    assert [key.rpartition("/")[2] for key in fields["learner", "epsilon"]["readers"]] == [
        "learner.source.agent.epsilon_greedy.after_select"
    ]


def test_json_has_no_number_that_json_lacks():
    assert json.loads(describe(Fit(times=math.inf)).json())["times"] == "endless"


# --- Mermaid ------------------------------------------------------------------------------------------------


def test_mermaid_draws_each_line_once_and_a_loop_called_again_as_a_dotted_arrow():
    text = describe(learner()).mermaid()
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    nodes = [re.match(r"    (n\d+)[(\[{]", line).group(1) for line in lines[1:] if re.match(r"    n\d+[(\[{]", line)]
    arrows = [re.match(r"    (n\d+) --> (n\d+)$", line).groups() for line in lines if " --> " in line]
    assert len(nodes) == len(set(nodes)) == TREE.count("\n")  # one for each line but the one that says "above"
    assert [below for _, below in arrows] == nodes[1:]
    source = next(line.split("(")[0].strip() for line in lines if "source: Source" in line)
    assert [line for line in lines if "-." in line] == [f'    {nodes[-4]} -. "on_collect" .-> {source}']


def test_mermaid_escapes_what_would_end_a_label():
    class Odd(Loop):
        def on_step(self):
            pass

    Odd.__name__ = '<Odd> "#1"'
    assert "odd: #lt;Odd#gt; #quot;#35;1#quot;" in describe(Odd(name="odd")).mermaid()


# --- HTML ---------------------------------------------------------------------------------------------------


def test_html_folds_and_needs_nothing_from_elsewhere():
    html = shown_html(describe(learner()))
    page = Parsed(html)
    tags = page.tags
    assert tags.count("details") == tags.count("summary") > 5
    assert "script" not in tags and "link" not in tags and "http" not in html and "url(" not in html
    words = " ".join(page.text)
    for line in brief(TREE).splitlines():
        assert line.split("─ ")[-1].split(" · ")[0].split("  ")[0] in words


def test_html_unfolds_a_hook_to_its_fields():
    text = Parsed(shown_html(describe(learner()))).text
    assert text[text.index("reads") + 1] == "learner.source.observation"


def test_html_escapes_names():
    class Odd(Loop):
        def on_step(self):
            pass

    Odd.__name__ = "<script>alert('x')</script>"
    html = shown_html(describe(Odd(name="odd")))
    assert "<script" not in html
    assert "odd: <script>alert('x')</script>" in Parsed(html).text
