"""tests/integration/hello.py: a ClientHello as a client sends it: caught on loopback, read, told apart from another, and
its JA4 (the published fingerprint: version, whether there is a name, counts, ALPN, hashes of suites and extensions)."""

import hashlib
import socket
import struct
import threading

SERVER_NAME, GROUPS, SCHEMES, ALPN, KEY_SHARE, VERSIONS, PRE_SHARED_KEY = 0, 10, 13, 16, 51, 43, 41
NAMES = {0: "server_name", 5: "status_request", 10: "supported_groups", 11: "ec_point_formats", 13: "signature_algorithms", 16: "ALPN",
         18: "signed_certificate_timestamp", 21: "padding", 23: "extended_master_secret", 27: "compress_certificate",
         28: "record_size_limit", 34: "delegated_credential", 35: "session_ticket", 41: "pre_shared_key", 43: "supported_versions",
         45: "psk_key_exchange_modes", 50: "signature_algorithms_cert", 51: "key_share", 0xfe0d: "encrypted_client_hello",
         0xff01: "renegotiation_info"}


def is_reserved(value):
    """GREASE, RFC 8701"""
    return value & 0x0f0f == 0x0a0a and value >> 8 == value & 0xff


def catch(start, seconds=30):
    """The first ClientHello message that comes to a port after start(port)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        listener.settimeout(seconds)
        worker = threading.Thread(target=start, args=(listener.getsockname()[1],), daemon=True)
        worker.start()
        try:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(seconds)
                return read_message(peer)
        finally:
            listener.close()
            worker.join(seconds)


def read_message(peer):
    data, message = b"", b""
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        while len(data) < 5 or len(data) < 5 + struct.unpack(">H", data[3:5])[0]:
            more = peer.recv(65536)
            if not more:
                raise EOFError("no whole ClientHello came")
            data += more
        size = struct.unpack(">H", data[3:5])[0]
        message, data = message + data[5:5 + size], data[5 + size:]
    return message


def numbers(data):
    return [value for (value,) in struct.iter_unpack(">H", data)]


class Hello:
    def __init__(self, message):
        at = 4 + 2 + 32
        at += 1 + message[at]
        size = struct.unpack(">H", message[at:at + 2])[0]
        self.suites = numbers(message[at + 2:at + 2 + size])
        at += 2 + size
        at += 1 + message[at]
        end = at + 2 + struct.unpack(">H", message[at:at + 2])[0]
        at += 2
        self.extensions = []  # (type, data) in their order
        while at < end:
            kind, size = struct.unpack(">HH", message[at:at + 4])
            self.extensions.append((kind, message[at + 4:at + 4 + size]))
            at += 4 + size

    def data(self, kind):
        return dict(self.extensions).get(kind, b"")

    def types(self, reserved=False):
        return [kind for kind, _ in self.extensions if is_reserved(kind) == reserved]

    def list_of(self, kind, head=2):
        return numbers(self.data(kind)[head:])

    def shares(self):
        found, data = [], self.data(KEY_SHARE)[2:]
        while data:
            group, size = struct.unpack(">HH", data[:4])
            found.append(group)
            data = data[4 + size:]
        return found

    def protocols(self):
        found, data = [], self.data(ALPN)[2:]
        while data:
            found.append(data[1:1 + data[0]])
            data = data[1 + data[0]:]
        return found

    def ja4(self):
        suites = [s for s in self.suites if not is_reserved(s)]
        kinds = self.types()
        versions = [v for v in self.list_of(VERSIONS, 1) if not is_reserved(v)]
        first = (self.protocols() or [b"00"])[0]
        alpn = "%c%c" % (first[0], first[-1])
        hashed = ",".join("%04x" % kind for kind in sorted(k for k in kinds if k not in (SERVER_NAME, ALPN)))
        hashed += "_" + ",".join("%04x" % s for s in self.list_of(SCHEMES) if not is_reserved(s))
        return "t%s%s%02d%02d%s_%s_%s" % ("13" if 0x0304 in versions else "12", "d" if SERVER_NAME in kinds else "i", len(suites), len(kinds),
                                         alpn, digest(",".join("%04x" % s for s in sorted(suites))), digest(hashed))


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def name(kind):
    return NAMES.get(kind, "0x%04x" % kind)


def plain(values):
    return ["GREASE" if is_reserved(v) else "%04x" % v for v in values]


def differences(ours, theirs):
    """In words, one a line: what theirs has and ours has not, and the other way round; and other orders of preference."""
    out = ["ja4: %s, theirs %s" % (ours.ja4(), theirs.ja4())]
    for what, mine, other in (("suites", ours.suites, theirs.suites), ("groups", ours.list_of(GROUPS), theirs.list_of(GROUPS)),
                              ("key shares", ours.shares(), theirs.shares()), ("schemes", ours.list_of(SCHEMES), theirs.list_of(SCHEMES)),
                              ("versions", ours.list_of(VERSIONS, 1), theirs.list_of(VERSIONS, 1))):
        if plain(mine) != plain(other):
            out.append("%s: %s, theirs %s" % (what, " ".join(plain(mine)), " ".join(plain(other))))
    only = [name(k) for k in theirs.types() if k not in ours.types()], [name(k) for k in ours.types() if k not in theirs.types()]
    out.append("extensions: not ours: %s; ours alone: %s" % tuple(", ".join(sorted(x)) or "none" for x in only))
    out.append("GREASE extensions: %d, theirs %d" % (len(ours.types(True)), len(theirs.types(True))))
    return out
