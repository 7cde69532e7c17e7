"""The one place where gw reads its environment: variables first, then ``.env``, then defaults."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from cli.failure import NO_ACCESS, USAGE, Failure

LOCAL_URL = "http://localhost:8787"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every variable gw knows."""

    url: str
    prod_url: str
    admin_api_key: str
    data_dir: Path
    model: str

    @classmethod
    def load(cls) -> "Settings":
        values = {**dotenv_values(".env"), **os.environ}

        def read(name: str, default: str = "") -> str:
            return (values.get(name) or default).strip()

        return cls(
            url=read("GATEWAY_URL", LOCAL_URL),
            prod_url=read("GATEWAY_PROD_URL"),
            admin_api_key=read("ADMIN_API_KEY"),
            data_dir=Path(read("GATEWAY_DATA_DIR", ".gateway")),
            model=read("GATEWAY_MODEL"),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway a command speaks to. Keys of the gateway on this machine stay on it."""

    settings: Settings
    url: str
    host: str
    prod: bool

    @classmethod
    def choose(cls, settings: Settings, *, prod: bool, url: str | None) -> "Target":
        """Raises Failure when there is no usable address."""
        chosen = url or (settings.prod_url if prod else settings.url)
        if not chosen:
            raise Failure("--prod needs the gateway's address in GATEWAY_PROD_URL", USAGE)
        parts = urlsplit(chosen)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure(f"{chosen} is not an http:// or https:// address", USAGE)
        return cls(settings, chosen.rstrip("/"), parts.hostname, prod)

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, as far as its address says."""
        loopback = self.host in ("localhost", "::1") or self.host.startswith("127.")
        return loopback and not self.prod

    @property
    def demo_key_file(self) -> Path:
        """Where `gw setup` keeps the first key it made, for `gw chat`."""
        name = "demo_api_key" if self.local else f"demo_api_key.{self.host}"
        return self.settings.data_dir / name

    @property
    def admin_key(self) -> str:
        """Raises Failure when there is none."""
        if self.settings.admin_api_key:
            return self.settings.admin_api_key
        kept = self.settings.data_dir / "admin_api_key"
        found = _kept(kept) if self.local else ""
        if not found:
            where = f" (nor is there a key in {kept})" if self.local else ""
            raise Failure(f"ADMIN_API_KEY is not set{where}", NO_ACCESS)
        return found

    @property
    def demo_key(self) -> str:
        """Empty when setup has not run here."""
        return _kept(self.demo_key_file)

    def keep_demo_key(self, key: str) -> None:
        """Written 0600, whole or not at all."""
        path = self.demo_key_file
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
        part.replace(path)


def _kept(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", USAGE) from None
