# argv: a mark. Leaves behind a daemon, a sleeper deaf to signals, a stopped child and a fork hopper,
# all holding stdout open.
import os, signal, sys, time
mark = sys.argv[1]
def child(work):
    if os.fork() == 0:
        try:
            os.execv("/bin/sh", ["sh", "-c", work, mark]) if isinstance(work, str) else work()
        finally:
            os._exit(0)
def daemon():
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["sleep", "3133" + mark])
def deaf():
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    time.sleep(1000)
def hopper():
    for _ in range(100000):
        if os.fork():
            os._exit(0)
for work in (daemon, deaf, lambda: os.kill(os.getpid(), signal.SIGSTOP), hopper):
    child(work)
print("done", flush=True)
