"""`./dev install` and `./dev uninstall`, in a clone with a meson that builds nothing: in which order it asks, builds and
writes, as whom, and what is left. The real build is that of every other test."""
import fnmatch
import glob
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import ROOT

# meson, ninja, sudo and ldconfig write down that they were called, and by whom.
FAKE = {
    "meson": """#!/bin/sh
echo "meson $1 as $(id -u)" >>"$LOG"
echo "$PYTHONDONTWRITEBYTECODE $PATH" >"$LOG.env"
case $1 in
setup) for dir; do :; done; mkdir -p "$dir"; : >"$dir/build.ninja"
    for word; do case $word in --prefix=*) echo "${word#--prefix=}" >"$dir/prefix";; esac; done ;;
install) p=$DESTDIR$(cat build-install/prefix)
    mkdir -p "$p/bin" "$p/lib/own" "$p/share/man"
    for f in $FILES; do echo "new $f" >"$p/$f"; done
    ln -sf libx.so.0 "$p/lib/libx.so" ;;
esac
""",
    "ninja": "#!/bin/sh\necho \"ninja as $(id -u)\" >>\"$LOG\"\n",
    "ldconfig": "#!/bin/sh\necho \"ldconfig as $(id -u)\" >>\"$LOG\"\n",
    "dpkg-query": "#!/bin/sh\necho installed\n",
    "sudo": "#!/bin/sh\necho \"sudo $1\" >>\"$LOG\"\n[ -z \"$NO_SUDO\" ] || exit 1\n",
}


class Install(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tpmtls-install.")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.clone, self.prefix, self.log = (os.path.join(self.dir, name) for name in ("clone", "prefix", "log"))
        os.makedirs(os.path.join(self.clone, "scripts"))
        os.makedirs(os.path.join(self.dir, "bin"))
        os.mkdir(self.prefix)
        for name in ("dev", "scripts/packages.sh", "scripts/install"):
            shutil.copy2(os.path.join(ROOT, name), os.path.join(self.clone, name))
        for name, text in FAKE.items():
            path = os.path.join(self.dir, "bin", name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(path, 0o755)
        with open(self.log, "w", encoding="utf-8"):
            pass
        os.chmod(self.log, 0o666)

    def dev(self, *args, uid=None, files="bin/tpmtls lib/libx.so.0 lib/own/module.so share/man/tpmtls.1", **env):
        env = dict({"PATH": self.dir + "/bin:" + os.environ["PATH"]}, **env)
        env = dict(os.environ, LOG=self.log, FILES=files, **env)
        as_uid = [] if uid is None else ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"]
        done = subprocess.run(as_uid + [os.path.join(self.clone, "dev"), *args], env=env, cwd=self.dir, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60, check=False)
        return done.returncode, done.stdout

    def must(self, *args, **kw):
        code, out = self.dev(*args, **kw)
        self.assertEqual(code, 0, out)
        return out

    def calls(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read().splitlines()

    def tree(self, top=None):
        top = top or self.prefix
        return sorted(os.path.relpath(os.path.join(at, name), top) for at, dirs, files in os.walk(top) for name in dirs + files)

    def owners(self, top):
        return {os.lstat(os.path.join(at, name)).st_uid for at, dirs, files in os.walk(top) for name in dirs + files + ["."]}

    def give_clone_to(self, uid):
        for at, dirs, files in os.walk(self.dir):
            for name in dirs + files + ["."]:
                path = os.path.join(at, name)
                if not path.startswith(self.prefix):
                    os.lchown(path, uid, uid)

    def nobody(self):
        if os.getuid() != 0:
            self.skipTest("root is needed to be two users")
        return pwd.getpwnam("nobody").pw_uid

    def test_there_and_back(self):
        os.mkdir(os.path.join(self.prefix, "lib"))
        with open(os.path.join(self.prefix, "lib", "other.so"), "w", encoding="utf-8") as f:
            f.write("not ours")
        os.chmod(os.path.join(self.prefix, "lib"), 0o775)
        before = self.tree()
        out = self.must("install", self.prefix)
        self.assertIn("installed: %s/bin/tpmtls" % self.prefix, out)
        for name in ("bin/tpmtls", "lib/libx.so", "lib/libx.so.0", "lib/own/module.so", "share/man/tpmtls.1", "lib/other.so"):
            self.assertIn(name, self.tree())
        self.assertEqual(os.stat(os.path.join(self.prefix, "lib")).st_mode & 0o777, 0o775)  # as it was
        self.must("uninstall", self.prefix)
        self.assertEqual(self.tree(), before)
        code, out = self.dev("uninstall", self.prefix)
        self.assertEqual(code, 1)
        self.assertIn("nothing is installed in " + self.prefix, out)

    def test_what_a_version_no_longer_has_goes(self):
        self.must("install", self.prefix)
        self.must("install", self.prefix, files="bin/tpmtls")
        self.assertNotIn("lib/own/module.so", self.tree())
        self.assertIn("bin/tpmtls", self.tree())
        self.must("uninstall", self.prefix)
        self.assertEqual(self.tree(), [])

    def test_a_list_that_names_others_is_not_believed(self):
        self.must("install", self.prefix)
        victim = os.path.join(self.dir, "victim")
        with open(victim, "w", encoding="utf-8"):
            pass
        with open(os.path.join(self.prefix, "share/tpmtls/installed"), "a", encoding="utf-8") as f:
            f.write("%s\n%s/../victim\n%s/bin/../../victim\n" % (victim, self.prefix, self.prefix))
        self.must("uninstall", self.prefix)
        self.assertTrue(os.path.exists(victim))
        self.assertNotIn("bin/tpmtls", self.tree())

    def test_sudo_builds_as_the_owner(self):
        """sudo ./dev install in a user's clone."""
        nobody = self.nobody()
        self.give_clone_to(nobody)
        self.must("install", self.prefix)
        self.assertEqual(self.calls(), ["meson setup as %d" % nobody, "ninja as %d" % nobody, "meson install as %d" % nobody,
                                        "ldconfig as 0"])
        self.assertEqual(self.owners(self.clone), {nobody})
        self.assertEqual(self.owners(self.prefix), {0})
        self.must("clean", uid=nobody)
        self.assertNotIn("build-install", self.tree(self.clone))

    def test_root_leaves_nothing_of_its_own(self):
        """Any other command by sudo: what it made is given to the owner."""
        nobody = self.nobody()
        self.give_clone_to(nobody)
        self.must("build")
        self.assertIn("build", self.tree(self.clone))
        self.assertEqual(self.owners(self.clone), {nobody})

    def test_a_user_is_asked_before_the_build(self):
        nobody = self.nobody()
        os.chmod(self.dir, 0o755)
        self.give_clone_to(nobody)
        code, out = self.dev("install", self.prefix, uid=nobody, NO_SUDO="yes")
        self.assertNotEqual(code, 0)
        self.assertEqual(self.calls(), ["sudo -v"])  # and nothing was built
        self.assertIn("root is needed to write to " + self.prefix, out)
        self.dev("install", self.prefix, uid=nobody)
        self.assertEqual([line.split(" as ")[0] for line in self.calls()[1:]],
                         ["sudo -v", "meson setup", "ninja", "meson install", "sudo " + self.clone + "/scripts/install"])

    def test_a_prefix_of_the_user_needs_no_root(self):
        nobody = self.nobody()
        os.chmod(self.dir, 0o755)
        self.give_clone_to(nobody)
        os.chown(self.prefix, nobody, nobody)
        out = self.must("install", os.path.join(self.prefix, "deep", "local"), uid=nobody)
        self.assertNotIn("sudo -v", self.calls())
        self.assertNotIn("ldconfig as %d" % nobody, self.calls())
        self.assertIn("LD_LIBRARY_PATH=%s/deep/local/lib" % self.prefix, out)
        self.assertEqual(self.owners(self.prefix), {nobody})
        self.must("uninstall", os.path.join(self.prefix, "deep", "local"), uid=nobody)
        self.assertEqual(self.tree(), ["deep"])

    def test_what_every_command_runs_with(self):
        """The system's programs, which a user of Debian has not in PATH; and no python leaves its __pycache__."""
        self.must("build", PATH=self.dir + "/bin:/usr/bin:/bin")
        with open(self.log + ".env", encoding="utf-8") as f:
            written, path = f.read().strip().split(" ", 1)
        self.assertEqual(written, "1")
        self.assertIn("/usr/sbin", path.split(":"))
        self.assertNotIn("__pycache__", self.tree(self.clone))

    def test_the_default_is_said(self):
        self.assertIn("/usr/local", self.must("help"))
        code, out = self.dev("install", "a", "b")
        self.assertEqual(code, 2)
        self.assertIn("at most one PREFIX", out)


BUILD = os.environ.get("TPMTLS_BUILD", os.path.join(ROOT, "build"))


class Packages(unittest.TestCase):
    """What meson installs is in one of the Debian packages and in one of the RPM packages, and these have nothing else."""

    @classmethod
    def setUpClass(cls):
        done = subprocess.run(["meson", "introspect", "--installed", BUILD], stdout=subprocess.PIPE, check=True)
        options = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], stdout=subprocess.PIPE, check=True)
        value = {option["name"]: option["value"] for option in json.loads(options.stdout)}
        libdir = os.path.join(value["prefix"], value["libdir"])
        cls.paths = []
        for path in json.loads(done.stdout).values():
            here = path if not path.startswith(libdir + "/") else value["prefix"] + "/lib/any" + path[len(libdir):]
            cls.paths.append(os.path.relpath(here, value["prefix"]))

    def read(self, path):
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            return f.read().splitlines()

    def compare(self, patterns, left_out=()):
        """A pattern takes the path itself and what is below; manual pages may be compressed."""
        def takes(pattern, path):
            return fnmatch.fnmatch(path, pattern.rstrip("/")) or fnmatch.fnmatch(path, pattern.rstrip("/") + "/*") or \
                fnmatch.fnmatch(path, pattern.replace(".*", "*", 1))
        missing = [path for path in self.paths if not any(takes(p, path) for p in list(patterns) + list(left_out))]
        self.assertEqual(missing, [], "in no package")
        self.assertEqual([p for p in patterns if not any(takes(p, path) for path in self.paths)], [], "nothing is there")

    def test_debian(self):
        patterns = [line.split()[0][len("usr/"):] for path in sorted(glob.glob(os.path.join(ROOT, "debian/*.install")))
                    for line in self.read(path) if line.strip()]
        left_out = [line[len("usr/"):] for line in self.read("debian/not-installed")]
        self.compare(patterns, left_out)

    def test_rpm(self):
        macros = {"%{_bindir}": "bin", "%{_mandir}": "share/man", "%{_datadir}": "share", "%{_libdir}": "lib/any",
                  "%{_includedir}": "include", "%{_unitdir}": "lib/systemd/system", "%{_sysusersdir}": "lib/sysusers.d"}
        patterns = []
        lines = self.read("packaging/tpmtls.spec.in")
        for line in lines[lines.index("%files"):]:
            macro = re.match(r"^(%\{_\w+\})(/.*)$", line)
            if macro:
                self.assertIn(macro.group(1), macros)
                patterns.append(macros[macro.group(1)] + macro.group(2))
        self.compare(patterns, ["lib/any/libtpmtls.a"])

    def test_the_control(self):
        with self.assertRaises(AssertionError):
            self.compare(["bin/tpmtls"])
        with self.assertRaises(AssertionError):
            self.compare(["*", "share/nothing/like/this"])
        self.compare(["*"])


if __name__ == "__main__":
    harness.tap_main()
