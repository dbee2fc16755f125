"""Starts a program that hears nothing of changes to the machine's networks.

Chromium drops every connection, those to this very machine too, when a network interface comes or
goes (``ERR_NETWORK_CHANGED``), which it does for each container that another test starts. It hears
of that over netlink sockets, lives well without them, and has no option. So it is started where
such sockets cannot be made: ``python deaf.py program arguments…``.

Where the kernel does not let a process limit itself (seccomp, Linux on x86-64 and ARM64), the
program is started as it is.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT

#: Where the data of a call holds its number, its architecture and its first argument (seccomp(2)).
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16

#: By machine: how the kernel calls it, and the number of socket(2) there.
_SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


def refuse_netlink() -> None:
    """Have every later ``socket(AF_NETLINK, …)`` of this process fail."""
    if platform.machine() not in _SOCKET_CALLS:
        return
    architecture, number = _SOCKET_CALLS[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, _FIRST),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    described = ctypes.create_string_buffer(
        struct.pack("@HP", len(program), ctypes.addressof(code))
    )
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0)


if __name__ == "__main__":
    refuse_netlink()
    os.execv(sys.argv[1], sys.argv[1:])
