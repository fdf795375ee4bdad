"""What is shipped, and what importing it costs."""

import configparser
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, requires, version
from pathlib import Path

import pytest

import streamclient

ROOT = Path(__file__).parents[1]
SOURCES = {"streamclient": ROOT, "streamclient_plugins": ROOT / "plugins"}
BASE = {"attr", "attrs", "pluggy", "streamclient", "websocket"}
"""What may be imported besides the standard library by ``import streamclient``."""


def packages_on_disk() -> list[str]:
    """Dotted names of the packages in both source roots."""
    return sorted(
        ".".join(module.parent.relative_to(source).parts)
        for name, source in SOURCES.items()
        for module in (source / name).rglob("__init__.py")
    )


def setup_cfg() -> configparser.ConfigParser:
    """The packaging's own settings."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def run_python(code: str) -> list[str]:
    """Run code in a bare interpreter, without what ``.pth`` files import, and return the words it prints."""
    path = f"import sys; sys.path[:] = {[str(ROOT), str(ROOT / 'plugins'), *sys.path]}; "
    command = [sys.executable, "-I", "-S", "-c", path + code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_every_package_on_disk_is_listed() -> None:
    """setup.cfg lists exactly the packages there are."""
    listed = setup_cfg()["options"]["packages"].split()

    assert sorted(listed) == packages_on_disk()


def test_typed_packages_ship_their_marker() -> None:
    """Both packages carry py.typed and setup.cfg ships it, and the page of the local server."""
    shipped = setup_cfg()["options.package_data"]

    assert dict(shipped) == {**dict.fromkeys(SOURCES, "py.typed"), "streamclient.server": "page.html"}
    assert all((source / name / "py.typed").is_file() for name, source in SOURCES.items())


def test_base_dependencies_are_three() -> None:
    """Without extras, websocket-client, pluggy and attrs are installed and nothing else."""
    base = [line for line in requires("streamclient") or [] if "extra ==" not in line]

    assert sorted(line.partition(">")[0] for line in base) == ["attrs", "pluggy", "websocket-client"]


@pytest.mark.parametrize("group", ["console_scripts", "streamclient.plugins"])
def test_entry_points_load(group: str) -> None:
    """Every entry point of setup.cfg is installed and can be imported."""
    declared = {
        line.partition("=")[0].strip()
        for line in setup_cfg()["options.entry_points"][group].splitlines()
        if line.strip()
    }
    installed = {entry.name: entry for entry in entry_points(group=group)}

    assert declared <= installed.keys()
    assert all(callable(installed[name].load()) for name in declared)


def test_import_pulls_in_no_extra() -> None:
    """Importing every public name imports the base dependencies and, of the rest, only the standard library."""
    roots = {name.partition(".")[0] for name in run_python("from streamclient import *; print(*sys.modules)")}

    assert roots - sys.stdlib_module_names - BASE <= {"__main__"}


def test_import_pulls_in_nothing_heavy() -> None:
    """Importing every public name leaves alone what is heavy in the standard library."""
    heavy = {"asyncio", "importlib.metadata", "multiprocessing", "sqlite3", "unittest", "wave", "xml"}

    assert heavy.isdisjoint(run_python("from streamclient import *; print(*sys.modules)"))


def test_version_is_that_of_the_package() -> None:
    """The installed metadata and ``streamclient.__version__`` agree, so an old installation is noticed."""
    assert streamclient.__version__ == version("streamclient")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a clone")
def test_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    """A wheel has every module, marker and page of both packages, and nothing beside them."""
    copy = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(copy)], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(copy)], check=True)
    (wheel,) = tmp_path.glob("streamclient-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = {
        path.relative_to(copy / directory).as_posix()
        for name, directory in (("streamclient", "."), ("streamclient_plugins", "plugins"))
        for path in (copy / directory / name).rglob("*")
        if path.suffix in (".py", ".html") or path.name == "py.typed"
    }

    assert shipped == tracked
