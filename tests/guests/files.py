# argv: a file of the host that everybody may read there. Nothing of the host beyond the system's own
# folders is to be seen, and nothing of it to be changed.
import os, sys
from attack import attempt, escaped
secret = sys.argv[1]


def foreign(folder):
    """What it lists, but for the folders that lead to Python's own environment, which has its place of the host."""
    own = [os.path.realpath(prefix) + "/" for prefix in (sys.prefix, sys.base_prefix)]
    inside = os.path.realpath(folder) + "/"
    return [name for name in os.listdir(folder) if not any(prefix.startswith(inside + name + "/") for prefix in own)]


for path in [secret, "/etc/shadow", "/root/.bashrc", "/root", "/home/../root", "/boot", "/var/log/dpkg.log", "/sys/kernel", "/proc/kcore", "/dev/sda", "/dev/vda", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/run/docker.sock", "/proc/1/root/etc/shadow", "/proc/1/mem", "/proc/1/environ", "/proc/self/root" + secret]:
    try:
        if os.path.isdir(path):
            if foreign(path):
                escaped(23, "list", path)
        else:
            with open(path, "rb") as file:
                if file.read(1):
                    escaped(23, "read", path)
    except OSError:
        pass
for path in ["/x", "/etc/x", "/usr/x", "/usr/bin/python3", "/bin/sh", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proctor/child.so", "/dev/x", secret]:
    attempt(24, "write " + path, lambda: open(path, "r+b"))
attempt(35, "mknod", lambda: os.mknod("dev", 0o020600, os.makedev(1, 1)) or True)
for path in ("/etc/passwd", "/usr/bin/env", "/dev/null", secret):
    attempt(27, "link to " + path, lambda: os.link(path, "hard") or True)
attempt(24, "rename", lambda: os.rename("/etc/passwd", "moved") or True)
attempt(24, "unlink", lambda: os.unlink("/usr/bin/python3") or True)
attempt(24, "chmod", lambda: os.chmod("/usr/bin", 0o777) or True)
attempt(24, "chown", lambda: os.chown(".", 0, 0) or True)
try:
    pids = list(filter(str.isdigit, os.listdir("/proc")))
except OSError:  # no proc of its own in the reduced world
    pids = []
for pid in pids:
    try:
        line = open("/proc/%s/cmdline" % pid, "rb").read()
    except OSError:
        continue
    if b"proctor" in line or b"integration_tests" in line:
        if int(pid) != 1 and int(pid) != os.getpid():
            escaped(28, "process", pid, line[:60])
os.symlink("/usr/bin/passwd", "link")
open("mine", "w").write("x")
attempt(70, "set-id by chmod", lambda: os.chmod("mine", 0o4755) or True)
print("done")
