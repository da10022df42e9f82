/* Hard and symbolic links, and files without a name. */
#include "suite.h"

static void every_kind(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    if (kind == FOLDER) {
      FAILS(link(name, "other"), EPERM);
      become(ANN);
      FAILS(link(name, "other"), EPERM);
      become(ROOT);
      continue;
    }
    OK(link(name, "other"));
    struct stat a = lstat_of(name), b = lstat_of("other");
    SAME(a.st_ino, b.st_ino);
    SAME(a.st_nlink, 2);
    SAME(b.st_nlink, 2);
    SAME_MODE(b.st_mode, a.st_mode);
    OK(chmod(kind == SYMLINK ? "." : "other", 0777));
    if (kind != SYMLINK) SAME_MODE(lstat_of(name).st_mode & 07777, 0777);
    OK(unlink(name));
    SAME(lstat_of("other").st_nlink, 1);
    OK(unlink("other"));
  }
}

static void content_is_shared(void) {
  put("a", "one");
  OK(link("a", "b"));
  put("b", "three");
  has("a", "three");
  OK(chown("a", ANN, BOB));
  SAME(stat_of("b").st_uid, ANN);
  OK(unlink("a"));
  has("b", "three");
}

static void times(void) {
  put("a", "");
  struct stat file = stat_of("a"), folder = stat_of(".");
  tick();
  OK(link("a", "b"));
  LATER(stat_of("a").st_ctim, file.st_ctim);
  SAME_TIME(stat_of("a").st_mtim, file.st_mtim);
  LATER(stat_of(".").st_mtim, folder.st_mtim);
  LATER(stat_of(".").st_ctim, folder.st_ctim);
  file = stat_of("a");
  tick();
  OK(unlink("b"));
  LATER(stat_of("a").st_ctim, file.st_ctim);
  file = stat_of("a");
  tick();
  FAILS(link("a", "a"), EEXIST);
  FAILS(link("absent", "c"), ENOENT);
  SAME_TIME(stat_of("a").st_ctim, file.st_ctim);
}

static void exists(void) {
  put("source", "");
  for (int kind = 0; kind < KINDS; kind++) {
    make((enum kind)kind, KIND_NAMES[kind]);
    FAILS(link("source", KIND_NAMES[kind]), EEXIST);
  }
  SAME(stat_of("source").st_nlink, 1);
}

static void other_file_system(void) {
  char there[4096];
  snprintf(there, sizeof there, "%s/virtfs-posix-link", settings.other);
  put("here", "");
  FAILS(link("here", there), EXDEV);
  unlink(there);
  put(there, "");
  int error = error_of(link(there, "new"));
  unlink(there);
  SAME_ERROR(error, EXDEV);
}

static void of_users(void) {
  OK(mkdir("closed", 0755));
  put("file", "");
  OK(chown("file", ANN, ANN));
  become(ANN);
  OK(link("file", "other"));
  FAILS(link("file", "closed/other"), EACCES);
  become(ROOT);
  SAME(stat_of("file").st_nlink, 2);
}

static void through_descriptor(void) {
  put("file", "text");
  OK(symlink("file", "link"));
  OK(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
  SAME(lstat_of("followed").st_ino, lstat_of("file").st_ino);
  OK(link("link", "same"));
  SAME(lstat_of("same").st_ino, lstat_of("link").st_ino);
  int fd = (int)OK(open("file", O_RDONLY));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "third", AT_SYMLINK_FOLLOW));
  SAME(fstat_of(fd).st_nlink, 3);
  OK(close(fd));
}

static void many(void) {
  put("file", "");
  char name[32];
  for (int i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "link-%d", i);
    OK(link("file", name));
  }
  SAME(stat_of("file").st_nlink, 41);
  for (int i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "link-%d", i);
    OK(unlink(name));
  }
  SAME(stat_of("file").st_nlink, 1);
}

/* ---- symbolic links ---- */

static void targets(void) {
  static const char *const TARGETS[] = {"x",       ".",     "..",           "/",
                                        "//a//b/", "a b\n", "\xff\xfe\x80", "../../../../etc"};
  for (unsigned i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
    char found[64];
    OK(symlink(TARGETS[i], "link"));
    size_t length = strlen(TARGETS[i]);
    SAME(readlink("link", found, sizeof found), length);
    SAME(memcmp(found, TARGETS[i], length), 0);
    struct stat made = lstat_of("link");
    SAME_MODE(made.st_mode, S_IFLNK | 0777);
    SAME(made.st_size, length);
    OK(unlink("link"));
  }
  FAILS(symlink("", "link"), ENOENT);
}

static void long_targets(void) {
  char found[PATH_MAX];
  /* What fits in an inode, in a block, and no more. */
  const size_t sizes[] = {59, 60, 61, 255, 256, 1000, PATH_MAX - 1};
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    OK(symlink(long_name(sizes[i]), "link"));
    SAME(readlink("link", found, sizeof found), sizes[i]);
    SAME(memcmp(found, long_name(sizes[i]), sizes[i]), 0);
    SAME(lstat_of("link").st_size, sizes[i]);
    OK(unlink("link"));
  }
  FAILS(symlink(long_name(PATH_MAX), "link"), ENAMETOOLONG);
}

static void readlink_cuts(void) {
  OK(symlink("abcdef", "link"));
  char found[8] = "-------";
  SAME(readlink("link", found, 3), 3);
  SAME(memcmp(found, "abc----", 7), 0);
  FAILS(readlink("link", found, 0), EINVAL);
  put("file", "");
  FAILS(readlink("file", found, sizeof found), EINVAL);
  FAILS(readlink(".", found, sizeof found), EINVAL);
}

static void followed(void) {
  OK(mkdir("folder", 0755));
  put("folder/file", "text");
  OK(symlink("folder", "link"));
  OK(symlink("link/file", "second"));
  has("second", "text");
  has("link/../link/./file", "text");
  put("link/new", "more");
  has("folder/new", "more");
  FAILS(open("second", O_RDONLY | O_NOFOLLOW), ELOOP);
  OK(close((int)OK(open("link/file", O_RDONLY | O_NOFOLLOW))));
  FAILS(open("link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
  OK(close((int)OK(open("link/", O_RDONLY | O_DIRECTORY))));
}

static void chain(void) {
  put("link-0", "text");
  char name[32], target[32];
  for (int i = 1; i <= 41; i++) {
    snprintf(name, sizeof name, "link-%d", i);
    snprintf(target, sizeof target, "link-%d", i - 1);
    OK(symlink(target, name));
  }
  has("link-40", "text");
  FAILS(open("link-41", O_RDONLY), ELOOP);
  OK(symlink("self", "self"));
  FAILS(open("self", O_RDONLY), ELOOP);
  FAILS(stat("self", &(struct stat){0}), ELOOP);
  FAILS(chmod("self", 0644), ELOOP);
  FAILS(truncate("self", 0), ELOOP);
  SAME_MODE(lstat_of("self").st_mode, S_IFLNK | 0777);
}

static void created_through(void) {
  OK(symlink("made", "link"));
  FAILS(open("link", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
  OK(close((int)OK(open("link", O_CREAT | O_WRONLY, 0640))));
  SAME_MODE(lstat_of("made").st_mode, S_IFREG | 0640);
  FAILS(mkdir("link", 0755), EEXIST);
}

/* ---- files without a name ---- */

static void unlinked_open(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(write(fd, "before", 6));
  OK(unlink("file"));
  FAILS(stat("file", &(struct stat){0}), ENOENT);
  OK(write(fd, " after", 6));
  char found[16];
  SAME(pread(fd, found, sizeof found, 0), 12);
  SAME(memcmp(found, "before after", 12), 0);
  OK(ftruncate(fd, 4));
  SAME(pread(fd, found, sizeof found, 0), 4);
  OK(fsync(fd));
  /* Another file of the same name is another file. */
  put("file", "new");
  has("file", "new");
  SAME(pread(fd, found, sizeof found, 0), 4);
  OK(close(fd));
}

static void unlinked_attributes(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(write(fd, "text", 4));
  OK(unlink("file"));
  struct stat found = fstat_of(fd);
  SAME(found.st_nlink, 0);
  SAME(found.st_size, 4);
  OK(fchmod(fd, 0600));
  SAME_MODE(fstat_of(fd).st_mode, S_IFREG | 0600);
  OK(fchown(fd, ANN, ANN));
  SAME(fstat_of(fd).st_uid, ANN);
  OK(futimens(fd, (struct timespec[]){{1000, 5}, {2000, 6}}));
  SAME(fstat_of(fd).st_mtim.tv_sec, 2000);
  OK(close(fd));
}

static void unlinked_with_link(void) {
  int fd = (int)OK(open("a", O_CREAT | O_RDWR, 0644));
  OK(link("a", "b"));
  OK(unlink("a"));
  SAME(fstat_of(fd).st_nlink, 1);
  OK(write(fd, "text", 4));
  OK(fchmod(fd, 0600));
  SAME_MODE(fstat_of(fd).st_mode & 07777, 0600);
  OK(close(fd));
  has("b", "text");
  SAME_MODE(stat_of("b").st_mode & 07777, 0600);
}

static void removed_by_another(void *name) { OK(unlink(name)); }

static void unlinked_while_read(void) {
  char block[4096];
  memset(block, 'b', sizeof block);
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  for (int i = 0; i < 16; i++) write_all(fd, block, sizeof block);
  OK(lseek(fd, 0, SEEK_SET));
  for (int i = 0; i < 16; i++) {
    if (i == 4) join(spawn(removed_by_another, "file"));
    char found[sizeof block];
    SAME(read(fd, found, sizeof found), sizeof found);
    SAME(memcmp(found, block, sizeof block), 0);
  }
  SAME(read(fd, block, sizeof block), 0);
  OK(close(fd));
}

static const struct test TESTS[] = {
    {"every kind", every_kind},
    {"content is shared", content_is_shared},
    {"times", times},
    {"what exists", exists},
    {"to another file system", other_file_system},
    {"of users", of_users},
    {"through a link or descriptor", through_descriptor},
    {"many", many},
    {"targets", targets},
    {"long targets", long_targets},
    {"readlink cuts", readlink_cuts},
    {"are followed", followed},
    {"chain", chain},
    {"a file is created through one", created_through},
    {"an unlinked file is open", unlinked_open},
    {"attributes of an unlinked file", unlinked_attributes},
    {"an unlinked file with another name", unlinked_with_link},
    {"a file is unlinked while it is read", unlinked_while_read},
};

PART(LINKS, "links", TESTS, ORDINARY);
