"""`python -m routes doctor` in the sandbox, with all permissions and with some."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

from lightkube.models.rbac_v1 import PolicyRule

from routes import doctor
from sandbox.ec2.client import Sandbox
from sandbox.ec2.server import Control, Fault
from sandbox.kube.control_plane import ControlPlane
from tests.builders import one_line
from tests.e2e.cli_user import CliUser, Outcome
from tests.e2e.test_faults import sidecar
from tests.policies import acting_with, grant, policy

DOCTOR = "python -m routes doctor --stack dev"


def missing(examined: Outcome) -> list[str]:
    """Return the checks that failed."""
    lines = examined.text.splitlines()
    return [line.split()[1] for line in lines if line.startswith("MISSING ")]


def test_the_doctor_finds_nothing_missing_and_changes_nothing(user: CliUser) -> None:
    before = user.routes()

    text = user.does(DOCTOR).text

    assert text.count("allowed") == 14
    assert "?" not in text
    assert "123456789012" in text
    assert "Nothing is missing." in text
    assert user.routes() == before


def test_the_doctor_names_each_missing_permission(
    user: CliUser, local_aws: Sandbox
) -> None:
    keys = acting_with(local_aws, policy("preview"))

    examined = user.types(DOCTOR, **keys)

    assert examined.code == 1
    assert missing(examined) == [
        f"ec2:{action}"
        for action in (
            "CreateRoute",
            "ReplaceRoute",
            "DeleteRoute",
            "DescribeSubnets",
            "DescribeNetworkInterfaces",
            "DescribeNetworkAcls",
            "DescribeSecurityGroupRules",
            "DescribeManagedPrefixLists",
            "DescribeNatGateways",
            "GetManagedPrefixListEntries",
        )
    ]

    grant(local_aws, policy("verify"))
    assert len(missing(user.types(DOCTOR, **keys))) == 3


def test_checks_that_cannot_be_made_are_reported_with_the_reason(
    user: CliUser,
) -> None:
    user.configure(workers=None)

    examined = user.types(DOCTOR)

    assert examined.code == 1
    assert missing(examined) == ["configuration"]
    assert "pulumi config set pod-routes:workers" in examined.text
    assert "account                           123456789012" in examined.text
    assert examined.text.count("allowed") == 10

    examined = user.types("python -m routes doctor --stack none")
    assert missing(examined) == ["stack"]
    assert "pulumi stack ls" in examined.text
    assert "AWS          not checked: no stack" in examined.text

    examined = user.types(DOCTOR, PULUMI_BACKEND_URL="file:///nowhere")
    assert missing(examined) == ["backend"]
    assert "pulumi login" in examined.text
    assert "stack, AWS   not checked: no backend" in examined.text


def test_if_ec2_hangs_the_other_checks_take_less_than_half_a_minute(
    user: CliUser, local_aws: Sandbox
) -> None:
    """boto3#4301: STS answers, EC2 does not."""
    actions = {each for actions in doctor.actions().values() for each in actions}
    local_aws.control(Control(faults=tuple(Fault(action=a, delay=60) for a in actions)))
    began = time.monotonic()

    examined = user.types(DOCTOR)

    seconds = time.monotonic() - began
    local_aws.control(Control())
    assert "Traceback" not in examined.text
    assert "123456789012" in examined.text
    assert "inconclusive: the call failed" in examined.text
    assert missing(examined) == ["plan"]
    assert seconds < 30


def row(examined: Outcome, name: str) -> str:
    """Return the mark and the result of a check."""
    pattern = rf"^(\S+) +{re.escape(name)} +(.*)$"
    ((mark, result),) = re.findall(pattern, examined.text, re.MULTILINE)
    return f"{mark} {result.strip()}"


def nodes_from(user: CliUser, kubeconfig: Path) -> None:
    user.configure(podCidrFrom="node", kubeconfig=str(kubeconfig))


def rules(*verbs: str) -> list[PolicyRule]:
    return [PolicyRule(apiGroups=[""], resources=["nodes"], verbs=[*verbs])]


def test_with_nodes_as_the_source_the_cluster_is_checked_too(
    user: CliUser, cluster: ControlPlane
) -> None:
    nodes_from(user, cluster.kubeconfig_of("reader", rules("list", "watch")))
    for name, instance_id in user.lab.workers.items():
        cluster.register(name, instance_id, "us-east-1a", [])
        cluster.wait_for_cidr(name)

    examined = user.does(DOCTOR)

    assert row(examined, "kubeconfig") == "ok lab"
    assert row(examined, "API server").startswith("ok v1.")
    assert row(examined, "list Nodes") == "ok allowed"
    assert row(examined, "watch Nodes") == "ok allowed"
    assert row(examined, "plan") == "ok 3 routes"
    assert examined.text.count("allowed") == 16


def test_each_missing_rule_of_the_cluster_is_named(
    user: CliUser, cluster: ControlPlane
) -> None:
    nodes_from(user, cluster.kubeconfig_of("reader", rules("list")))

    examined = user.types(DOCTOR)

    assert missing(examined) == ["watch", "plan"]
    assert "The missing RBAC rule: watch on nodes." in one_line(examined.text)
    assert "no Node is this instance" in one_line(examined.text)

    nodes_from(user, cluster.kubeconfig_of("reader", rules("watch")))

    examined = user.types(DOCTOR)

    assert missing(examined) == ["list"]
    assert "The missing RBAC rule: list on nodes." in one_line(examined.text)
    assert row(examined, "plan") == "? not checked: no Nodes"
    assert examined.text.count("allowed") == 15


def test_without_an_api_server_the_other_checks_are_made(
    user: CliUser, cluster: ControlPlane
) -> None:
    nodes_from(user, cluster.kubeconfig)
    cluster.stop_api()

    examined = user.types(DOCTOR)

    assert missing(examined) == ["API"]
    assert "it can't be reached: [Errno 111] Connection refused." in one_line(
        examined.text
    )
    assert row(examined, "list Nodes, watch Nodes") == "? not checked: no API server"
    assert examined.text.count("allowed") == 14

    nodes_from(user, cluster.folder / "none")

    examined = user.types(DOCTOR)

    assert missing(examined) == ["kubeconfig"]
    assert f"there is no file {cluster.folder / 'none'}." in one_line(examined.text)
    assert row(examined, "API server, Nodes") == "? not checked: no kubeconfig"
    assert row(examined, "plan") == "? not checked: no Nodes"
    assert examined.text.count("allowed") == 14


def test_an_api_server_that_does_not_answer_costs_five_seconds(
    user: CliUser, tmp_path: Path, cluster: ControlPlane
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        content = json.loads(cluster.kubeconfig.read_text())
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        content["clusters"][0]["cluster"] = {"server": server}
        (tmp_path / "config").write_text(json.dumps(content))
        nodes_from(user, tmp_path / "config")
        began = time.monotonic()

        examined = user.types(DOCTOR)

    assert missing(examined) == ["API"]
    assert "it can't be reached: timed out." in one_line(examined.text)
    assert 5 < time.monotonic() - began < 15


def test_the_permission_to_turn_checks_off_is_tried_if_it_is_needed(
    user: CliUser, local_aws: Sandbox
) -> None:
    user.configure(sourceDestCheck="disable")
    keys = acting_with(local_aws, policy("verify"))

    examined = user.types(DOCTOR, **keys)

    modify = "ec2:ModifyNetworkInterfaceAttribute"
    assert row(examined, modify) == "MISSING not allowed; needed by checks"
    assert "Allow it: policies/checks.json" in examined.text
    assert row(user.types(DOCTOR), modify) == "ok allowed"


def test_the_doctor_names_the_command_that_repairs_each_empty_file(
    user: CliUser,
) -> None:
    user.does("pulumi refresh --yes")
    state = sidecar(user).with_name("dev.json")
    locks = state.parents[2] / "locks/organization/pod-routes/dev"
    locks.mkdir(parents=True, exist_ok=True)
    for file in (state, sidecar(user), locks / "a b.json"):
        file.write_bytes(b"")

    examined = user.types(DOCTOR)

    assert missing(examined) == ["stack"]
    commands = [line for line in examined.text.splitlines() if line.startswith("  ")]
    for command in commands[-3:]:
        user.pastes(command)
    assert not [*locks.iterdir()]
    user.does(DOCTOR)
