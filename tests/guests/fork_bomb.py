# Forks until it is refused; whatever it got stays alive.
import os, time
made = 0
try:
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
    print("escaped: 01 made", made)
except OSError as error:
    print("refused after", made, flush=True)
print("done")
