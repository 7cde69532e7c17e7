"""Every example works as it stands; only the address and the key are a test's."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.clients.relay import relayed
from tests.clients.runner import Runner
from tests.edge.world import USD, Member, World

EXAMPLES = Path(__file__).parents[2] / "examples"
ADDRESS = "http://localhost:8787"
HELLO = "Hello there"


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member(budget=10 * USD)


def run(command: list[str], gateway: World, member: Member) -> str:
    told = {"OPENAI_BASE_URL": f"{gateway.url}/v1", "OPENAI_API_KEY": member.key}
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **told},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settled(gateway: World, member: Member) -> int:
    return len([e for e in gateway.journal(member) if e.kind == "settle"])


def test_every_example_is_tried_and_shown() -> None:
    here = Path(__file__).read_text()
    shown = (EXAMPLES.parent / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        assert f'"{path.name}"' in here
        assert f"(examples/{path.name})" in shown


def test_curl(gateway: World, member: Member) -> None:
    out = run(["sh", str(EXAMPLES / "curl.sh")], gateway, member)
    whole, *_, usage = [line for line in out.splitlines() if line.startswith("{")]
    assert json.loads(whole)["choices"][0]["message"]["content"] == HELLO
    assert "data: [DONE]" in out
    assert json.loads(usage)
    assert settled(gateway, member) == 2


def test_the_python_client(gateway: World, member: Member) -> None:
    out = run([sys.executable, str(EXAMPLES / "python_client.py")], gateway, member)
    assert out.splitlines() == [HELLO, HELLO, "insufficient_quota"]
    assert settled(gateway, member) == 2


def test_langchain(gateway: World, member: Member) -> None:
    out = run([sys.executable, str(EXAMPLES / "langchain_chat.py")], gateway, member)
    assert out.splitlines()[:2] == [HELLO, HELLO]
    assert out.endswith(" numbers\n")
    assert settled(gateway, member) == 3


@pytest.mark.timeout(120)
def test_llamaindex(gateway: World, member: Member, python: Runner) -> None:
    out = run([python.program, str(EXAMPLES / "llamaindex_chat.py")], gateway, member)
    assert out.splitlines()[:2] == [HELLO, HELLO]
    assert out.endswith(" numbers\n")
    assert settled(gateway, member) == 3


def test_the_node_client(gateway: World, member: Member, node: Runner, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node.folder / "node_modules")
    script = tmp_path / "node_client.mjs"
    script.write_text((EXAMPLES / "node_client.mjs").read_text())
    out = run([node.program, "--preserve-symlinks-main", str(script)], gateway, member)
    assert out.splitlines() == [HELLO, HELLO]
    assert settled(gateway, member) == 2


def codex(url: str, key: str, node: Runner, home: Path) -> list[dict[str, object]]:
    """What Codex tells of one turn."""
    text = (EXAMPLES / "codex.toml").read_text()
    assert text.count(ADDRESS) == 1
    assert tomllib.loads(text)["model_providers"]["gateway"]["wire_api"] == "responses"
    (home / "config.toml").write_text(text.replace(ADDRESS, url))
    done = node.call(
        [
            str(node.folder / "node_modules" / ".bin" / "codex"),
            *("exec", "--skip-git-repo-check", "--json", HELLO),
        ],
        {"CODEX_HOME": str(home), "HOME": str(home), "GATEWAY_API_KEY": key},
        cwd=home,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_codex(gateway: World, member: Member, node: Runner, tmp_path: Path) -> None:
    events = codex(gateway.url, member.key, node, tmp_path)  # "codex.toml"
    assert events[-1]["type"] == "turn.completed", events
    said = [e["item"] for e in events if e["type"] == "item.completed"]
    assert any(isinstance(i, dict) and i.get("type") == "agent_message" for i in said)
    entries = [e for e in gateway.journal(member) if e.kind == "settle"]
    told = {(entry.operation, *entry.flags) for entry in entries}
    assert (len(entries), told) == (2, {("responses",)})  # a call of a tool, and the answer


def test_r3_codex_asks_once_when_the_budget_is_used_up(
    gateway: World, node: Runner, tmp_path: Path
) -> None:
    broke = gateway.member(limit=0)
    with relayed(gateway.url) as relay:
        events = codex(relay.url, broke.key, node, tmp_path)
        assert relay.asked(b"POST /v1/responses ") == 1
    assert events[-1]["type"] == "turn.failed"
    assert "uota" in json.dumps(events[-1])


def test_open_webui(gateway: World, member: Member) -> None:
    """What its backend does with these settings: the list of models, then chats."""
    lines = (EXAMPLES / "open-webui.env").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    base = told["OPENAI_API_BASE_URL"].replace(ADDRESS, gateway.url)
    headers = {"Authorization": f"Bearer {member.key}"}
    models = httpx.get(f"{base}/models", headers=headers).json()["data"]
    asked = {
        "model": models[0]["id"],
        "messages": [{"role": "user", "content": HELLO}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = httpx.post(f"{base}/chat/completions", headers=headers, json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"usage":{' in answer.text.replace(" ", "")
    assert settled(gateway, member) == 1
