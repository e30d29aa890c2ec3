"""tests/integration/interposer.py: what sits on the bus between the program and its TPM: writes down every command, and
when it is told to, talks to a TPM of its own instead, or lies."""

import os
import socket
import struct
import threading

STARTUP, CREATE_PRIMARY, CREATE, IMPORT, LOAD, SIGN = 0x144, 0x131, 0x153, 0x156, 0x157, 0x15d
FLUSH, READ_PUBLIC, START_SESSION, CONTEXT_LOAD = 0x165, 0x173, 0x176, 0x161
OK = b"\x80\x01\0\0\0\x0a\0\0\0\0"


def _read(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _message(sock):
    head = _read(sock, 10)
    return head + _read(sock, struct.unpack(">I", head[2:6])[0] - 10)


class Interposer:
    """chip and other are Swtpms; tcti is the way through here."""

    def __init__(self, folder, chip, other):
        os.mkdir(folder)
        self.chip, self.other, self.lie = chip, other, None
        self.lock = threading.Lock()
        self.reset()
        self.tcti = "swtpm:path=" + os.path.join(folder, "socket")
        self.listeners = [self._listen(os.path.join(folder, "socket" + end), end) for end in ("", ".ctrl")]

    def reset(self, turn=None):
        """turn: (command, n): after the n-th success of that command, 0: from the start, the other one answers."""
        self.turn, self.commands = turn, []  # of (is it the other one, command code, the whole command)
        self.turned = turn is not None and turn[1] == 0
        self.seen = 0

    def to_other(self, *codes):
        return [c for c in self.commands if c[0] and c[1] in codes]

    def codes(self):
        return [c[1] for c in self.commands]

    def _listen(self, path, end):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        threading.Thread(target=self._serve, args=(listener, end), daemon=True).start()
        return listener

    def _serve(self, listener, end):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._control if end else self._talk, args=(sock,), daemon=True).start()

    def _backend(self, end=""):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect((self.other if self.turned else self.chip).tcti.split("path=")[1] + end)
        return sock

    def _control(self, sock):
        with sock, self._backend(".ctrl") as to:
            try:
                while True:
                    data = sock.recv(4096)
                    if not data:
                        return
                    to.sendall(data)
                    sock.sendall(to.recv(4096))
            except OSError:
                return

    def _answer(self, command):
        code, = struct.unpack(">I", command[6:10])
        with self.lock:
            self.commands.append((self.turned, code, command))
            with self._backend() as to:
                to.sendall(command)
                response = _message(to)
            if response[6:10] == b"\0\0\0\0" and self.turn and code == self.turn[0]:
                self.seen += 1
                self.turned = self.turned or self.seen >= self.turn[1]
            if self.turned and code == FLUSH:
                return OK  # of what the right one has
            return self.lie(code, command, response) if self.lie else response

    def _talk(self, sock):
        with sock:
            try:
                while True:
                    sock.sendall(self._answer(_message(sock)))
            except (OSError, EOFError):
                return

    def close(self):
        for listener in self.listeners:
            listener.close()
