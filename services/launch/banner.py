"""What the launcher says when everything is up."""

import shutil
import sys
from pathlib import Path

from services.launch.ports import reachable
from services.launch.settings import LaunchSettings

_SIMULATOR = """the simulator: a stand-in for tests and demos, not a real model.
                    Set OPENAI_API_KEY, OPENAI_BASE_URL or AI_GATEWAY_* to use one."""


def banner(settings: LaunchSettings, *, store: str) -> str:
    """The addresses, where data lies, which upstream answers, and the first steps."""
    edge = reachable("GATEWAY_EDGE_LISTEN", settings.edge_listen)
    admin, operator = edge, _command()
    if settings.admin_listen:
        admin = reachable("GATEWAY_ADMIN_LISTEN", settings.admin_listen)
        operator += f" --url http://{admin}"
    metrics = [
        m for m in (settings.edge_metrics, settings.auth_metrics, settings.quota_metrics) if m
    ]
    return f"""
AI Gateway is ready. Ctrl-C stops it.

  OpenAI base URL   http://{edge}/v1
  Console           http://{admin}/console
  Admin API         http://{admin}/admin
  gRPC              auth {settings.auth_listen}, quota {settings.quota_listen}
  Metrics           {", ".join(metrics) or "off"}
  KV                {store}
  Data and keys     {settings.data_dir}
  Upstream          {settings.upstream or _SIMULATOR}

First steps, in another terminal:

  {operator} setup
  {_command()} chat "Hello"
"""


def _command() -> str:
    """gw as a person in this directory would type it."""
    installed = Path(sys.prefix) / "bin" / "gw"
    if shutil.which("gw") == str(installed) or not installed.is_file():
        return "gw"
    here = Path.cwd()
    return str(installed.relative_to(here) if installed.is_relative_to(here) else installed)
