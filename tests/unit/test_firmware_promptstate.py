"""Saving and loading the prompt: at any cut of the input the rest comes out the same; bad states are refused."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace

import pytest
from firmware_support import FakeHost, Session

from emulator.errors import StateError
from emulator.firmware.prompt import Prompt
from emulator.firmware.promptstate import load_prompt, save_prompt
from emulator.firmware.variables import Variables

SCRIPT = (
    b"1 2 3 .s\r: sum ( n -- n )\r0 swap 0 do i + loop\r; 5 sum .\rvariable v 7 v ! v ?\rdecimal 10 . hex\r"
    b": cnt create , does> dup @ 1+ dup rot ! ; 3 cnt c c . c .\rdefer d ' 1+ to d 4 d .\ralias plus +\r"
    b"key emit\rXkey key + .\rabdevalias mine /cpu@1\rcd mine pwd\rsetenv boot-file -s\rshow-disks\rbdevalias z \x19\r"
    b"nvedit\rdevalias q /cpu@0\r\x10\x0bnew\x03nvstore printenv nvramrc\rpassword\rsecret\rsecret\rlogin\r"
    b": odd begin 1- dup 0> while i drop repeat ; nosuch\r\x10\x10\x01\x0b\x19\r\x1b[A\x1b[A\x0cxx\x17\b\r\x15"
    b"3 0 do i . key emit\rloop\ruvw\" text\" type\r' odd catch .\r5 0 do 3 0 do i j * . loop loop\r"
    b"see sum\rwords\rforget v\r.s\r"
    b"<# 41 u# hold \r5 u#s u#> type\rcreate buf 20 allot buf 20 41 fill buf 4 type\r"
    b": deep 0 2 do i . -1 +loop ; deep\r"
    b"7 case 6 of 1 endof\r7 of 2 endof endcase .\r1 if\r2 else 3\rthen .\r3 0 do i\rj loop\rboot disk -s\r"
)  # fmt: skip


def person(state: object = None, variables: dict[str, str] | None = None) -> Session:
    """A session, perhaps from a saved state."""
    made = Session(FakeHost(Variables(variables)))
    if state is not None:
        load_prompt(made.prompt, state)
    else:
        made.prompt.enter()
    return made


def played(data: bytes, cuts: list[int], *, reload: bool) -> tuple[str, list[object], object]:
    """Output, actions and last state of a script; with `reload` every cut goes through a saved state."""
    one, out, actions = person(), "", []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        out += one.type(data[start:end])
        actions += one.actions
        one.actions.clear()
        if reload:
            state = json.loads(json.dumps(save_prompt(one.prompt)))
            one = person(state, one.host.variables.save())
            assert save_prompt(one.prompt) == state
    return out, actions, save_prompt(one.prompt)


def test_saving_at_every_key_changes_nothing() -> None:
    whole = played(SCRIPT, [], reload=False)
    for text in ("1 2 3 \n", "] ", "Retype new password: ", "has been selected", "\n1: ", "nosuch ?", "\n4 5 \n"):
        assert text in whole[0]
    assert len(whole[1]) == 1
    assert played(SCRIPT, list(range(1, len(SCRIPT), 1)), reload=True) == whole


def test_saving_at_random_cuts_changes_nothing() -> None:
    seed = 7
    print("seed", seed)
    rng = random.Random(seed)
    whole = played(SCRIPT, [], reload=False)
    for _ in range(10):
        cuts = sorted(rng.sample(range(1, len(SCRIPT)), 12))
        assert played(SCRIPT, cuts, reload=True) == whole
        assert played(SCRIPT, cuts, reload=False) == whole


def test_saving_between_steps_of_a_program_changes_nothing() -> None:
    text = b': f dup 2 < if drop 1 else dup 1- recurse swap 2- recurse + then ; 9 f .d " 3 4 + ." evaluate\r'
    straight = person()
    expected = straight.type(text)
    one, out, rounds = person(), "", 0
    one.prompt.forth.keys += text
    while one.prompt.busy:
        one.prompt.run(7)
        out += one.shown()
        one = person(json.loads(json.dumps(save_prompt(one.prompt))))
        rounds += 1
    assert out == expected
    assert "55 7 " in out
    assert rounds > 50


def test_saving_while_a_dialog_asks_and_time_runs() -> None:
    secured = {"security-mode": "full", "security-password": "pw"}
    one = person(variables=secured)
    one.shown()
    one.type("boot disk\r".replace("\r", "\n"))
    two = person(save_prompt(one.prompt), secured)
    two.type("p")
    three = person(save_prompt(two.prompt), secured)
    three.type("w\n")
    assert len(three.actions) == 1
    four = person(save_prompt(one.prompt), secured)
    four.type("bad\n")
    five = person(save_prompt(four.prompt), secured)
    assert not five.prompt.busy
    five.host.clock = 10_000
    assert five.type("") == "> "


def _paths(value: object, path: tuple = ()) -> list[tuple]:
    """The place of every leaf and container of a state."""
    out = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            out += _paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:40]):
            out += _paths(item, (*path, index))
    return out


JUNK = [None, -1, 1 << 64, 1 << 200, 3.5, "x", "\u1234", "ff" * 10, [], {}, [None], True, 99, "word", ["word", -5],
        {"kind": "code"}, "z" * 70_000, list(range(5000))]  # fmt: skip


def test_damaged_states_are_refused_or_harmless() -> None:
    """Whatever stands in a state: loading says StateError or takes it, and a prompt that took it goes on living."""
    seed = 11
    print("seed", seed)
    rng = random.Random(seed)
    states = []
    for cut in (40, 200, 330, 420, 560, 700, len(SCRIPT) - 12):
        one = person()
        one.type(SCRIPT[:cut])
        states.append(json.loads(json.dumps(save_prompt(one.prompt))))
    taken = refused = 0
    for _ in range(1200):
        state = copy.deepcopy(rng.choice(states))
        path = rng.choice(_paths(state)[1:])
        holder = state
        for step in path[:-1]:
            holder = holder[step]
        if rng.random() < 0.2 and isinstance(holder, dict):
            del holder[path[-1]]
        else:
            holder[path[-1]] = rng.choice(JUNK)
        fresh = Session(FakeHost(), line_steps=3000)
        try:
            load_prompt(fresh.prompt, state)
        except StateError:
            refused += 1
            continue
        taken += 1
        fresh.type(b"\r q\r : x 1 ; x . words\r .s see sum forget sum\r c c . d . mine sum\r")
        save_prompt(fresh.prompt)
    assert refused > 300
    assert taken > 50


@pytest.mark.parametrize("state", [None, 5, [], {}, "x", {"forth": {}}])
def test_no_state_at_all(state: object) -> None:
    prompt = Prompt(FakeHost())
    with pytest.raises(StateError):
        load_prompt(prompt, state)


@pytest.mark.parametrize("typed", ["boot disk -s", "go", "reset-all", "power-off"])
def test_saving_between_a_command_and_its_action(typed: str) -> None:
    one = person()
    one.host.shown = replace(one.host.shown, can_go=True)
    one.prompt.forth.keys += typed.encode() + b"\r"
    while one.prompt.action is None:
        assert one.prompt.run(1) is None
    state = json.loads(json.dumps(save_prompt(one.prompt)))
    two = person(state)
    assert two.prompt.busy
    assert two.prompt.run() == one.prompt.run() is not None
    assert not two.prompt.active


def test_aliases_made_by_hand_come_back_with_the_state() -> None:
    one = person()
    one.type("devalias mine /cpu@1\n")
    two = person(save_prompt(one.prompt))
    assert two.host.tree.expand("mine") == "/cpu@1"
    bad = save_prompt(one.prompt)
    bad["aliases"] = [["no/name", "/x"]]
    with pytest.raises(StateError):
        person(bad)
