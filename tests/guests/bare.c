// What a program that is no interpreter is given: descriptors (61), words of the environment (62), core limit.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

int main(int count, char** words, char** environment) {
  static const char* const known[] = {"PATH=", "HOME=", "TMPDIR=", "LANG=", "LC_CTYPE=", "USER=", "PYTHONHASHSEED=", "OMP_NUM_THREADS=", "OPENBLAS_NUM_THREADS=", "MKL_NUM_THREADS=", "MPLBACKEND=", "NODE_PATH="};
  (void)words;
  for (int fd = 3; fd < 65536; ++fd)
    if (fcntl(fd, F_GETFD) >= 0) printf("escaped: 61 descriptor %d\n", fd);
  for (; *environment; ++environment) {
    int found = 0;
    for (unsigned i = 0; i < sizeof known / sizeof *known; ++i)
      found |= !strncmp(*environment, known[i], strlen(known[i]));
    if (!found) printf("escaped: 62 %s\n", *environment);
  }
  struct rlimit core;
  if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 1 || core.rlim_max != 1)
    printf("escaped: 58 core files of %ld bytes\n", (long)core.rlim_cur);
  puts(count == 1 ? "done" : "called otherwise");
}
