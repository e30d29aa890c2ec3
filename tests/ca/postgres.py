"""tests/ca/postgres.py: a PostgreSQL of a test's own."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))


class Skip(Exception):
    """Why a test cannot be run here."""


class Database:
    """A PostgreSQL of the test's own; root cannot run one, so that it is another user's then."""

    def __init__(self):
        if not POSTGRES:
            raise Skip("no PostgreSQL")
        self.bin = POSTGRES[-1]
        self.dir = tempfile.mkdtemp(prefix="tpmtls-pg.")
        self.user = None
        if os.getuid() == 0:
            for name in ("postgres", "nobody"):
                try:
                    self.user = pwd.getpwnam(name)
                    break
                except KeyError:
                    pass
            if self.user is None:
                raise Skip("root cannot become another user here")
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
            os.chmod(self.dir, 0o755)
        self.do("initdb", "-D", self.dir + "/data", "-A", "trust", "-U", "tpmtls", "--no-sync", "-E", "UTF8")
        self.start()
        self.do("createdb", "-h", self.dir, "-U", "tpmtls", "ca")
        self.url = "postgresql://tpmtls@/ca?host=" + self.dir

    def become(self):
        os.setgroups([])
        os.setgid(self.user.pw_gid)
        os.setuid(self.user.pw_uid)

    def do(self, program, *words):
        done = subprocess.run([os.path.join(self.bin, program), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, cwd="/", preexec_fn=self.become if self.user else None, check=False)
        assert done.returncode == 0, "%s: %s" % (program, done.stdout.decode()[-800:])

    def start(self):
        subprocess.run([os.path.join(self.bin, "pg_ctl"), "-D", self.dir + "/data", "-w", "-t", "60", "-l", self.dir + "/log", "-o",
                        "-c listen_addresses= -c unix_socket_directories=%s" % self.dir, "start"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=120,
                       preexec_fn=self.become if self.user else None, check=True)

    def crash(self):
        """As when the machine goes: no goodbye to anybody."""
        with open(self.dir + "/data/postmaster.pid", encoding="ascii") as f:
            os.kill(int(f.readline()), signal.SIGQUIT)
        end = time.monotonic() + 30
        while os.path.exists(self.dir + "/data/postmaster.pid") and time.monotonic() < end:
            time.sleep(0.02)

    def close(self):
        try:
            self.do("pg_ctl", "-D", self.dir + "/data", "-m", "immediate", "-w", "stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
