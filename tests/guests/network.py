# argv: a TCP port and an abstract socket name that the host listens on.
import os, socket, sys
port, name = int(sys.argv[1]), sys.argv[2]
def attempt(what, family, kind, address, protocol=0):
    try:
        s = socket.socket(family, kind, protocol)
    except OSError:
        return
    try:
        s.settimeout(0.5)
        s.connect(address)
        if kind == socket.SOCK_DGRAM and family in (socket.AF_INET, socket.AF_INET6):
            s.send(b"x")
        print("escaped:", what)
    except OSError:
        pass
for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "1.1.1.1", "0.0.0.0"):
    attempt("tcp " + host, socket.AF_INET, socket.SOCK_STREAM, (host, port))
attempt("udp", socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53))
attempt("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", port))
attempt("mapped", socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", port))
attempt("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name)
for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
    attempt(path, socket.AF_UNIX, socket.SOCK_STREAM, path)
for family in (1 + i for i in range(1, 46)):
    if family in (socket.AF_INET, socket.AF_INET6):
        continue
    for kind in (socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            print("escaped: family", family, kind)
        except OSError:
            pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    print("escaped: raw socket")
except OSError:
    pass
print("done")
