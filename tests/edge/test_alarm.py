"""One bound on waiting for each call; an alarm that serves another call is as good as new."""

import asyncio

import pytest

from gateway.quota.v1.quota_pb2 import CheckpointResult, Grant, Refusal, ReserveItem
from services.edge.alarm import Alarm, Alarms
from services.edge.bounds import Bound
from services.edge.hold import Hold
from services.edge.running import Run, Running
from services.edge.usage import Meter, Tokens

LONG = 300.0


async def rings(alarm: Alarm, seconds: float) -> None:
    with pytest.raises(TimeoutError), alarm.armed(seconds):
        await asyncio.Event().wait()


async def test_time_that_is_up_is_told_again_and_again() -> None:
    alarm = Alarm()
    await rings(alarm, 0.01)
    await rings(alarm, 0.01)
    assert not alarm.gone
    assert alarm.refusal is None


async def test_an_alarm_that_was_quiet_is_used_again_and_rings_for_its_present_call() -> None:
    alarms = Alarms()
    alarm = alarms.take()
    with alarm.armed(LONG):
        await asyncio.sleep(0)
    alarms.give_back(alarm)
    assert alarms.take() is alarm
    await rings(alarm, 0.01)  # a shorter wait than the one its timer was made for


async def test_an_alarm_that_rang_is_never_used_again() -> None:
    for ring in (Alarm.hang_up, lambda alarm: alarm.stop(Refusal(reason="SUSPENDED"))):
        alarms = Alarms()
        alarm = alarms.take()
        asyncio.get_running_loop().call_soon(ring, alarm)
        await rings(alarm, LONG)
        alarms.give_back(alarm)
        assert alarms.take() is not alarm
    alarms = Alarms()
    alarm = alarms.take()
    await rings(alarm, 0.01)
    alarms.give_back(alarm)
    assert alarms.take() is not alarm


async def test_what_the_ledger_says_of_a_request_that_has_ended_stops_no_other() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def checkpoint(_: object) -> list[CheckpointResult]:
        asked.set()
        await answer.wait()
        return [CheckpointResult(refusal=Refusal(reason="API_KEY_INVALID"))]

    alarms, running = Alarms(), Running(checkpoint, every=LONG)
    alarm = alarms.take()
    bound = Bound(Tokens(), 0, 0)
    run = Run(Hold(ReserveItem(), Grant(), bound, "m"), Meter(), longest=1, window=1)
    run.stop = alarm.stop
    running.add(run)
    told = asyncio.create_task(running.extend(run))
    await asked.wait()
    running.remove(run)
    alarms.give_back(alarm)
    answer.set()
    await told
    assert alarms.take() is alarm
    assert alarm.refusal is None
