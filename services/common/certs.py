"""``python -m services.common.certs DIR``: certificates for mTLS between edge, auth and quota.

DIR/ca.crt and ca.key are the authority; DIR/<service>/tls.crt, tls.key and ca.crt are what one
process gets: the layout of a Kubernetes TLS Secret. Run it again at any time: what is good for
another month is kept, the rest is made anew, and running processes take it up by themselves.
"""

import argparse
import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICES = ("edge", "auth", "quota")
AUTHORITY_DAYS = 3_650
SERVICE_DAYS = 365
RENEW_DAYS = 30

_Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def make(directory: Path, *, now: datetime.datetime, namespace: str = "gateway") -> list[str]:
    """Make what is missing or ends within a month; the names of what was made. ``namespace`` is
    the Kubernetes namespace the certificates are valid in, besides this machine."""
    made: list[str] = []
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _authority(directory, now)
    if authority is None:
        authority = _sign("AI Gateway authority", [], None, now, AUTHORITY_DAYS)
        _store(directory / "ca.key", directory / "ca.crt", authority)
        made.append("ca")
    root = authority[0].public_bytes(Encoding.PEM)
    for service in SERVICES:
        own = directory / service
        own.mkdir(exist_ok=True, mode=0o700)
        names = _names(service, namespace)
        if made[:1] == ["ca"] or not _is_good(own / "tls.crt", own / "tls.key", names, now):
            issued = _sign(service, names, authority, now, SERVICE_DAYS)
            _store(own / "tls.key", own / "tls.crt", issued)
            made.append(service)
        if not (own / "ca.crt").exists() or (own / "ca.crt").read_bytes() != root:
            _write(own / "ca.crt", root, 0o644)
    return made


def _names(service: str, namespace: str) -> list[x509.GeneralName]:
    cluster = f"{service}.{namespace}"
    dns = [service, "localhost", cluster, f"{cluster}.svc", f"{cluster}.svc.cluster.local"]
    loopback = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    return [*map(x509.DNSName, dns), *map(x509.IPAddress, loopback)]


def _authority(directory: Path, now: datetime.datetime) -> _Signer | None:
    """The authority that is there, if it outlives the certificates it is to sign."""
    try:
        cert = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
        key = load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except FileNotFoundError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    long_enough = cert.not_valid_after_utc > now + datetime.timedelta(days=SERVICE_DAYS)
    return (cert, key) if long_enough else None


def _is_good(
    cert_path: Path, key_path: Path, names: list[x509.GeneralName], now: datetime.datetime
) -> bool:
    if not (cert_path.exists() and key_path.exists()):
        return False
    cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
    valid_for = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    fresh = cert.not_valid_after_utc > now + datetime.timedelta(days=RENEW_DAYS)
    return fresh and list(valid_for) == names


def _sign(
    name: str,
    names: list[x509.GeneralName],
    authority: _Signer | None,
    now: datetime.datetime,
    days: int,
) -> _Signer:
    """A certificate; without ``authority`` it is one, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_key = authority[1] if authority else key
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=not authority, path_length=None if authority else 0), True),
        (key_usage(signs=not authority), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    if authority:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        extensions += [
            (x509.ExtendedKeyUsage(both), False),
            (x509.SubjectAlternativeName(names), False),
        ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority[0].subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256()), key


def key_usage(*, signs: bool) -> x509.KeyUsage:
    """What a certificate's key is for: an authority's ``signs`` others."""
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _store(key_path: Path, cert_path: Path, issued: _Signer) -> None:
    cert, key = issued
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_path, pem, 0o600)
    _write(cert_path, cert.public_bytes(Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(file, "wb") as out:
        out.write(content)
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.common.certs", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the files are kept")
    parser.add_argument("--namespace", default="gateway", help="Kubernetes namespace")
    told = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC)
    try:
        made = make(told.directory, now=now, namespace=told.namespace)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{told.directory}: {', '.join(made) + ' made' if made else 'all are still good'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
