# argv: a file of the host that everybody may read there. Nothing of the host beyond the system's own
# folders is to be seen, and nothing of it to be changed.
import glob, os, sys
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
                print("escaped: list", path)
        else:
            with open(path, "rb") as file:
                if file.read(1):
                    print("escaped: read", path)
    except OSError:
        pass
for path in ["/x", "/etc/x", "/usr/x", "/usr/bin/python3", "/bin/sh", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proctor/child.so", "/dev/x", secret]:
    try:
        with open(path, "r+b"):
            pass
        print("escaped: write", path)
    except OSError:
        pass
for call in [lambda: os.mknod("dev", 0o020600, os.makedev(1, 1)), lambda: os.link("/etc/passwd", "hard"), lambda: os.rename("/etc/passwd", "moved"), lambda: os.unlink("/usr/bin/python3"), lambda: os.chmod("/usr/bin", 0o777), lambda: os.chown(".", 0, 0)]:
    try:
        call()
        print("escaped: changed")
    except OSError:
        pass
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
            print("escaped: foreign process", pid, line[:60])
os.symlink("/usr/bin/passwd", "link")
open("mine", "w").write("x")
try:
    os.chmod("mine", 0o4755)
    print("escaped: a set-id file")
except OSError:
    pass
print("done")
