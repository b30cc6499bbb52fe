"""Choose, download and build a control plane's programs, on a machine of fakes."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.kube import binaries
from sandbox.programs import ProgramError, machine, system
from tests.sandbox.machines import NOWHERE, Machine, Server

VERSIONS = {each.name: each.version for each in binaries.PROGRAMS}
ETCD, API, CONTROLLERS, CLOUD = VERSIONS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "engine"


@pytest.fixture
def here(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that reaches the release server, which is still empty."""
    here = Machine(tmp_path)
    here.use(monkeypatch)
    monkeypatch.setattr(binaries, "KUBERNETES", server.url)
    monkeypatch.setattr(binaries, "ETCD", server.url)
    return here


@pytest.fixture
def closed(here: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine that reaches no release server."""
    monkeypatch.setattr(binaries, "KUBERNETES", NOWHERE)
    monkeypatch.setattr(binaries, "ETCD", NOWHERE)
    return here


def install_go(here: Machine, build: str = "") -> None:
    """Install a Go that builds scripts."""
    here.install(
        "go",
        f'[ "$1" = list ] && exit\n{build}\n'
        'echo "#!/bin/sh" > "$6"; echo "# built" >> "$6"; chmod 755 "$6"',
    )


def publish(server: Server) -> None:
    """Publish the official releases, each with its checksum."""
    for name in (API, CONTROLLERS):
        content = b"#!/bin/sh\n# downloaded\n"
        server.files[name] = content
        server.files[f"{name}.sha256"] = hashlib.sha256(content).hexdigest().encode()
    stem = f"etcd-v{VERSIONS[ETCD]}-{system()}-{machine()}"
    content = b"#!/bin/sh\n# downloaded\n"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        member = tarfile.TarInfo(f"{stem}/etcd")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    archive = f"{stem}.{'zip' if system() == 'darwin' else 'tar.gz'}"
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    server.files[archive] = file.getvalue()
    server.files["SHA256SUMS"] = f"{'0' * 64}  another\n{digest}  {archive}\n".encode()


def sources(folder: Path) -> Mapping[str, str]:
    """Return where each program is from: its second line."""
    paths = binaries.find(folder)
    assert all(path.stat().st_mode & 0o111 for path in paths.values())
    return {name: path.read_text().splitlines()[1] for name, path in paths.items()}


def test_official_releases_are_downloaded_and_the_rest_is_built(
    here: Machine, server: Server, folder: Path
) -> None:
    publish(server)
    install_go(here)

    binaries.ensure(folder)

    assert sources(folder) == {
        ETCD: "# downloaded",
        API: "# downloaded",
        CONTROLLERS: "# downloaded",
        CLOUD: "# built",
    }


def test_a_download_with_another_checksum_is_refused_and_deleted(
    here: Machine, server: Server, folder: Path
) -> None:
    publish(server)
    install_go(here)
    server.files[API] += b"another line\n"

    with pytest.raises(ProgramError, match=f"{API} has a checksum that its release"):
        binaries.ensure(folder)

    assert not (folder / "partial").exists()
    with pytest.raises(ProgramError, match=API):
        binaries.find(folder)


def test_a_machine_without_releases_builds_all_with_their_versions(
    closed: Machine, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_go(closed)

    binaries.ensure(folder)

    assert set(sources(folder).values()) == {"# built"}
    builds = [line for line in closed.ran() if line.startswith("go build")]
    assert len(builds) == len(VERSIONS)
    for build, version in zip(builds, VERSIONS.values(), strict=True):
        assert f"version.gitVersion=v{version} " in build
    output = capsys.readouterr().out
    assert f"kube: building {API} {VERSIONS[API]}, about 4 min on 2 cores" in output
    assert f"official {CLOUD}" not in output


def test_an_installed_program_of_the_same_minor_version_is_used(
    closed: Machine, folder: Path
) -> None:
    install_go(closed)
    minor = VERSIONS[API].rpartition(".")[0]
    closed.install(API, f"# installed\necho Kubernetes v{minor}.99")
    closed.install(CONTROLLERS, "echo Kubernetes v1.2.3")
    closed.install(ETCD, f"echo etcd Version: {VERSIONS[ETCD]}")

    binaries.ensure(folder)

    paths = binaries.find(folder)
    assert paths[API].resolve() == closed.bin / API
    assert paths[ETCD].resolve() == closed.bin / ETCD
    assert not paths[CONTROLLERS].is_symlink()


def test_an_installed_program_that_was_removed_is_replaced(
    closed: Machine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(closed)
    answer = f"echo etcd Version: {VERSIONS[ETCD]}"
    removed = closed.install(ETCD, answer)
    binaries.ensure(folder)
    removed.unlink()
    other = closed.install(ETCD, answer, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    binaries.ensure(folder)
    assert binaries.find(folder)[ETCD].resolve() == other
    other.unlink()
    binaries.ensure(folder)

    assert sources(folder)[ETCD] == "# built"


def test_the_second_call_runs_no_command(closed: Machine, folder: Path) -> None:
    install_go(closed)
    binaries.ensure(folder)
    before = closed.ran()

    binaries.ensure(folder)

    assert closed.ran() == before


def test_a_failed_build_keeps_the_programs_before_it(
    closed: Machine, folder: Path
) -> None:
    install_go(
        closed, build=f'case $6 in *{CONTROLLERS}) echo "no space"; exit 1;; esac'
    )

    with pytest.raises(ProgramError, match="no space"):
        binaries.ensure(folder)

    with pytest.raises(ProgramError) as missing:
        binaries.find(folder)
    assert f"missing: {CONTROLLERS}, {CLOUD}." in str(missing.value)


@pytest.mark.usefixtures("closed")
def test_without_a_release_and_go_the_error_names_what_to_install(folder: Path) -> None:
    with pytest.raises(ProgramError) as error:
        binaries.ensure(folder)

    assert "https://kubernetes.io/releases/download/" in str(error.value)
    assert "https://go.dev/doc/install (1.26 or newer)" in str(error.value)
    assert max(map(len, str(error.value).splitlines())) <= 80


def test_a_control_plane_is_not_started_before_make_kube(folder: Path) -> None:
    with pytest.raises(ProgramError, match="Get them with: make kube"):
        binaries.find(folder)
