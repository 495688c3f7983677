"""`lutnas audit` against a real service."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.lutnas.conftest import Service


def test_the_trail_is_listed_newest_first_and_narrowed(service: Service) -> None:
    began = datetime.now(UTC)
    made = service.data("tokens", "create", "seen", "--scope", "read", "--owner", "audited")
    service.data("tokens", "revoke", made["id"])
    of_token = service.data("audit", "--object", made["id"])
    assert [(one["method"], one["status"]) for one in of_token] == [("DELETE", 204), ("POST", 201)]
    who = of_token[0]["token_id"]
    assert of_token == service.data("audit", "--object", made["id"], "--since", began.isoformat(), "--actor", who)
    assert service.data("audit", "--object", made["id"], "--actor", "audited") == []
    assert len(service.data("audit", "--since", "1h", "--actor", "main")) >= 2
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert service.data("audit", "--since", later) == []
    shown = service.lutnas("audit", "--object", made["id"])
    assert made["id"] in shown.stdout
    assert service.lutnas("audit", "--since", later).stderr.strip() == "nothing was written"


def test_of_a_long_trail_the_newest_are_shown_and_people_told_so(service: Service) -> None:
    for name in ("one", "two"):
        service.data("tokens", "create", name, "--scope", "read")
    shown = service.lutnas("audit", "--limit", "1")
    assert (len(shown.stdout.splitlines()), "--limit shows more" in shown.stderr) == (2, True)


@pytest.mark.parametrize("when", ["soon", "7w", "999999d", "2026-13-01"])
def test_a_time_that_is_none_is_wrong_usage(service: Service, when: str) -> None:
    refused = service.lutnas("audit", "--since", when)
    assert (refused.exit_code, "how long ago" in refused.stderr) == (2, True)


def test_without_the_scope_it_is_refused_by_name(service: Service) -> None:
    weak = service.data("tokens", "create", "weak", "--scope", "read")["secret"]
    refused = service.lutnas("audit", "--token", weak)
    assert (refused.exit_code, "admin" in refused.stderr) == (1, True)
