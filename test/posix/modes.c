/* Permission bits: chmod, umask, what a folder hands down, and what a write takes away. */
#include "suite.h"

static void every_kind(void) {
  for (int kind = 0; kind < SYMLINK; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    OK(chmod(name, 0111));
    SAME_MODE(stat_of(name).st_mode, KIND_TYPES[kind] | 0111);
    OK(chmod(name, 0642));
    SAME_MODE(stat_of(name).st_mode, KIND_TYPES[kind] | 0642);
  }
}

static void every_bit(void) {
  put("file", "");
  OK(mkdir("folder", 0700));
  for (mode_t mode = 01; mode <= 04000; mode <<= 1) {
    OK(chmod("file", mode));
    SAME_MODE(stat_of("file").st_mode, S_IFREG | mode);
    OK(chmod("folder", mode));
    SAME_MODE(stat_of("folder").st_mode, S_IFDIR | mode);
  }
  OK(chmod("file", 07777));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 07777);
}

static void through_link(void) {
  put("file", "");
  OK(symlink("file", "link"));
  OK(chmod("link", 0600));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0600);
  SAME_MODE(lstat_of("link").st_mode, S_IFLNK | 0777);
  FAILS(chmod("nowhere", 0600), ENOENT);
  make(SYMLINK, "dangling");
  FAILS(chmod("dangling", 0600), ENOENT);
}

static void through_descriptor(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0));
  SAME_MODE(fstat_of(fd).st_mode, S_IFREG);
  OK(fchmod(fd, 0751));
  SAME_MODE(fstat_of(fd).st_mode, S_IFREG | 0751);
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0751);
  OK(close(fd));
  OK(mkdir("folder", 0755));
  fd = (int)OK(open("folder", O_RDONLY | O_DIRECTORY));
  OK(fchmod(fd, 01751));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 01751);
  OK(close(fd));
}

static void not_owner(void) {
  put("file", "");
  OK(mkdir("folder", 0777));
  OK(chown("file", ANN, ANN));
  OK(chown("folder", ANN, ANN));
  become(ANN);
  OK(chmod("file", 0666));
  OK(chmod("folder", 0777));
  become(BOB);
  FAILS(chmod("file", 0600), EPERM);
  FAILS(chmod("folder", 0700), EPERM);
  int fd = (int)OK(open("file", O_RDWR));
  FAILS(fchmod(fd, 0600), EPERM);
  close(fd);
  become(ROOT);
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0666);
}

static void sgid_of_other_group(void) {
  /* Only a member of the file's group, or root, can set the bit. */
  put("file", "");
  OK(mkdir("folder", 0755));
  OK(chown("file", ANN, BOB));
  OK(chown("folder", ANN, BOB));
  become(ANN);
  OK(chmod("file", 02755));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0755);
  OK(chmod("folder", 02755));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 0755);
  become_in(ANN, ANN, 1, (gid_t[]){BOB});
  OK(chmod("file", 02755));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 02755);
  become(ROOT);
  OK(chmod("folder", 02755));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 02755);
}

static void sticky_file_of_user(void) {
  put("file", "");
  OK(chown("file", ANN, ANN));
  become(ANN);
  OK(chmod("file", 01644));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 01644);
}

static void changes_ctime(void) {
  for (int kind = 0; kind < SYMLINK; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    struct stat before = stat_of(name);
    tick();
    OK(chmod(name, 0600));
    struct stat after = stat_of(name);
    LATER(after.st_ctim, before.st_ctim);
    SAME_TIME(after.st_mtim, before.st_mtim);
    SAME_TIME(after.st_atim, before.st_atim);
  }
  OK(chown("regular", BOB, BOB));
  struct stat before = stat_of("regular");
  tick();
  become(ANN);
  FAILS(chmod("regular", 0644), EPERM);
  SAME_TIME(stat_of("regular").st_ctim, before.st_ctim);
}

static void mask(void) {
  umask(027);
  OK(close((int)OK(open("file", O_CREAT | O_WRONLY, 0666))));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0640);
  OK(mkdir("folder", 0777));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 0750);
  OK(mkfifo("fifo", 0666));
  SAME_MODE(stat_of("fifo").st_mode, S_IFIFO | 0640);
  OK(mknod("device", S_IFCHR | 0666, makedev(1, 3)));
  SAME_MODE(stat_of("device").st_mode, S_IFCHR | 0640);
  OK(chmod("file", 0666));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0666);
}

static void created_set_id(void) {
  OK(close((int)OK(open("file", O_CREAT | O_WRONLY, 07755))));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 07755);
  OK(mkdir("folder", 01777));
  SAME_MODE(stat_of("folder").st_mode, S_IFDIR | 01777);
  OK(mkfifo("fifo", 04711));
  SAME_MODE(stat_of("fifo").st_mode, S_IFIFO | 04711);
  become(ANN);
  OK(close((int)OK(open("of-user", O_CREAT | O_WRONLY, 06755))));
  SAME_MODE(stat_of("of-user").st_mode, S_IFREG | 06755);
}

/* ---- folders with the set-group-id bit ---- */

static void sgid_folder(void) {
  OK(mkdir("shared", 0777));
  OK(chown("shared", ROOT, BOB));
  OK(chmod("shared", 02777));
  become(ANN);
  put("shared/file", "");
  OK(mkdir("shared/folder", 0755));
  OK(mkdir("shared/folder/inner", 0700));
  OK(mkfifo("shared/fifo", 0644));
  OK(symlink("nowhere", "shared/link"));
  for (int i = 0; i < 4; i++) {
    const char *name =
        (const char *[]){"shared/file", "shared/folder", "shared/fifo", "shared/link"}[i];
    SAME(lstat_of(name).st_gid, BOB);
    SAME(lstat_of(name).st_uid, ANN);
  }
  SAME_MODE(stat_of("shared/folder").st_mode, S_IFDIR | 02755);
  SAME_MODE(stat_of("shared/folder/inner").st_mode, S_IFDIR | 02700);
  SAME(stat_of("shared/folder/inner").st_gid, BOB);
  SAME_MODE(stat_of("shared/file").st_mode, S_IFREG | 0644);
}

static void sgid_folder_of_other_group(void) {
  /* An executable with the bit in a group that its maker is not in would be a way into the group.
   */
  OK(mkdir("shared", 0777));
  OK(chown("shared", ROOT, BOB));
  OK(chmod("shared", 02777));
  become(ANN);
  OK(close((int)OK(open("shared/program", O_CREAT | O_WRONLY, 02775))));
  SAME_MODE(stat_of("shared/program").st_mode, S_IFREG | 0775);
  OK(close((int)OK(open("shared/data", O_CREAT | O_WRONLY, 02664))));
  SAME(stat_of("shared/data").st_gid, BOB);
}

static void no_sgid_folder(void) {
  OK(mkdir("plain", 0777));
  OK(chown("plain", BOB, BOB));
  become(ANN);
  put("plain/file", "");
  OK(mkdir("plain/folder", 0755));
  SAME(stat_of("plain/file").st_gid, ANN);
  SAME(stat_of("plain/folder").st_gid, ANN);
  become_in(ANN, BOB, 0, NULL);
  put("plain/other", "");
  SAME(stat_of("plain/other").st_gid, BOB);
  SAME(stat_of("plain/other").st_uid, ANN);
}

/* ---- set-id bits go when the content changes ---- */

static void program(const char *name, mode_t mode) {
  put(name, "program");
  OK(chown(name, BOB, BOB));
  OK(chmod(name, mode));
}

static void write_clears(void) {
  program("suid", 04777);
  program("sgid", 02777);
  program("both", 06777);
  program("data", 02766);
  become(ANN);
  const char *const names[] = {"suid", "sgid", "both"};
  for (int i = 0; i < 3; i++) {
    int fd = (int)OK(open(names[i], O_WRONLY));
    OK(write(fd, "x", 1));
    SAME_MODE(fstat_of(fd).st_mode, S_IFREG | 0777);
    OK(close(fd));
    SAME_MODE(stat_of(names[i]).st_mode, S_IFREG | 0777);
  }
}

static void write_of_owner_clears(void) {
  program("suid", 04755);
  become(BOB);
  int fd = (int)OK(open("suid", O_WRONLY));
  OK(write(fd, "x", 1));
  OK(close(fd));
  SAME_MODE(stat_of("suid").st_mode, S_IFREG | 0755);
}

static void write_of_root_keeps(void) {
  program("both", 06777);
  int fd = (int)OK(open("both", O_WRONLY));
  OK(write(fd, "x", 1));
  OK(close(fd));
  SAME_MODE(stat_of("both").st_mode, S_IFREG | 06777);
}

static void truncate_clears(void) {
  program("by-name", 06777);
  program("by-descriptor", 06777);
  program("by-open", 06777);
  become(ANN);
  OK(truncate("by-name", 3));
  SAME_MODE(stat_of("by-name").st_mode, S_IFREG | 0777);
  int fd = (int)OK(open("by-descriptor", O_WRONLY));
  OK(ftruncate(fd, 3));
  OK(close(fd));
  SAME_MODE(stat_of("by-descriptor").st_mode, S_IFREG | 0777);
  OK(close((int)OK(open("by-open", O_WRONLY | O_TRUNC))));
  SAME_MODE(stat_of("by-open").st_mode, S_IFREG | 0777);
}

static void read_keeps(void) {
  program("both", 06777);
  become(ANN);
  has("both", "program");
  SAME_MODE(stat_of("both").st_mode, S_IFREG | 06777);
}

static const struct test TESTS[] = {
    {"every kind", every_kind},
    {"every bit", every_bit},
    {"through a link", through_link},
    {"through a descriptor", through_descriptor},
    {"not the owner", not_owner},
    {"sgid of another group", sgid_of_other_group},
    {"sticky file of a user", sticky_file_of_user},
    {"ctime", changes_ctime},
    {"umask", mask},
    {"created with set-id bits", created_set_id},
    {"sgid folder", sgid_folder},
    {"sgid folder of another group", sgid_folder_of_other_group},
    {"folder without sgid", no_sgid_folder},
    {"write clears set-id bits", write_clears},
    {"write of the owner clears set-id bits", write_of_owner_clears},
    {"write of root keeps set-id bits", write_of_root_keeps},
    {"truncate clears set-id bits", truncate_clears},
    {"read keeps set-id bits", read_keeps},
};

PART(MODES, "modes", TESTS, ORDINARY);
