# What the kernel shows as files: knobs are not to be turned, what it knows of the machine is masked.
import os, resource, stat
from attack import attempt, escaped, has_proc, in_child, libc

# 33: whatever below /proc and /sys may be opened for writing and is no matter of our own process.
if has_proc:
    for top in ("/proc", "/sys"):
        for folder, folders, files in os.walk(top):
            if folder == "/proc":
                folders[:] = [name for name in folders if not name.isdigit() and name not in ("self", "thread-self")]
            for name in files:
                path = os.path.join(folder, name)
                try:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    escaped(33, path)
                except OSError:
                    pass
for path, text in (("/proc/sys/kernel/core_pattern", b"|/box/x"), ("/proc/sys/vm/drop_caches", b"3"), ("/proc/sysrq-trigger", b"c"), ("/sys/kernel/uevent_helper", b"/box/x"), ("/sys/power/state", b"mem"), ("/proc/sys/vm/overcommit_memory", b"1"), ("/proc/sys/net/ipv4/ip_forward", b"1"), ("/proc/sys/kernel/ns_last_pid", b"1"), ("/proc/self/uid_map", b"0 0 1"), ("/proc/self/setgroups", b"allow"), ("/proc/self/loginuid", b"0"), ("/proc/self/attr/current", b"x")):
    attempt(33, path, lambda: os.write(os.open(path, os.O_WRONLY), text))

# 34: contents of memory, messages, addresses, keys of others.
for path in ("/proc/kcore", "/proc/kmsg", "/proc/vmallocinfo", "/proc/kpagecount", "/proc/slabinfo", "/proc/timer_list", "/proc/sched_debug", "/sys/kernel/debug", "/sys/kernel/tracing/trace", "/sys/firmware/dmi/tables/DMI", "/proc/1/stack", "/proc/1/syscall", "/dev/mem", "/dev/port"):
    attempt(34, path, lambda: bool(set(os.read(os.open(path, os.O_RDONLY), 4096)) - set(b"0-: \n")))
for path, address in (("/proc/kallsyms", lambda line: line.split()[0]), ("/proc/modules", lambda line: line.split()[-1]), ("/proc/iomem", lambda line: line.split("-")[0])):
    attempt(34, "addresses in " + path, lambda: any(int(address(line), 16) for line in open(path)))
try:
    if open("/proc/keys").read():
        escaped(34, "keys")
except OSError:
    pass

# 35: the devices there are, and that none is made.
try:
    devices = set(os.listdir("/dev"))
    if devices - {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}:
        escaped(35, devices)
except OSError:
    pass
for kind in (stat.S_IFCHR, stat.S_IFBLK):
    for number in ((1, 1), (1, 11), (8, 0), (254, 0), (10, 229)):
        attempt(35, "mknod", lambda: os.mknod("node", kind | 0o666, os.makedev(*number)) or True)

# 64: no way to another group.
for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/cgroup"):
    attempt(64, folder, lambda: os.listdir(folder) or None)
    attempt(64, folder, lambda: os.write(os.open(folder + "/cgroup.procs", os.O_WRONLY), b"0"))
    attempt(64, folder, lambda: os.mkdir(folder + "/mine") or True)

# 58: a crash leaves nothing, and starts no program of the host's: one byte stands for neither.
for limit in (1, 0, resource.RLIM_INFINITY):
    attempt(58, "limit of core files", lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)))
    if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1):
        escaped(58, resource.getrlimit(resource.RLIMIT_CORE))
if not os.WIFSIGNALED(in_child(os.abort)) or any(name.startswith("core") for name in os.listdir(".")):
    escaped(58, os.listdir("."))

# 70: programs that run as their owner do not.
if libc.prctl(39, 0, 0, 0, 0) != 1:
    escaped(70, "privileges are to be had")
for tree in ("/", "/usr", ".", "/box", "/tmp", "/dev/shm"):
    if has_proc and not os.statvfs(tree).f_flag & os.ST_NOSUID:
        escaped(70, tree)
print("done")
