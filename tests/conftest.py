"""Hypothesis profiles, and AWS kept away from the machine's own settings."""

from __future__ import annotations

import os
from datetime import timedelta

import botocore.loaders
import pytest
from hypothesis import settings

# The same examples at each run; the soak looks for new ones.
settings.register_profile(
    "default", max_examples=100, deadline=timedelta(seconds=10), derandomize=True
)
settings.register_profile("soak", max_examples=5000, deadline=timedelta(seconds=10))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


_LOADER = botocore.loaders.create_loader()


@pytest.fixture
def aws_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.MonkeyPatch:
    """Hide the machine's AWS settings, and set static credentials in their place.

    Service descriptions are read once for all tests: that is most of a client's cost.
    """
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: _LOADER)
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("aws")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,300 of them
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    return monkeypatch
