"""Choose, download, build and record the engine, on a machine of fakes."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.pulumi import engine
from tests.sandbox import machines
from tests.sandbox.machines import NOWHERE, Server


class Machine(machines.Machine):
    """A machine for the engine."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder)
        self.home = folder / "pulumi-home"
        self.engine = folder / "engine"
        self.server = server

    def install_cli(self, version: str) -> None:
        self.install("pulumi", _cli(version))
        self.install("pulumi-language-python", "")

    def install_go(self, build: str = "") -> None:
        """Install a Go whose builds are scripts that act like the CLI."""
        module = self.bin.parent / "module"
        scripts = module / "python" / "cmd"
        scripts.mkdir(parents=True)
        (scripts / "pulumi-language-python-exec").write_text("#!/usr/bin/env python3\n")
        self.install(
            "go",
            f'if [ "$1" = list ]; then echo {module}; exit; fi\n{build}\n'
            'mkdir -p "$(dirname "$8")"\n'
            f"cat > \"$8\" <<'END'\n#!/bin/sh\n{_cli(engine.CLI_VERSION)}\nEND\n"
            'chmod 755 "$8"',
        )

    def publish_cli(self, *, digest: str | None = None) -> str:
        """Publish a release for download, and return its name."""
        machine = {"x86_64": "x64", "aarch64": "arm64"}.get(
            platform.machine(), platform.machine()
        )
        system = platform.system().lower()
        name = f"pulumi-v{engine.CLI_VERSION}-{system}-{machine}.tar.gz"
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for file in ("pulumi", "pulumi-language-python"):
                script = f"#!/bin/sh\n{_cli(engine.CLI_VERSION)}\n".encode()
                member = tarfile.TarInfo(f"pulumi/{file}")
                member.size, member.mode = len(script), 0o755
                tar.addfile(member, io.BytesIO(script))
        archive = content.getvalue()
        sums = f"{digest or hashlib.sha256(archive).hexdigest()}  {name}\n"
        self.server.files[f"pulumi-{engine.CLI_VERSION}-checksums.txt"] = sums.encode()
        self.server.files[name] = archive
        return name

    def publish_plugin(self) -> None:
        """Publish the AWS plugin, for the CLI to install."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(
            platform.machine(), platform.machine()
        )
        system = platform.system().lower()
        plugin = f"pulumi-resource-aws-v{engine.AWS_VERSION}-{system}-{machine}.tar.gz"
        self.server.files[plugin] = b"anything"

    def ensure(self) -> engine.Engine:
        return engine.ensure(self.engine)


def _cli(version: str) -> str:
    """Return a script with the CLI's answers to the engine."""
    return (
        f'[ "$1" = version ] && echo v{version}\n'
        '[ "$1" = plugin ] && '
        'mkdir -p "$PULUMI_HOME/plugins/resource-aws-v$5"\n'
        "exit 0"
    )


@pytest.fixture
def machine(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that reaches the release server, which is still empty."""
    machine = Machine(tmp_path, server)
    machine.use(monkeypatch)
    monkeypatch.setenv("PULUMI_HOME", str(machine.home))
    monkeypatch.setattr(engine, "RELEASES", server.url)
    monkeypatch.setattr(engine, "PLUGINS", server.url)
    return machine


@pytest.fixture
def closed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that reaches no release server."""
    monkeypatch.setattr(engine, "RELEASES", NOWHERE)
    monkeypatch.setattr(engine, "PLUGINS", NOWHERE)
    return machine


@pytest.mark.parametrize("version", [engine.CLI_VERSION, "3.1000.0", "4.0.0"])
def test_an_installed_cli_that_is_new_enough_is_used(
    machine: Machine, version: str
) -> None:
    machine.install_cli(version)

    ready = machine.ensure()

    assert ready.bin == str(machine.bin)
    assert not any("checksums" in name for name in machine.server.requested)


def test_an_installed_cli_that_is_too_old_is_ignored(machine: Machine) -> None:
    machine.install_cli("3.249.9")
    machine.publish_cli()

    assert machine.ensure().bin != str(machine.bin)


def test_an_installed_cli_that_cannot_run_python_is_ignored(
    machine: Machine,
) -> None:
    machine.install("pulumi", _cli(engine.CLI_VERSION))
    machine.publish_cli()

    assert machine.ensure().bin != str(machine.bin)


def test_the_official_release_is_preferred_to_a_build(machine: Machine) -> None:
    machine.install_go()
    machine.publish_cli()

    ready = machine.ensure()

    assert sorted(file.name for file in Path(ready.bin).iterdir()) == [
        "pulumi",
        "pulumi-language-python",
    ]
    assert machine.ran() == []


def test_a_release_with_another_checksum_is_refused_and_deleted(
    machine: Machine,
) -> None:
    name = machine.publish_cli(digest="0" * 64)
    machine.install_go()

    with pytest.raises(engine.EngineError, match=f"{name} has a checksum that"):
        machine.ensure()

    assert [file.name for file in machine.engine.iterdir()] == ["lock"]


def test_a_truncated_download_is_not_used(machine: Machine) -> None:
    machine.publish_cli()
    machine.install_go()
    machine.server.cut_short = True

    assert machine.ensure().bin.endswith("-built")


def test_a_machine_without_releases_builds_the_engine(
    closed: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    closed.install_go()

    ready = closed.ensure()

    assert sorted(file.name for file in Path(ready.bin).iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
    assert all(os.access(file, os.X_OK) for file in Path(ready.bin).iterdir())
    output = capsys.readouterr().out
    assert "Connection refused" in output
    assert "engine: building it from source instead, about 4 minutes" in output
    assert "engine: using the sandbox's stand-in for it" in output


def test_without_a_release_and_go_the_error_names_what_to_install(
    closed: Machine,
) -> None:
    with pytest.raises(engine.EngineError) as error:
        closed.ensure()

    assert "https://www.pulumi.com/docs/install/" in str(error.value)
    assert "https://go.dev/doc/install (1.25.11 or newer)" in str(error.value)
    assert max(map(len, str(error.value).splitlines())) <= 80


def test_a_failed_build_shows_gos_output_and_leaves_nothing(closed: Machine) -> None:
    closed.install_go(build="echo 'go.mod requires go >= 1.25.11' >&2; exit 1")

    with pytest.raises(engine.EngineError, match=r"go\.mod requires go >= 1\.25\.11"):
        closed.ensure()

    assert [file.name for file in closed.engine.iterdir()] == ["lock"]


def test_the_second_call_runs_no_command(closed: Machine) -> None:
    closed.install_go()
    first = closed.ensure()
    before = closed.ran()

    assert closed.ensure() == first
    assert closed.ran() == before


def test_another_pin_gets_the_engine_again(
    closed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.install_go()
    first = closed.ensure()
    monkeypatch.setattr(engine, "CLI_VERSION", "3.251.0")

    assert closed.ensure().bin != first.bin


def test_a_killed_build_is_started_again(closed: Machine) -> None:
    closed.install_go()
    half = closed.engine / "partial" / "bin"
    half.mkdir(parents=True)
    (half / "pulumi").write_text("incomplete")

    ready = closed.ensure()

    assert (Path(ready.bin) / "pulumi").read_text().startswith("#!/bin/sh")
    assert not half.exists()


def test_concurrent_callers_build_once(closed: Machine) -> None:
    closed.install_go(build="sleep 0.2")

    with ThreadPoolExecutor(4) as pool:
        ready = list(pool.map(lambda _: closed.ensure(), range(4)))

    assert len(set(ready)) == 1
    assert len([line for line in closed.ran() if line.startswith("go build")]) == 2


def test_the_users_plugin_is_used_and_their_home_stays_unchanged(
    machine: Machine,
) -> None:
    machine.install_cli(engine.CLI_VERSION)
    plugin = machine.home / "plugins" / f"resource-aws-v{engine.AWS_VERSION}"
    plugin.mkdir(parents=True)

    ready = machine.ensure()

    assert ready.plugins == str(plugin.parent)
    assert not ready.stand_in
    assert list(machine.home.rglob("*")) == [plugin.parent, plugin]


def test_an_incomplete_plugin_is_not_used(machine: Machine) -> None:
    machine.install_cli(engine.CLI_VERSION)
    name = f"resource-aws-v{engine.AWS_VERSION}"
    (machine.home / "plugins" / name).mkdir(parents=True)
    (machine.home / "plugins" / f"{name}.partial").touch()

    assert machine.ensure().stand_in


def test_the_official_plugin_is_installed_if_it_is_available(
    machine: Machine,
) -> None:
    machine.install_cli(engine.CLI_VERSION)
    machine.publish_plugin()

    ready = machine.ensure()

    assert ready.plugins == str(machine.engine / "home" / "plugins")
    assert not ready.stand_in
    assert not machine.home.exists()


def test_the_cli_is_not_run_for_a_plugin_that_is_not_available(
    machine: Machine,
) -> None:
    machine.install_cli(engine.CLI_VERSION)

    ready = machine.ensure()

    assert ready.stand_in
    assert machine.ran() == ["pulumi version"]


def test_a_deleted_plugin_is_noticed(machine: Machine) -> None:
    machine.install_cli(engine.CLI_VERSION)
    plugin = machine.home / "plugins" / f"resource-aws-v{engine.AWS_VERSION}"
    plugin.mkdir(parents=True)
    machine.ensure()
    plugin.rmdir()

    assert machine.ensure().stand_in


@pytest.mark.parametrize("record", ["", "{}", '{"pins": "", "bin": null}'])
def test_an_invalid_record_is_ignored(machine: Machine, record: str) -> None:
    machine.install_cli(engine.CLI_VERSION)
    machine.engine.mkdir()
    (machine.engine / "engine.json").write_text(record)

    assert machine.ensure().bin == str(machine.bin)


def test_commands_use_the_engine_and_none_of_the_users_settings(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.install_cli(engine.CLI_VERSION)
    for name in ("AWS_PROFILE", "PULUMI_ACCESS_TOKEN", "HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "mine")
    ready = machine.ensure()

    environment = ready.environment(tmp_path / "new-home")

    folders = environment["PATH"].split(os.pathsep)
    assert folders[0].endswith("/.venv/bin")
    assert folders[1] == ready.bin
    assert "mine" not in environment.values()
    assert environment["PULUMI_HOME"] == str(tmp_path / "new-home")


def test_each_home_has_the_plugin(machine: Machine, tmp_path: Path) -> None:
    machine.install_cli(engine.CLI_VERSION)
    ready = machine.ensure()

    for name in ("one", "two", "one"):
        ready.environment(tmp_path / name)

        plugin = tmp_path / name / "plugins" / f"resource-aws-v{engine.AWS_VERSION}"
        assert os.access(plugin / "pulumi-resource-aws", os.X_OK)
