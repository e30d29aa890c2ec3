"""tests/integration/nameserver.py: a DNS server on loopback, for HTTPS records (RFC 9460), over UDP."""

import socket
import struct
import threading

HTTPS = 65
NXDOMAIN, SERVFAIL = 3, 2


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(priority, target=".", **params):
    """The RDATA of an HTTPS record; params: mandatory, port, ech, or keyN for any other key."""
    keys = {"mandatory": 0, "alpn": 1, "port": 3, "ech": 5}
    pairs = sorted((keys[key] if key in keys else int(key[3:]), value) for key, value in params.items())
    return struct.pack("!H", priority) + name(target) + b"".join(
        struct.pack("!HH", key, len(value)) + value for key, value in pairs)


class Nameserver(threading.Thread):
    """Answers what .zone says of a name: a list of RDATA, or an RCODE; else NXDOMAIN. .asked has the names."""

    def __init__(self, zone):
        super().__init__(daemon=True)
        self.zone, self.asked = zone, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.at = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        asked = ".".join(labels)
        self.asked.append(asked)
        found = self.zone.get(asked, NXDOMAIN) if kind == HTTPS else NXDOMAIN
        rdata, rcode = ([], found) if isinstance(found, int) else (found, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", HTTPS, 1, 60, len(r)) + r for r in rdata)
        return query[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, len(rdata), 0, 0) + query[12:at + 5] + records

    def close(self):
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.sendto(b"", self.socket.getsockname())
        end.close()
        self.join(10)
        self.socket.close()
