"""`python -m sandbox.kube`: get the programs of a control plane."""

from __future__ import annotations

from sandbox.kube.binaries import ensure
from sandbox.programs import run_to_get

if __name__ == "__main__":
    run_to_get(ensure)
