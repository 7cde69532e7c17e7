"""A lean HTTP/1.1 client behind httpx's transport interface.

One request crosses transport (what the caller sees) → pool (a connection, or a bounded wait for
one) → connection (a protocol on the event loop) → exchange (one answer, with backpressure).
"""

from services.edge.transport.exchange import Exchange
from services.edge.transport.pool import AddressInfo, Limits, Pool, Resolve
from services.edge.transport.transport import LeanTransport, resolve

__all__ = ["AddressInfo", "Exchange", "LeanTransport", "Limits", "Pool", "Resolve", "resolve"]
