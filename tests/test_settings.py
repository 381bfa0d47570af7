"""The user's settings of libpq override the defaults."""

from pathlib import Path

import pytest

from exporter.engines import connection


def test_the_settings_of_the_user_override_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    services = tmp_path / "services"
    services.write_text("[x]\nkeepalives_idle=7\ntcp_user_timeout=5000\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "x")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=10s")
    assert connection._settings() == {  # noqa: SLF001  # Nothing else shows them.
        "connect_timeout": "3",
        "keepalives_idle": "7",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "5000",
        "fallback_application_name": "finetune",
    }
