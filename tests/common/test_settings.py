import pytest
from pydantic import SecretStr

from services.common.settings import (
    MIN_SECRET_LENGTH,
    ServiceSettings,
    SettingsError,
    newest,
    require_secret,
)


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KV_TIMEOUT_MS", "soon")
    with pytest.raises(SettingsError, match="GATEWAY_KV_TIMEOUT_MS"):
        ServiceSettings.load()


def test_E2_described_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "canary-" + "x" * 40)
    monkeypatch.delenv("GATEWAY_SERVICE_TOKEN", raising=False)
    described = ServiceSettings.load().describe()
    assert "canary" not in repr(described)
    assert described["ADMIN_API_KEY"] == "set"
    assert described["GATEWAY_SERVICE_TOKEN"] == "unset"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServiceSettings().redis_url = "redis://elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    "weak", ["", "short", "changeme" * 8, "x" * (MIN_SECRET_LENGTH - 1)], ids=repr
)
def test_A12_weak_secrets_are_refused_by_name(weak: str) -> None:
    with pytest.raises(SettingsError, match="ADMIN_API_KEY"):
        require_secret("ADMIN_API_KEY", SecretStr(weak))


def test_a_random_secret_is_good() -> None:
    assert require_secret("ADMIN_API_KEY", SecretStr("9f" * 16)) == "9f" * 16


def test_each_of_several_secrets_must_be_strong() -> None:
    strong = "x" * MIN_SECRET_LENGTH
    assert (
        newest(require_secret("ADMIN_API_KEY", SecretStr(f"{strong}y , {strong}"))) == f"{strong}y"
    )
    for weak in (f"{strong},short", f"{strong},", f"short,{strong}"):
        with pytest.raises(SettingsError, match="too weak"):
            require_secret("ADMIN_API_KEY", SecretStr(weak))
