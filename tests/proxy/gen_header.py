#!/usr/bin/env python3
"""gen_header.py: the expected bytes of test_header.c, by an implementation that shares nothing with ours.

    gen_header.py            prints the C table
"""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CASES = [
    ("v4", dict(src=("192.0.2.7", 51234), dst=("198.51.100.1", 443))),
    ("v6", dict(src=("2001:db8::7", 51234), dst=("2001:db8::1", 8443))),
    ("v4 at a socket of v6", dict(src=("::ffff:192.0.2.7", 1), dst=("::ffff:198.51.100.1", 65535), as_v4=True)),
    ("both families", dict(src=("192.0.2.7", 1), dst=("2001:db8::1", 2), as_v6=True)),
    ("paths", dict(unix=(b"", b"/run/tpmtls/web"))),
    ("unknown", dict()),
    ("client without certificate", dict(src=("192.0.2.7", 51234), dst=("198.51.100.1", 443), client=0, verify=1,
                                        version=b"TLSv1.3", cipher=b"TLS_AES_128_GCM_SHA256")),
    ("everything", dict(src=("192.0.2.7", 51234), dst=("198.51.100.1", 443), alpn=b"h2", authority=b"www.example.org",
                        unique_id=bytes(range(16)), client=2, verify=0, version=b"TLSv1.3", cn="Zoë".encode(),
                        key_alg=b"EC256", sig_alg=b"ecdsa-with-SHA256", cipher=b"TLS_AES_256_GCM_SHA384",
                        group=b"x25519", sig_scheme=b"ecdsa_secp256r1_sha256")),
    ("resumed", dict(src=("192.0.2.7", 51234), dst=("198.51.100.1", 443), client=4, verify=0, version=b"TLSv1.3",
                     cn=b"device-1")),
]


def crc32c(data):
    """By polynomial division of the reversed bits, not by a table."""
    bits = 0
    for byte in data:
        bits = bits << 8 | int(format(byte, "08b")[::-1], 2)
    length = len(data) * 8
    bits = (bits << 32) ^ (0xffffffff << length)
    for at in range(length - 1, -1, -1):
        if bits >> (at + 32) & 1:
            bits ^= 0x11edc6f41 << at
    return int(format(bits & 0xffffffff, "032b")[::-1], 2) ^ 0xffffffff


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value if value else b""


def addresses(c):
    if "unix" in c:
        return b"\x31", b"".join(p.ljust(108, b"\0") for p in c["unix"])
    if "src" not in c:
        return b"\0", b""
    ips = [ipaddress.ip_address(c[end][0]) for end in ("src", "dst")]
    if c.get("as_v4"):
        ips = [ip.ipv4_mapped for ip in ips]
    if c.get("as_v6"):
        ips = [ipaddress.ip_address("::ffff:" + str(ip)) if ip.version == 4 else ip for ip in ips]
    return (b"\x11" if ips[0].version == 4 else b"\x21"), \
        b"".join(ip.packed for ip in ips) + struct.pack("!HH", c["src"][1], c["dst"][1])


def header(c):
    family, where = addresses(c)
    ssl = b""
    if "client" in c:
        sub = b"".join(tlv(kind, c.get(name, b"")) for kind, name in (
            (0x21, "version"), (0x22, "cn"), (0x25, "key_alg"), (0x24, "sig_alg"), (0x23, "cipher"), (0x26, "group"),
            (0x27, "sig_scheme")))
        ssl = tlv(0x20, struct.pack("!BI", c["client"] | 1, c["verify"]) + sub)
    rest = tlv(1, c.get("alpn", b"")) + tlv(2, c.get("authority", b"")) + tlv(5, c.get("unique_id", b"")) + ssl
    def whole(crc):
        body = where + tlv(3, crc) + rest
        return SIGNATURE + b"\x21" + family + struct.pack("!H", len(body)) + body
    return whole(struct.pack("!I", crc32c(whole(b"\0\0\0\0"))))


if __name__ == "__main__":
    assert crc32c(b"123456789") == 0xe3069283
    for name, c in CASES:
        text = header(c).hex()
        print("    /* %s */" % name)
        lines = [text[i:i + 96] for i in range(0, len(text), 96)]
        print("\n".join('    "%s"' % line for line in lines) + ",")
