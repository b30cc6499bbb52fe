"""The lookup acts where and as whom the provider acts, or nothing happens."""

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
from tests.e2e.person import LAB, Person


@pytest.mark.parametrize(
    ("entry", "tag"),
    [
        pytest.param("worker-??", "blue", id="a question mark may be no character"),
        pytest.param("worker-*", "b*", id="a star in a tag stands for itself"),
    ],
)
def test_what_ec2_finds_is_what_the_program_means(
    box: Sandbox, aws_environment: pytest.MonkeyPatch, entry: str, tag: str
) -> None:
    lab = labs.create_lab(box.client("ec2"))
    for number, cluster in enumerate(["blue", "b*"]):
        labs.add_worker(
            box.client("ec2"),
            lab,
            f"worker-{number}",
            address=f"10.0.2.{number + 10}",
            tags={"cluster": cluster},
        )
    for name, value in box.environment.items():
        aws_environment.setenv(name, value)
    config = LAB | {"pod-routes:workers": entry}
    config |= {"pod-routes:workerTags": json.dumps({"cluster": tag})}
    texts = {key: str(value) for key, value in config.items()}

    found = look_up(load_access(texts), settings.load(texts, "dev"))

    assert len(found.workers[Selector(entry)]) == 1


def test_the_regions_of_the_stack_and_of_the_environment_may_differ(
    person: Person,
) -> None:
    person.does(
        "pulumi preview", AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1"
    )


def test_without_aws_region_the_environment_decides_for_both(person: Person) -> None:
    person.does("pulumi config rm aws:region")

    person.does("pulumi preview", AWS_REGION="us-east-1")
    text = person.is_refused("pulumi preview", AWS_REGION="eu-west-1")
    assert "with Name=kubernetes in eu-west-1, found none" in text


def test_endpoints_of_the_stack_are_honoured_by_both(
    person: Person, box: Sandbox
) -> None:
    for service in ("ec2", "sts"):
        person.does(
            f"pulumi config set --path aws:endpoints[0].{service} {box.endpoint}"
        )

    person.does("pulumi preview", AWS_ENDPOINT_URL="http://127.0.0.1:9")


def test_static_keys_and_a_profile_of_shared_files_are_honoured_by_both(
    person: Person, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[lab]\naws_access_key_id = one\naws_secret_access_key = two\n"
    )
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    person.does("pulumi config set aws:profile lab")
    person.does(f"pulumi config set --path aws:sharedCredentialsFiles[0] {credentials}")

    person.does("pulumi preview", **nobody)
    person.does("pulumi config rm aws:profile")
    person.is_refused("pulumi preview", **nobody)
    person.does("pulumi config set aws:accessKey one")
    person.does("pulumi config set aws:secretKey --secret two")
    person.does("pulumi preview", **nobody)


def test_another_account_than_the_providers_is_refused(person: Person) -> None:
    person.does("pulumi config set --path aws:allowedAccountIds[0] 210987654321")

    text = person.is_refused("pulumi preview")

    assert "AWS account ID not allowed: 123456789012" in text


@pytest.mark.parametrize("key", ["httpProxy", "stsRegion", "useFipsEndpoint"])
def test_a_key_that_is_not_honoured_is_refused_by_name(
    person: Person, key: str
) -> None:
    person.does(f"pulumi config set aws:{key} true")

    text = person.is_refused("pulumi preview")

    assert f"aws:{key}: the lookup of workers does not honour this key" in text
