"""Runs the scripts of a folder, each with client libraries of its own, against a gateway."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.edge.world import Member, World

SECONDS = 90


@dataclass(frozen=True)
class Runner:
    """``program`` is an interpreter that finds the libraries."""

    program: str
    folder: Path

    def run(self, script: str, gateway: World, member: Member, *args: str) -> Any:
        """What the script prints: one JSON document."""
        told = self.call(
            [self.program, str(self.folder / script), *args],
            {"OPENAI_BASE_URL": f"{gateway.url}/v1", "OPENAI_API_KEY": member.key},
        )
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout.splitlines()[-1])

    def call(
        self, command: list[str], environment: dict[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Loopback only: no proxy, no telemetry, nobody's configuration."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return subprocess.run(
            command,
            env={**kept, "HOME": "/nonexistent", "NO_COLOR": "1", **environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
