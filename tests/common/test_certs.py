"""What `make certs` makes."""

import datetime
import stat
import subprocess
import sys
from pathlib import Path

from services.common import certs

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_each_service_has_a_certificate_and_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    made = certs.make(tmp_path / "certs", now=NOW)
    assert made == ["ca", "edge", "auth", "quota"]
    assert stat.S_IMODE((tmp_path / "certs").stat().st_mode) == 0o700
    keys = sorted((tmp_path / "certs").rglob("*.key"))
    assert [key.parent.name for key in keys] == ["auth", "certs", "edge", "quota"]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_what_is_still_good_is_kept(tmp_path: Path) -> None:
    certs.make(tmp_path, now=NOW)
    before = contents(tmp_path)
    assert certs.make(tmp_path, now=NOW + 330 * DAY) == []
    assert contents(tmp_path) == before


def test_what_ends_within_a_month_is_made_anew_by_the_same_authority(tmp_path: Path) -> None:
    certs.make(tmp_path, now=NOW)
    before = contents(tmp_path)
    assert certs.make(tmp_path, now=NOW + 340 * DAY) == ["edge", "auth", "quota"]
    after = contents(tmp_path)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["edge/tls.crt"] != before["edge/tls.crt"]


def test_another_namespace_needs_other_certificates(tmp_path: Path) -> None:
    certs.make(tmp_path, now=NOW)
    assert certs.make(tmp_path, now=NOW, namespace="elsewhere") == ["edge", "auth", "quota"]


def test_an_authority_near_its_end_is_replaced_with_all_it_signed(tmp_path: Path) -> None:
    certs.make(tmp_path, now=NOW)
    assert certs.make(tmp_path, now=NOW + 9 * 365 * DAY) == ["ca", "edge", "auth", "quota"]
    roots = {path.read_bytes() for path in tmp_path.rglob("ca.crt")}
    assert len(roots) == 1


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.common.certs", str(tmp_path / "certs")]
    told = [
        subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        for _ in range(2)
    ]
    assert "ca, edge, auth, quota made" in told[0]
    assert "all are still good" in told[1]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "services.common.certs", str(tmp_path / "file" / "certs")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
