# argv: a way to be forgotten, and how many seconds of processor time may be had. 14.
import os, signal, sys, time
from attack import escaped
way, most, PART = sys.argv[1], float(sys.argv[2]), 0.2


def burn():
    end = time.process_time() + PART
    while time.process_time() < end:
        pass


def orphans():  # each is the next one's parent, and does not wait
    if os.fork() == 0:
        if os.fork() == 0:
            for _ in range(int(most / PART)):
                burn()
                if os.fork():
                    os._exit(0)
            escaped(14, most, "seconds of orphans")
        os._exit(0)
    time.sleep(60)


def ignored():  # nobody gets their times
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(int(most / PART)):
        if os.fork() == 0:
            burn()
            os._exit(0)
        try:
            os.wait()
        except ChildProcessError:
            pass
    escaped(14, most, "seconds of children that nobody waits for")


globals()[way]()
print("done")
