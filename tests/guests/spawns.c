// argv: what a child does that shares its parent's memory: "hangs" holds the parent up for ever, "outlives"
// goes on after it, "scribbles" overwrites all that is writable, and "storms" asks for refused calls from
// eight threads.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int forever(void* unused) {
  (void)unused;
  for (;;) pause();
}

static void* storm(void* unused) {
  struct timespec now, begin;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    for (int i = 0; i < 1000; ++i) {
      syscall(SYS_ptrace, 0, 0, 0, 0);
      syscall(SYS_socket, 38, 5, 0);
      syscall(SYS_clone3, unused, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - begin.tv_sec < 1);
  return NULL;
}

int main(int count, char** words) {
  const char* what = count > 1 ? words[1] : "";
  puts("done");
  fflush(stdout);
  if (!strcmp(what, "hangs") && vfork() == 0) forever(NULL);
  if (!strcmp(what, "outlives"))
    clone(forever, (char*)malloc(1 << 16) + (1 << 16), CLONE_VM | CLONE_FS | SIGCHLD, NULL);
  if (!strcmp(what, "scribbles")) memset((char*)&what - 4096, 0x41, 1 << 24);
  if (!strcmp(what, "storms")) {
    pthread_t threads[8];
    for (int i = 0; i < 8; ++i) pthread_create(&threads[i], NULL, storm, NULL);
    for (int i = 0; i < 8; ++i) pthread_join(threads[i], NULL);
  }
  return 0;
}
