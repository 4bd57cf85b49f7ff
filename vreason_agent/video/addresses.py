"""Which network addresses a file may be fetched from: public ones. Opens no connection."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOSTS_OWN = ipaddress.IPv4Address("168.63.129.16")  # a cloud's internal services, at an address of the public range
_CARRIERS = ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96")
_SPECIAL = ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16")  # not every Python knows them
_SERVICES = ("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48")  # AS112 and AMT relays
_ISATAP = (0x00005EFE, 0x02005EFE)  # before the IPv4 address in the last bits, whatever the network
_REFUSED = tuple(map(ipaddress.ip_network, (*_CARRIERS, *_SPECIAL, *_SERVICES)))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Not public are loopback, private, link-local (where cloud metadata is served), shared, reserved, multicast and
    unspecified addresses, those set aside for protocols, documentation, 6to4 relays and segment routing, and IPv6
    addresses that lead to an IPv4 one by NAT64, 6to4, Teredo, ISATAP, translation or as compatible. An IPv4-mapped one
    counts as the address that it maps.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return False
    is_refused = address == _HOSTS_OWN or any(address in network for network in _REFUSED)
    return not is_refused and address.is_global and not address.is_multicast and not address.is_reserved
