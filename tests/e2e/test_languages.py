"""The component from Python, TypeScript and YAML: the examples, from start to end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from component.version import VERSION
from routes.model import COMPONENT_TYPE
from sandbox import TOP, VENV
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from sandbox.pulumi.engine import AWS_VERSION, Engine, EngineError
from sandbox.pulumi.languages import ensure_languages, generate_sdks
from sandbox.workspace import Workspace
from tests import schemas
from tests.e2e.cli_user import CliUser
from tests.e2e.test_adoption import by_hand

EXAMPLES = TOP / "examples/workers"
WRITTEN = Path(__file__).with_name("workers-2.0.json")
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
        pytest.skip(f"the examples in other languages: {error}")
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
def instances(engine: Engine) -> None:
    """Skip if instances can't be started with the sandbox's made-up image."""
    if not engine.stand_in:
        pytest.skip("another provider's instances need a real image")


@pytest.fixture
def example(
    package: Package,
    attached: Mapping[str, str],
    local_aws: Sandbox,
    tmp_path: Path,
) -> Callable[..., CliUser]:
    """Return a function that opens an example: its language to a user with a stack."""

    def open_in(language: str, workers: int = 0) -> CliUser:
        ec2 = local_aws.client("ec2")
        lab = labs.create_lab(ec2, workers)
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
        if language == "python":
            config["clusterCidr"] = labs.POD_RANGE
        pairs = " ".join(f"--plaintext {key}={value}" for key, value in config.items())
        user.does(f"pulumi config set-all {pairs}")
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
        installed = project / "installed"
        install = ["pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run(
            [VENV / "bin/python", "-m", *install, installed, sdks / "python"],
            check=True,
        )
        return {"PYTHONPATH": str(installed)}
    if language == "typescript":
        shutil.copytree(sdks / "nodejs", project / "sdks/pod-routes")
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
        subprocess.run(install, cwd=project, check=True, capture_output=True)
        subprocess.run(["npx", "tsc"], cwd=project, check=True)
        return {"PULUMI_NODEJS_TRANSPILE_ONLY": "true"}  # tsc checked it
    return {}


@pytest.mark.usefixtures("instances")
@pytest.mark.parametrize("language", ["python", "typescript", "yaml"])
def test_a_program_in_any_language_routes_to_its_workers(
    language: str, example: Callable[..., CliUser], local_aws: Sandbox
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

    assert replaced.changes() == {
        "update": 1,
        "replace": 1,
        "changes": 2,
        "unchange": 2 * count,
    }
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


def test_the_installed_package_has_the_documented_schema(package: Package) -> None:
    environment = package.engine.environment(package.home)
    command = ["pulumi", "package", "get-schema", f"pod-routes@{VERSION}"]

    schema = json.loads(subprocess.check_output(command, env=environment))

    documented = json.loads((schemas.FOLDER / "component.json").read_text())
    assert schema["version"] == VERSION
    assert schema["types"] == documented["types"]
    assert inputs(schema) == inputs(documented)


def inputs(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the description of each input of the component."""
    component = schema["resources"][COMPONENT_TYPE]
    described = component["inputProperties"].items()
    return {name: each["description"] for name, each in described}


@pytest.mark.usefixtures("instances")
def test_the_examples_state_of_version_2_0_needs_no_change(
    example: Callable[..., CliUser], local_aws: Sandbox
) -> None:
    """`workers-2.0.json` is its state, written like `state-2.0.json` (test_upgrade)."""
    user = example("python", workers=3)
    by_hand(user, *user.lab.workers)
    text = WRITTEN.read_text()
    ids = {
        "TABLE": user.lab.table_id,
        "SUBNET": user.lab.subnet_id,
        "GROUP": user.lab.security_group_id,
    }
    for number, (name, instance_id) in enumerate(user.lab.workers.items()):
        ids |= {
            f"INSTANCE-{number}": instance_id,
            f"INTERFACE-{number}": user.interface(name),
            f"ADDRESS-{number}": f"10.0.1.{20 + number}",
        }
    for name, value in ids.items():
        text = text.replace(name, value)
    (user.workspace.path / "state.json").write_text(text)
    user.does("pulumi stack import --file state.json")
    local_aws.clear_calls()

    preview = user.does("pulumi preview --expect-no-changes")
    update = user.does("pulumi up --yes --skip-preview")

    assert preview.changes() == update.changes() == {"unchange": 8}
    assert not local_aws.count().keys() & (CHANGES | {"RunInstances"})


def routes_of(user: CliUser, *routes: tuple[str, str], **inputs: object) -> None:
    """Replace the YAML example's workers with routes to the lab's workers."""
    file = user.workspace.path / "Pulumi.yaml"
    program = yaml.safe_load(file.read_text())
    pods = program["resources"]["pods"]
    pods["properties"] |= inputs | {
        "routes": [
            {
                "destinationCidr": cidr,
                "networkInterfaceId": user.interface(worker),
                "worker": worker,
            }
            for cidr, worker in routes
        ]
    }
    program["resources"] = {"pods": pods}
    file.write_text(yaml.safe_dump(program))


def test_wrong_inputs_are_one_error_and_cost_no_route(
    example: Callable[..., CliUser],
) -> None:
    user = example("yaml", workers=3)
    routes_of(user, ("10.200.0.0/24", "worker-0"), ("10.200.1.0/24", "worker-1"))
    user.does("pulumi up --yes --skip-preview")
    routes_of(user, ("10.200.0.1/24", "worker-0"), routeTableId="subnet-1")

    for command in ("pulumi preview", "pulumi up --yes --skip-preview"):
        text = user.is_refused(command)

        assert 'File "' not in text
        assert text.partition("Diagnostics:")[2].count("error:") == 1
        assert "property routeTableId with value '{subnet-1}' has a problem:" in text
        assert "expected an id that begins with rtb-" in text
        assert "has a problem: it has host bits; the network is 10.200.0.0/24" in text


def test_an_existing_route_is_refused_in_preview(
    example: Callable[..., CliUser],
) -> None:
    user = example("yaml", workers=3)
    by_hand(user, "worker-1")
    both = (("10.200.0.0/24", "worker-0"), ("10.200.1.0/24", "worker-1"))
    routes_of(user, *both, existingDestinations=["10.200.1.0/24"])

    text = user.is_refused("pulumi preview")

    assert f"{user.lab.table_id} 10.200.1.0/24: this route exists, and" in text
