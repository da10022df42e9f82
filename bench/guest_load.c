/*
 * Operations on a mounted file system, timed where they happen.
 *
 *   guest_load OPERATION FOLDER COUNT PROCESSES [drop]
 *
 * Each process does COUNT operations on files of its own; what they need is opened before the clock
 * starts. Prints the nanoseconds from the start of the first to the end of the last. With "drop" the
 * caches are emptied before. "guest_load clock" prints CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
  printf("cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* What a process has prepared. */
struct work {
  const char *operation;
  const char *folder;
  int number;
  long count;
  size_t size;
  int fd;
  char *buffer;
  off_t length;
};

static int begins(const struct work *work, const char *name) {
  return strncmp(work->operation, name, strlen(name)) == 0;
}

static void prepare(struct work *work) {
  char path[4096];
  snprintf(path, sizeof path, "%s/big%d", work->folder, work->number);
  work->fd = -1;
  if (begins(work, "read ") || begins(work, "write ")) {
    work->size = (size_t)atol(strchr(work->operation, ' ') + 1);
    work->buffer = aligned_alloc(4096, work->size);
    if (work->buffer == NULL) die("allocate a buffer");
    memset(work->buffer, 'w', work->size);
  }
  if (begins(work, "read ") || begins(work, "fstat")) work->fd = open(path, O_RDONLY);
  else if (begins(work, "write ")) work->fd = open(path, O_WRONLY);
  else return;
  if (work->fd < 0) die("open a file");
  struct stat status;
  if (fstat(work->fd, &status) != 0) die("look at a file");
  work->length = status.st_size;
}

static void list(const char *path) {
  DIR *folder = opendir(path);
  if (folder == NULL) die("open a folder");
  int entries = 0;
  while (readdir(folder) != NULL) entries++;
  closedir(folder);
  if (entries != 1002) {
    printf("%d entries\n", entries);
    exit(1);
  }
}

static void work_on(struct work *work) {
  char path[4096];
  struct stat status;
  off_t offset = 0;
  for (long i = 0; i < work->count; i++) {
    if (begins(work, "read ") || begins(work, "write ")) {
      if (offset + (off_t)work->size > work->length) offset = 0;
      ssize_t done = begins(work, "read ") ? pread(work->fd, work->buffer, work->size, offset)
                                           : pwrite(work->fd, work->buffer, work->size, offset);
      if (done != (ssize_t)work->size) die(work->operation);
      offset += done;
    } else if (begins(work, "stat")) {
      snprintf(path, sizeof path, "%s/big%d", work->folder, work->number);
      if (stat(path, &status) != 0) die("stat");
    } else if (begins(work, "fstat")) {
      if (fstat(work->fd, &status) != 0) die("fstat");
    } else if (begins(work, "open")) {
      snprintf(path, sizeof path, "%s/big%d", work->folder, work->number);
      int fd = open(path, O_RDONLY);
      if (fd < 0) die("open");
      close(fd);
    } else if (begins(work, "create")) {
      snprintf(path, sizeof path, "%s/new%d-%ld", work->folder, work->number, i);
      int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
      if (fd < 0) die("create");
      close(fd);
    } else if (begins(work, "unlink")) {
      snprintf(path, sizeof path, "%s/new%d-%ld", work->folder, work->number, i);
      if (unlink(path) != 0) die("unlink");
    } else if (begins(work, "ls")) {
      snprintf(path, sizeof path, "%s/many", work->folder);
      list(path);
    } else {
      errno = EINVAL;
      die(work->operation);
    }
  }
}

static void drop(void) {
  sync();
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0 || write(fd, "3", 1) != 1) die("drop caches");
  close(fd);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "clock") == 0) {
    printf("%lld\n", now());
    return 0;
  }
  if (argc < 5) return 2;
  int processes = atoi(argv[4]);
  struct work work = {.operation = argv[1], .folder = argv[2], .count = atol(argv[3])};
  if (argc > 5) drop();
  if (processes == 1) {
    prepare(&work);
    long long start = now();
    work_on(&work);
    printf("%lld\n", now() - start);
    return 0;
  }
  int ready[2], go[2];
  if (pipe(ready) != 0 || pipe(go) != 0) die("make a pipe");
  for (work.number = 0; work.number < processes; work.number++) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child > 0) continue;
    close(go[1]);
    prepare(&work);
    char byte = 0;
    if (write(ready[1], &byte, 1) != 1) die("tell");
    /* Ends when the parent closes its end. */
    if (read(go[0], &byte, 1) != 0) die("wait");
    work_on(&work);
    exit(0);
  }
  for (int i = 0; i < processes; i++) {
    char byte;
    if (read(ready[0], &byte, 1) != 1) die("wait for processes");
  }
  long long start = now();
  close(go[1]);
  int status, failed = 0;
  for (int i = 0; i < processes; i++) {
    wait(&status);
    failed |= status;
  }
  long long taken = now() - start;
  if (failed) return 1;
  printf("%lld\n", taken);
  return 0;
}
