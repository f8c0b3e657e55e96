# All that a forked interpreter has in hand, spoilt: modules, builtins, handlers, memory of the library that
# it is started with.
import builtins, ctypes, gc, os, random, signal, sys
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
random.seed(1)
os.umask(0o777)
os.environ.clear()
try:
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0].split("-") for line in maps if "child.so" in line and line.split()[1].startswith("rw")]
except OSError:
    spans = []
for begin, end in spans:
    ctypes.memset(int(begin, 16), 0x41, int(end, 16) - int(begin, 16))
print("done", flush=True)
for module in list(sys.modules.values()):
    if module not in (builtins, sys, gc, sys.modules["__main__"]):
        vars(module).clear()
builtins.print = builtins.open = builtins.compile = None
