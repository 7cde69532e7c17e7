"""The image, without Docker: its recipe is read, and what it holds is put together and started."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROCESSES = ("edge", "auth", "quota", "simulator")


def instructions() -> list[tuple[str, str]]:
    """Every instruction and its argument, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last_stage() -> list[tuple[str, str]]:
    told = instructions()
    return told[max(n for n, (word, _) in enumerate(told) if word == "FROM") :]


def copied(told: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(source, destination) of what comes from the repository."""
    pairs = []
    for word, rest in told:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, destination = rest.split()
            pairs += [(source, destination) for source in sources]
    return pairs


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build; its last matching line decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parents = [path, *map(str, Path(path).parents)]
        if any(fnmatch.fnmatch(part, pattern) for part in parents if part != "."):
            sent = line.startswith("!")
        elif line.startswith("**/") and any(fnmatch.fnmatch(p, pattern) for p in Path(path).parts):
            sent = False
    return sent


def test_hadolint_finds_nothing() -> None:
    found = subprocess.run(
        [shutil.which("hadolint") or Path(sys.executable).with_name("hadolint"), DOCKERFILE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert found.stdout == ""
    assert found.returncode == 0


def test_F8_the_image_runs_as_a_numeric_user_that_is_not_root() -> None:
    users = [rest for word, rest in last_stage() if word == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1])


def test_the_recipe_takes_no_arguments_and_names_every_version() -> None:
    told = instructions()
    assert [rest for word, rest in told if word == "ARG"] == []
    bases = [rest.split()[0] for word, rest in told if word == "FROM"]
    assert len(bases) == 2
    assert [base for base in bases if not re.search(r":.*\d", base)] == []


def test_the_locked_hashes_are_what_is_installed() -> None:
    runs = [rest for word, rest in instructions() if word == "RUN"]
    assert any("make .venv/.runtime" in run for run in runs)
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", ".venv/.runtime"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "--require-hashes -r requirements.lock" in recipe.stdout


def test_what_is_copied_is_there_and_sent_to_the_build() -> None:
    sources = [source for source, _ in copied(instructions())]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not is_sent(source)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "deploy/.env",
        ".git/config",
        ".gateway/admin_api_key",
        "tests/conftest.py",
        ".venv/x",
    ],
)
def test_secrets_and_what_is_not_needed_are_not_sent_to_the_build(path: str) -> None:
    assert not is_sent(path)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /app, read-only, with this machine's generated code and packages."""
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    for source, destination in copied(last_stage()):
        target = app / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        found = ROOT / source
        if found.is_dir():
            shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(found, target)
    shutil.copytree(ROOT / "gen", app / "gen", ignore=shutil.ignore_patterns("__pycache__"))
    return app


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_starts_from_what_the_image_holds(image: Path, process: str) -> None:
    """Far enough to read its settings: what it needs to run is the system tests' business."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "ADMIN_"))}
    site = subprocess.run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()
    # -S leaves out the editable install of this repository.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import services.{process}.__main__ as m; print(m.__file__)"],
        cwd=image,
        env={**kept, "PYTHONPATH": f"{image}:{image}/gen:{site}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(image))
