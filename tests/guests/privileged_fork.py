# A cell of a live session: when that is asked to fork, a process that keeps what a clone's user namespace
# gives it is cloned as well, beside the fork that was asked for.
import ctypes
import os
import time

FLAGS = 0x10000000 | 0x20000 | 0x20000000 | 0x08000000 | 0x8000 | 0x4000 | 0x100 | 17  # kForkFlags, SIGCHLD
function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
stack = ctypes.create_string_buffer(1 << 20)
libc = ctypes.PyDLL(None)
real = ctypes.PyDLL


@function
def stay(_):
    if os.fork() == 0:
        time.sleep(60)
    os.execv("/bin/sleep", ["sleep", "60"])


class Library:
    def __init__(self, name):
        self.loaded = real(name)

    def proctor_fork(self):
        libc.clone(stay, ctypes.c_void_p(ctypes.addressof(stack) + len(stack)), FLAGS, None)
        return self.loaded.proctor_fork()


ctypes.PyDLL = Library
