"""What is done on a terminal only: colour, which NO_COLOR takes away, and a line that says what takes so long. And the picture of a
handshake (connect --trace-svg)."""
import os
import pty
import re
import select
import time
import unittest
import xml.etree.ElementTree

import harness
from harness import PROGRAM
from swtpm import Swtpm

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def setUpModule():
    global lab
    lab = harness.Lab()
    lab.env["XDG_STATE_HOME"] = lab.path("state")
    lab.env["TERM"] = "xterm"
    lab.env.pop("NO_COLOR", None)
    lab.make_identities()
    lab.must(PROGRAM, "key", "create", "-o", "kept.key", "--persist", "0x81000010")
    with lab.serve("--echo") as server:
        for mode in ("sealed", "held"):
            lab.must(PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", "--resume", mode)


def tearDownModule():
    lab.close()


def on_terminal(*args, env=None, only=None):
    """(exit code, what a terminal got). only: the descriptor that is one, the other is a pipe whose content comes third."""
    ours, theirs = pty.openpty()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.chdir(lab.dir)
        for fd in (1, 2):
            os.dup2(theirs if only in (None, fd) else write_end, fd)
        os.execve(PROGRAM, (PROGRAM,) + args, dict(lab.env, **(env or {})))
    os.close(theirs)
    os.close(write_end)
    got, limit = {ours: b"", read_end: b""}, time.monotonic() + 60
    left = {ours, read_end}
    while left and time.monotonic() < limit:
        for fd in select.select(list(left), [], [], 1)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            got[fd] += data
            if not data:
                left.remove(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(ours)
    os.close(read_end)
    return code, got[ours].decode().replace("\r\n", "\n"), got[read_end].decode()


class Color(unittest.TestCase):
    COMMANDS = (("key", "list"), ("session", "list"), ("doctor", "--quick"))

    def test_on_a_terminal_only(self):
        for command in self.COMMANDS:
            piped = lab.must(PROGRAM, *command).out.decode()
            self.assertNotIn("\x1b", piped)
            code, shown, _ = on_terminal(*command, only=1)
            self.assertEqual(code, 0)
            self.assertRegex(shown, COLOR)
            if command[0] == "key":  # others tell times
                self.assertEqual(COLOR.sub("", shown), piped)

    def test_no_color(self):
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            for command in self.COMMANDS:
                self.assertNotIn("\x1b", on_terminal(*command, only=1, env=env)[1])
        self.assertRegex(on_terminal("key", "list", only=1, env={"NO_COLOR": ""})[1], COLOR)  # empty: not set

    def test_columns(self):
        """Each column begins at the same place in every line."""
        for command in (("key", "list"), ("session", "list")):
            lines = lab.must(PROGRAM, *command).out.decode().splitlines()
            self.assertGreater(len(lines), 1)
            starts = [match.start() for match in re.finditer(r"(?<![^ ]) ?\S+", lines[0].replace("ENDS IN", "ENDS_IN"))][1:]
            for line in lines[1:]:
                for at in starts:
                    self.assertEqual(line[at - 1], " ", line)

    def test_bad_news(self):
        code, shown, _ = on_terminal("doctor", only=1, env={"TPMTLS_TPM": "swtpm:path=" + lab.path("absent")})
        self.assertEqual(code, 4)
        self.assertIn("\x1b[1;31mNOT possible", shown)


class Busy(unittest.TestCase):
    """An RSA key of a chip that needs two seconds for it."""

    @classmethod
    def setUpClass(cls):
        cls.chip = Swtpm(lab.path("chip"))
        cls.addClassCleanup(cls.chip.stop)
        cls.env = {"TPMTLS_TPM": "lab:profile=slb9670,jitter=off:" + cls.chip.tcti, **harness.LAB_TCTI}

    def test_a_line_that_goes(self):
        code, shown, _ = on_terminal("key", "create", "--type", "rsa2048", "-o", "slow.key", env=self.env, only=2)
        self.assertEqual(code, 0, shown)
        self.assertIn("\r\x1b[Ktpmtls: making the key in the TPM: 1 s", shown)
        last = shown.rindex("making the key in the TPM: ")
        self.assertIn("\r\x1b[K", shown[last:])  # it is wiped before the next word
        self.assertRegex(shown, r"\r\x1b\[Ktpmtls: made a rsa2048 key")

    def test_none_in_a_pipe(self):
        done = lab.must(PROGRAM, "key", "create", "--type", "rsa2048", "-o", "piped.key", env=self.env)
        self.assertNotRegex(done.err, r"\x1b|\r| 1 s")
        code, out, err = on_terminal("--json", "key", "create", "--type", "rsa2048", "-o", "json.key", env=self.env, only=2)
        self.assertEqual((code, "\x1b" in out), (0, False), err)

    def test_none_for_what_is_quick(self):
        self.assertNotIn("\x1b", on_terminal("key", "create", "-o", "quick.key", only=2)[1])


SVG = "{http://www.w3.org/2000/svg}"


class Picture(unittest.TestCase):
    def draw(self, name, *words, code=0):
        done = lab.tpmtls("--json", "connect", "localhost:" + self.server.port, "--trace", "--trace-svg", name, *words)
        self.assertEqual(done.code, code, done.err)
        root = xml.etree.ElementTree.fromstring(lab.read(name))
        self.assertEqual(root.tag, SVG + "svg")
        return done, root, [text.text for text in root.iter(SVG + "text")]

    def setUp(self):
        self.server = lab.serve("--client-ca", "ca/ca.pem")
        self.addCleanup(self.server.stop)

    def test_a_handshake(self):
        done, root, texts = self.draw("full.svg", "--ca", "ca/ca.pem", "--key", "client-p256.key", "--cert", "client-p256.pem")
        summary = done.events("handshake")[0]
        self.assertIn("TLS 1.3 with localhost:%s: %.2f ms" % (self.server.port, summary["ms"]), texts)
        messages = [e for e in done.events("message") if e["type"] != "new_session_ticket"]
        arrows = [line for line in root.iter(SVG + "line") if "marker-end" in line.attrib]
        self.assertEqual(len(arrows), len(messages))
        for event, arrow in zip(messages, arrows):
            self.assertIn("%s, %d bytes, %.2f ms" % (event["type"], event["size"], event["ms"]), texts)
            self.assertEqual(float(arrow.get("x1")) < float(arrow.get("x2")), event["dir"] == "sent")
        # The TPM's command is as high as it took, on the axis that all is measured by.
        command = [e for e in done.events("tpm") if e["phase"] == "handshake"]
        bars = [rect for rect in root.iter(SVG + "rect") if rect.get("width") == "16"]
        self.assertEqual((len(bars), len(command)), (1, 1))
        marks = {text.text: float(text.get("y")) for text in root.iter(SVG + "text") if re.fullmatch(r"[\d.e-]+ ms", text.text) and
                 text.get("text-anchor") == "end"}
        (first, y0), (second, y1) = list(marks.items())[:2]
        per_ms = (y1 - y0) / (float(second[:-3]) - float(first[:-3]))
        self.assertAlmostEqual(float(bars[0].get("height")), max(command[0]["ms"] * per_ms, 2), delta=1)
        self.assertIn("TPM2_Sign", texts)

    def test_a_refusal(self):
        _, _, texts = self.draw("refused.svg", "--ca", "other/ca.pem", code=3)
        self.assertTrue(any("no handshake" in text for text in texts))
        self.assertTrue(any(text.startswith("alert unknown_ca") for text in texts))

    def test_what_it_may_take_the_place_of(self):
        words = ("--ca", "ca/ca.pem", "--key", "client-p256.key", "--cert", "client-p256.pem")
        self.draw("again.svg", *words)
        self.draw("again.svg", *words)
        before = lab.read("client-p256.key")
        done = lab.tpmtls("connect", "localhost:" + self.server.port, "--trace-svg", "client-p256.key", *words)
        self.assertEqual((done.code, lab.read("client-p256.key")), (1, before))


if __name__ == "__main__":
    harness.tap_main()
