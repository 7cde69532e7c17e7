"""mTLS from PEM files that may be replaced while the process runs.

A server asks for the files' state at each handshake, a channel every few seconds (see ``dial``).
A replacement that cannot be used yet (half written, key and certificate of different pairs) is
left alone until it can; running connections are never cut.
"""

import math
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.common.logs import logger
from services.common.settings import SettingsError

log = logger("tls")

_Stamp = tuple[tuple[int, int, int], ...]


class Pem(NamedTuple):
    """A certificate (with its chain), its private key, and the authorities that are trusted."""

    cert: bytes
    key: bytes
    ca: bytes


class Identity:
    """Who this process is to its peers. Raises SettingsError when the files cannot be used."""

    def __init__(self, cert: str, key: str, ca: str) -> None:
        self._paths = (Path(cert), Path(key), Path(ca))
        self._lock = Lock()
        self._told = ""
        self._stamp: _Stamp = ()
        try:
            self._stamp = self._look()
            self.pem = self._read()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"GATEWAY_TLS_CERT, GATEWAY_TLS_KEY, GATEWAY_TLS_CA: {error} (see `make certs`)"
            ) from None

    def renewed(self) -> bool:
        """Whether the files were replaced by usable ones since the last look; ``pem`` has them.
        May be called from any thread."""
        with self._lock:
            try:
                stamp = self._look()
                if stamp == self._stamp:
                    return False
                self.pem = self._read()
            except (OSError, ValueError) as error:
                if self._told != str(error):
                    self._told = str(error)
                    log.warning("certificate_unusable", problem=self._told)
                return False
            self._stamp, self._told = stamp, ""
            log.info("certificate_renewed", not_after=_not_after(self.pem))
            return True

    def _look(self) -> _Stamp:
        stats = [path.stat() for path in self._paths]
        return tuple((found.st_mtime_ns, found.st_ino, found.st_size) for found in stats)

    def _read(self) -> Pem:
        pem = Pem(*(path.read_bytes() for path in self._paths))
        x509.load_pem_x509_certificates(pem.ca)
        own = x509.load_pem_x509_certificate(pem.cert).public_key()
        if load_pem_private_key(pem.key, password=None).public_key() != own:
            cert, key, _ = self._paths
            raise ValueError(f"{key} is not the key of {cert}")
        return pem


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """mTLS: clients must present a certificate of our authority. New files hold for the next
    handshake."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        pem = identity.pem
        return grpc.ssl_server_certificate_configuration(
            [(pem.key, pem.cert)], root_certificates=pem.ca
        )

    def fetch() -> grpc.ServerCertificateConfiguration:
        identity.renewed()
        return configuration()

    return grpc.dynamic_ssl_server_credentials(
        configuration(), fetch, require_client_authentication=True
    )


def channel_credentials(pem: Pem) -> grpc.ChannelCredentials:
    """mTLS: our certificate, and the authority that must have signed the server's."""
    return grpc.ssl_channel_credentials(
        root_certificates=pem.ca, private_key=pem.key, certificate_chain=pem.cert
    )


def expires(cert: str) -> float:
    """When the certificate in a file ends, Unix seconds; NaN while it cannot be read."""
    try:
        found = x509.load_pem_x509_certificate(Path(cert).read_bytes())
    except (OSError, ValueError):
        return math.nan
    return found.not_valid_after_utc.timestamp()


def _not_after(pem: Pem) -> str:
    return x509.load_pem_x509_certificate(pem.cert).not_valid_after_utc.isoformat()
