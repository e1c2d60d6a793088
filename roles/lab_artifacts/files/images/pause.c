/* The process that holds a pod's namespaces: reaps what is left to it, ends when told. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int number) {
  (void)number;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

static void leave(int number) {
  (void)number;
  _exit(0);
}

int main(void) {
  struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  struct sigaction leaving = {.sa_handler = leave};
  sigaction(SIGCHLD, &reaping, 0);
  sigaction(SIGTERM, &leaving, 0);
  sigaction(SIGINT, &leaving, 0);
  for (;;) pause();
}
