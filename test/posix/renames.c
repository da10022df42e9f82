/* Everything that rename allows, and everything that it refuses. */
#include "suite.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

static int rename_with(const char *from, const char *to, unsigned flags) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void every_kind(void) {
  OK(mkdir("away", 0755));
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    struct stat before = lstat_of(name);
    OK(rename(name, "new"));
    FAILS(lstat(name, &(struct stat){0}), ENOENT);
    OK(rename("new", "away/new"));
    struct stat after = lstat_of("away/new");
    SAME(after.st_ino, before.st_ino);
    SAME_MODE(after.st_mode, before.st_mode);
    SAME(after.st_nlink, before.st_nlink);
    SAME(after.st_rdev, before.st_rdev);
    OK(rename("away/new", name));
    SAME(lstat_of(name).st_ino, before.st_ino);
  }
}

static void over_every_kind(void) {
  for (int from = 0; from < KINDS; from++) {
    for (int to = 0; to < KINDS; to++) {
      make((enum kind)from, "from");
      make((enum kind)to, "to");
      ino_t inode = lstat_of("from").st_ino;
      if (from == FOLDER && to != FOLDER) {
        FAILS(rename("from", "to"), ENOTDIR);
      } else if (from != FOLDER && to == FOLDER) {
        FAILS(rename("from", "to"), EISDIR);
      } else {
        OK(rename("from", "to"));
        SAME(lstat_of("to").st_ino, inode);
        TRUE(!EXISTS("from"));
        OK(from == FOLDER ? rmdir("to") : unlink("to"));
        continue;
      }
      OK(from == FOLDER ? rmdir("from") : unlink("from"));
      OK(to == FOLDER ? rmdir("to") : unlink("to"));
    }
  }
}

static void over_full_folder(void) {
  OK(mkdir("from", 0755));
  OK(mkdir("to", 0755));
  put("to/file", "");
  FAILS_WITH(rename("from", "to"), ENOTEMPTY, EEXIST);
  OK(unlink("to/file"));
  put("from/file", "text");
  OK(rename("from", "to"));
  has("to/file", "text");
}

static void into_itself(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  FAILS(rename("a", "a/b/c"), EINVAL);
  FAILS(rename("a", "a/c"), EINVAL);
  FAILS_WITH(rename("a", "a/b"), EINVAL, ENOTEMPTY);
  FAILS_WITH(rename("a/b", "a"), ENOTEMPTY, EEXIST);
  OK(rename("a", "a"));
}

static void dots(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  FAILS_WITH(rename("a/.", "c"), EINVAL, EBUSY);
  FAILS_WITH(rename("a/..", "c"), EINVAL, EBUSY);
  FAILS_WITH(rename("b", "a/."), EINVAL, EBUSY);
  FAILS_WITH(rename("b", "a/.."), EINVAL, EBUSY);
  put("file", "");
  FAILS(rename("file", "new/"), ENOTDIR);
  FAILS(rename("file/", "new"), ENOTDIR);
  OK(rename("a/", "c/"));
  FAILS(rename("absent", "d"), ENOENT);
  FAILS(rename("absent", "b"), ENOENT);
  FAILS(rename("file", "absent/x"), ENOENT);
}

static void same_file(void) {
  put("a", "text");
  OK(rename("a", "a"));
  OK(link("a", "b"));
  /* Two names of one file: nothing happens. */
  OK(rename("a", "b"));
  SAME(stat_of("a").st_nlink, 2);
  SAME(stat_of("a").st_ino, stat_of("b").st_ino);
  put("c", "");
  OK(rename("c", "a"));
  SAME(stat_of("b").st_nlink, 1);
  has("b", "text");
}

static void times(void) {
  OK(mkdir("from", 0755));
  OK(mkdir("to", 0755));
  put("from/file", "");
  struct stat from = stat_of("from"), to = stat_of("to"), file = stat_of("from/file");
  tick();
  OK(rename("from/file", "to/file"));
  LATER(stat_of("from").st_mtim, from.st_mtim);
  LATER(stat_of("from").st_ctim, from.st_ctim);
  LATER(stat_of("to").st_mtim, to.st_mtim);
  LATER(stat_of("to").st_ctim, to.st_ctim);
  LATER(stat_of("to/file").st_ctim, file.st_ctim);
  SAME_TIME(stat_of("to/file").st_mtim, file.st_mtim);
  from = stat_of("from");
  tick();
  FAILS(rename("from/absent", "from/new"), ENOENT);
  SAME_TIME(stat_of("from").st_mtim, from.st_mtim);
}

static void times_of_replaced(void) {
  put("a", "");
  put("b", "");
  OK(link("b", "kept"));
  struct stat before = stat_of("kept");
  tick();
  OK(rename("a", "b"));
  struct stat after = stat_of("kept");
  SAME(after.st_nlink, 1);
  LATER(after.st_ctim, before.st_ctim);
}

static void link_counts(void) {
  OK(mkdir("from", 0755));
  OK(mkdir("to", 0755));
  OK(mkdir("from/folder", 0755));
  SAME(stat_of("from").st_nlink, 3);
  OK(rename("from/folder", "to/folder"));
  SAME(stat_of("from").st_nlink, 2);
  SAME(stat_of("to").st_nlink, 3);
  SAME(stat_of("to/folder/..").st_ino, stat_of("to").st_ino);
  OK(mkdir("from/folder", 0755));
  OK(rename("from/folder", "to/folder"));
  SAME(stat_of("from").st_nlink, 2);
  SAME(stat_of("to").st_nlink, 3);
}

static void other_file_system(void) {
  char there[4096];
  snprintf(there, sizeof there, "%s/virtfs-posix-rename", settings.other);
  put("file", "");
  OK(mkdir("folder", 0755));
  FAILS(rename("file", there), EXDEV);
  FAILS(rename("folder", there), EXDEV);
}

static void open_file(void) {
  int fd = (int)OK(open("a", O_CREAT | O_RDWR, 0644));
  OK(write(fd, "one", 3));
  OK(mkdir("folder", 0755));
  OK(rename("a", "folder/b"));
  OK(write(fd, "two", 3));
  has("folder/b", "onetwo");
  OK(rename("folder", "moved"));
  OK(write(fd, "three", 5));
  SAME(fstat_of(fd).st_size, 11);
  OK(ftruncate(fd, 3));
  OK(fchmod(fd, 0600));
  OK(close(fd));
  has("moved/b", "one");
  SAME_MODE(stat_of("moved/b").st_mode, S_IFREG | 0600);
}

static void over_open_file(void) {
  put("old", "old text");
  put("new", "new text");
  int fd = (int)OK(open("old", O_RDWR));
  OK(rename("new", "old"));
  has("old", "new text");
  char found[16];
  SAME(read(fd, found, sizeof found), 8);
  SAME(memcmp(found, "old text", 8), 0);
  OK(write(fd, "!", 1));
  OK(close(fd));
  has("old", "new text");
}

static void open_folder(void) {
  OK(mkdir("folder", 0755));
  OK(mkdir("folder/inner", 0755));
  put("folder/inner/file", "text");
  OK(chdir("folder/inner"));
  int fd = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
  OK(rename("../../folder", "../../moved"));
  has("file", "text");
  put("second", "more");
  OK(faccessat(fd, "second", F_OK, 0));
  OK(chdir("../.."));
  has("moved/inner/second", "more");
  OK(rename("moved/inner", "inner"));
  int file = (int)OK(openat(fd, "file", O_RDONLY));
  OK(close(file));
  SAME(fstat_of(fd).st_ino, stat_of("inner").st_ino);
  OK(close(fd));
}

static void of_users(void) {
  OK(mkdir("open", 0777));
  OK(mkdir("closed", 0755));
  put("open/file", "");
  put("closed/file", "");
  OK(chown("open/file", ANN, ANN));
  OK(chown("closed/file", ANN, ANN));
  become(ANN);
  FAILS(rename("open/file", "closed/new"), EACCES);
  FAILS(rename("closed/file", "open/new"), EACCES);
  FAILS(rename("open/file", "closed/file"), EACCES);
  OK(rename("open/file", "open/new"));
}

static void folder_of_users(void) {
  /* The entry ".." of a folder changes with its place, which takes permission to write to it. */
  OK(mkdir("a", 0777));
  OK(mkdir("b", 0777));
  OK(mkdir("a/folder", 0555));
  OK(chown("a/folder", ANN, ANN));
  become(ANN);
  FAILS(rename("a/folder", "b/folder"), EACCES);
  OK(rename("a/folder", "a/renamed"));
  OK(chmod("a/renamed", 0755));
  OK(rename("a/renamed", "b/folder"));
}

static void no_replace(void) {
  put("a", "a");
  put("b", "b");
  FAILS(rename_with("a", "b", RENAME_NOREPLACE), EEXIST);
  OK(rename_with("a", "c", RENAME_NOREPLACE));
  has("c", "a");
  has("b", "b");
}

static void exchange(void) {
  put("a", "a");
  OK(mkdir("b", 0755));
  OK(rename_with("a", "b", RENAME_EXCHANGE));
  has("b", "a");
  SAME_MODE(stat_of("a").st_mode, S_IFDIR | 0755);
  FAILS(rename_with("a", "absent", RENAME_EXCHANGE), ENOENT);
}

static void back_and_forth(void) {
  /* A name that was used before must lead to what is there now. */
  put("a", "a");
  put("b", "b");
  for (int i = 0; i < 20; i++) {
    OK(rename("a", "c"));
    OK(rename("b", "a"));
    OK(rename("c", "b"));
    has("a", i % 2 == 0 ? "b" : "a");
    has("b", i % 2 == 0 ? "a" : "b");
    TRUE(!EXISTS("c"));
  }
}

static const struct test TESTS[] = {
    {"every kind", every_kind},
    {"over every kind", over_every_kind},
    {"over a full folder", over_full_folder},
    {"into itself", into_itself},
    {"dots and slashes", dots},
    {"of one file", same_file},
    {"times", times},
    {"times of what is replaced", times_of_replaced},
    {"link counts", link_counts},
    {"to another file system", other_file_system},
    {"of an open file", open_file},
    {"over an open file", over_open_file},
    {"of an open folder", open_folder},
    {"of users", of_users},
    {"of users' folders", folder_of_users},
    {"without replacing", no_replace},
    {"exchange", exchange},
    {"back and forth", back_and_forth},
};

PART(RENAMES, "renames", TESTS, ORDINARY);
