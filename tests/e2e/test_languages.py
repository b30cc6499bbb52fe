"""The component from Python, TypeScript and YAML: the examples, from start to end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from component.version import VERSION
from sandbox import TOP, VENV
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import AWS_VERSION, Engine, EngineError
from sandbox.pulumi.languages import ensure_languages, generate_sdks
from sandbox.workspace import Workspace
from tests import schemas
from tests.e2e.cli_user import CliUser

EXAMPLES = TOP / "examples/workers"
CHANGES = {"CreateRoute", "ReplaceRoute", "DeleteRoute"}


@dataclass(frozen=True)
class Package:
    """The installed component, and its SDKs."""

    engine: Engine
    home: Path
    sdks: Path


@pytest.fixture(scope="session")
def languages(engine: Engine) -> Engine:
    """Return the engine with the hosts of every language."""
    try:
        ensure_languages(engine)
    except EngineError as error:
        if "POD_ROUTES_REQUIRE_LANGUAGES" in os.environ:
            raise
        pytest.skip(f"only programs in Python ran: {error}")
    return engine


@pytest.fixture(scope="session")
def package(languages: Engine, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Install the component as a plugin.

    It is an executable that starts the host program: language hosts that the Go module
    proxy has can't start a program of another folder, as newer ones do.
    """
    folder = tmp_path_factory.mktemp("package")
    plugins = folder / "home/plugins"
    aws = Path(languages.plugins) / f"resource-aws-v{AWS_VERSION}"
    node = json.loads((EXAMPLES / "typescript/package.json").read_text())
    for version in {AWS_VERSION, node["dependencies"]["@pulumi/aws"]}:
        (plugins / f"resource-aws-v{version}").mkdir(parents=True)
        for file in aws.iterdir():
            (plugins / f"resource-aws-v{version}" / file.name).symlink_to(file)
    launcher = folder / "launcher/pulumi-resource-pod-routes"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{VENV}/bin/python" "{TOP}/component" "$@"\n')
    launcher.chmod(0o755)
    environment = languages.environment(folder / "home")
    install = ["plugin", "install", "resource", "pod-routes", VERSION, "--file"]
    subprocess.run(
        ["pulumi", *install, launcher.parent],
        env=environment,
        check=True,
        capture_output=True,
    )
    sdks = folder / "sdks"
    generate_sdks(languages, environment, schemas.FOLDER / "component.json", sdks)
    return Package(languages, folder / "home", sdks)


@pytest.fixture
def example(
    package: Package,
    attached: Mapping[str, str],
    local_aws: Sandbox,
    tmp_path: Path,
) -> Callable[[str], CliUser]:
    """Return a function that opens an example: its language to a user with a stack."""

    def open_in(language: str) -> CliUser:
        ec2 = local_aws.client("ec2")
        lab = labs.create_lab(ec2, workers=0)
        environment = {
            **package.engine.environment(package.home),
            **local_aws.environment,
            "PULUMI_BACKEND_URL": tmp_path.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        }
        project = copy_of(language, tmp_path / "workers")
        environment |= link(language, project, package.sdks)
        workspace = Workspace(project, environment)
        user = CliUser(workspace, ec2, lab, attached)
        user.does("pulumi stack init dev")
        config = {
            "ami": "ami-1",
            "subnetId": lab.subnet_id,
            "securityGroupId": lab.security_group_id,
            "routeTableId": lab.table_id,
        }
        for key, value in config.items():
            user.does(f"pulumi config set {key} {value}")
        if language == "python":
            user.does(f"pulumi config set clusterCidr {labs.POD_RANGE}")
        return user

    return open_in


def copy_of(language: str, project: Path) -> Path:
    """Copy an example; its package is installed already."""
    shutil.copytree(EXAMPLES / language, project)
    settings = yaml.safe_load((project / "Pulumi.yaml").read_text())
    packages = settings.pop("packages")
    assert (EXAMPLES / language / packages["pod-routes"]).samefile(TOP / "component")
    (project / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    return project


def link(language: str, project: Path, sdks: Path) -> dict[str, str]:
    """Install an example's dependencies, and return what its environment needs."""
    if language == "python":
        (project / ".venv").symlink_to(VENV)
        return {"PYTHONPATH": str(sdks / "python")}
    if language == "typescript":
        shutil.copytree(sdks / "nodejs", project / "sdks/pod-routes")
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
        subprocess.run(install, cwd=project, check=True, capture_output=True)
        subprocess.run(["npx", "tsc"], cwd=project, check=True)
        return {"PULUMI_NODEJS_TRANSPILE_ONLY": "true"}  # tsc checked it
    return {}


@pytest.mark.parametrize("language", ["python", "typescript", "yaml"])
def test_a_program_in_any_language_routes_to_its_workers(
    language: str, example: Callable[[str], CliUser], local_aws: Sandbox
) -> None:
    user = example(language)
    count = 2 if language == "yaml" else 3
    local_aws.clear_calls()

    preview = user.does("pulumi preview")

    assert preview.changes() == {"create": 2 + 2 * count}
    assert not local_aws.count().keys() & (CHANGES | {"RunInstances"})

    update = user.does("pulumi up --yes --skip-preview")

    assert update.changes() == {"create": 2 + 2 * count}
    assert local_aws.count()["CreateRoute"] == count
    before = user.pod_routes()
    assert before == {
        labs.pod_cidr(number): interface(user, f"worker-{number}")
        for number in range(count)
    }
    user.does("pulumi preview --expect-no-changes --refresh")

    (worker,) = (
        each["urn"] for each in user.state() if each["urn"].endswith("::worker-1")
    )
    local_aws.clear_calls()
    replaced = user.does(f"pulumi up --yes --skip-preview --replace {worker}")

    changes = replaced.changes()
    assert (changes.pop("unchange"), changes) == (
        2 * count,
        {"update": 1, "replace": 1},
    )
    assert {k: n for k, n in local_aws.count().items() if k in CHANGES} == {
        "ReplaceRoute": 1
    }
    after = user.pod_routes()
    assert after == before | {labs.pod_cidr(1): interface(user, "worker-1")}
    assert after != before

    user.does("pulumi destroy --yes --skip-preview")

    assert local_aws.count()["DeleteRoute"] == count
    assert user.pod_routes() == {}


def interface(user: CliUser, worker: str) -> str:
    """Return the interface of a running worker, found by its Name tag."""
    (reservation,) = user.ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": [worker]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )["Reservations"]
    (instance,) = reservation["Instances"]
    return labs.interface_of(user.ec2, instance["InstanceId"])
