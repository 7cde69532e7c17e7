"""A simulator in a thread beside the tests, and clients of it."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from services.simulator.server import Simulator, beside
from services.simulator.settings import SimulatorSettings
from tests.simulator.wire import Wire


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with beside(SimulatorSettings.immediate()) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.witness.clear()
    return running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    base_url = f"{simulator.url}/v1"
    with openai.OpenAI(base_url=base_url, api_key="sk-test", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def wire(simulator: Simulator) -> Iterator[Wire]:
    with httpx.Client(base_url=simulator.url, timeout=10) as http:
        yield Wire(http)
