"""`lutnas tokens` against a real service, and teams by the environment."""

from datetime import UTC, datetime, timedelta

import pytest

from lutnas.client import Client, ProblemError
from tests.lutnas.conftest import Service


def test_a_token_is_made_listed_and_revoked(service: Service) -> None:
    made = service.data("tokens", "create", "ci", "--scope", "read", "--scope", "submit", "--days", "1")
    assert (made["owner"], made["scopes"]) == ("main", ["read", "submit"])
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)
    listed = {one["id"]: one for one in service.data("tokens", "list")}
    assert listed[made["id"]]["name"] == "ci"
    assert service.data("devices", "list", "--token", made["secret"]) is not None
    refused = service.lutnas("devices", "create", "x", "--token", made["secret"])
    assert (refused.exit_code, "profile" in refused.stderr) == (1, True)
    told = {"token": made["id"], "revoked": True, "with_made": False}
    assert service.data("tokens", "revoke", made["id"]) == told
    closed = service.lutnas("devices", "list", "--token", made["secret"])
    assert closed.exit_code == 1
    assert "hint: `lutnas tokens create`" in closed.stderr


def test_a_token_is_revoked_with_those_it_made(service: Service) -> None:
    made = service.data("tokens", "create", "ci", "--scope", "read")
    child = service.data("tokens", "create", "child", "--scope", "read", "--token", made["secret"])
    done = service.lutnas("tokens", "revoke", "--with-made", made["id"])
    assert done.stdout == f"{made['id']} and all that it made open nothing any more\n"
    assert service.lutnas("devices", "list", "--token", child["secret"]).exit_code == 1


def test_people_see_the_secret_once_and_are_told_so(service: Service) -> None:
    done = service.lutnas("tokens", "create", "ci", "--scope", "read")
    assert "lutnas_" in done.stdout
    assert "store it now" in done.stderr
    assert "lutnas_" not in service.lutnas("tokens", "list").stdout


def test_a_token_without_a_scope_is_wrong_usage(service: Service) -> None:
    assert service.lutnas("tokens", "create", "ci").exit_code == 2


def test_the_client_asks_for_a_team(service: Service) -> None:
    with service.client() as main:
        made = main.tokens.create("alice", scopes=["read", "profile"], owner="alice", teams=["cam"])
    with Client(service.url, made["secret"], team="cam") as client:
        assert client.create_device("shared")["owner"] == "cam"
    with Client(service.url, made["secret"]) as client:
        assert client.device("shared")["owner"] == "cam"
        assert client.whoami()["teams"] == ["cam"]
    with Client(service.url, made["secret"], team="lab") as client, pytest.raises(ProblemError) as caught:
        client.device("shared")
    assert caught.value.slug == "forbidden"
