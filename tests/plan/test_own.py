"""Processors of a user's own in the file: what is wrong with one is said, with its line, at the start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import tests.own
from tests.own import Shorten

from ajolo_fanout.config import processors as reading
from ajolo_fanout.config.document import parse
from ajolo_fanout.errors import ConfigError
from ajolo_fanout.plan import own as loading
from ajolo_fanout.plan.model import Plan
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.steps.processors import OwnSettings

TOP = 'schema = 1\n[service]\nname = "x"\n[backends.a]\ntype = "console"\n'


def plan_of(table: str, environ: dict[str, str] | None = None, *, above: str = "", **options: Any) -> Plan:
    text = f"{TOP}{above}\n[[backends.a.processors]]\n{table}\n"
    return resolve(parse(text, "t.toml"), environ or {}, **options)


def problems_of(table: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan_of(table, environ)
    return [str(problem) for problem in caught.value.problems]


def settings_of(plan: Plan) -> OwnSettings:
    [made] = plan["a"].settings.processors
    assert isinstance(made, OwnSettings)
    return made


TYPE = "t.toml:8: backends.a.processors[0].type: "

WRONG = {
    'type = "tests.own:uper"': TYPE + 'there is no uper in tests.own; did you mean "upper"?',
    'type = "tests.own:Shorten.nothing"': TYPE + "there is no nothing in tests.own; callable there: ",
    'type = "tests.owns:upper"': TYPE + 'there is no module tests.owns; did you mean "own"?',
    'type = "no_such_package_at_all.here:x"': TYPE
    + "there is no module no_such_package_at_all where Python looks (sys.path); is its package installed, or "
    "its folder on PYTHONPATH?",
    'type = "tests.own.upper"': TYPE + 'one of your own is written with a colon: "tests.own:upper"',
    'type = "tests.own:"': TYPE + 'this is no "package.module:Name"',
    'type = ":upper"': TYPE + 'this is no "package.module:Name"',
    'type = "tests.own:number"': TYPE
    + "tests.own:number is of type int; a processor is a function, or a class whose objects are called",
    'type = "tests.own:NotCallable"': TYPE
    + "NotCallable has no __call__(self, draft), so what it makes is no processor",
    'type = "tests.own:WantsMore"': TYPE
    + "its __call__ can't be called with a draft alone: missing a required argument: 'more'",
    'type = "tests.own:takes_nothing"': TYPE
    + "it is called with a draft, and takes none; write `def name(draft): …`",
    'type = "tests.own:is_async"': TYPE + "a processor is a plain function, and this one is `async def`",
    'type = "tests.own:yields"': TYPE + "a processor is a plain function, and this one yields",
    'type = "tests.own:upper"\nlimit = 5': "t.toml:9: backends.a.processors[0].limit: unknown key; this "
    "processor has no keys but `match`",
    'type = "tests.own:stamp"\ntimez = 5': "t.toml:9: backends.a.processors[0].timez: unknown key; did you "
    'mean "times"?',
    'type = "tests.own:Shorten"': "t.toml:7: backends.a.processors[0].limit: this processor needs the key "
    "`limit`",
    'type = "tests.own:Shorten"\nlimit = 0\nnames = ["hush"]': "t.toml:7: backends.a.processors[0]: it can't "
    "be made of these keys: ValueError: limit is to be at least 1, and ['***'] are the names (",
    'type = "tests.own:upper"\nmatch = { nam = "x" }': "t.toml:9: backends.a.processors[0].match.nam: "
    'unknown key; did you mean "name"?',
}


@pytest.mark.parametrize("table", WRONG)
def test_what_is_wrong_is_said_with_line_and_key_and_the_nearest_that_works(table: str) -> None:
    [problem] = problems_of(table)
    assert problem.startswith(WRONG[table])
    assert "Traceback" not in problem


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems_of(
        'type = "tests.own:Shorten"\nlimt = 5\n[[backends.a.processors]]\ntype = "tests.own:uper"\n'
        '[[backends.a.processors]]\ntype = "renam"'
    )
    assert [problem.split(": ")[1] for problem in found] == [
        "backends.a.processors[0].limit",
        "backends.a.processors[0].limt",
        "backends.a.processors[1].type",
        "backends.a.processors[2].type",
    ]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module called `users_module`, to be written."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "users_module.py"
    sys.modules.pop("users_module", None)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import not_there_at_all\n", "importing users_module failed: No module named 'not_there_at_all'"),
        ("from os import nothing_such\n", "importing users_module failed with ImportError: cannot import"),
        ("def broken(:\n", "importing users_module failed with SyntaxError: invalid syntax"),
        ("1 / 0\n", "importing users_module failed with ZeroDivisionError ("),
        ("import sys\nsys.exit('bye')\n", "importing users_module failed with SystemExit ("),
    ],
)
def test_a_module_that_fails_to_be_imported_is_a_mistake_of_the_file(
    module: Path, code: str, said: str
) -> None:
    """With what went wrong and where, and never as what it raised."""
    module.write_text(code, encoding="utf-8")
    [problem] = problems_of('type = "users_module:Name"')
    assert problem.startswith(TYPE + said)


def test_a_class_is_made_once_from_the_tables_keys() -> None:
    tests.own.made.clear()
    made = settings_of(plan_of('type = "tests.own:Shorten"\nlimit = 5\nnames = ["a", "b"]'))
    assert made.loaded is not None
    call = made.loaded.call
    assert isinstance(call, Shorten)
    assert (call.limit, call.names) == (5, ["a", "b"])
    assert tests.own.made == ["Shorten"]


def test_keys_are_plain_values_variables_included() -> None:
    """A user's code gets strings, lists and dicts, and nothing of ours."""
    plan = plan_of(
        'type = "tests.own:stamp"\ntext = "${TEXT}"\ntimes = 2\nmatch = { name = "x" }', {"TEXT": "abcd"}
    )
    made = settings_of(plan)
    assert made.options == {"text": "abcd", "times": 2}
    assert {type(value) for value in made.options.values()} == {str, int}
    assert made.match is not None


def test_texts_of_its_keys_are_not_shown() -> None:
    """Nobody knows which of them is a secret: not in the plan, nor its JSON, nor in what its class raises."""
    plan = plan_of('type = "tests.own:stamp"\ntext = "${TEXT}"\ntimes = 2', {"TEXT": "hunter2"})
    shown = plan.to_dict()["backends"][0]["processors"]
    assert shown == [{"type": "tests.own:stamp", "text": "***", "times": 2, "match": None}]
    assert "tests.own:stamp: text" in str(plan)
    assert "hunter2" not in str(plan)
    [problem] = problems_of('type = "tests.own:Shorten"\nlimit = 0\nnames = ["${TEXT}"]', {"TEXT": "hunter2"})
    assert "hunter2" not in problem


def test_nothing_is_imported_for_a_backend_that_is_off(module: Path) -> None:
    """Its package may not be there, on the machine where it is off; what can be read is still checked."""
    module.write_text("raise AssertionError\n", encoding="utf-8")
    other = '[backends.b]\ntype = "console"\n'
    text = f'{other}\n[backends.a2]\ntype = "console"\nenabled = false'
    text += '\nprocessors = [{ type = "users_module:x" }]'
    plan = resolve(parse(f"{TOP}{text}\n", "t.toml"), {})
    assert [off.name for off in plan.off] == ["a2"]
    assert "users_module" not in sys.modules
    with pytest.raises(ConfigError, match="did you mean"):
        resolve(parse(TOP + text.replace("users_module:x", "renam"), "t.toml"), {})


def test_a_tolerant_plan_leaves_that_backend_out(module: Path) -> None:
    module.write_text("1 / 0\n", encoding="utf-8")
    plan = plan_of('type = "users_module:x"\n[backends.b]\ntype = "console"', tolerant=True)
    assert [backend.name for backend in plan.backends] == ["b"]
    assert plan.off[0].name == "a"


def test_a_type_from_an_unset_variable_is_reported_once() -> None:
    [problem] = problems_of('type = "${PROCESSOR}"')
    assert "PROCESSOR" in problem


# Entry points.


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names that installed packages register, as name -> what they lead to; to be filled."""
    found: dict[str, str] = {}

    def entry_points(*, group: str, name: str | None = None) -> EntryPoints:
        points = [
            EntryPoint(one.partition("#")[0], value, group)
            for one, value in found.items()
            if group == "ajolo_fanout.processors" and name in (None, one.partition("#")[0])
        ]
        return EntryPoints(points)

    monkeypatch.setattr(reading, "entry_points", entry_points)
    monkeypatch.setattr(loading, "entry_points", entry_points)
    return found


def test_a_name_that_a_package_registers_is_a_type(registered: dict[str, str]) -> None:
    registered["shorten"] = "tests.own:Shorten"
    made = settings_of(plan_of('type = "shorten"\nlimit = 3'))
    assert made.type == "shorten"
    assert made.loaded is not None
    assert isinstance(made.loaded.call, Shorten)


def test_registered_names_are_among_those_offered(registered: dict[str, str]) -> None:
    registered["shorten"] = "tests.own:Shorten"
    [problem] = problems_of('type = "shortn"')
    assert 'did you mean "shorten"?' in problem


def test_a_built_in_name_cannot_be_taken(registered: dict[str, str]) -> None:
    registered["set"] = "tests.own:raises"
    [made] = plan_of('type = "set"\nattributes = { a = 1 }')["a"].settings.processors
    assert type(made).__name__ == "SetSettings"


def test_a_name_that_two_packages_register_is_told_apart_by_its_path(registered: dict[str, str]) -> None:
    registered |= {"shorten": "tests.own:Shorten", "shorten#2": "tests.own:upper"}
    [problem] = problems_of('type = "shorten"')
    assert 'register a processor of this name; write "package.module:Name"' in problem


def test_an_entry_point_to_a_module_is_none(registered: dict[str, str]) -> None:
    registered["whole"] = "tests.own"
    [problem] = problems_of('type = "whole"')
    assert "registers a module of this name, and no function or class in it" in problem


def test_two_of_the_same_text_never_share_a_shape() -> None:
    """What is in them may keep state."""
    text = TOP + 'processors = [{ type = "tests.own:upper" }]\n[backends.b]\ntype = "console"\n'
    plan = resolve(parse(text + 'processors = [{ type = "tests.own:upper" }]\n', "t.toml"), {})
    assert plan["a"].steps.shape != plan["b"].steps.shape
    assert plan["a"].steps.shape.own
    assert plan["a"].steps.shape == plan["a"].steps.shape
