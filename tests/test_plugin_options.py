"""A plugin's options: from text, from a table, and every clear error on the way."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclient import PluginError
from streamclient.plugin_options import options_of, parse_options, read_options


class Colour(Enum):
    """An enumeration in an option."""

    RED = "red"
    BLUE = "blue"


@attrs.define
class Everything:
    """A plugin with every kind of option."""

    place: Path
    flag: bool = False
    count: int = 1
    ratio: float = 0.5
    text: str = "hello"
    maybe: float | None = None
    level: Literal["low", "high", 3] = "low"
    colour: Colour = Colour.RED
    tags: tuple[str, ...] = ()
    sizes: list[int] = attrs.Factory(list)
    secret: str = attrs.field(default="", repr=False, metadata={"help": "Signs what is sent."})
    either: int | str = 0
    note: str | None = "x"
    headers: dict[str, str] = attrs.Factory(dict)
    anything: Any = None
    _hidden: int = 0
    computed: int = attrs.field(init=False, default=0)


def read(text: str) -> dict[str, object]:
    """Options as a stream gets them from a text."""
    return read_options("every", Everything, parse_options("every", text))


def refusal(text: str) -> str:
    """The error's text."""
    with pytest.raises(PluginError) as caught:
        read(text)
    return str(caught.value)


class TestText:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("flag=true", True),
            ("flag=No", False),
            ("flag=on", True),
            ("flag=0", False),
            ("count=-3", -3),
            ("ratio=1e-3", 0.001),
            ("ratio=2", 2.0),
            ("text=", ""),
            ("text= spaced out ", "spaced out"),
            ('text=" kept "', " kept "),
            ('text="a,b=c:d"', "a,b=c:d"),
            ('text="say ""hi"""', 'say "hi"'),
            ("text=a=b:c", "a=b:c"),
            ("text=C:\\calls\\x", "C:\\calls\\x"),
            ("maybe=none", None),
            ("maybe=2.5", 2.5),
            ("level=high", "high"),
            ("level=3", 3),
            ("level=HIGH", "high"),
            ("colour=Blue", Colour.BLUE),
            ("colour=blue", Colour.BLUE),
            ("tags=a", ("a",)),
            ("tags=a,tags=b", ("a", "b")),
            ("sizes=1,sizes=2", [1, 2]),
            ("either=5", 5),
            ("note=none", None),
            ("note=nothing", "nothing"),
            ("either=five", "five"),
            ("anything=x", "x"),
            ("hidden=7", 7),
        ],
    )
    def test_a_text_becomes_the_type_of_its_option(self, text: str, value: object) -> None:
        """Every kind of type has one plain way to be written."""
        (name,) = parse_options("every", text)

        options = read("place=here," + text)

        assert options == {"place": Path("here"), name: value}
        assert type(options[name]) is type(value)

    def test_dashes_in_names_are_underscores(self) -> None:
        """As on any command line."""
        assert parse_options("every", "sample-rate=1, existing = append") == {"sample_rate": "1", "existing": "append"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("pace=x", "Plugin 'every' has no option 'pace'; did you mean 'place'? Its options are place, flag,"),
            ("count=1", "Plugin 'every' needs the option 'place': a path."),
            ("place=x,count=many", "Plugin 'every': count='many' is not allowed; allowed is a whole number."),
            ("place=x,count=1.5", "Plugin 'every': count='1.5' is not allowed; allowed is a whole number."),
            ("place=x,flag=maybe", "Plugin 'every': flag='maybe' is not allowed; allowed is true or false."),
            ("place=x,level=mid", "Plugin 'every': level='mid' is not allowed; allowed is low or high or 3."),
            ("place=x,colour=green", "Plugin 'every': colour='green' is not allowed; allowed is red or blue."),
            ("place=x,ratio=nan", "Plugin 'every': ratio='nan' is not allowed; allowed is a number."),
            ("Place=x", "Plugin 'every' has no option 'Place'; did you mean 'place'?"),
            ("PLAEC=x", "Plugin 'every' has no option 'PLAEC'; did you mean 'place'?"),
            ("place=x,maybe=some", "Plugin 'every': maybe='some' is not allowed; allowed is a number or none."),
            ("place=x,count=1,count=2", "Plugin 'every': count=['1', '2'] is not allowed; allowed is a whole number."),
            ("place=x,sizes=a", "Plugin 'every': sizes='a' is not allowed; allowed is a whole number, once or several"),
            ("place=x,headers=a", "Plugin 'every': headers='a' is not allowed; allowed is a dict (in Python only)."),
            ("place", "Plugin 'every': 'place' is not an option with a value. Options are written name=value"),
            ("place=x,flush", "Plugin 'every': 'flush' is not an option with a value."),
            ("=x", "Plugin 'every': '=x' is not an option with a value."),
            (",", "Plugin 'every': '' is not an option with a value."),
            ('place="x', "Plugin 'every': the double quotes of option 'place' are not in pairs"),
            ('place="x"y', "Plugin 'every': the double quotes of option 'place' are not in pairs"),
            ("computed=1", "Plugin 'every' has no option 'computed'"),
        ],
    )
    def test_what_is_wrong_is_named(self, text: str, message: str) -> None:
        """The error names the plugin, the option, the value and what is allowed."""
        assert refusal(text).startswith(message)

    def test_choices_that_differ_by_case_alone_are_told_apart(self) -> None:
        """Where the case decides, it has to be right."""

        def make(size: Literal["s", "S", "m"]) -> None: ...

        assert [read_options("x", make, {"size": size})["size"] for size in ("s", "S", "M")] == ["s", "S", "m"]

    def test_a_secret_is_not_shown(self) -> None:
        """An option with ``repr=False`` keeps its value out of errors."""
        with pytest.raises(PluginError) as caught:
            read_options("every", Everything, {"place": "x", "secret": ["hush"]})

        assert str(caught.value) == "Plugin 'every': secret=... is not allowed; allowed is a text."
        assert caught.value.__cause__ is None

    def test_a_misspelt_reference_to_a_secret_is_told_how_it_is_spelt(self) -> None:
        """A table where there should be a text is one, most of the time."""
        with pytest.raises(PluginError, match=r'allowed is a text\. In a settings file \{env = "NAME"\} or \{file'):
            read_options("every", Everything, {"place": "x", "secret": {"envv": "NAME"}})


class TestTable:
    def test_values_of_a_table_keep_their_types(self) -> None:
        """A TOML table needs no texts."""
        table = {
            "place": "x",
            "flag": True,
            "count": 3,
            "ratio": 1,
            "sizes": [1, 2],
            "headers": {"a": "b"},
            "tags": ["t"],
        }

        assert read_options("every", Everything, table) == {
            "place": Path("x"), "flag": True, "count": 3, "ratio": 1.0, "sizes": [1, 2], "headers": {"a": "b"},
            "tags": ("t",),
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "value"),
        [("flag", 1), ("count", True), ("count", 1.5), ("ratio", True), ("text", 3), ("place", 3), ("sizes", ["x"]),
         ("maybe", False), ("level", 4), ("tags", [1]), ("headers", ["a"])],
    )  # fmt: skip
    def test_a_wrong_type_is_refused(self, name: str, value: object) -> None:
        """True is not 1, and 3 is not a text."""
        with pytest.raises(PluginError, match=f"'every': {name}="):
            read_options("every", Everything, {"place": "x", name: value})


class TestOptionsOf:
    def test_the_fields_of_an_attrs_class_are_its_options(self) -> None:
        """With what a reader needs to set them."""
        shown = {option.name: (option.type, option.default, option.help) for option in options_of(Everything)}

        assert shown == {
            "place": ("a path", None, ""),
            "flag": ("true or false", "false", ""),
            "count": ("a whole number", "1", ""),
            "ratio": ("a number", "0.5", ""),
            "text": ("a text", "hello", ""),
            "maybe": ("a number or none", "none", ""),
            "level": ("low or high or 3", "low", ""),
            "colour": ("red or blue", "red", ""),
            "tags": ("a text, once or several times", "", ""),
            "sizes": ("a whole number, once or several times", "", ""),
            "secret": ("a text", "", "Signs what is sent."),
            "either": ("a whole number or a text", "0", ""),
            "note": ("a text or none", "x", ""),
            "headers": ("a dict (in Python only)", "{}", ""),
            "anything": ("a text", "none", ""),
            "hidden": ("a whole number", "0", ""),
        }

    def test_the_default_of_a_secret_is_not_shown(self) -> None:
        """It may be one."""

        @attrs.define
        class Webhook:
            key: str = attrs.field(default="hush", repr=False)

        (option,) = options_of(Webhook)

        assert option.default == "..."

    def test_the_arguments_of_a_plain_class_or_function_are_its_options(self) -> None:
        """Not every plugin needs attrs."""

        class Plain:
            def __init__(self, path: str, times: int = 2, *args: int, **more: int) -> None: ...

        def make(path: str, *, times: "int" = 2) -> Plain:
            return Plain(path, times)

        for factory in (Plain, make):
            assert [(one.name, one.type, one.default) for one in options_of(factory)] == [
                ("path", "a text", None),
                ("times", "a whole number", "2"),
            ]

    def test_a_dataclass_says_as_much_as_an_attrs_class(self) -> None:
        """Defaults that are made, what its fields do, and which are secrets."""

        @dataclass
        class Standard:
            place: Path
            tags: list[str] = dataclass_field(default_factory=lambda: ["a", "b"])
            key: str = dataclass_field(default="hush", repr=False, metadata={"help": "Signs."})
            computed: int = dataclass_field(default=0, init=False)

        assert [(one.name, one.type, one.default, one.help) for one in options_of(Standard)] == [
            ("place", "a path", None, ""),
            ("tags", "a text, once or several times", "a, b", ""),
            ("key", "a text", "...", "Signs."),
        ]
        with pytest.raises(PluginError, match=r"key=\.\.\. is not allowed"):
            read_options("standard", Standard, {"place": "x", "key": 1})

    def test_a_class_without_a_constructor_has_no_options(self) -> None:
        """And an option given to it is an error that says so."""

        class Bare: ...

        assert options_of(Bare) == ()
        with pytest.raises(PluginError, match=r"Plugin 'bare' has no option 'x'\. It has no options"):
            read_options("bare", Bare, {"x": 1})

    def test_an_annotation_that_cannot_be_looked_up_is_an_error(self) -> None:
        """It names the class and the missing name."""

        @attrs.define
        class Odd:
            place: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - the point of the test

        with pytest.raises(PluginError, match=r"The options of .*Odd.* cannot be understood: name 'Nowhere'"):
            options_of(Odd)


def write(options: dict[str, list[str]]) -> str:
    """Options as text, the way the manual says."""
    quote = '"'
    pairs = [(name, value.replace(quote, quote * 2)) for name, values in options.items() for value in values]
    return ",".join(f'{name}="{value}"' for name, value in pairs)


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(st.dictionaries(NAMES, st.lists(st.text(), min_size=1, max_size=3), max_size=4))
def test_option_texts_round_trip(options: dict[str, list[str]]) -> None:
    """Any text can be the value of an option, between double quotes."""
    parsed = parse_options("plugin", write(options))

    assert parsed == {name: values[0] if len(values) == 1 else values for name, values in options.items()}


@given(st.text())
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    """No option text raises anything but a plugin error."""
    try:
        parse_options("plugin", text)
    except PluginError as error:
        assert "plugin" in str(error)  # noqa: PT017 - either way is right


@given(st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(Colour))
def test_typed_values_round_trip(flag: bool, count: int, ratio: float, colour: Colour) -> None:
    """A value written as Python writes it comes back as it was."""
    text = f"place=x,flag={str(flag).lower()},count={count},ratio={ratio!r},colour={colour.value}"

    assert read(text) == {"place": Path("x"), "flag": flag, "count": count, "ratio": ratio, "colour": colour}
