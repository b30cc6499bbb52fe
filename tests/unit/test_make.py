"""`make test`: the same in the README and in CI; what didn't run is reported."""

from __future__ import annotations

import re
import subprocess
import sys

from sandbox import TOP


def test_ci_runs_the_command_that_the_readme_names() -> None:
    readme = (TOP / "README.md").read_text()
    (named,) = re.findall(r"^    (make \w+)$", readme, re.MULTILINE)
    workflow = (TOP / ".github/workflows/test.yml").read_text()

    assert (TOP / ".ci/run").read_text().splitlines()[-1] == f"part {named}"
    assert f"\n          {named}\n" in workflow


def test_tests_that_did_not_run_are_reported_at_the_end_with_how_to_run_them() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/page"],
        cwd=TOP,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )

    *_, last = answer.stdout.splitlines()
    assert last.startswith("Tests that did not run: ")
    assert "install chromium and its driver" in last
