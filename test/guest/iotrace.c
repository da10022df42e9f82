/*
 * Follows a process with all its threads and prints every call that moves the bytes of files, with
 * the addresses that they are moved to or from, which strace does not show:
 *
 *   iotrace PID
 *
 * First a line "attached", then one line per call that moved bytes:
 *
 *   NAME COUNT ADDRESS:SIZE,ADDRESS:SIZE,... PATH
 *
 * COUNT is the result, addresses are hexadecimal, PATH is what the descriptor leads to. A call that
 * moves bytes without an address in the process has "-" instead of the list. For mmap COUNT is the
 * size of the mapping. Ends when it is killed, and lets the process go then.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_SEGMENTS 1024
#define MAX_THREADS 256

enum kind { FLAT, VECTOR, OUTSIDE, MAPPING };

/* Every call that can move bytes of a file, and the argument that is the file. */
static const struct call {
  long number;
  enum kind kind;
  int fd;
  const char *name;
} CALLS[] = {
    {SYS_read, FLAT, 0, "read"},
    {SYS_write, FLAT, 0, "write"},
    {SYS_pread64, FLAT, 0, "pread64"},
    {SYS_pwrite64, FLAT, 0, "pwrite64"},
    {SYS_readv, VECTOR, 0, "readv"},
    {SYS_writev, VECTOR, 0, "writev"},
    {SYS_preadv, VECTOR, 0, "preadv"},
    {SYS_pwritev, VECTOR, 0, "pwritev"},
    {SYS_preadv2, VECTOR, 0, "preadv2"},
    {SYS_pwritev2, VECTOR, 0, "pwritev2"},
    {SYS_sendfile, OUTSIDE, 1, "sendfile"},
    {SYS_splice, OUTSIDE, 0, "splice"},
    {SYS_copy_file_range, OUTSIDE, 0, "copy_file_range"},
    {SYS_mmap, MAPPING, 4, "mmap"},
};

static const struct call *find_call(uint64_t number) {
  for (size_t at = 0; at < sizeof CALLS / sizeof *CALLS; at++)
    if ((uint64_t)CALLS[at].number == number) return &CALLS[at];
  return NULL;
}

/* What a thread is in the middle of. */
static struct thread {
  pid_t tid;
  const struct call *call;
  uint64_t args[6];
  struct iovec segments[MAX_SEGMENTS];
  size_t count;
} threads[MAX_THREADS];

static struct thread *thread_of(pid_t tid) {
  struct thread *free_one = NULL;
  for (size_t at = 0; at < MAX_THREADS; at++) {
    if (threads[at].tid == tid) return &threads[at];
    if (threads[at].tid == 0 && free_one == NULL) free_one = &threads[at];
  }
  if (free_one == NULL) {
    fprintf(stderr, "iotrace: more than %d threads\n", MAX_THREADS);
    exit(1);
  }
  free_one->tid = tid;
  free_one->call = NULL;
  return free_one;
}

static void entered(struct thread *thread, const struct __ptrace_syscall_info *info) {
  thread->call = find_call(info->entry.nr);
  thread->count = 0;
  if (thread->call == NULL) return;
  memcpy(thread->args, info->entry.args, sizeof thread->args);
  if (thread->call->kind == FLAT) {
    thread->segments[0].iov_base = (void *)thread->args[1];
    thread->segments[0].iov_len = thread->args[2];
    thread->count = 1;
  } else if (thread->call->kind == VECTOR && thread->args[2] <= MAX_SEGMENTS) {
    size_t size = thread->args[2] * sizeof(struct iovec);
    struct iovec here = {thread->segments, size}, there = {(void *)thread->args[1], size};
    if (process_vm_readv(thread->tid, &here, 1, &there, 1, 0) == (ssize_t)size)
      thread->count = thread->args[2];
  }
}

static void left(struct thread *thread, const struct __ptrace_syscall_info *info) {
  const struct call *call = thread->call;
  thread->call = NULL;
  if (call == NULL || info->exit.is_error || info->exit.rval == 0) return;
  uint64_t moved = call->kind == MAPPING ? thread->args[1] : (uint64_t)info->exit.rval;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)thread->tid, (int)thread->args[call->fd]);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) {
    if (call->kind == MAPPING) return; /* anonymous */
    length = 0;
  }
  path[length] = 0;
  printf("%s %llu ", call->name, (unsigned long long)moved);
  uint64_t rest = thread->count == 0 ? 0 : moved;
  if (rest == 0) printf("-");
  for (size_t at = 0; at < thread->count && rest > 0; at++) {
    uint64_t size = thread->segments[at].iov_len;
    if (size > rest) size = rest;
    rest -= size;
    printf("%s%llx:%llu", at == 0 ? "" : ",", (unsigned long long)thread->segments[at].iov_base,
           (unsigned long long)size);
  }
  printf(" %s\n", path);
}

static void stopped(pid_t tid, int status) {
  int signal_number = WSTOPSIG(status), event = status >> 16, deliver = 0;
  long how = PTRACE_SYSCALL;
  if (signal_number == (SIGTRAP | 0x80)) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0) {
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) entered(thread_of(tid), &info);
      else if (info.op == PTRACE_SYSCALL_INFO_EXIT) left(thread_of(tid), &info);
    }
  } else if (event == PTRACE_EVENT_STOP) {
    if (signal_number != SIGTRAP) how = PTRACE_LISTEN;
  } else if (event == 0) {
    deliver = signal_number;
  }
  ptrace((enum __ptrace_request)how, tid, 0, deliver);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  static char buffer[1 << 16];
  setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", atoi(argv[1]));
  DIR *tasks = opendir(path);
  if (tasks == NULL) {
    fprintf(stderr, "iotrace: there is no process %s\n", argv[1]);
    return 1;
  }
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    pid_t tid = atoi(entry->d_name);
    if (tid == 0) continue;
    if (ptrace(PTRACE_SEIZE, tid, 0, options) != 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0) {
      fprintf(stderr, "iotrace: cannot follow thread %d: %s\n", tid, strerror(errno));
      return 1;
    }
  }
  closedir(tasks);
  printf("attached\n");
  for (;;) {
    int status;
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0) return 0;
    if (WIFSTOPPED(status)) stopped(tid, status);
    else thread_of(tid)->tid = 0;
  }
}
