"""`python -m sandbox.kube`: get the programs of a control plane."""

from __future__ import annotations

import sys

from sandbox.kube.binaries import ensure
from sandbox.programs import ProgramError

if __name__ == "__main__":
    try:
        ensure()
    except ProgramError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
