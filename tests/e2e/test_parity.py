"""The lookup and the provider use the same region, account and credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from routes import settings
from routes.aws.access import load_access
from routes.aws.discovery import look_up
from routes.model import Selector
from sandbox import lab as labs
from sandbox.ec2.client import Sandbox
from tests.e2e.cli_user import LAB, CliUser


@pytest.mark.parametrize(
    ("entry", "tag"),
    [
        pytest.param("worker-??", "blue", id="a question mark may match no character"),
        pytest.param("worker-*", "b*", id="a star in a tag is no wildcard"),
    ],
)
def test_ec2_and_the_program_agree_on_wildcards(
    local_aws: Sandbox, aws_environment: pytest.MonkeyPatch, entry: str, tag: str
) -> None:
    lab = labs.create_lab(local_aws.client("ec2"))
    for number, cluster in enumerate(["blue", "b*"]):
        labs.add_worker(
            local_aws.client("ec2"),
            lab,
            f"worker-{number}",
            address=f"10.0.2.{number + 10}",
            tags={"cluster": cluster},
        )
    for name, value in local_aws.environment.items():
        aws_environment.setenv(name, value)
    config = LAB | {"pod-routes:workers": entry}
    config |= {"pod-routes:workerTags": json.dumps({"cluster": tag})}
    texts = {key: str(value) for key, value in config.items()}

    discovery = look_up(load_access(texts), settings.load(texts, "dev"))

    assert len(discovery.workers[Selector(entry)]) == 1


def test_the_regions_of_the_stack_and_the_environment_may_differ(
    user: CliUser,
) -> None:
    user.does("pulumi preview", AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1")


def test_without_aws_region_the_environment_decides_for_both(user: CliUser) -> None:
    user.does("pulumi config rm aws:region")

    user.does("pulumi preview", AWS_REGION="us-east-1")
    text = user.is_refused("pulumi preview", AWS_REGION="eu-west-1")
    assert "with Name=kubernetes in eu-west-1, found none" in text


def test_both_use_the_endpoints_of_the_stack(user: CliUser, local_aws: Sandbox) -> None:
    for service in ("ec2", "sts"):
        user.does(
            f"pulumi config set --path aws:endpoints[0].{service} {local_aws.endpoint}"
        )

    user.does("pulumi preview", AWS_ENDPOINT_URL="http://127.0.0.1:9")


def test_both_use_static_keys_and_a_profile_of_shared_files(
    user: CliUser, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[lab]\naws_access_key_id = one\naws_secret_access_key = two\n"
    )
    no_keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    user.does("pulumi config set aws:profile lab")
    user.does(f"pulumi config set --path aws:sharedCredentialsFiles[0] {credentials}")

    user.does("pulumi preview", **no_keys)
    user.does("pulumi config rm aws:profile")
    user.is_refused("pulumi preview", **no_keys)
    user.does("pulumi config set aws:accessKey one")
    user.does("pulumi config set aws:secretKey --secret two")
    user.does("pulumi preview", **no_keys)


def test_an_account_that_is_not_allowed_is_refused(user: CliUser) -> None:
    user.does("pulumi config set --path aws:allowedAccountIds[0] 210987654321")

    text = user.is_refused("pulumi preview")

    assert "AWS account ID not allowed: 123456789012" in text


@pytest.mark.parametrize("key", ["httpProxy", "stsRegion", "useFipsEndpoint"])
def test_a_key_without_support_is_refused_by_name(user: CliUser, key: str) -> None:
    user.does(f"pulumi config set aws:{key} true")

    text = user.is_refused("pulumi preview")

    assert f"aws:{key}: the lookup of workers doesn't support this key" in text
