#!/usr/bin/env python3
"""Runs a program and kills it at its Nth stop: the entry to and the return from each system call are one each.

    kill-at.py N PROGRAM [ARGUMENT...] 3>FILE

Writes to descriptor 3, which the program does not get, how many stops there were, and the program's own end: its status, or minus the signal's number.
N = 0 kills nothing.
"""
import ctypes
import os
import signal
import sys

TRACEME, SYSCALL, SETOPTIONS = 0, 24, 0x4200
GOOD, EXITKILL = 1, 0x100000
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.restype = ctypes.c_long
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long]

os.set_inheritable(3, False)
limit, words = int(sys.argv[1]), sys.argv[2:]
pid = os.fork()
if pid == 0:
    ptrace(TRACEME, 0, 0, 0)
    os.execv(words[0], words)
os.waitpid(pid, 0)
ptrace(SETOPTIONS, pid, 0, GOOD | EXITKILL)
count, passed = 0, 0
while True:
    ptrace(SYSCALL, pid, 0, passed)
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSTOPPED(status):
        break
    passed = 0
    if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
        count += 1
        if count == limit:
            os.kill(pid, signal.SIGKILL)
    elif os.WSTOPSIG(status) != signal.SIGTRAP:
        passed = os.WSTOPSIG(status)
os.write(3, f"{count} {os.waitstatus_to_exitcode(status)}".encode())
