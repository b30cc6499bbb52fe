"""The project is a template for `pulumi new`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sandbox import TOP
from tests.e2e.cli_user import CliUser


def test_a_new_project_of_another_name_previews_the_lab(
    user: CliUser, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, template / name)
    (template / "requirements.txt").write_text("# the tests' packages, linked below\n")
    project = tmp_path / "mine"
    project.mkdir()

    here = f"-C {project}"
    user.does(f"pulumi new {template} --yes --name mine --stack new {here}")
    shutil.rmtree(project / ".venv", ignore_errors=True)
    (project / ".venv").symlink_to(TOP / ".venv")
    preview = user.does(f"pulumi preview {here}")

    assert preview.changes() == {"create": 5}
    assert "mine-new" in preview.text
