"""The gateway's processes."""

from services.common.settings import prefer

# gRPC reads this when it is imported, which is why it is told here. With its older pollers a
# message goes through one thread on its way to the event loop instead of three: half of a small
# call's time.
prefer("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
