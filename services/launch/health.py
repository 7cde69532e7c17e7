"""Whether a process serves: HTTP GET /healthz."""

import http.client


def http_ok(address: str, path: str = "/healthz") -> bool:
    """Whether ``host:port`` answers 200 within a second."""
    connection = http.client.HTTPConnection(address, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
