/* Every call that takes a path, with every path that cannot be followed. */
#include "suite.h"

#include <sys/statfs.h>
#include <sys/xattr.h>

static const struct timespec TWO_TIMES[2] = {{1000000000, 0}, {1000000000, 0}};

static long close_if(int fd) { return fd == -1 ? -1 : close(fd); }

static long closedir_if(DIR *folder) { return folder == NULL ? -1 : closedir(folder); }

/* Name, call with `path` in it. A regular file "source" is there to be linked and renamed. */
#define OPERATIONS(X)                                                       \
  X(access, faccessat(AT_FDCWD, path, F_OK, AT_EACCESS))                    \
  X(chdir, chdir(path))                                                     \
  X(chmod, chmod(path, 0600))                                               \
  X(chown, chown(path, ANN, ANN))                                           \
  X(creat, close_if(open(path, O_CREAT | O_WRONLY, 0644)))                  \
  X(getxattr, getxattr(path, "user.name", NULL, 0))                         \
  X(lchown, lchown(path, ANN, ANN))                                         \
  X(link_from, link(path, "new"))                                           \
  X(link_to, link("source", path))                                          \
  X(listxattr, listxattr(path, NULL, 0))                                    \
  X(lstat, fstatat(AT_FDCWD, path, &(struct stat){0}, AT_SYMLINK_NOFOLLOW)) \
  X(mkdir, mkdir(path, 0755))                                               \
  X(mkfifo, mkfifo(path, 0644))                                             \
  X(mknod, mknod(path, S_IFCHR | 0644, makedev(1, 3)))                      \
  X(open, close_if(open(path, O_RDONLY)))                                   \
  X(open_exclusive, close_if(open(path, O_CREAT | O_EXCL | O_RDWR, 0644)))  \
  X(opendir, closedir_if(opendir(path)))                                    \
  X(readlink, readlink(path, (char[8]){0}, 8))                              \
  X(removexattr, removexattr(path, "user.name"))                            \
  X(rename_from, rename(path, "new"))                                       \
  X(rename_to, rename("source", path))                                      \
  X(rmdir, rmdir(path))                                                     \
  X(setxattr, setxattr(path, "user.name", "value", 5, 0))                   \
  X(stat, stat(path, &(struct stat){0}))                                    \
  X(statfs, statfs(path, &(struct statfs){0}))                              \
  X(symlink, symlink("target", path))                                       \
  X(truncate, truncate(path, 10))                                           \
  X(unlink, unlink(path))                                                   \
  X(utimensat, utimensat(AT_FDCWD, path, TWO_TIMES, 0))

static void refused(long (*call)(const char *), const char *name, const char *path, int error) {
  errno = 0;
  int got = error_of(call(path));
  if (got != error)
    fail(__FILE__, __LINE__, "%s of \"%.60s\": expected %s, got %s", name, path, error_name(error),
         error_name(got));
}

/* A component that is no folder. */
static void enotdir(long (*call)(const char *), const char *name) {
  make(REGULAR, "source");
  make(REGULAR, "file");
  make(FIFO, "fifo");
  refused(call, name, "file/x", ENOTDIR);
  refused(call, name, "fifo/x", ENOTDIR);
}

/* A component that is not there, or no path at all. */
static void enoent(long (*call)(const char *), const char *name) {
  make(REGULAR, "source");
  refused(call, name, "absent/x", ENOENT);
  make(SYMLINK, "link");
  refused(call, name, "link/x", ENOENT);
  refused(call, name, "", ENOENT);
}

/* A component or a path that is too long. */
static void enametoolong(long (*call)(const char *), const char *name) {
  make(REGULAR, "source");
  refused(call, name, long_name(NAME_MAX + 1), ENAMETOOLONG);
  char path[PATH_MAX + 1];
  memcpy(path, long_name(NAME_MAX + 1), NAME_MAX + 1);
  strcpy(path + NAME_MAX + 1, "/x");
  refused(call, name, path, ENAMETOOLONG);
  for (size_t at = 0; at < PATH_MAX; at += 2) memcpy(path + at, "./", 2);
  path[PATH_MAX] = 0;
  refused(call, name, path, ENAMETOOLONG);
}

/* Links that lead to each other. */
static void eloop(long (*call)(const char *), const char *name) {
  make(REGULAR, "source");
  OK(symlink("b", "a"));
  OK(symlink("a", "b"));
  refused(call, name, "a/x", ELOOP);
}

/* A folder that may not be searched. */
static void eacces(long (*call)(const char *), const char *name) {
  OK(mkdir("locked", 0755));
  OK(mkdir("locked/inner", 0777));
  put("locked/inner/x", "");
  put("locked/x", "");
  put("source", "");
  OK(chown("source", ANN, ANN));
  OK(chown("locked", BOB, BOB));
  OK(chmod("locked", 0666));
  become(ANN);
  refused(call, name, "locked/x", EACCES);
  refused(call, name, "locked/inner/x", EACCES);
  /* Nor may a folder of one's own. */
  become(ROOT);
  OK(chown("locked", ANN, ANN));
  OK(chmod("locked", 0677));
  become(ANN);
  refused(call, name, "locked/x", EACCES);
}

#define DEFINE(name, body)                                                    \
  static long call_##name(const char *path) { return body; }                  \
  static void enotdir_##name(void) { enotdir(call_##name, #name); }           \
  static void enoent_##name(void) { enoent(call_##name, #name); }             \
  static void enametoolong_##name(void) { enametoolong(call_##name, #name); } \
  static void eloop_##name(void) { eloop(call_##name, #name); }               \
  static void eacces_##name(void) { eacces(call_##name, #name); }
OPERATIONS(DEFINE)

#define LIST(name, call)                                                            \
  {"ENOTDIR " #name, enotdir_##name}, {"ENOENT " #name, enoent_##name},             \
      {"ENAMETOOLONG " #name, enametoolong_##name}, {"ELOOP " #name, eloop_##name}, \
      {"EACCES " #name, eacces_##name},

static const struct test TESTS[] = {OPERATIONS(LIST)};

PART(PATHS, "paths", TESTS, ORDINARY);
