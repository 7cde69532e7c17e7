"""The launcher's order and its ends, with small processes instead of services."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from services.launch.crew import Crew, Plan, StartFailed, StopAsked

# Says when it is up, and when it was asked to stop, in one file for all.
MEMBER = """
import os, signal, sys
name, log = sys.argv[1:]
def note(what):
    with open(log, "a") as file:
        file.write(f"{what} {name}\\n")
def stop(*_):
    note("stop")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
note("start")
while True:
    signal.pause()
"""
# Ignores SIGTERM and has a child that does, too.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    open(sys.argv[1] + ".child", "w").write(str(os.getpid()))
else:
    open(sys.argv[1] + ".parent", "w").write(str(os.getpid()))
while True:
    signal.pause()
"""


def plan(
    name: str, code: str, *arguments: str, ready: Path | None = None, grace: float = 20
) -> Plan:
    return Plan(
        name=name,
        command=[sys.executable, "-c", code, *arguments],
        environment=dict(os.environ),
        healthy=lambda: ready is None or (ready.exists() and name in ready.read_text()),
        grace=grace,
    )


def member(name: str, log: Path) -> Plan:
    return plan(name, MEMBER, name, str(log), ready=log)


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    """A crew that leaves no process behind."""
    crew = Crew()
    yield crew
    await asyncio.wait_for(crew.stop(), 30)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def dead(pid: int) -> bool:
    return not alive(pid)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def test_each_waits_for_the_one_before_and_the_stop_is_reversed(
    crew: Crew, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for name in ("kv", "auth", "edge"):
        await crew.start(member(name, log))
        await crew.ready()
    await crew.stop()
    events = log.read_text().split("\n")[:-1]
    assert events == ["start kv", "start auth", "start edge", "stop edge", "stop auth", "stop kv"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_the_watch_and_nothing_is_left(
    crew: Crew, tmp_path: Path, number: signal.Signals
) -> None:
    await crew.start(member("auth", tmp_path / "log"))
    await crew.ready()
    watching = asyncio.create_task(crew.watch())
    os.kill(os.getpid(), number)
    await asyncio.wait_for(watching, 10)
    _, pid = crew.pids()
    assert alive(pid)
    await crew.stop()
    assert not alive(pid)


async def test_a_signal_during_the_start_stops_the_start(crew: Crew, tmp_path: Path) -> None:
    await crew.start(plan("auth", MEMBER, "auth", str(tmp_path / "log"), ready=tmp_path / "never"))
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(StopAsked):
        await crew.ready()


async def test_a_process_that_dies_at_the_start_is_named_with_its_last_words(crew: Crew) -> None:
    code = "import sys; print('line one'); print('the reason'); sys.exit(3)"
    await crew.start(plan("quota", code, ready=Path("/nowhere")))
    with pytest.raises(StartFailed) as failure:
        await crew.ready()
    assert str(failure.value) == "quota ended by itself (exit code 3)\n  line one\n  the reason"


async def test_a_process_that_dies_later_ends_the_watch(crew: Crew, tmp_path: Path) -> None:
    await crew.start(member("kv", tmp_path / "log"))
    await crew.ready()
    watching = asyncio.create_task(crew.watch())
    os.kill(crew.pids()[1], signal.SIGKILL)
    with pytest.raises(StartFailed, match=r"^kv ended by itself \(signal SIGKILL\)"):
        await asyncio.wait_for(watching, 10)


async def test_what_ignores_the_stop_is_killed_with_its_children(
    crew: Crew, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "pid"
    files = [base.with_suffix(".parent"), base.with_suffix(".child")]
    await crew.start(plan("edge", STUBBORN, str(base), grace=0.2))
    await until(lambda: all(f.exists() and f.read_text() for f in files))
    await crew.stop()
    assert "edge did not stop in 0 s and is killed" in capsys.readouterr().out
    for file in files:
        pid = int(file.read_text())
        await until(partial(dead, pid))


async def test_a_second_interrupt_kills_at_once(crew: Crew, tmp_path: Path) -> None:
    base = tmp_path / "pid"
    await crew.start(plan("edge", STUBBORN, str(base), grace=600))
    await until(lambda: base.with_suffix(".child").exists())
    stopping = asyncio.create_task(crew.stop())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(stopping, 10)
    assert not alive(crew.pids()[1])


async def test_one_interrupt_that_arrives_twice_is_no_reason_to_kill(
    crew: Crew, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    await crew.start(member("auth", log))
    await crew.ready()
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    await crew.watch()
    await crew.stop()
    assert log.read_text() == "start auth\nstop auth\n"


async def test_a_second_sigterm_is_no_reason_to_kill(crew: Crew, tmp_path: Path) -> None:
    log = tmp_path / "log"
    await crew.start(member("auth", log))
    await crew.ready()
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    await crew.watch()
    await crew.stop()
    assert log.read_text() == "start auth\nstop auth\n"


async def test_each_line_says_who_wrote_it(crew: Crew, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.stdout.write('no newline')"
    await crew.start(plan("auth", code, ready=Path("/nowhere")))
    with pytest.raises(StartFailed):
        await crew.ready()
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["auth      | no newline", "auth      | one", "auth      | two"]


async def test_a_line_without_end_does_not_fill_the_memory(
    crew: Crew, capsys: pytest.CaptureFixture[str]
) -> None:
    await crew.start(plan("auth", "print('x' * (5 << 20))", ready=Path("/nowhere")))
    with pytest.raises(StartFailed):
        await crew.ready()
    lines = [line.removeprefix("auth      | ") for line in capsys.readouterr().out.splitlines()]
    assert sum(map(len, lines)) == 5 << 20
    assert max(map(len, lines)) < 2 << 20
