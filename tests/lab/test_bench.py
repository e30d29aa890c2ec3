"""tests/lab/test_bench.py: `tpmtls bench`: with the lab's profiles it gives the published figures back; on a swtpm its page,
its files, its words. No time is judged but the lab's own, which are waits and not work."""

import json
import os
import pty
import re
import shutil
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_tools  # noqa: E402
from test_tools import harness  # noqa: E402

LAB = None
TOLERANCE = 0.05


def setUpModule():
    global LAB
    LAB = test_tools.ToolLab()


def tearDownModule():
    LAB.close()


def published():
    """{profile: (P-256 signature, RSA-2048 private, P-256 key, RSA-2048 key)} in microseconds, from the manual's table."""
    row = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)
    with open(os.path.join(harness.ROOT, "docs", "lab-tcti.md"), encoding="utf-8") as f:
        return {m[0]: tuple(int(v.replace(",", "")) for v in m[1:]) for m in row.findall(f.read())}


def bench(*args, code=0, tpm=None, **kw):
    named = ("--tpm", tpm) if tpm else ()
    result = LAB.tpmtls(*named, "bench", *args, timeout=150, **kw)
    assert result.code == code, (result.code, result.out, result.err)
    return result


def rows(run, part="commands"):
    return {row["row"]: row for row in run[part]}


class Profiles(unittest.TestCase):
    """All at once: a chip's time is a wait."""

    @classmethod
    def setUpClass(cls):
        cls.published, cls.runs = published(), {}
        assert len(cls.published) >= 8
        threads = [threading.Thread(target=cls.run_one, args=(name,)) for name in cls.published]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @classmethod
    def run_one(cls, name):
        """The least of all runs so far: a busy machine adds, and nothing takes away."""
        bench("tpm", "--profile", name + ",jitter=off", "--seconds", "0", "--out", name + ".json")
        run = rows(json.loads(LAB.read(name + ".json"))["runs"][0])
        for title, row in cls.runs.get(name, {}).items():
            if "min_us" in row:
                run[title]["min_us"] = min(run[title]["min_us"], row["min_us"])
        cls.runs[name] = run

    def off(self, name):
        """What is not as published, in words. What is published as making a key is Create, Load and FlushContext."""
        row = self.runs[name]
        key = {k: sum(row["%s %s" % (c, k)]["min_us"] for c in ("Create", "Load", "FlushContext")) for k in ("p256", "rsa2048")}
        got = (row["Sign p256"]["min_us"], row["RSA_Decrypt rsa2048"]["min_us"], key["p256"], key["rsa2048"])
        return ["%s, %s: %d instead of %d" % (name, what, g, want)
                for what, g, want in zip(("sign", "private", "p256 key", "rsa key"), got, self.published[name])
                if abs(g / want - 1) > TOLERANCE]

    def test_published_figures(self):
        for name in self.published:
            for _ in range(8):  # an RSA key is made once, and on a busy machine the emulator's own time may be long
                if self.off(name):
                    self.run_one(name)
        self.assertEqual([text for name in self.published for text in self.off(name)], [])

    def test_what_a_chip_lacks_is_said(self):
        """SLB9670 and NPCT650 have no SHA-384."""
        row = self.runs["slb9670"]["Sign p384"]
        self.assertEqual(row["n"], 0)
        self.assertIn("hash", row["why"])
        self.assertGreater(self.runs["ns350"]["Sign p384"]["n"], 0)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tpm = LAB.chip.tcti
        cls.before = cls.handles()
        cls.text = bench("--seconds", "0.05", "--out", "page.json", tpm=cls.tpm).out.decode()
        cls.after = cls.handles()
        cls.doc = json.loads(LAB.read("page.json"))
        cls.page = cls.doc["runs"][0]

    @classmethod
    def handles(cls):
        kinds = ("handles-transient", "handles-persistent", "handles-loaded-session", "handles-saved-session", "handles-nv-index")
        return [LAB.must("tpm2_getcap", "-T", cls.tpm, kind).out for kind in kinds]

    def test_nothing_stays(self):
        self.assertEqual(self.before, self.after)

    def test_head(self):
        self.assertEqual(self.doc["format"], "tpmtls-bench/1")
        self.assertEqual((self.page["tpm"]["manufacturer"], self.page["tpm"]["kind"]), ("IBM", "virtual"))
        self.assertRegex(self.page["tpm"]["firmware"], r"^\d+\.\d+\.\d+\.\d+$")
        self.assertRegex(self.text, r"(?m)^TPM: +IBM SW TPM, firmware \S+, TPM 2\.0 revision 1\.\d\d, virtual \(emulated\)$")

    def test_every_command_that_tls_needs(self):
        both = ["Create p256", "Create rsa2048", "Sign p256", "Sign p384", "Sign rsa2048", "RSA_Decrypt rsa2048", "HMAC hmac",
                "Unseal sealed"]
        want = both + [name + " (encrypted)" for name in both]
        want += ["CreatePrimary p256", "StartAuthSession", "StartAuthSession salted p256"]
        want += [c + " " + k for c in ("Load", "ContextSave", "ContextLoad", "FlushContext") for k in ("p256", "rsa2048", "hmac")]
        found = rows(self.page)
        self.assertLessEqual(set(want), set(found))
        for name, row in found.items():
            self.assertGreater(row["n"], 0, row)
            self.assertTrue(0 < row["min_us"] <= row["p50_us"] <= row["p95_us"] <= row["p99_us"] <= row["max_us"], row)
            self.assertGreaterEqual(row["call_p50_us"], row["min_us"], row)
            self.assertIn(name, self.text)

    def test_handshakes(self):
        found = rows(self.page, "handshakes")
        for key in ("p256", "rsa2048"):
            counted = {name: found[name % key]["commands"]
                       for name in ("full %s", "full %s (software)", "full %s (waiting)", "resumed %s", "cold %s")}
            self.assertEqual(counted, {"full %s": 1, "full %s (software)": 0, "full %s (waiting)": 0, "resumed %s": 0,
                                       "cold %s": 5})  # CreatePrimary, Load, FlushContext, Sign, and one flush at the end
            full = found["full " + key]
            self.assertTrue(0 < full["tpm_p50_us"] < full["max_us"])
            self.assertTrue(0 < full["tpm_share"] < 1)
            self.assertEqual(found["full %s (software)" % key]["tpm_p50_us"], 0)

    def test_figures(self):
        figures = {f["key"]: f for f in self.page["figures"]}
        self.assertEqual(figures["overhead_p256"]["at_most"], 1.1)
        self.assertEqual(figures["handshake_over_sign_p256"]["at_most"], 3)
        self.assertEqual(figures["password_over_none_p256"]["at_most"], 1.6)
        self.assertGreater(figures["full_over_resumed_rsa2048"]["value"], 1)
        for key in ("p256", "rsa2048"):  # measured in turns with the handshakes, not in the table of commands
            full = rows(self.page, "handshakes")["full " + key]
            self.assertGreater(full["sign_tpm_p50_us"], 0)
            self.assertAlmostEqual(figures["handshake_over_sign_" + key]["value"], full["p50_us"] / full["sign_tpm_p50_us"], 4)
        self.assertIn("break_even_sealed_rsa2048", figures)
        self.assertRegex(self.text, r"with a software key, p256 +\d+\.\d\d  \(at most 1\.1: (met|MISSED)\)")

    def test_compare(self):
        out = bench("tpm", "--seconds", "0", "--compare", "page.json", tpm=self.tpm).out.decode()
        self.assertRegex(out, r"(?m)^Compared with 20\d\d-\S+ \(swtpm:path=")
        self.assertRegex(out, r"(?m)^  Sign p256 +\d+\.\d{3} +\d+\.\d{3} +\d+\.\d\d$")
        self.assertNotRegex(out.split("Compared")[1], "full p256")

    def test_json_on_stdout(self):
        result = LAB.tpmtls("--tpm", self.tpm, "--json", "bench", "--seconds", "0", "tpm")
        self.assertEqual(result.out.count(b"\n"), 1)
        self.assertEqual(json.loads(result.out)["runs"][0]["handshakes"], [])

    def test_an_owner_password_stops_only_what_needs_it(self):
        LAB.must("tpm2_changeauth", "-T", self.tpm, "-c", "o", "secret")
        try:
            bench("--seconds", "0", "--out", "owned.json", tpm=self.tpm)
        finally:
            LAB.must("tpm2_changeauth", "-T", self.tpm, "-c", "o", "-p", "secret")
        page = json.loads(LAB.read("owned.json"))["runs"][0]
        self.assertGreater(rows(page)["Sign p256"]["n"], 0)
        full = rows(page, "handshakes")["full p256"]
        self.assertEqual(full["n"], 0)
        self.assertIn("password", full["why"])


class Words(unittest.TestCase):
    TPM = "swtpm:path=nowhere"

    def test_usage(self):
        for args in (("all", "more"), ("nonsense",), ("--seconds", "x"), ("--seconds", "-1"), ("--profile",)):
            self.assertIn("`tpmtls help bench`", bench(*args, code=2, tpm=self.TPM).err, args)

    def test_no_tpm(self):
        self.assertIn("cannot open the TPM", bench(code=4, tpm=self.TPM).err)

    def test_no_such_profile(self):
        result = bench("--profile", "nonsense", code=2)
        self.assertIn("there is no profile 'nonsense'; there are ns350", result.err)

    def test_no_such_file_to_compare_with(self):
        LAB.write("other.json", '{"runs": []}')
        for name in ("other.json", "missing.json"):
            self.assertIn(name, bench("--compare", name, code=1, tpm=self.TPM).err)

    def test_no_gnuplot(self):
        """Said before anything is measured."""
        os.makedirs(LAB.path("bin"), exist_ok=True)
        result = bench("--plot", "x.svg", code=1, tpm=self.TPM, env={"PATH": LAB.path("bin")})
        self.assertIn("there is no gnuplot", result.err)
        self.assertIn("hint: install the package gnuplot-nox", result.err)

    @unittest.skipUnless(shutil.which("gnuplot"), "there is no gnuplot")
    def test_plot(self):
        tpm = LAB.chip.tcti
        bench("--seconds", "0", "--plot", "it's.svg", tpm=tpm)
        picture = LAB.read("it's.svg").decode()
        self.assertIn("<svg", picture)
        for text in ("TPM commands", "TLS 1.3 handshakes", "Sign p256 (encrypted)", "resumed rsa2048", "SW TPM"):
            self.assertIn(text, picture)

    @unittest.skipUnless(shutil.which("gnuplot"), "there is no gnuplot")
    def test_plot_of_several_chips(self):
        """Side by side: each with a mark of its own at every row, and its name."""
        bench("tpm", "--seconds", "0", "--profile", "jetson", "--profile", "jetson,jitter=off", "--plot", "two.svg")
        picture = LAB.read("two.svg").decode()
        self.assertIn("as jetson<", picture)
        self.assertIn("as jetson,jitter=off<", picture)
        signs = picture.count("Sign p256")
        self.assertEqual(signs, 3)  # plain, encrypted, with a password: one axis for both chips

    def test_progress_on_a_terminal_only(self):
        args = [harness.PROGRAM, "--tpm", LAB.chip.tcti, "bench", "tpm", "--seconds", "0"]
        self.assertNotIn("measuring", LAB.must(*args).err)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(LAB.dir)
            os.execve(args[0], args, LAB.env)
        shown = b""
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)
        self.assertIn(b"measuring Sign p256", shown)


if __name__ == "__main__":
    harness.tap_main()
