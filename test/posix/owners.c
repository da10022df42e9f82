/* Owners and groups: chown in all its forms. */
#include "suite.h"

static void owned(const char *name, uid_t user, gid_t group) {
  struct stat found = lstat_of(name);
  SAME(found.st_uid, user);
  SAME(found.st_gid, group);
}

static void every_kind(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    owned(name, ROOT, ROOT);
    OK(lchown(name, ANN, BOB));
    owned(name, ANN, BOB);
    OK(lchown(name, (uid_t)-1, ANN));
    owned(name, ANN, ANN);
    OK(lchown(name, BOB, (gid_t)-1));
    owned(name, BOB, ANN);
    OK(lchown(name, (uid_t)-1, (gid_t)-1));
    owned(name, BOB, ANN);
    OK(lchown(name, 0, 0));
    owned(name, ROOT, ROOT);
  }
}

static void large_ids(void) {
  put("file", "");
  OK(chown("file", 0x7fffffff, 0x7ffffffe));
  owned("file", 0x7fffffff, 0x7ffffffe);
  OK(chown("file", 0xfffffffe, 0xfffffffd));
  owned("file", 0xfffffffe, 0xfffffffd);
}

static void through_link(void) {
  put("file", "");
  OK(symlink("file", "link"));
  OK(chown("link", ANN, BOB));
  owned("file", ANN, BOB);
  owned("link", ROOT, ROOT);
  OK(lchown("link", BOB, ANN));
  owned("file", ANN, BOB);
  owned("link", BOB, ANN);
  make(SYMLINK, "dangling");
  FAILS(chown("dangling", ANN, ANN), ENOENT);
}

static void through_descriptor(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(fchown(fd, ANN, BOB));
  SAME(fstat_of(fd).st_uid, ANN);
  owned("file", ANN, BOB);
  OK(close(fd));
}

static void made_by_users(void) {
  become(ANN);
  make(REGULAR, "regular");
  make(FOLDER, "folder");
  make(FIFO, "fifo");
  make(SOCKET, "socket");
  make(SYMLINK, "symlink");
  for (int i = 0; i < 5; i++)
    owned((const char *[]){"regular", "folder", "fifo", "socket", "symlink"}[i], ANN, ANN);
  become(BOB);
  put("of-bob", "");
  owned("of-bob", BOB, BOB);
}

static void owner_changes_group(void) {
  put("file", "");
  OK(chown("file", ANN, ANN));
  become_in(ANN, ANN, 1, (gid_t[]){4711});
  OK(chown("file", (uid_t)-1, 4711));
  owned("file", ANN, 4711);
  OK(chown("file", ANN, ANN));
  owned("file", ANN, ANN);
  FAILS(chown("file", (uid_t)-1, BOB), EPERM);
  FAILS(chown("file", BOB, (gid_t)-1), EPERM);
  FAILS(chown("file", BOB, ANN), EPERM);
  OK(chown("file", (uid_t)-1, (gid_t)-1));
  owned("file", ANN, ANN);
}

static void not_owner(void) {
  put("file", "");
  OK(mkdir("folder", 0777));
  OK(chown("file", ANN, ANN));
  OK(chmod("file", 0666));
  become(BOB);
  FAILS(chown("file", BOB, BOB), EPERM);
  FAILS(chown("file", (uid_t)-1, BOB), EPERM);
  FAILS(chown("file", ANN, ANN), EPERM);
  FAILS(chown("folder", BOB, BOB), EPERM);
  int fd = (int)OK(open("file", O_RDWR));
  FAILS(fchown(fd, BOB, BOB), EPERM);
  close(fd);
  become(ROOT);
  owned("file", ANN, ANN);
}

static void clears_set_id(void) {
  /* A program loses the bits whoever changes its owner; a folder does not. */
  put("by-root", "");
  OK(chmod("by-root", 06755));
  OK(chown("by-root", ANN, ANN));
  SAME_MODE(stat_of("by-root").st_mode, S_IFREG | 0755);
  OK(mkdir("folder", 0755));
  OK(chmod("folder", 06755));
  OK(chown("folder", ANN, ANN));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 06755);
  put("by-owner", "");
  OK(chown("by-owner", ANN, ANN));
  OK(chmod("by-owner", 06755));
  become_in(ANN, ANN, 1, (gid_t[]){4711});
  OK(chown("by-owner", (uid_t)-1, 4711));
  SAME_MODE(stat_of("by-owner").st_mode, S_IFREG | 0755);
}

static void changes_ctime(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    struct stat before = lstat_of(name);
    tick();
    OK(lchown(name, ANN, ANN));
    struct stat after = lstat_of(name);
    LATER(after.st_ctim, before.st_ctim);
    SAME_TIME(after.st_mtim, before.st_mtim);
  }
  struct stat before = lstat_of("regular");
  tick();
  become(BOB);
  FAILS(chown("regular", BOB, BOB), EPERM);
  SAME_TIME(lstat_of("regular").st_ctim, before.st_ctim);
}

static void mode_stays(void) {
  put("file", "");
  OK(chmod("file", 01640));
  OK(chown("file", ANN, BOB));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 01640);
}

static const struct test TESTS[] = {
    {"every kind", every_kind},       {"large ids", large_ids},
    {"through a link", through_link}, {"through a descriptor", through_descriptor},
    {"made by users", made_by_users}, {"the owner changes the group", owner_changes_group},
    {"not the owner", not_owner},     {"clears set-id bits", clears_set_id},
    {"ctime", changes_ctime},         {"mode stays", mode_stays},
};

PART(OWNERS, "owners", TESTS, ORDINARY);
