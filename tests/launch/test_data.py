import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.settings import SettingsError
from services.launch import data


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "admin_api_key"
    first = data.kept_key(path)
    assert len(first) == 64
    assert data.kept_key(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["admin_api_key"]


def test_a_key_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "service_token"
    path.write_text("abc\n")
    path.chmod(0o644)
    assert data.kept_key(path) == "abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_key_file_is_not_a_key(tmp_path: Path) -> None:
    path = tmp_path / "master_key"
    path.touch()
    assert len(data.kept_key(path)) == 64


def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with data.hold(tmp_path / "a" / "b"):
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_second_launcher_is_told_who_runs_and_what_to_do(tmp_path: Path) -> None:
    with data.hold(tmp_path):
        message = rf"process {os.getpid()}\) runs on .* GATEWAY_DATA_DIR"
        with pytest.raises(SettingsError, match=message), data.hold(tmp_path):
            pass
    with data.hold(tmp_path):
        pass


def test_the_store_of_a_killed_launcher_keeps_the_directory(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=20)
    with data.hold(tmp_path) as lock:
        kv = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
        data.note_pids(lock, gone.pid, kv.pid)
    try:
        with pytest.raises(SettingsError, match=f"`kill {kv.pid}`"), data.hold(tmp_path):
            pass
    finally:
        kv.kill()
        kv.wait(timeout=20)
    with data.hold(tmp_path):
        pass


def test_a_data_dir_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SettingsError, match=r"^GATEWAY_DATA_DIR: cannot write in .*/file/data"),
        data.hold(tmp_path / "file" / "data"),
    ):
        pass
