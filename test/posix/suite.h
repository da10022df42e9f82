/*
 * What every part of the suite works with: cases, checks, users, and a few things that most cases
 * need. A case is a name and a body; it starts in an empty folder of its own, as root, with umask
 * 0. The first check that does not hold ends it.
 */
#ifndef SUITE_H
#define SUITE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test {
  const char *name;
  void (*body)(void);
};

struct part {
  const char *name;
  const struct test *tests;
  size_t count;
  enum { ORDINARY, SPECIAL, IN_PLACE } use;
};

/*
 * ORDINARY cases run by default, SPECIAL ones need a file system that is made for them and run only
 * when they are named, IN_PLACE ones besides have no folder of their own.
 */
#define PART(identifier, label, tests, use) \
  const struct part identifier = {label, tests, sizeof tests / sizeof *tests, use}

extern const struct part MODES, OWNERS, ENTRIES, LINKS, RENAMES, OPENS, SIZES, PERMISSIONS, TIMES,
    NAMES, DATA, XATTRS, ACLS, FOLDERS, LOCKS, RANDOM, PATHS, FULL, READ_ONLY, CHANGED, LINK_LIMIT;

/* ---- what the command line says ---- */

struct settings {
  /* Folder of another file system. */
  const char *other;
  /* Seed and length of what is random. */
  uint64_t seed;
  unsigned steps;
};
extern struct settings settings;

/* ---- checks ---- */

void fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
const char *error_name(int error);

long ok_(const char *file, int line, const char *call, long result);
void fails_(const char *file, int line, const char *call, long result, int one, int other);
void same_(const char *file, int line, const char *what, long long is, long long wanted);
void same_mode_(const char *file, int line, const char *what, mode_t is, mode_t wanted);

/* The call succeeds; its value is that of the macro. */
#define OK(call) ok_(__FILE__, __LINE__, #call, (errno = 0, (long)(call)))
/* The call fails with an errno. */
#define FAILS(call, error) \
  fails_(__FILE__, __LINE__, #call, (errno = 0, (long)(call)), error, error)
/* The call fails with one of two, where POSIX leaves the choice to the file system. */
#define FAILS_WITH(call, one, other) \
  fails_(__FILE__, __LINE__, #call, (errno = 0, (long)(call)), one, other)
/* The errno that a call left, 0 for success: for calls whose outcome is judged later. */
static inline int error_of(long result) { return result == -1 ? errno : 0; }
void same_error_(const char *file, int line, const char *what, int is, int wanted);
#define SAME_ERROR(is, wanted) same_error_(__FILE__, __LINE__, #is, is, wanted)
#define SAME(is, wanted) \
  same_(__FILE__, __LINE__, #is, (errno = 0, (long long)(is)), (long long)(wanted))
#define SAME_MODE(is, wanted) same_mode_(__FILE__, __LINE__, #is, is, wanted)
#define TRUE(condition)                                                                     \
  do {                                                                                      \
    if (!(condition)) fail(__FILE__, __LINE__, "%s: expected true, got false", #condition); \
  } while (0)

/* ---- users ---- */

/* Two ordinary users with a group each, and one who is in no other group ever. */
enum { ROOT = 0, ANN = 65533, BOB = 65532, CID = 65531 };

/* Takes on the effective ids of a user; with groups besides that of the same number, if any. */
void become(uid_t user);
void become_in(uid_t user, gid_t group, size_t count, const gid_t *groups);

/* ---- other processes ---- */

/* Runs a body in a process of its own; a check that does not hold there ends the case at join(). */
pid_t spawn(void (*body)(void *), void *argument);
void join(pid_t process);

/* ---- files ---- */

enum kind { REGULAR, FOLDER, FIFO, BLOCK, CHARACTER, SOCKET, SYMLINK, KINDS };
extern const char *const KIND_NAMES[KINDS];
extern const mode_t KIND_TYPES[KINDS];

/* Makes a file of a kind with mode 0644 (folders 0755); a symbolic link leads nowhere. */
void make(enum kind kind, const char *name);
/* Makes a regular file with text in it. */
void put(const char *name, const char *text);
/* Requires the content of a file to be a text. */
void has(const char *name, const char *text);
void write_all(int fd, const void *data, size_t size);
size_t read_all(int fd, void *data, size_t size);

struct stat stat_of(const char *name);
struct stat lstat_of(const char *name);
struct stat fstat_of(int fd);
#define EXISTS(name) (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
int remove_tree(const char *name);

/* A fresh name of so many bytes. */
char *long_name(size_t length);

/* ---- times ---- */

/* Waits until the clock of the file system has certainly gone on. */
void tick(void);
int compare_times(struct timespec a, struct timespec b);
#define LATER(a, b)                                                                              \
  do {                                                                                           \
    if (compare_times(a, b) <= 0)                                                                \
      fail(__FILE__, __LINE__, "expected %s later than %s, got %lld.%09ld after %lld.%09ld", #a, \
           #b, (long long)(a).tv_sec, (a).tv_nsec, (long long)(b).tv_sec, (b).tv_nsec);          \
  } while (0)
#define SAME_TIME(a, b)                                                                         \
  do {                                                                                          \
    if (compare_times(a, b) != 0)                                                               \
      fail(__FILE__, __LINE__, "expected %s the same as %s, got %lld.%09ld and %lld.%09ld", #a, \
           #b, (long long)(a).tv_sec, (a).tv_nsec, (long long)(b).tv_sec, (b).tv_nsec);         \
  } while (0)

/* ---- randomness ---- */

struct random {
  uint64_t state;
};
uint64_t next_random(struct random *random);
/* At least 0, less than the limit. */
uint64_t below(struct random *random, uint64_t limit);

#endif
