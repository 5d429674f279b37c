"""Damaged checkpoints are found, and hostile ones do nothing: no code runs, nothing is written or read elsewhere, and
memory stays bounded."""

import contextlib
import hashlib
import json
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree import Checkpoint, Loop
from looptree.callbacks.checkpoints import (
    CheckpointPassedOver,
    DamagedCheckpoint,
    NoCheckpoint,
    WrongCheckpointFormat,
    load_checkpoint,
    newest_checkpoint,
)
from looptree.core.errors import StateMismatch
from tests.callbacks.checkpoints.states import Steps, assert_same, held, load, save

REPOSITORY = Path(__file__).parents[3]
FILES = ("manifest.json", "state.json", "arrays.safetensors")

# What is damaged is drawn anew each time; what failed is repeated with the number that it names.
DRAWN = int(os.environ.get("LOOPTREE_DAMAGE") or random.SystemRandom().randrange(1_000_000))

STATE = {
    "weights": [np.linspace(0, 1, 300), np.arange(50, dtype=np.int16)],
    "generator": {"state": 2**100 + 1, "name": "PCG64"},
    "returns": (1.5, float("nan"), -0.0),
}


@pytest.fixture
def whole(tmp_path):
    save(tmp_path, STATE, keep=1)
    return newest_checkpoint(tmp_path).path


@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_damage_anywhere_is_found(whole, tmp_path, how):
    generator = random.Random(f"{DRAWN} {how}")
    names = generator.choices(FILES, k=200)
    for name in names:
        file = whole / name
        contents = file.read_bytes()
        at = generator.randrange(len(contents))
        damaged = bytearray(contents[:at] if how == "truncated" else contents)
        if how == "flipped":
            damaged[at] ^= 1 << generator.randrange(8)
        file.write_bytes(damaged)
        where = f"{name} {how} at {at} (LOOPTREE_DAMAGE={DRAWN})"
        try:
            assert_same(held(load_checkpoint(whole)), STATE)
        except DamagedCheckpoint as error:
            assert str(error).startswith(f"{whole} is damaged: {name} "), where
        else:
            assert json.loads(damaged) == json.loads(contents), where  # as where the space between two words was
        file.write_bytes(contents)
    assert_same(load(tmp_path), STATE)


def sealed(path, text=None, arrays=None, **changes):
    """Give a checkpoint other contents, with the sums that belong to them: as someone who means harm would."""
    for name, contents in (("state.json", text), ("arrays.safetensors", arrays)):
        if contents is not None:
            (path / name).write_bytes(contents)
    manifest = json.loads((path / "manifest.json").read_bytes())
    del manifest["sha256"]
    for name in manifest["files"]:
        contents = (path / name).read_bytes()
        manifest["files"][name] = {"bytes": len(contents), "sha256": hashlib.sha256(contents).hexdigest()}
    manifest |= changes
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def in_a_file(header, data=b"", length=None):
    """Bytes as in a file of safetensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def test_what_is_sealed_anew_is_read(whole):
    """So that what is refused below is refused for what it says, not for its sums."""
    header = {"/a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = {"a": {"$": "array", "name": "/a", "dtype": "<f4", "shape": [2], "order": "C"}}
    sealed(whole, json.dumps(text).encode(), in_a_file(header, np.array([1, 2], np.float32).tobytes()))
    assert load_checkpoint(whole).state["a"].tolist() == [1, 2]


def array(**changes):
    """The text of a state that is an array."""
    reference = {"$": "array", "name": "/a", "dtype": "<f4", "shape": [2], "order": "C"}
    return json.dumps(reference | changes).encode()


def deep(open_, close, levels=200_000):
    return (open_ * levels + close * levels).encode()


TEXTS = {
    "no JSON": b"PK\x03\x04",
    "no text": b"\xff\xfe\x00",
    "not a number": b"[NaN]",
    "five thousand digits": b"[" + b"9" * 5000 + b"]",
    "deep lists": deep("[", "]"),
    "deep objects": deep('{"a":', "}").replace(b":}", b":1}"),
    "deep tuples": deep('{"$":"tuple","of":[', "]}", 20_000),
    "an unknown mark": b'{"$": "eval", "as": "1"}',
    "a mark that is no name": b'{"$": ["tuple"], "of": []}',
    "a mark without contents": b'{"$": "tuple"}',
    "keys that cannot be keys": b'{"$": "dict", "of": [[[1], 2]]}',
    "pairs that are none": b'{"$": "dict", "of": [1]}',
    "an odd number of digits": b'{"$": "bytes", "as": "abc"}',
    "half a float": b'{"$": "float", "as": "0000"}',
    "text that is none": b'{"$": "str", "as": "ff"}',
    "an integer that is none": b'{"$": "int", "as": "__import__"}',
    "another array": array(name="/b"),
    "a name that is none": array(name=["/a"]),
    "another size": array(shape=[3]),
    "a gigantic shape": array(shape=[2**62]),
    "a shape that comes round": array(shape=[2**32, 2**32, 2]),
    "a gigantic empty shape": array(shape=[0, 2**62, 2**62]),
    "a negative shape": array(shape=[-2, -1]),
    "a shape of truths": array(shape=[True, 2]),
    "a shape of fractions": array(shape=[2.0]),
    "a shape of many": array(shape=[1] * 1000 + [2]),
    "a shape that is none": array(shape=None),
    "another order": array(order="K"),
    "objects": array(dtype="|O8", shape=[1]),
    "objects by name": array(dtype="object", shape=[1]),
    "objects in a field": array(dtype={"names": ["a"], "formats": ["|O8"], "offsets": [0], "itemsize": 8}, shape=[1]),
    "fields in a string": array(dtype="f4,f4", shape=[1]),
    "a gigantic type": array(dtype="|V999999999", shape=[1]),
    "a more gigantic type": array(dtype="|V99999999999999999999", shape=[1]),
    "a gigantic field": array(dtype={"names": ["a"], "formats": ["<f4"], "offsets": [2**40], "itemsize": 8}, shape=[1]),
    "a negative field": array(dtype={"names": ["a"], "formats": ["<f4"], "offsets": [-4], "itemsize": 8}, shape=[1]),
    "a gigantic list of fields": array(dtype={"base": "<f4", "shape": [2**60]}, shape=[1]),
    "half a type": array(dtype={"names": ["a"]}),
    "a number for a type": array(dtype=5),
    "a deep type": array(dtype=None).replace(
        b"null", deep('{"shape":[1],"base":', "}", 5000).replace(b":}", b':"<f4"}')
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_state_that_makes_no_sense_is_refused(whole, name):
    header = {"/a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    sealed(whole, TEXTS[name], in_a_file(header, bytes(8)))
    with pytest.raises(
        DamagedCheckpoint, match=r"is damaged: what state.json and arrays.safetensors say makes no sense"
    ) as raised:
        load_checkpoint(whole)
    assert len(str(raised.value)) < 1000 and str(raised.value).isprintable()


MARKS = st.sampled_from("dict tuple set array scalar str int float complex bytes np.str_".split())
WORDS = st.sampled_from(["/a", "<f4", "C", "F", "ff", "0x1", "|O8", "$", "of", "as", "|b1"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS, st.text()),
    lambda members: st.one_of(
        st.lists(members),
        st.dictionaries(st.one_of(WORDS, st.text()), members),
        st.fixed_dictionaries(
            {"$": MARKS},
            optional={"of": members, "as": members}
            | {"name": WORDS, "dtype": members, "shape": st.lists(members), "order": WORDS},
        ),
    ),
)


@pytest.fixture(scope="module")
def resealed(tmp_path_factory):
    """A checkpoint that gets other contents again and again."""
    folder = tmp_path_factory.mktemp("run")
    save(folder, STATE)
    return newest_checkpoint(folder).path


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_state_of_any_json_is_read_or_refused(resealed, value):
    sealed(resealed, json.dumps(value).encode(), in_a_file({"/a": TENSOR}, bytes(8)))
    with contextlib.suppress(DamagedCheckpoint):
        load_checkpoint(resealed)


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
ARRAYS = {
    "empty": b"",
    "no header": struct.pack("<Q", 100),
    "a gigantic header": in_a_file(b"{}", length=2**62),
    "a header of minus one": in_a_file(b"{}", length=2**64 - 1),
    "a header that is a list": in_a_file(b"[]"),
    "a deep header": in_a_file(deep("[", "]")),
    "a gigantic shape": in_a_file({"/a": TENSOR | {"shape": [2**62]}}, bytes(8)),
    "a shape that comes round": in_a_file({"/a": TENSOR | {"shape": [2**32, 2**32, 2]}}, bytes(8)),
    "offsets beyond the end": in_a_file({"/a": TENSOR | {"data_offsets": [0, 2**40]}}, bytes(8)),
    "offsets the wrong way round": in_a_file({"/a": TENSOR | {"data_offsets": [8, 0]}}, bytes(8)),
    "negative offsets": in_a_file({"/a": TENSOR | {"data_offsets": [-8, 0]}}, bytes(8)),
    "one over the other": in_a_file({"/a": TENSOR, "/b": TENSOR}, bytes(8)),
    "more than is told of": in_a_file({"/a": TENSOR}, bytes(16)),
    "an unknown type": in_a_file({"/a": TENSOR | {"dtype": "PYOBJECT"}}, bytes(8)),
    "a type that is never written": in_a_file({"/a": TENSOR | {"dtype": "F8_E4M3", "shape": [8]}}, bytes(8)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_make_no_sense_are_refused(whole, name):
    sealed(whole, array(), ARRAYS[name])
    with pytest.raises(DamagedCheckpoint, match="is damaged"):
        load_checkpoint(whole)


SUMS = {"bytes": 1, "sha256": "0" * 64}
MANIFESTS = {
    "files outside": {"files": {"../../state.json": SUMS, "/etc/passwd": SUMS}},
    "a file outside, too": {"files": {"state.json": SUMS, "arrays.safetensors": SUMS, "../x": SUMS}},
    "a file less": {"files": {"state.json": SUMS}},
    "no files": {"files": None},
    "sums that are none": {"files": {"state.json": 5, "arrays.safetensors": []}},
    "sums of text": {"files": {"state.json": SUMS | {"bytes": "\x1b[31m"}, "arrays.safetensors": SUMS}},
    "half of the sums": {"files": {"state.json": {"sha256": ""}, "arrays.safetensors": SUMS}},
    "reasons that are none": {"not_saved": {"/a": 5}},
    "no count": {"count": "5"},
    "no versions": {"versions": None},
    "a command for a version": {"versions": {"looptree": "1'; touch executed; '"}, "format": 2},
    "colours for a version": {"versions": {"looptree": "\x1b[31m1"}, "format": 2},
    "a format that is none": {"format": "1"},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_makes_no_sense_is_refused(whole, name):
    sealed(whole, **MANIFESTS[name])
    with pytest.raises(DamagedCheckpoint, match=r"is damaged: (manifest|state).json is not what was written") as raised:
        load_checkpoint(whole)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("contents", [b"", b"[]", b"null", deep("[", "]"), deep('{"a":', "}"), b"\xff" * 50])
def test_a_manifest_that_is_none_is_refused(whole, contents):
    (whole / "manifest.json").write_bytes(contents)
    with pytest.raises(DamagedCheckpoint, match=r"manifest.json is not what was written"):
        load_checkpoint(whole)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "nothing"])
def test_only_files_in_the_folder_are_opened(whole, tmp_path, name, kind):
    elsewhere = tmp_path / "elsewhere"
    (whole / name).rename(elsewhere)
    if kind == "link":
        (whole / name).symlink_to(elsewhere)
    elif kind == "folder":
        (whole / name).mkdir()
    elif kind == "pipe":
        os.mkfifo(whole / name)  # whoever opens it waits for ever
    with pytest.raises((DamagedCheckpoint, NoCheckpoint)) as raised:
        load_checkpoint(whole)
    assert name in str(raised.value)


# A disk that gives an error where a file is to be read: what stands there cannot be read by anybody.
ON_A_BAD_DISK = """
unshare --user --map-root-user --mount sh -c 'mount --bind /proc/$$/mem "$0" && exec "$@"' "$@"
"""


def test_a_file_that_the_disk_does_not_give_back_is_a_damage(whole, tmp_path):
    code = "import sys; from looptree.callbacks.checkpoints import newest_checkpoint; newest_checkpoint(sys.argv[1])"
    command = ["sh", "-c", ON_A_BAD_DISK, "sh", str(whole / "manifest.json"), sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no bad disk can be made here: {done.stderr}")
    assert "NoCheckpoint" in done.stderr.splitlines()[-1]
    assert "manifest.json cannot be read ([Errno 5] Input/output error)" in done.stderr.splitlines()[-1]


class Harm:
    """Whoever unpickles it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def payloads(file):
    """Pickles as they come along: bare, and in the files of NumPy and of torch."""
    harm = Harm(file)
    folder = file.parent
    np.save(folder / "payload.npy", np.array([harm], object), allow_pickle=True)
    torch.save({"state": harm}, folder / "payload.pt")
    return pickle.dumps(harm), (folder / "payload.npy").read_bytes(), (folder / "payload.pt").read_bytes()


def test_pickles_under_the_names_of_our_files_are_not_executed(whole, tmp_path):
    executed = tmp_path / "executed"
    for payload in payloads(executed):
        for changes in ({"text": payload}, {"arrays": payload}):
            shutil.copytree(whole, tmp_path / "copy")
            sealed(tmp_path / "copy", **changes)
            with pytest.raises(DamagedCheckpoint):
                load_checkpoint(tmp_path / "copy")
            shutil.rmtree(tmp_path / "copy")
        (whole / "extra.pkl").write_bytes(payload)
        load_checkpoint(whole)
    assert not executed.exists()
    pickle.loads(payloads(executed)[0])
    assert executed.exists()  # it would have been seen


# Every gigantic file, read in a process with little memory beside what it has; prints how much it took.
BOUNDED = """
import sys
from pathlib import Path
from looptree.callbacks.checkpoints import DamagedCheckpoint, load_checkpoint
from tests.memory import most_mb
before = most_mb()
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        load_checkpoint(folder)
    except DamagedCheckpoint:
        print("damaged", folder.name)
    else:
        print("whole", folder.name)
print(round(most_mb() - before))
"""


def test_memory_is_bounded_whatever_a_file_says(whole, tmp_path):
    large = 2**29
    header = in_a_file({"/a": {"dtype": "F32", "shape": [large // 4], "data_offsets": [0, large]}})
    folders = tmp_path / "folders"
    forged = {name: {"text": text} for name, text in TEXTS.items() if "gigantic" in name}
    forged["many lists"] = {"text": b"[" + b"[]," * 5_500_000 + b"[]"}
    forged["more lists than are read"] = {"text": b"[" + b"[]," * 12_000_000 + b"[]"}
    forged |= {name: {"text": array(), "arrays": arrays} for name, arrays in ARRAYS.items() if "gigantic" in name}
    forged["really large"] = {"text": array(shape=[large // 4]), "arrays": header + bytes(large)}
    for name, changes in forged.items():
        shutil.copytree(whole, folders / name)
        sealed(folders / name, **changes)
    shutil.copytree(whole, folders / "a gigantic manifest")
    with (folders / "a gigantic manifest" / "manifest.json").open("wb") as file:
        file.truncate(2**36)
    command = [sys.executable, "-c", BOUNDED, str(folders)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=True)
    *found, took_mib = done.stdout.splitlines()
    assert found == [
        ("whole " if name == "really large" else "damaged ") + name for name in sorted([*forged, "a gigantic manifest"])
    ]
    assert int(took_mib) < 600  # for the many lists; the large array takes nothing


def test_nothing_is_written_or_deleted_behind_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".000000000001.part").mkdir(parents=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(elsewhere)
    for use in (lambda: Checkpoint(run), lambda: newest_checkpoint(run)):
        with pytest.raises(DamagedCheckpoint, match=r"is a link. A run has its checkpoints in its own folder"):
            use()
    (run / "checkpoints").unlink()
    (elsewhere / "kept").touch()
    (run / "checkpoints").mkdir()
    for name in ("000000000000", "000000000001", ".000000000000.part", ".000000000001.gone", "000000000007"):
        (run / "checkpoints" / name).symlink_to(elsewhere)
    save(run, STATE, keep=1)
    assert newest_checkpoint(run).count == 1
    assert sorted(path.name for path in elsewhere.iterdir()) == [".000000000001.part", "kept"]


def test_a_checkpoint_of_a_newer_format_is_refused_and_it_is_said_what_reads_it(whole, tmp_path):
    shutil.copytree(whole, whole.parent / "000000000002")
    sealed(whole.parent / "000000000002", format=2, versions={"looptree": "9.1.0"}, files=None)
    with pytest.raises(WrongCheckpointFormat) as raised:
        newest_checkpoint(tmp_path)
    assert "000000000002 was written by looptree 9.1.0 in format 2; this is looptree " in str(raised.value)
    assert "which reads formats up to 1." in str(raised.value)
    assert str(raised.value).endswith("pip install 'looptree>=9.1.0'.")
    with pytest.raises(WrongCheckpointFormat):
        Steps(cbs=Checkpoint(tmp_path)).run()


def test_a_checkpoint_of_an_older_format_that_nobody_reads_is_refused_and_it_is_said_what_does(whole):
    sealed(whole, format=0, versions={"looptree": "0.0.1"})
    with pytest.raises(WrongCheckpointFormat, match=r"does not read any more.*pip install 'looptree==0.0.1'"):
        load_checkpoint(whole)


def test_a_checkpoint_of_other_libraries_is_read_and_says_so(whole):
    assert load_checkpoint(whole).other_versions == ()
    versions = load_checkpoint(whole).manifest["versions"]
    sealed(whole, versions=versions | {"numpy": "1.0.0", "unknown": "3"})
    loaded = load_checkpoint(whole)
    assert loaded.other_versions == (f"written with numpy 1.0.0, read with {np.__version__}",)
    assert_same(held(loaded), STATE)


class Learns(Loop):
    """A loop as a newer version has it: with a rate in its state."""

    def on_step(self):
        pass

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.rate = state["rate"]


def test_a_state_as_another_version_had_it_is_refused_and_it_is_said_what_reads_it(whole):
    sealed(whole, b'{"count": 1, "loops": {}, "cbs": {}}')
    with pytest.raises(StateMismatch, match=r"whose learns cannot go on from its state \(KeyError: 'rate'\)\.$"):
        load_checkpoint(whole).into(Learns())
    sealed(whole, versions={"looptree": "0.0.1"})
    with pytest.raises(StateMismatch, match=r"written by looptree 0.0.1.*pip install 'looptree==0.0.1'\.$"):
        load_checkpoint(whole).into(Learns())


NO_STATES = {
    b"5": "cannot go on from its state",
    b"[]": "The state for learns has no 'count', 'loops' and 'cbs'",
    b'{"count": 1}': "The state for learns has no 'loops' and 'cbs'",
    b'{"count": 1, "loops": 5, "cbs": {}}': "cannot go on from its state",
}


@pytest.mark.parametrize("text", NO_STATES)
def test_a_state_of_nothing_that_a_loop_has_is_refused(whole, text):
    sealed(whole, text)
    with pytest.raises(StateMismatch, match=NO_STATES[text]):
        load_checkpoint(whole).into(Learns())


def test_damaged_ones_are_named_and_the_newest_whole_one_is_used(tmp_path):
    for count in range(1, 4):
        loop = Steps()
        loop.count = count - 1
        loop.run(1, cbs=Checkpoint(tmp_path))
    for count in (2, 3):
        (tmp_path / "checkpoints" / f"{count:012d}" / "state.json").unlink()
    with pytest.warns(CheckpointPassedOver) as said:
        assert newest_checkpoint(tmp_path).count == 1
    assert [f"{count:012d} is damaged: state.json cannot be read" in str(said[3 - count].message) for count in (3, 2)]
    assert len(said) == 2
