# Signals without SA_RESTART over pipelines of sh: close, fork and wait must not be broken by them. 104.
import os, signal, subprocess, time
from attack import escaped
shell = subprocess.Popen(["sh", "-c", """
trap : USR1; echo up
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  printf 'c\\na\\nb\\n' | cat | sort | tr '\\n' ' '
  (exit 7); echo $?
done"""], stdout=subprocess.PIPE)
if shell.stdout.readline() != b"up\n":
    escaped(104, "the shell does not start")
while shell.poll() is None:
    os.kill(shell.pid, signal.SIGUSR1)
    time.sleep(0.0002)
got = shell.stdout.read()
if got != b"a b c 7\n" * 20:
    escaped(104, got)

# The same for the bare calls: what is interrupted says so, and nothing is lost.
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for n in range(100):
    child = os.fork()
    if child == 0:
        os._exit(n)
    os.close(os.dup(0))
    if os.WEXITSTATUS(os.waitpid(child, 0)[1]) != n:
        escaped(104, "a child's end is lost")
print("done")
