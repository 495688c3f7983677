"""Where webhooks may go, whatever dress an address comes in."""

from ipaddress import ip_address

import pytest

from api.webhooks.addresses import AddressRefused, check_url, is_public


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["192.0.0.192", "168.63.129.16",
     "0.0.0.0", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "224.0.0.1",
     "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::",
     "64:ff9b::7f00:1", "64:ff9b::a00:1", "fec0::1", "64:ff9b:1::a00:1", "::ffff:0:7f00:1",
     "::127.0.0.1", "::a9fe:a9fe", "3fff::1", "5f00::1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_known_in_every_dress(address: str) -> None:
    assert not is_public(ip_address(address))


def test_private_urls_are_taken_where_the_setting_allows_them() -> None:
    assert str(check_url("http://127.0.0.1:9/x", private=True)) == "http://127.0.0.1:9/x"
    with pytest.raises(AddressRefused):
        check_url("http://127.0.0.1:9/x", private=False)
