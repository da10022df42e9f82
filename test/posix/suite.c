/*
 * A suite of cases for file systems, in the spirit of pjdfstest:
 *
 *   posix [--other FOLDER] [--seed NUMBER] [--steps COUNT] FOLDER [PART | PART/CASE]...
 *   posix --list all
 *   posix shutdown FOLDER    makes the ext4 that the folder is on fail
 *
 * It is run as root and prints one line per case: "ok NAME", or "not ok NAME: what was expected and
 * what was got". The status is 0 if all cases were run, whatever came of them.
 */
#include "suite.h"

#include <grp.h>
#include <setjmp.h>
#include <sys/ioctl.h>

static const struct part *const PARTS[] = {
    &PATHS,   &MODES,       &OWNERS, &ENTRIES, &LINKS,     &RENAMES, &OPENS,
    &SIZES,   &PERMISSIONS, &TIMES,  &NAMES,   &DATA,      &XATTRS,  &ACLS,
    &FOLDERS, &LOCKS,       &RANDOM, &FULL,    &READ_ONLY, &CHANGED, &LINK_LIMIT,
};

struct settings settings = {.other = "/dev/shm", .seed = 1, .steps = 300};

/* Shared with the processes that a case starts, so that their messages are not lost. */
static char *message;
enum { MESSAGE_SIZE = 4096 };
static jmp_buf ended;
static int is_child;

/* ---- checks ---- */

void fail(const char *file, int line, const char *format, ...) {
  char text[MESSAGE_SIZE - 200];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  const char *base = strrchr(file, '/');
  snprintf(message, MESSAGE_SIZE, "%s (%s:%d)", text, base == NULL ? file : base + 1, line);
  if (is_child) _exit(1);
  longjmp(ended, 1);
}

const char *error_name(int error) {
  const char *name = error == 0 ? "success" : strerrorname_np(error);
  return name == NULL ? "an unknown error" : name;
}

long ok_(const char *file, int line, const char *call, long result) {
  if (result == -1) fail(file, line, "%s: expected success, got %s", call, error_name(errno));
  return result;
}

void fails_(const char *file, int line, const char *call, long result, int one, int other) {
  int got = result == -1 ? errno : 0;
  if (got == one || got == other) return;
  const char *joined = one == other ? "" : " or ";
  const char *second = one == other ? "" : error_name(other);
  fail(file, line, "%s: expected %s%s%s, got %s", call, error_name(one), joined, second,
       error_name(got));
}

void same_error_(const char *file, int line, const char *what, int is, int wanted) {
  if (is != wanted)
    fail(file, line, "%s: expected %s, got %s", what, error_name(wanted), error_name(is));
}

void same_(const char *file, int line, const char *what, long long is, long long wanted) {
  if (is == wanted) return;
  if (is == -1 && errno != 0)
    fail(file, line, "%s: expected %lld, got %s", what, wanted, error_name(errno));
  fail(file, line, "%s: expected %lld, got %lld", what, wanted, is);
}

void same_mode_(const char *file, int line, const char *what, mode_t is, mode_t wanted) {
  if (is != wanted) fail(file, line, "%s: expected %06o, got %06o", what, wanted, is);
}

/* ---- users ---- */

static void must(int result, const char *what) {
  if (result == 0) return;
  printf("Cannot %s: %s\n", what, error_name(errno));
  exit(2);
}

void become_in(uid_t user, gid_t group, size_t count, const gid_t *groups) {
  if (geteuid() != ROOT) must(seteuid(ROOT), "become root");
  must(setgroups(count, groups), "set groups");
  must(setegid(group), "set the group");
  must(seteuid(user), "set the user");
}

void become(uid_t user) { become_in(user, user, 0, NULL); }

/* ---- other processes ---- */

pid_t spawn(void (*body)(void *), void *argument) {
  fflush(stdout);
  pid_t process = (pid_t)OK(fork());
  if (process != 0) return process;
  is_child = 1;
  body(argument);
  _exit(0);
}

void join(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) == -1 && errno == EINTR) {
  }
  if (status == 0) return;
  if (WIFSIGNALED(status))
    fail(__FILE__, __LINE__, "a process ended by signal %d", WTERMSIG(status));
  if (is_child) _exit(1);
  longjmp(ended, 1);
}

/* ---- files ---- */

const char *const KIND_NAMES[KINDS] = {"regular",   "folder", "fifo",   "block",
                                       "character", "socket", "symlink"};
const mode_t KIND_TYPES[KINDS] = {S_IFREG, S_IFDIR, S_IFIFO, S_IFBLK, S_IFCHR, S_IFSOCK, S_IFLNK};

void make(enum kind kind, const char *name) {
  switch (kind) {
    case REGULAR:
      OK(close((int)OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
      break;
    case FOLDER:
      OK(mkdir(name, 0755));
      break;
    case SYMLINK:
      OK(symlink("nowhere", name));
      break;
    default:
      if (mknod(name, KIND_TYPES[kind] | 0644,
                kind == BLOCK || kind == CHARACTER ? makedev(1, 3) : 0) == -1)
        fail(__FILE__, __LINE__, "mknod of %s: expected success, got %s", KIND_NAMES[kind],
             error_name(errno));
  }
}

void put(const char *name, const char *text) {
  int fd = (int)OK(open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644));
  write_all(fd, text, strlen(text));
  OK(close(fd));
}

void has(const char *name, const char *text) {
  char found[4096];
  int fd = (int)OK(open(name, O_RDONLY));
  size_t size = read_all(fd, found, sizeof found - 1);
  close(fd);
  found[size] = 0;
  if (size != strlen(text) || memcmp(found, text, size) != 0)
    fail(__FILE__, __LINE__, "content of \"%s\": expected \"%s\", got \"%s\"", name, text, found);
}

void write_all(int fd, const void *data, size_t size) {
  for (size_t done = 0; done < size;)
    done += (size_t)OK(write(fd, (const char *)data + done, size - done));
}

size_t read_all(int fd, void *data, size_t size) {
  size_t done = 0;
  while (done < size) {
    size_t count = (size_t)OK(read(fd, (char *)data + done, size - done));
    if (count == 0) break;
    done += count;
  }
  return done;
}

struct stat stat_of(const char *name) {
  struct stat found;
  if (stat(name, &found) != 0)
    fail(__FILE__, __LINE__, "stat(\"%.80s\"): expected success, got %s", name, error_name(errno));
  return found;
}

struct stat lstat_of(const char *name) {
  struct stat found;
  if (lstat(name, &found) != 0)
    fail(__FILE__, __LINE__, "lstat(\"%.80s\"): expected success, got %s", name, error_name(errno));
  return found;
}

struct stat fstat_of(int fd) {
  struct stat found;
  OK(fstat(fd, &found));
  return found;
}

/* Removes what is in an open folder, which is closed. */
static int empty_folder(int folder) {
  DIR *entries = fdopendir(folder);
  if (entries == NULL) return -1;
  int result = 0;
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (entry->d_type != DT_DIR && unlinkat(folder, name, 0) == 0) continue;
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (inner != -1) empty_folder(inner);
    if (unlinkat(folder, name, inner == -1 ? 0 : AT_REMOVEDIR) != 0) result = -1;
  }
  closedir(entries);
  return result;
}

int remove_tree(const char *name) {
  int folder = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (folder == -1) return unlink(name);
  empty_folder(folder);
  return rmdir(name);
}

char *long_name(size_t length) {
  static char name[8192];
  memset(name, 'n', length);
  name[length] = 0;
  return name;
}

/* ---- times ---- */

void tick(void) {
  /* Longer than a jiffy of the slowest clock (10 ms). */
  struct timespec wait = {0, 12000000};
  nanosleep(&wait, NULL);
}

int compare_times(struct timespec a, struct timespec b) {
  if (a.tv_sec != b.tv_sec) return a.tv_sec < b.tv_sec ? -1 : 1;
  return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

/* ---- randomness ---- */

uint64_t next_random(struct random *random) {
  uint64_t x = random->state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t below(struct random *random, uint64_t limit) { return next_random(random) % limit; }

/* ---- running ---- */

/* Kept open: a case may leave the working folder somewhere that is gone. */
static int base;

static int run(const struct test *test, int is_in_place) {
  volatile int result = 0;
  must(fchdir(base), "change to the base");
  if (!is_in_place) {
    must(mkdir("case", 0777), "make the folder of a case");
    must(chdir("case"), "change to the folder of a case");
  }
  if (setjmp(ended) == 0) {
    test->body();
  } else {
    result = 1;
  }
  become(ROOT);
  umask(0);
  must(fchdir(base), "change to the base");
  if (is_in_place || remove_tree("case") == 0) return result;
  if (result == 0) {
    snprintf(message, MESSAGE_SIZE, "removal of the folder of a case: expected success, got %s",
             error_name(errno));
  }
  /* What cannot be removed is put out of the way. */
  static unsigned count;
  char aside[64];
  snprintf(aside, sizeof aside, "left-%u", count++);
  must(rename("case", aside), "rename the folder of a case");
  return 1;
}

static int is_wanted(const struct part *part, const struct test *test, int count, char **words) {
  if (count == 0) return part->use == ORDINARY;
  for (int i = 0; i < count; i++) {
    char full[300];
    snprintf(full, sizeof full, "%s/%s", part->name, test->name);
    if (strcmp(words[i], part->name) == 0 || strcmp(words[i], full) == 0) return 1;
    if (strcmp(words[i], "all") == 0 && part->use == ORDINARY) return 1;
  }
  return 0;
}

/* Makes ext4 fail every call from now on, as after an error of the disk. */
static int shut_down(const char *folder) {
  const unsigned ext4_shutdown = _IOR('X', 125, uint32_t);
  uint32_t no_log_flush = 2;
  int fd = open(folder, O_RDONLY | O_DIRECTORY);
  if (fd != -1 && ioctl(fd, ext4_shutdown, &no_log_flush) == 0) return 0;
  fprintf(stderr, "Cannot shut down the file system of %s: %s\n", folder, error_name(errno));
  return 1;
}

int main(int argc, char **argv) {
  int next = 1;
  int is_list = 0;
  int is_timed = 0;
  for (; next < argc && strncmp(argv[next], "--", 2) == 0; next++) {
    const char *value = next + 1 < argc ? argv[next + 1] : "";
    if (strcmp(argv[next], "--list") == 0) {
      is_list = 1;
    } else if (strcmp(argv[next], "--timed") == 0) {
      is_timed = 1;
    } else if (strcmp(argv[next], "--other") == 0) {
      settings.other = value, next++;
    } else if (strcmp(argv[next], "--seed") == 0) {
      settings.seed = strtoull(value, NULL, 0), next++;
    } else if (strcmp(argv[next], "--steps") == 0) {
      settings.steps = (unsigned)strtoul(value, NULL, 0), next++;
    } else {
      fprintf(stderr, "Cannot understand %s\n", argv[next]);
      return 2;
    }
  }
  /* Programs that cases start are this one again. */
  if (next < argc && strcmp(argv[next], "wait") == 0) return pause();
  if (next + 1 < argc && strcmp(argv[next], "shutdown") == 0) return shut_down(argv[next + 1]);
  /* Shared with processes that cases start. */
  message = mmap(NULL, MESSAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!is_list) {
    if (next >= argc) {
      fprintf(stderr,
              "usage: posix [--other FOLDER] [--seed NUMBER] [--steps COUNT] FOLDER [CASE]...\n");
      return 2;
    }
    must((base = open(argv[next++], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1, "open the folder");
    must(geteuid() != 0, "run as an ordinary user");
    umask(0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
  }
  for (size_t g = 0; g < sizeof PARTS / sizeof *PARTS; g++) {
    const struct part *part = PARTS[g];
    for (size_t t = 0; t < part->count; t++) {
      const struct test *test = &part->tests[t];
      if (!is_wanted(part, test, argc - next, argv + next)) continue;
      if (is_list) {
        printf("%s/%s\n", part->name, test->name);
        continue;
      }
      struct timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      int failed = run(test, part->use == IN_PLACE);
      clock_gettime(CLOCK_MONOTONIC, &to);
      if (failed)
        printf("not ok %s/%s: %s\n", part->name, test->name, message);
      else
        printf("ok %s/%s\n", part->name, test->name);
      if (is_timed)
        printf("# %lld ms\n",
               (long long)(to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
      fflush(stdout);
    }
  }
  return 0;
}
