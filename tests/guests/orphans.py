# Orphans, one after the other, more than there may be processes at once: somebody of ours reaps them.
import os, time
for _ in range(60):
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
    time.sleep(0.01)
try:
    print(open("/proc/1/comm").read().strip())
except OSError:
    print("no proc")
    raise SystemExit
time.sleep(0.2)
left = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in ("1", str(os.getpid()))]
print(len(left), "left")
