# argv: a TCP port and an abstract socket name that the host listens on.
import os, socket, sys
from attack import attempt, escaped
port, name = int(sys.argv[1]), sys.argv[2]
def connect(number, what, family, kind, address, protocol=0):
    try:
        s = socket.socket(family, kind, protocol)
    except OSError:
        return
    try:
        s.settimeout(0.5)
        s.connect(address)
        if kind == socket.SOCK_DGRAM and family in (socket.AF_INET, socket.AF_INET6):
            s.send(b"x")
        escaped(number, what)
    except OSError:
        pass
for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "1.1.1.1", "0.0.0.0"):
    connect(44 if host in ("127.0.0.1", "0.0.0.0") else 43, "tcp " + host, socket.AF_INET, socket.SOCK_STREAM, (host, port))
connect(43, "udp", socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53))
connect(44, "tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", port))
connect(44, "mapped", socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", port))
connect(45, "abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name)
for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
    connect(46, path, socket.AF_UNIX, socket.SOCK_STREAM, path)
for family in (1 + i for i in range(1, 46)):
    if family in (socket.AF_INET, socket.AF_INET6):
        continue
    for kind in (socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            escaped(47, "family", family, kind)
        except OSError:
            pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    escaped(47, "raw socket")
except OSError:
    pass
for server in ("127.0.0.1", "127.0.0.53", "8.8.8.8", "1.1.1.1"):
    connect(98 if server[0] != "1" or server == "1.1.1.1" else 44, "name server " + server, socket.AF_INET, socket.SOCK_STREAM, (server, 53))
for name in ("example.com", "metadata.google.internal", "secret.example.com"):
    attempt(98, name, lambda: socket.getaddrinfo(name, 80))
attempt(98, "resolv.conf", lambda: open("/etc/resolv.conf").read())
print("done")
