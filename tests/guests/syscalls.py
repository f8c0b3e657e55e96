# Kernel surface: every call here must be refused by the filter, whatever its arguments.
import ctypes, os
from attack import call, escaped, system_call
buffer = ctypes.create_string_buffer(4096)
NEWNS, NEWUSER, NEWPID, NEWNET, NEWUTS, NEWIPC, NEWCGROUP = 0x20000, 0x10000000, 0x20000000, 0x40000000, 0x4000000, 0x8000000, 0x2000000
SIBLING = 0x8000
SIGCHLD = 17


def clone(number, what, flags):
    child = system_call(56, flags | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        escaped(number, "clone", what)


call(36, "mount", 165, b"none", b"/box/tmp", b"tmpfs", 0, 0)
call(36, "umount2", 166, b"/proc", 2)
call(36, "pivot_root", 155, b".", b".")
call(36, "open_tree", 428, -100, b"/", 1)
call(36, "move_mount", 429, -1, b"", -1, b"", 0)
call(36, "fsopen", 430, b"tmpfs", 0)
call(36, "fsconfig", 431, 0, 0, buffer, buffer, 0)
call(36, "fsmount", 432, 0, 0, 0)
call(36, "mount_setattr", 442, -100, b"/", 0, buffer, 32)
for name in (b"fuse", b"9p", b"overlay", b"cgroup2"):
    call(92, "mount %s" % name.decode(), 165, name, b"/box/tmp", name, 0, b"fd=3,rootmode=40000,user_id=0,group_id=0")
    call(92, "fsopen %s" % name.decode(), 430, name, 0)
call(39, "chroot", 161, b"/box/work")
for number, name, flag in [(37, "user", NEWUSER), (38, "mount", NEWNS), (38, "pid", NEWPID), (38, "net", NEWNET), (38, "uts", NEWUTS), (38, "ipc", NEWIPC), (38, "cgroup", NEWCGROUP), (37, "user and mount", NEWUSER | NEWNS)]:
    call(number, "unshare " + name, 272, flag)
    clone(number, name, flag)
# A sibling of ours would be a child of whoever started us, and out of the watchers' sight.
clone(18, "of a sibling", SIBLING)
call(102, "clone3", 435, buffer, 88)
call(38, "setns", 308, 0, 0)
call(30, "ptrace of init", 101, 16, 1, 0, 0)
call(30, "ptrace of oneself", 101, 0, 0, 0, 0)
call(31, "process_vm_readv", 310, 1, buffer, 1, buffer, 1, 0)
call(31, "process_vm_writev", 311, 1, buffer, 1, buffer, 1, 0)
call(32, "pidfd_getfd", 438, 0, 0, 0)
call(40, "open_by_handle_at", 304, -100, buffer, 0)
call(40, "name_to_handle_at", 303, -100, b"/", buffer, buffer, 0)
call(48, "bpf", 321, 0, buffer, 64)
call(49, "perf_event_open", 298, buffer, 0, -1, -1, 0)
call(50, "keyctl", 250, 0, -3, 1)
call(50, "add_key", 248, b"user", b"x", b"y", 1, -3)
call(50, "request_key", 249, b"user", b"x", b"y", -3)
call(51, "io_uring_setup", 425, 8, buffer)
call(51, "io_uring_enter", 426, 0, 1, 0, 0, 0)
call(51, "io_setup", 206, 8, buffer)
call(52, "userfaultfd", 323, 1)
call(53, "init_module", 175, buffer, 0, b"")
call(53, "finit_module", 313, 0, b"", 0)
call(53, "delete_module", 176, b"x", 0)
call(53, "kexec_load", 246, 0, 0, 0, 0)
call(53, "reboot", 169, 0xfee1dead, 672274793, 0, 0)
call(53, "swapon", 167, b"x", 0)
call(53, "sethostname", 170, b"x", 1)
call(53, "settimeofday", 164, buffer, 0)
call(53, "clock_settime", 227, 0, buffer)
call(53, "syslog", 103, 10, buffer, 4096)
call(53, "acct", 163, b"x")
call(53, "iopl", 172, 3)
call(53, "ioperm", 173, 0, 8, 1)
call(53, "quotactl", 179, 0, b"", 0, buffer)
call(53, "kcmp", 312, 1, os.getpid(), 0, 0, 0)
call(53, "lookup_dcookie", 212, 1, buffer, 10)
call(53, "setgroups", 116, 1, buffer)
call(56, "openat2", 437, -100, b"/", buffer, 24)
call(88, "seccomp listener", 317, 1, 8, buffer)
call(88, "seccomp filter", 317, 1, 0, buffer)
call(88, "prctl seccomp", 157, 22, 2, buffer)
call(91, "setxattr", 188, b".", b"user.overlay.opaque", b"y", 1, 0)
call(93, "fanotify_init", 300, 0, 0)
call(93, "inotify_add_watch", 254, system_call(294, 0), b"/usr/bin", 0xfff)
call(93, "F_NOTIFY", 72, os.open("/usr/bin", 0), 1026, 0x80000001)
call(105, "modify_ldt", 154, 0, buffer, 16)
call(105, "set_thread_area", 205, buffer)
call(107, "personality no-randomize", 135, 0x0040000)
call(107, "personality read-implies-exec", 135, 0x0400000)
call(107, "personality linux32", 135, 8)
call(107, "MDWE", 157, 65, 1, 0, 0, 0)
for what, request in [("TIOCSTI", 0x5412), ("TIOCSTI with junk above", 0x100005412), ("TIOCLINUX", 0x541C), ("TIOCLINUX with junk above", 0xdead0000541C), ("TIOCCONS", 0x541D), ("TIOCSCTTY", 0x540E)]:
    call(57, what, 16, 0, request, b"\x02")
print("done")
