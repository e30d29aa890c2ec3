"""tests/integration/test_pcap.py: connect and serve with --trace-pcap. The files are read by a few lines of our own,
and, where it is installed, by tshark, which decrypts them with the key log of --insecure-keylog."""

import os
import re
import shutil
import struct
import time
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
PAGE = b"GET / HTTP/1.0\r\n\r\n"
# With a length: tshark shows no page of --www, which ends with the connection.
ANSWER = "read line; printf 'HTTP/1.0 200 ok\\r\\nContent-Length: 3\\r\\n\\r\\nabc'"
FIN, SYN = 1, 2


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
    LAB.openssl_request("soft")
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "both", "-o", "soft.pem")


def tearDownModule():
    LAB.close()


def flows(name):
    """What each end of each connection in a trace sent: {(port, port of the other): bytes}; and the ends that said FIN."""
    data, at, sent, following, ended = LAB.read(name), 24, {}, {}, set()
    while at < len(data):
        length, = struct.unpack_from(">I", data, at + 8)
        tcp = data[at + 36:at + 16 + length]
        source, to, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", tcp)
        end, payload = (source, to), tcp[offset // 16 * 4:]
        if flags & SYN:
            sent[end], following[end] = b"", sequence
        assert following[end] == sequence, (end, following[end], sequence)
        following[end] += len(payload) + (1 if flags & (SYN | FIN) else 0)
        sent[end] += payload
        if flags & FIN:
            ended.add(end)
        at += 16 + length
    return sent, ended


def records(data):
    """The content types of the TLS records in it, which must be whole."""
    found = []
    while data:
        length = data[3] << 8 | data[4]
        assert len(data) >= 5 + length, (len(data), length)
        found.append(data[0])
        data = data[5 + length:]
    return found


class Case(unittest.TestCase):
    def serve(self, name, *args):
        """A server that writes NAME.server.pcap and NAME.keys."""
        server = LAB.serve("--trace-pcap", name + ".server.pcap", "--insecure-keylog", name + ".keys", *args, key="soft")
        self.addCleanup(server.__exit__)
        return server

    def connect(self, server, *args, stdin=PAGE):
        result = LAB.tpmtls("connect", "localhost:" + server.port, "--ca", "ca/ca.pem", *args, stdin=stdin)
        self.assertEqual(result.code, 0, result.err)
        return result


class Files(Case):
    def test_both_ends_saw_the_same(self):
        server = self.serve("same", "--echo")
        data = os.urandom(300000)
        self.assertEqual(self.connect(server, "--trace-pcap", "same.client.pcap", stdin=data).out, data)
        self.assertEqual(server.stop().code, 0)
        client, client_ended = flows("same.client.pcap")
        sent, server_ended = flows("same.server.pcap")
        self.assertEqual(client, sent)
        self.assertEqual({end[1] for end in client if end[0] != int(server.port)}, {int(server.port)})
        self.assertEqual(len(client), 2)
        self.assertTrue(client_ended and server_ended)
        for end in client:
            self.assertGreater(len(client[end]), len(data))
            self.assertNotIn(data[:64], client[end])
            self.assertEqual(records(client[end])[0], 22)
            self.assertEqual(set(records(client[end])), {20, 22, 23})
        self.assertEqual(os.stat(LAB.path("same.client.pcap")).st_mode & 0o777, 0o600)

    def test_connections_of_a_server(self):
        server = self.serve("several", "--www")
        for _ in range(3):
            self.connect(server)
        self.assertEqual(server.stop().code, 0)
        sent, _ = flows("several.server.pcap")
        self.assertEqual(len(sent), 6)
        self.assertEqual(len({end[0] for end in sent}), 4)  # ours and those of three clients

    def test_nothing_is_overwritten(self):
        LAB.write("precious", "mine")
        for args in (("connect", "localhost:1"), ("serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "soft.pem")):
            result = LAB.tpmtls(*args, "--trace-pcap", "precious")
            self.assertEqual(result.code, 1, result.err)
            self.assertIn("precious", result.err)
            self.assertIn("hint: nothing is overwritten", result.err)
            self.assertEqual(LAB.read("precious"), b"mine")

    def test_no_such_directory(self):
        result = LAB.tpmtls("connect", "localhost:1", "--trace-pcap", "nowhere/x")
        self.assertEqual(result.code, 1, result.err)
        self.assertIn("cannot create the trace nowhere/x: No such file or directory", result.err)
        self.assertIn("hint: ", result.err)

    def test_no_room(self):
        """The connection goes on, the file ends with a whole packet, and the exit code says that it is not all."""
        server = self.serve("full", "--echo")
        data = os.urandom(100000)
        command = "trap '' XFSZ; ulimit -f 40; exec \"$0\" connect localhost:%s --ca ca/ca.pem --trace-pcap full.pcap" % server.port
        result = LAB.run("sh", "-c", command, PROGRAM, stdin=data)
        self.assertEqual(result.out, data)
        self.assertEqual(result.code, 1, result.err)
        self.assertIn("cannot write full.pcap: File too large", result.err)
        self.assertIn("hint: the trace ends where this happened", result.err)
        flows("full.pcap")

    def test_help(self):
        for command in ("connect", "serve"):
            self.assertIn("--trace-pcap FILE", LAB.must(PROGRAM, command, "--help").out.decode())


@unittest.skipUnless(shutil.which("tshark"), "tshark is not installed (./dev setup interop)")
class Tshark(Case):
    def tshark(self, name, keys, *args):
        """The lines that tshark prints, with every checksum looked at."""
        keylog = ("-o", "tls.keylog_file:" + LAB.path(keys)) if keys else ()
        done = LAB.must("tshark", "-n", "-r", name, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", *keylog,
                        *args, env={"HOME": LAB.dir})
        return done.out.decode().splitlines()

    def pages(self, name, keys):
        return self.tshark(name, keys, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e", "http.response.code")

    def assert_clean(self, name):
        wrong = "tcp.analysis.flags || _ws.malformed || tcp.checksum.status != 1 || ip.checksum.status != 1"
        self.assertEqual(self.tshark(name, None, "-Y", wrong), [])

    def test_decrypts(self):
        server = self.serve("page", "--exec", ANSWER)
        self.connect(server, "--trace-pcap", "page.client.pcap", "--insecure-keylog", "page.client.keys")
        self.assertEqual(server.stop().code, 0)
        for end, keys in (("client", "page.client.keys"), ("server", "page.keys")):
            name = "page.%s.pcap" % end
            self.assertEqual(self.pages(name, keys), ["/\t", "\t200"])
            self.assertEqual(self.pages(name, None), [])
            self.assert_clean(name)

    def test_much_data(self):
        server = self.serve("much", "--echo")
        data = os.urandom(200000)
        self.connect(server, "--trace-pcap", "much.client.pcap", stdin=data)
        self.assertEqual(server.stop().code, 0)
        for name in ("much.client.pcap", "much.server.pcap"):
            self.assert_clean(name)
            lines = self.tshark(name, "much.keys", "-q", "-z", "follow,tls,raw,0")
            told = [line for line in lines if re.fullmatch(r"\t?[0-9a-f]+", line)]
            for is_answer in (False, True):  # what one of the ends says is indented
                said = "".join(line for line in told if line.startswith("\t") == is_answer)
                self.assertEqual(bytes.fromhex(said.replace("\t", "")), data)

    def test_several_connections(self):
        server = self.serve("three", "--exec", ANSWER)
        for _ in range(3):
            self.connect(server)
        self.assertEqual(server.stop().code, 0)
        self.assertEqual(sorted(self.pages("three.server.pcap", "three.keys")), sorted(["/\t", "\t200"] * 3))
        self.assertEqual(len(set(self.tshark("three.server.pcap", None, "-T", "fields", "-e", "tcp.stream"))), 3)
        self.assert_clean("three.server.pcap")

    def test_times(self):
        began = time.time()
        self.connect(self.serve("times", "--www"), "--trace-pcap", "times.pcap")
        times = [float(line) for line in self.tshark("times.pcap", None, "-T", "fields", "-e", "frame.time_epoch")]
        self.assertEqual(times, sorted(times))
        self.assertTrue(began - 1 <= times[0] and times[-1] <= time.time() + 1, times)


if __name__ == "__main__":
    harness.tap_main()
