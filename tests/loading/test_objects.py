"""Objects, classes and modules as plugins, and what is checked of their hooks."""

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from streamclient import PluginError, hookimpl
from streamclient.hookspecs import StreamHooks
from streamclient.plugins import load_plugins
from tests.support.plugins import Final, only, refusal


class TestObjects:
    def test_an_instance_is_a_plugin_named_after_its_class(self) -> None:
        """An object with a hook is loaded as it is."""
        plugin = Final()

        loaded = only(plugin)

        assert loaded.plugin is plugin
        assert (loaded.name, loaded.hooks) == ("Final", frozenset({"on_final"}))

    def test_a_class_is_made(self) -> None:
        """A class whose constructor needs nothing is called."""
        assert isinstance(only(Final).plugin, Final)

    def test_a_class_that_needs_arguments_is_refused(self) -> None:
        """The error names the class and what it needs."""

        class Needy(Final):
            def __init__(self, place: Path) -> None:
                self.place = place

        assert refusal(Needy) == "Plugin 'Needy' needs the option 'place': a path."

    def test_a_class_that_raises_is_refused(self) -> None:
        """What the constructor raised is told and kept as the cause."""

        class Broken(Final):
            def __init__(self) -> None:
                raise LookupError("no microphone")

        with pytest.raises(PluginError, match="'Broken' cannot be made: LookupError: no microphone") as caught:
            load_plugins([Broken])

        assert isinstance(caught.value.__cause__, LookupError)

    def test_a_module_is_a_plugin(self) -> None:
        """Functions of a module are hooks."""
        module = ModuleType("my.module")
        module.on_open = hookimpl(lambda stream: None)  # type: ignore[attr-defined]

        loaded = only(module)

        assert (loaded.name, loaded.hooks) == ("my.module", frozenset({"on_open"}))

    def test_unhashable_and_equal_attrs_plugins_are_two_plugins(self) -> None:
        """Equality of values does not make one plugin of two objects, and no hash is asked for."""

        @attrs.define
        class Valued:
            place: str = "here"

            @hookimpl
            def on_final(self) -> None:
                pass

        first, second = Valued(), Valued()
        assert first == second

        loaded = load_plugins([first, second])

        assert [plugin.name for plugin in loaded] == ["Valued", "Valued-2"]
        assert loaded[0].plugin is first
        assert loaded[1].plugin is second

    def test_the_same_object_twice_is_refused(self) -> None:
        """One object must not be in two threads at once."""
        plugin = Final()

        assert refusal(plugin, plugin) == "The plugin 'Final' is given 2 times. Give one object once."

    @pytest.mark.parametrize("nothing", [object(), None, 3, {}, ModuleType("empty")])
    def test_an_object_without_a_hook_is_refused(self, nothing: object) -> None:
        """The error says so and lists the hooks."""
        text = refusal(nothing)

        assert "is not a plugin: it implements no hook" in text
        assert "on_plugin_error" in text

    def test_one_text_instead_of_a_list_is_refused(self) -> None:
        """A bare name would be taken apart into letters."""
        with pytest.raises(PluginError, match=r"plugins='log' is one text.*plugins=\['log'\]"):
            load_plugins("log")

    def test_no_plugins_are_none(self) -> None:
        """An empty list is fine."""
        assert load_plugins([]) == ()


class TestHookChecks:
    def test_a_misspelt_hook_is_refused_with_the_nearest(self) -> None:
        """The error names the plugin, the wrong hook and the right one."""

        class Typo:
            @hookimpl
            def on_finl(self, result: object) -> None: ...

        assert refusal(Typo()).startswith("Plugin 'Typo': there is no hook 'on_finl'; did you mean 'on_final'?")

    def test_a_misspelt_argument_is_refused_with_the_nearest(self) -> None:
        """The error names the plugin, the hook, the wrong argument and the right one."""

        class Typo:
            @hookimpl
            def on_final(self, stream: object, reslt: object) -> None: ...

        text = refusal(Typo())

        assert text.startswith("Plugin 'Typo': on_final has no argument 'reslt'; did you mean 'result'?")
        assert "It can take any of stream, result." in text

    def test_an_argument_of_another_hook_is_refused(self) -> None:
        """Without anything near, the possible arguments are listed."""

        class Wrong:
            @hookimpl
            def on_open(self, qqq: object) -> None: ...

        assert refusal(Wrong()) == "Plugin 'Wrong': on_open has no argument 'qqq'. It can take any of stream."

    def test_a_hook_without_the_mark_is_refused(self) -> None:
        """A forgotten decorator would be a hook that is silently never called."""

        class Forgot(Final):
            def on_close(self, transcript: object) -> None: ...

        assert refusal(Forgot()) == "Plugin 'Forgot': on_close is not marked as a hook. Put @hookimpl right above it."

    @pytest.mark.parametrize(
        "wrapped", [functools.partial(print), functools.partialmethod(print), functools.cache(print)]
    )
    def test_a_mark_on_what_is_no_function_is_refused(self, wrapped: Any) -> None:
        """It would be a hook that is silently never called."""
        marked = type("Marked", (Final,), {"on_close": hookimpl(wrapped)})

        said = "Plugin 'Marked': on_close is marked as a hook, but is no function. Put @hookimpl right above a def."
        assert refusal(marked()) == said

    def test_a_plugin_may_inherit_from_the_specification(self) -> None:
        """An editor then knows the hooks; those that it leaves out are not its own."""

        class Helped(StreamHooks):
            @hookimpl
            def on_final(self, stream: object, result: object) -> None: ...

        assert only(Helped).hooks == only(Helped()).hooks == {"on_final"}

    def test_an_argument_that_pluggy_would_not_give_is_refused(self) -> None:
        """It would silently keep its default, or fail at every event; an argument of the plugin's own is its matter."""

        class Default:
            @hookimpl
            def on_final(self, result: object, stream: object = None) -> None: ...

        class ByName:
            @hookimpl
            def on_final(self, *, result: object) -> None: ...

        class Own(Final):
            @hookimpl
            def on_open(self, stream: object, begun: str = "now", *rest: object, aloud: bool = False) -> None: ...

        assert refusal(Default()).startswith("Plugin 'Default': on_final would never be given 'stream'. Write it")
        assert refusal(ByName()).startswith("Plugin 'ByName': on_final would never be given 'result'. Write it")
        assert only(Own()).hooks == {"on_open", "on_final"}

    def test_arguments_that_cannot_be_seen_are_refused(self) -> None:
        """A hook is given the arguments it names; a decorator must show those of what it decorates."""

        def careless(function: Any) -> Any:
            return lambda *args, **arguments: function(*args, **arguments)

        def careful(function: Any) -> Any:
            return functools.wraps(function)(careless(function))

        class Hidden:
            @hookimpl
            @careless
            def on_final(self, result: object) -> None: ...

        class Shown:
            @hookimpl
            @careful
            def on_final(self, result: object) -> None: ...

        assert "on_final takes **arguments, and would be given nothing. It can take any of" in refusal(Hidden())
        assert "with functools.wraps" in refusal(Hidden())
        assert only(Shown()).hooks == {"on_final"}

    def test_a_method_without_self_is_refused(self) -> None:
        """It could not be called."""

        class Forgot:
            @hookimpl
            def on_open() -> None: ...  # type: ignore[misc]

        assert refusal(Forgot()).startswith("Plugin 'Forgot': on_open cannot be called: invalid method signature. A")

    def test_static_and_class_methods_are_hooks(self) -> None:
        """The mark stands right above the function."""

        class Selfless:
            @staticmethod
            @hookimpl
            def on_open(stream: object) -> None: ...

            @classmethod
            @hookimpl
            def on_final(cls, result: object) -> None: ...

        assert only(Selfless()).hooks == {"on_open", "on_final"}

    def test_an_async_hook_is_refused(self) -> None:
        """Nobody would await it, or iterate over it."""

        class Async:
            @hookimpl
            async def on_final(self) -> None: ...

        class Iterated:
            @hookimpl
            async def on_final(self) -> object:
                yield

        assert "on_final would never run, because it is async" in refusal(Async())
        assert "on_final would never run, because it is async" in refusal(Iterated())

    def test_a_generator_is_refused(self) -> None:
        """Nobody would iterate over it."""

        class Generator:
            @hookimpl
            def on_final(self) -> object:
                yield

        assert "on_final would never run" in refusal(Generator())

    def test_a_wrapper_without_a_yield_is_refused(self) -> None:
        """What pluggy itself refuses is a plugin error too."""

        class Wrapper:
            @hookimpl(wrapper=True)
            def on_final(self) -> None: ...

        assert refusal(Wrapper()).startswith("Plugin 'Wrapper' is not valid")

    def test_an_optional_hook_of_a_newer_version_is_accepted(self) -> None:
        """``optionalhook`` is how a plugin serves several versions."""

        class Newer(Final):
            @hookimpl(optionalhook=True)
            def on_translation(self, translation: object) -> None: ...

        assert only(Newer()).hooks == {"on_final"}

    @pytest.mark.parametrize("attribute", ["__getattr__", "__getattribute__", "__dir__", "lane_policy"])
    def test_an_object_that_raises_when_it_is_looked_at_is_named(self, attribute: str) -> None:
        """Whatever it does, the error is ours."""

        def answer(_: object, name: str = "dir") -> object:
            if name.startswith("__") and name != "__name__":
                return object.__getattribute__(_, name)
            raise LookupError("nothing here")

        clever = type("Clever", (Final,), {attribute: property(answer) if attribute == "lane_policy" else answer})

        assert refusal(clever()).startswith("Plugin 'Clever'")
        assert "nothing here" in refusal(clever())

    def test_what_is_computed_is_not_read(self) -> None:
        """A property may raise or take its time, and a slot may be empty still, with every pluggy."""

        @attrs.define
        class Lazy(Final):
            connection: object = attrs.field(init=False)

            @property
            def device(self) -> object:
                raise LookupError("no such device")

            @functools.cached_property
            def model(self) -> object:
                raise MemoryError("no room for a model")

        assert only(Lazy()).hooks == {"on_final"}
