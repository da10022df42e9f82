/* Making and removing entries: mkdir, mkfifo, mknod, sockets, rmdir, unlink. */
#include "suite.h"

static void every_kind(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    struct stat found = lstat_of(name);
    SAME_MODE(found.st_mode & S_IFMT, KIND_TYPES[kind]);
    SAME(found.st_nlink, kind == FOLDER ? 2 : 1);
    if (kind != FOLDER) SAME(found.st_size, kind == SYMLINK ? 7 : 0);
    OK(kind == FOLDER ? rmdir(name) : unlink(name));
    FAILS(lstat(name, &found), ENOENT);
  }
}

static void device_numbers(void) {
  static const unsigned NUMBERS[][2] = {{0, 1}, {1, 3}, {8, 255}, {259, 256}, {4095, 1048575}};
  for (unsigned i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++) {
    for (int is_block = 0; is_block < 2; is_block++) {
      OK(mknod("device", (is_block ? S_IFBLK : S_IFCHR) | 0600,
               makedev(NUMBERS[i][0], NUMBERS[i][1])));
      struct stat found = stat_of("device");
      SAME(major(found.st_rdev), NUMBERS[i][0]);
      SAME(minor(found.st_rdev), NUMBERS[i][1]);
      OK(unlink("device"));
    }
  }
}

static void devices_of_users(void) {
  become(ANN);
  FAILS(mknod("block", S_IFBLK | 0600, makedev(1, 3)), EPERM);
  FAILS(mknod("character", S_IFCHR | 0600, makedev(1, 3)), EPERM);
  OK(mknod("fifo", S_IFIFO | 0600, 0));
  OK(mknod("regular", S_IFREG | 0600, 0));
  OK(mknod("socket", S_IFSOCK | 0600, 0));
}

static void mknod_types(void) {
  FAILS(mknod("folder", S_IFDIR | 0755, 0), EPERM);
  FAILS(mknod("link", S_IFLNK | 0755, 0), EINVAL);
  OK(mknod("regular", S_IFREG | 0640, 0));
  SAME_MODE(stat_of("regular").st_mode, S_IFREG | 0640);
  OK(mknod("zero", 0640, 0));
  SAME_MODE(stat_of("zero").st_mode, S_IFREG | 0640);
}

static void exists(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    FAILS(mkdir(name, 0755), EEXIST);
    FAILS(mkfifo(name, 0644), EEXIST);
    FAILS(mknod(name, S_IFCHR | 0644, makedev(1, 3)), EEXIST);
    FAILS(symlink("target", name), EEXIST);
    FAILS(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
  }
  FAILS(mkdir(".", 0755), EEXIST);
  FAILS(mkdir("..", 0755), EEXIST);
  FAILS(mkdir("folder/.", 0755), EEXIST);
  FAILS(mkdir("folder/..", 0755), EEXIST);
}

static void trailing_slash(void) {
  OK(mkdir("folder/", 0755));
  SAME_MODE(stat_of("folder/").st_mode, S_IFDIR | 0755);
  OK(rmdir("folder/"));
  FAILS(mkfifo("fifo/", 0644), ENOENT);
  put("file", "");
  FAILS(unlink("file/"), ENOTDIR);
  FAILS(rmdir("file/"), ENOTDIR);
  FAILS(open("file/", O_RDONLY), ENOTDIR);
}

static void link_counts(void) {
  nlink_t before = stat_of(".").st_nlink;
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  SAME(stat_of(".").st_nlink, before + 2);
  SAME(stat_of("a").st_nlink, 2);
  OK(mkdir("a/inner", 0755));
  SAME(stat_of("a").st_nlink, 3);
  OK(rmdir("a/inner"));
  SAME(stat_of("a").st_nlink, 2);
  OK(rmdir("b"));
  SAME(stat_of(".").st_nlink, before + 1);
  put("file", "");
  SAME(stat_of(".").st_nlink, before + 1);
}

static void times_of_folder(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    struct stat before = stat_of(".");
    tick();
    make((enum kind)kind, name);
    struct stat after = stat_of(".");
    LATER(after.st_mtim, before.st_mtim);
    LATER(after.st_ctim, before.st_ctim);
    struct stat made = lstat_of(name);
    LATER(made.st_atim, before.st_mtim);
    LATER(made.st_mtim, before.st_mtim);
    LATER(made.st_ctim, before.st_mtim);
    tick();
    OK(kind == FOLDER ? rmdir(name) : unlink(name));
    struct stat last = stat_of(".");
    LATER(last.st_mtim, after.st_mtim);
    LATER(last.st_ctim, after.st_ctim);
  }
  struct stat before = stat_of(".");
  tick();
  FAILS(unlink("absent"), ENOENT);
  FAILS(rmdir("absent"), ENOENT);
  SAME_TIME(stat_of(".").st_mtim, before.st_mtim);
  SAME_TIME(stat_of(".").st_ctim, before.st_ctim);
}

static void rmdir_full(void) {
  OK(mkdir("folder", 0755));
  for (int kind = 0; kind < KINDS; kind++) {
    char name[64];
    snprintf(name, sizeof name, "folder/%s", KIND_NAMES[kind]);
    make((enum kind)kind, name);
    FAILS_WITH(rmdir("folder"), ENOTEMPTY, EEXIST);
    OK(kind == FOLDER ? rmdir(name) : unlink(name));
  }
  OK(rmdir("folder"));
}

static void rmdir_others(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    if (kind == FOLDER) continue;
    make((enum kind)kind, KIND_NAMES[kind]);
    FAILS(rmdir(KIND_NAMES[kind]), ENOTDIR);
  }
  FAILS(rmdir("absent"), ENOENT);
  OK(mkdir("folder", 0755));
  OK(symlink("folder", "link"));
  FAILS(rmdir("link"), ENOTDIR);
  FAILS(rmdir("folder/."), EINVAL);
  OK(mkdir("folder/inner", 0755));
  FAILS(rmdir("folder/inner/.."), ENOTEMPTY);
}

static void unlink_folder(void) {
  OK(mkdir("folder", 0755));
  FAILS(unlink("folder"), EISDIR);
  become(ANN);
  FAILS(unlink("folder"), EISDIR);
  become(ROOT);
  OK(rmdir("folder"));
}

static void unlink_link(void) {
  put("file", "text");
  OK(symlink("file", "link"));
  OK(unlink("link"));
  has("file", "text");
  FAILS(unlink("link"), ENOENT);
}

static void removed_folder(void) {
  OK(mkdir("folder", 0755));
  int fd = (int)OK(open("folder", O_RDONLY | O_DIRECTORY));
  OK(chdir("folder"));
  OK(rmdir("../folder"));
  FAILS(open("file", O_CREAT | O_WRONLY, 0644), ENOENT);
  FAILS(mkdir("inner", 0755), ENOENT);
  FAILS(stat("absent", &(struct stat){0}), ENOENT);
  OK(close(fd));
}

static void removed_folder_is_stat(void) {
  OK(mkdir("folder", 0755));
  int fd = (int)OK(open("folder", O_RDONLY | O_DIRECTORY));
  OK(rmdir("folder"));
  SAME(fstat_of(fd).st_nlink, 0);
  OK(close(fd));
}

static void fifo_works(void) {
  OK(mkfifo("fifo", 0644));
  FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  int reader = (int)OK(open("fifo", O_RDONLY | O_NONBLOCK));
  int writer = (int)OK(open("fifo", O_WRONLY | O_NONBLOCK));
  OK(write(writer, "text", 4));
  char found[8];
  SAME(read(reader, found, sizeof found), 4);
  OK(close(reader));
  OK(close(writer));
}

static void socket_works(void) {
  int listener = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  OK(bind(listener, (struct sockaddr *)&address, sizeof address));
  OK(listen(listener, 1));
  SAME_MODE(stat_of("socket").st_mode & S_IFMT, S_IFSOCK);
  int client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(connect(client, (struct sockaddr *)&address, sizeof address));
  FAILS(open("socket", O_RDONLY), ENXIO);
  OK(close(client));
  OK(close(listener));
  FAILS(bind((int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&address, sizeof address),
        EADDRINUSE);
}

static void device_works(void) {
  OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
  int fd = (int)OK(open("zero", O_RDWR));
  char found[16] = "not zero";
  SAME(read(fd, found, sizeof found), 16);
  SAME(found[0], 0);
  SAME(write(fd, found, sizeof found), 16);
  OK(close(fd));
  SAME(stat_of("zero").st_size, 0);
}

static const struct test TESTS[] = {
    {"every kind", every_kind},
    {"device numbers", device_numbers},
    {"devices of users", devices_of_users},
    {"types of mknod", mknod_types},
    {"what exists", exists},
    {"trailing slash", trailing_slash},
    {"link counts of folders", link_counts},
    {"times of the folder", times_of_folder},
    {"rmdir of a full folder", rmdir_full},
    {"rmdir of what is no folder", rmdir_others},
    {"unlink of a folder", unlink_folder},
    {"unlink of a link", unlink_link},
    {"in a removed folder", removed_folder},
    {"link count of a removed folder", removed_folder_is_stat},
    {"a fifo works", fifo_works},
    {"a socket works", socket_works},
    {"a device works", device_works},
};

PART(ENTRIES, "entries", TESTS, ORDINARY);
