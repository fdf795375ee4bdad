"""Directives that make parts of the manual from the code itself, so that they cannot disagree with it."""

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

import attrs
import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import streamclient
from streamclient import server
from streamclient.cli import COMMANDS, main
from streamclient.core.protocol import TRANSITIONS
from streamclient.plugin_hooks import ROUTES
from streamclient.plugin_options import PluginOption
from streamclient.plugins import FoundPlugin, find_plugins
from streamclient.server import engines
from streamclient_plugins.metrics.ledger import HISTOGRAMS, SUMS

Rows = Sequence[Sequence[str]]


def public_homes() -> None:
    """Let every public name say that it lives where users import it from."""
    for home in (streamclient, server, engines):
        for name in home.__all__:
            value = getattr(home, name)
            # In Python 3.10 an alias like ``ndarray[...]`` passes for a class.
            if (inspect.isclass(value) or inspect.isfunction(value)) and not isinstance(value, GenericAlias):
                value.__module__ = home.__name__


def shorten_signature(
    app: Sphinx,  # noqa: ARG001
    what: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    value: object,
    options: object,  # noqa: ARG001
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Show the defaults of attrs classes; leave to tables and docstrings what would be longer than they are."""
    if inspect.isclass(value) and (issubclass(value, BaseException) or getattr(value, "_is_protocol", False)):
        return "", None
    if not (inspect.isclass(value) and attrs.has(value)):
        return signature, re.sub(r"\[[^][]*\bClosed\]", "[Event]", returns or "") or None
    fields = attrs.fields_dict(value)
    if has_table(value):
        return "(**options)", None
    return re.sub(
        r"attr_dict\['(\w+)'\]\.default", lambda match: repr(fields[match[1]].default), signature or ""
    ), returns


def has_table(value: object) -> bool:
    """Whether the fields of a class are shown by `OptionsTable`."""
    return isinstance(value, type) and attrs.has(value) and "allowed" in attrs.fields(value)[0].metadata


def leave_to_table(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    """Cut the arguments that stand in a table below."""
    if has_table(obj):
        del lines[lines.index("Args:") :]


def arguments_of(owner: type) -> dict[str, str]:
    """What the docstring of a class says about each argument."""
    section = inspect.cleandoc(owner.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join((about[0].upper() + about[1:]).split()) for name, about in found}


def keep_colons(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    """Napoleon takes what stands before a colon in a property's docstring for its type: show it a dash."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", " - ")


def list_table(head: Sequence[str], rows: Rows, widths: str) -> list[str]:
    """A table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        for mark, cell in zip("*" + " " * len(row), row, strict=False):
            first, *more = (cell or "-").splitlines()
            lines += [f"   {mark} - {first}", *(f"       {line}" for line in more)]
    return lines


def type_name(annotation: Any) -> str:
    """A type as a reader would write it."""
    shown = inspect.formatannotation(annotation)
    shown = re.sub(r"\b(?:[a-z_]+\.)+([A-Z])", r"\1", shown)
    return shown.replace("bool | int | float | str | list[bool | int | float | str]", "QueryValue")


def find(name: str) -> Any:
    """What a dotted name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


class FromCode(SphinxDirective):
    """A directive whose content is made by `lines`, in reStructuredText."""

    required_arguments = 0
    optional_arguments = 8

    def run(self) -> list[nodes.Node]:
        """Make the content and parse it, at every build: the code may have changed where the page has not."""
        self.env.note_reread()
        holder = nodes.container()
        source = StringList(list(self.lines()), self.get_source_info()[0])
        self.state.nested_parse(source, self.content_offset, holder)
        return holder.children

    def lines(self) -> Iterator[str]:
        """The content."""
        raise NotImplementedError


class OptionsTable(FromCode):
    """``options-table:: streamclient.ListenOptions``: every field with its meaning and what is allowed."""

    def lines(self) -> Iterator[str]:
        """One row for each field."""
        owner = find(self.arguments[0])
        fields = attrs.fields_dict(owner)
        rows = [
            (f"``{name}``", f"``{type_name(fields[name].type)}``", about, fields[name].metadata["allowed"])
            for name, about in arguments_of(owner).items()
        ]
        yield from list_table(("Option", "Type", "Meaning", "Allowed"), rows, "18 18 38 26")


def first_party() -> list[FoundPlugin]:
    """The plugins that come with streamclient, by name."""
    return [plugin for plugin in find_plugins() if plugin.distribution == "streamclient"]


def link_to(plugin: FoundPlugin, text: str) -> str:
    """To the page of a plugin: of its name, or of its module's where several share one."""
    module = plugin.origin.partition(":")[0].rpartition(".")[2]
    own = (Path(__file__).parents[1] / "plugins" / f"{plugin.name}.md").exists()
    return f":doc:`{text} </plugins/{plugin.name if own else module}>`"


def plugin_options(plugin: FoundPlugin) -> Iterator[str]:
    """A table of a plugin's options."""
    rows = [(f"``{option.name}``", option.type, default_of(option), option.help) for option in plugin.options]
    yield from list_table(("Option", "Takes", "Default", "Meaning"), rows, "15 20 20 45")
    yield ""


def default_of(option: PluginOption) -> str:
    """What an option is where nobody gives it, as it would be written."""
    if option.default is None:
        return "required"
    return f"``{option.default}``" if option.default else "nothing"


class PluginTable(FromCode):
    """``plugin-table::``: the first-party plugins with their options; with names, the options of these plugins."""

    def lines(self) -> Iterator[str]:
        """A heading's worth of text and a table for each plugin."""
        known = {plugin.name: plugin for plugin in first_party()}
        for name in self.arguments:
            yield from plugin_options(known[name])
        for plugin in known.values() if not self.arguments else ():
            yield from (f"**{plugin.name}**", "", f"{plugin.description} {link_to(plugin, 'More')}", "")
            yield from plugin_options(plugin)


class PluginGallery(FromCode):
    """``plugin-gallery::``: the first-party plugins, a line for each."""

    def lines(self) -> Iterator[str]:
        """A table."""
        rows = [(link_to(plugin, plugin.name), plugin.description) for plugin in first_party()]
        yield from list_table(("Plugin", "What it does"), rows, "20 80")


class CommandHelp(FromCode):
    """``command-help:: transcribe``: what ``--help`` prints; without a name that of the whole program."""

    def lines(self) -> Iterator[str]:
        """A literal block."""
        command: click.Command = main
        context = main.make_context("streamclient", [], resilient_parsing=True)
        for name in self.arguments:
            found = command.get_command(context, name) if isinstance(command, click.Group) else None
            assert found is not None, f"there is no command {name}"
            command, context = found, found.make_context(name, [], parent=context, resilient_parsing=True)
        context.terminal_width = 90
        yield from (".. code-block:: text", "", f"   $ {context.command_path} --help", "")
        yield from (f"   {line}" for line in command.get_help(context).splitlines())


class CommandList(FromCode):
    """``command-list::``: the commands, a line for each."""

    def lines(self) -> Iterator[str]:
        """A table."""
        yield from list_table(("Command", "What it does"), [(f"``{k}``", v) for k, v in COMMANDS.items()], "25 75")


class MetricsTable(FromCode):
    """``metrics-table::``: what the plugin ``metrics`` measures."""

    def lines(self) -> Iterator[str]:
        """One row for each metric."""
        rows = [
            (
                f"``{metric.name}``",
                "counter" if metric.kind == "counter" else "gauge",
                metric.unit,
                metric.about,
                ", ".join(metric.labels),
            )
            for metric in SUMS
        ]
        rows += [(f"``{metric.name}``", "histogram", "s", metric.about, "deepgram.model") for metric in HISTOGRAMS]
        yield from list_table(("Metric", "Kind", "Unit", "Meaning", "Told apart by"), rows, "30 10 10 35 15")


class RouteTable(FromCode):
    """``route-table::``: which event becomes which hook."""

    def lines(self) -> Iterator[str]:
        """One row for each hook."""
        rows = [(", ".join(self.link(event) for event in route.events), f"``{route.hook}``") for route in ROUTES]
        yield from list_table(("Event", "Hook"), rows, "70 30")

    def link(self, event: type) -> str:
        """To its entry in the reference, for a public one."""
        mark = "`" if event.__name__ in streamclient.__all__ else "``"
        return f"{mark}{event.__name__}{mark}"


class PublicClasses(FromCode):
    """``public-classes:: module [name ...]``: the public classes of a module, or those of these names."""

    optional_arguments = 20

    def lines(self) -> Iterator[str]:
        """An ``autoclass`` for each."""
        module, *names = self.arguments
        for name in names or self._names(importlib.import_module(module)):
            is_error = issubclass(getattr(streamclient, name), Exception)
            yield f".. {'autoexception' if is_error else 'autoclass'}:: streamclient.{name}"
            yield from ("   :members:", *["   :show-inheritance:"] * is_error, "")

    @staticmethod
    def _names(module: ModuleType) -> list[str]:
        public = {name: vars(module)[name] for name in module.__all__ if name in streamclient.__all__}
        return [name for name in sorted(public, key=list(vars(module)).index) if inspect.isclass(public[name])]


class TransitionTable(FromCode):
    """``transition-table::``: the state machine as a table."""

    def lines(self) -> Iterator[str]:
        """One row for each transition."""
        rows = [
            (f"``{state.name}``", event, f"``{target.name}``")
            for state, steps in TRANSITIONS.items()
            for event, target in steps.items()
        ]
        yield from list_table(("In state", "on", "it becomes"), rows, "25 50 25")


def thread_rows(modules: Sequence[str]) -> list[tuple[str, str, str]]:
    """The rows of the ownership tables in the docstrings of these modules."""
    return [row for module in modules for row in _rows_of(importlib.import_module(module).__doc__ or "")]


def _rows_of(docstring: str) -> Iterator[tuple[str, str, str]]:
    _, head, body, *_ = re.split(r"^=+ +=+ +=+$\n", docstring, flags=re.MULTILINE)
    starts = [head.index(word) for word in ("thread", "owns", "never")]
    row: list[str] = []
    for line in body.splitlines():
        cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        if cells[0] and row:
            yield row[0], row[1], row[2]
        row = cells if cells[0] else [f"{old} {new}".strip() for old, new in zip(row, cells, strict=True)]
    yield row[0], row[1], row[2]


class ThreadTable(FromCode):
    """``thread-table:: module ...``: the ownership tables of these modules, as one."""

    def lines(self) -> Iterator[str]:
        """One row for each thread."""
        yield from list_table(("Thread", "Owns alone", "Never does"), thread_rows(self.arguments), "16 42 42")


class Drawing(SphinxDirective):
    """A directive that draws."""

    optional_arguments = 8

    def run(self) -> list[nodes.Node]:
        """The picture as part of the page."""
        return [nodes.raw("", f'<figure class="drawn">{self.draw()}</figure>', format="html")]

    def draw(self) -> str:
        """The picture in SVG."""
        raise NotImplementedError


STATE_PLACES = {
    "NEW": (90, 60),
    "CONNECTING": (90, 200),
    "OPEN": (90, 380),
    "RECONNECTING": (90, 540),
    "CLOSING": (560, 290),
    "CLOSED": (770, 60),
    "FAILED": (770, 540),
}
"""Where the centre of each state's box lies; a state without a place fails the build."""

LABEL_AT = {"FAILED": 0.62}
"""How far along an arrow to a state its labels stand, so that they do not meet those of the arrows it crosses."""

BOX = (150, 44)


class StateDiagram(Drawing):
    """``state-diagram::``: the state machine as a picture, drawn from its table."""

    def draw(self) -> str:
        """Boxes, and an arrow for each pair of states, with all that leads along it."""
        arrows: dict[tuple[str, str], list[str]] = {}
        for state, steps in TRANSITIONS.items():
            for event, target in steps.items():
                arrows.setdefault((state.name, target.name), []).append(event)
        known = {state.name for state in TRANSITIONS}
        parts = [
            _arrow(STATE_PLACES[a], STATE_PLACES[b], labels, LABEL_AT.get(b, 0.4), aside=40 if (b, a) in arrows else 0)
            for (a, b), labels in arrows.items()
        ]
        parts += [_box(STATE_PLACES[name], BOX, name) for name in sorted(known)]
        return _svg(880, 60 + max(STATE_PLACES[name][1] for name in known), parts, "States of a stream")


THREAD_PLACES = {"caller": (110, 60), "sender": (440, 60), "receiver": (440, 220), "a lane": (110, 220)}
FLOW = (
    ("caller", "sender", ("accepted audio,", "control messages")),
    ("sender", "server", ("frames",)),
    ("server", "receiver", ("messages",)),
    ("receiver", "a lane", ("events",)),
    ("caller", "a lane", ("accepted audio,", "for on_audio")),
)


class ThreadDiagram(Drawing):
    """``thread-diagram:: module ...``: who hands what to whom; the threads are those of the ownership tables."""

    def draw(self) -> str:
        """Boxes and arrows."""
        threads = {row[0] for row in thread_rows(self.arguments)}
        missing = set(THREAD_PLACES) - threads
        if missing:
            raise self.error(f"the ownership tables know no thread {', '.join(sorted(missing))}")
        places = {**THREAD_PLACES, "server": (770, 140)}
        parts = [_arrow(places[a], places[b], labels) for a, b, labels in FLOW]
        parts += [_box(place, BOX, name) for name, place in places.items()]
        return _svg(880, 280, parts, "Threads of a stream")


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    head = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 10 5 0 10z" fill="currentColor"/></marker></defs>'
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{head}{"".join(parts)}</svg>'
    )


def _box(centre: tuple[int, int], size: tuple[int, int], text: str) -> str:
    (x, y), (width, height) = centre, size
    return (
        f'<rect x="{x - width / 2}" y="{y - height / 2}" width="{width}" height="{height}" rx="8"/>'
        f'<text class="name" x="{x}" y="{y + 5}">{escape(text)}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], labels: Sequence[str], at: float = 0.5, aside: int = 0) -> str:
    """An arrow with its labels ``at`` a fraction of its way; beside the opposite one where there is one."""
    (x1, y1), (x2, y2) = _edge(start, end), _edge(end, start)
    x1, x2 = (x + aside * (1 if end[1] > start[1] else -1) for x in (x1, x2))
    x, y = x1 + (x2 - x1) * at, y1 + (y2 - y1) * at - 8 * (len(labels) - 1)
    texts = "".join(f'<text x="{x}" y="{y + 16 * n - 4}">{escape(label)}</text>' for n, label in enumerate(labels))
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" marker-end="url(#tip)"/>{texts}'


def _edge(inside: tuple[int, int], towards: tuple[int, int]) -> tuple[float, float]:
    """Where the line from the middle of a box leaves it."""
    (x, y), (dx, dy) = inside, (towards[0] - inside[0], towards[1] - inside[1])
    shrink = min(
        (BOX[0] / 2 + 2) / abs(dx) if dx else float("inf"),
        (BOX[1] / 2 + 2) / abs(dy) if dy else float("inf"),
    )
    return x + dx * shrink, y + dy * shrink


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    public_homes()
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-docstring", leave_to_table, priority=400)
    app.add_directive("options-table", OptionsTable)
    app.add_directive("plugin-gallery", PluginGallery)
    app.add_directive("plugin-table", PluginTable)
    app.add_directive("command-help", CommandHelp)
    app.add_directive("command-list", CommandList)
    app.add_directive("metrics-table", MetricsTable)
    app.add_directive("route-table", RouteTable)
    app.add_directive("public-classes", PublicClasses)
    app.add_directive("transition-table", TransitionTable)
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("thread-table", ThreadTable)
    app.add_directive("thread-diagram", ThreadDiagram)
    return {"parallel_read_safe": True}
