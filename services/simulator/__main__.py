"""The simulator as a process."""

from services.common import logs
from services.common.process import run, until_signal
from services.simulator.server import serving
from services.simulator.settings import SimulatorSettings


async def main() -> None:
    settings = SimulatorSettings.load()
    logs.configure("simulator", settings.log_level, settings.log_format)
    log = logs.logger("simulator")
    async with serving(settings) as simulator:
        log.info("listening", url=simulator.url, settings=settings.describe())
        await until_signal()


if __name__ == "__main__":
    run(main)
