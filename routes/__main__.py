"""`python -m routes`."""

import sys

try:
    from routes.cli import run
except ModuleNotFoundError as missing:
    sys.stderr.write(f"error: {missing}.\n  Activate the environment that has it: ")
    sys.stderr.write(". .venv/bin/activate\n")
    sys.exit(2)  # 1 would mean FAIL

run()
