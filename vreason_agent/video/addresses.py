"""Which network addresses a file may be fetched from: public ones. Opens no connection."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOSTS_OWN = ipaddress.IPv4Address("168.63.129.16")  # a cloud's internal services, at an address of the public range
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Not public are loopback, private, link-local (where cloud metadata is served), shared, reserved, multicast and
    unspecified addresses, and IPv6 addresses that lead to an IPv4 one by NAT64, 6to4 or Teredo. An IPv4-mapped one
    counts as the address that it maps.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or any(address in network for network in _CARRIERS):
            return False
    is_hosts_own = address == _HOSTS_OWN
    return not is_hosts_own and address.is_global and not address.is_multicast and not address.is_reserved
