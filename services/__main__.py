"""``python -m services``: the whole gateway on one machine.

KV, then auth and quota (and the simulator when no upstream is configured), then the edge; each
waits for the health of the one before. Stopped in reverse order.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from services.common.settings import SettingsError, child_environment
from services.launch import data, kv, plans
from services.launch.banner import banner
from services.launch.child import say
from services.launch.crew import Crew, StartFailed, StopAsked
from services.launch.ports import reachable, require_free
from services.launch.settings import LaunchSettings


async def bring_up(crew: Crew, settings: LaunchSettings, lock: int, socket_path: Path) -> None:
    """Start everything in order; return when all of it is healthy."""
    told = plans.environment(
        settings,
        child_environment(),
        redis_url=settings.redis_url or f"unix://{socket_path}",
        terminal=sys.stdout.isatty(),
        sockets=socket_path.parent,
    )
    store = "REDIS_URL"
    if not settings.redis_url:
        server = kv.find_server()
        directory = settings.data_dir.absolute() / "kv"
        await crew.start(plans.kv_plan(server, directory, socket_path, lock))
        data.note_pids(lock, *crew.pids())
        await crew.ready()
        store = f"{server.name} {server.version} on a unix socket, append-only file"
    if not settings.upstream:
        address = reachable("GATEWAY_SIMULATOR_LISTEN", settings.simulator_listen)
        await crew.start(plans.http_plan("simulator", address, settings, told))
    auth = reachable("GATEWAY_AUTH_LISTEN", settings.auth_listen)
    quota = reachable("GATEWAY_QUOTA_LISTEN", settings.quota_listen)
    await crew.start(
        plans.grpc_plan("auth", auth, settings, told),
        plans.grpc_plan("quota", quota, settings, told),
    )
    await crew.ready()
    edge = reachable("GATEWAY_EDGE_LISTEN", settings.edge_listen)
    await crew.start(plans.http_plan("edge", edge, settings, told))
    await crew.ready()
    say(banner(settings, store=store))


async def launch(settings: LaunchSettings, lock: int) -> None:
    require_free(plans.taken(settings))
    crew = Crew()
    with kv.socket_path(settings.data_dir.absolute()) as socket_path:
        try:
            with contextlib.suppress(StopAsked):
                await bring_up(crew, settings, lock, socket_path)
                await crew.watch()
        finally:
            await crew.stop()


def main() -> int:
    try:
        settings = LaunchSettings.load()
        with data.hold(settings.data_dir.absolute()) as lock:
            asyncio.run(launch(settings, lock))
    except SettingsError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except StartFailed as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
