"""Which addresses belong to the public internet, for those who post to URLs that strangers gave them."""

import ipaddress

__all__ = ["is_public"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out; much of the rest, site-local addresses too, ``ipaddress`` takes for global."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
IPV4_BITS = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, and no way into a network behind it.

    Args:
        text: an IPv4 or IPv6 address, as the system writes it.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    inside = _inside(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in UNICAST and not inside:
        return False
    return all(one.is_global and not one.is_multicast for one in (address, *inside))


def _inside(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        inside.append(ipaddress.IPv4Address(int(address) & IPV4_BITS))
    return [one for one in inside if one is not None]
