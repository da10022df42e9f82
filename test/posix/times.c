/* Times: what utimensat sets, who may, and which call changes which time. */
#include "suite.h"

/* Full seconds: whether parts of them are kept is a case of its own. */
static const struct timespec OLD[2] = {{100000000, 0}, {200000000, 0}};

static void set_old(const char *name) { OK(utimensat(AT_FDCWD, name, OLD, AT_SYMLINK_NOFOLLOW)); }

static void set(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    const char *name = KIND_NAMES[kind];
    make((enum kind)kind, name);
    struct stat before = lstat_of(name);
    tick();
    set_old(name);
    struct stat after = lstat_of(name);
    SAME_TIME(after.st_atim, OLD[0]);
    SAME_TIME(after.st_mtim, OLD[1]);
    LATER(after.st_ctim, before.st_ctim);
  }
}

static void through_descriptor(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(futimens(fd, OLD));
  SAME_TIME(fstat_of(fd).st_atim, OLD[0]);
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
  OK(close(fd));
  OK(symlink("file", "link"));
  struct timespec times[2] = {{5, 0}, {7, 0}};
  OK(utimensat(AT_FDCWD, "link", times, 0));
  SAME_TIME(stat_of("file").st_mtim, times[1]);
  set_old("link");
  SAME_TIME(stat_of("file").st_mtim, times[1]);
  SAME_TIME(lstat_of("link").st_mtim, OLD[1]);
}

static void now(void) {
  put("file", "");
  set_old("file");
  struct stat before = stat_of("file");
  tick();
  OK(utimensat(AT_FDCWD, "file", NULL, 0));
  struct stat after = stat_of("file");
  LATER(after.st_atim, before.st_ctim);
  LATER(after.st_mtim, before.st_ctim);
  LATER(after.st_ctim, before.st_ctim);
  set_old("file");
  tick();
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_NOW}, {0, UTIME_NOW}}, 0));
  LATER(stat_of("file").st_atim, before.st_ctim);
  LATER(stat_of("file").st_mtim, before.st_ctim);
}

static void now_and_omit(void) {
  put("file", "");
  set_old("file");
  struct stat before = stat_of("file");
  tick();
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_OMIT}, {0, UTIME_OMIT}}, 0));
  SAME_TIME(stat_of("file").st_atim, OLD[0]);
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
  SAME_TIME(stat_of("file").st_ctim, before.st_ctim);
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_NOW}, {0, UTIME_OMIT}}, 0));
  LATER(stat_of("file").st_atim, before.st_ctim);
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
  LATER(stat_of("file").st_ctim, before.st_ctim);
  set_old("file");
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_OMIT}, {0, UTIME_NOW}}, 0));
  SAME_TIME(stat_of("file").st_atim, OLD[0]);
  LATER(stat_of("file").st_mtim, before.st_ctim);
  set_old("file");
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{5, 0}, {0, UTIME_OMIT}}, 0));
  SAME(stat_of("file").st_atim.tv_sec, 5);
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_OMIT}, {7, 0}}, 0));
  SAME(stat_of("file").st_atim.tv_sec, 5);
  SAME(stat_of("file").st_mtim.tv_sec, 7);
  OK(utimensat(AT_FDCWD, "file", (struct timespec[]){{0, UTIME_NOW}, {7, 0}}, 0));
  LATER(stat_of("file").st_atim, before.st_ctim);
  SAME(stat_of("file").st_mtim.tv_sec, 7);
}

static void kept(int count, const int64_t *seconds) {
  put("file", "");
  for (int i = 0; i < count; i++) {
    struct timespec times[2] = {{seconds[i], 0}, {seconds[i] + 1, 0}};
    OK(utimensat(AT_FDCWD, "file", times, 0));
    SAME_TIME(stat_of("file").st_atim, times[0]);
    SAME_TIME(stat_of("file").st_mtim, times[1]);
  }
}

static void future(void) {
  /* As far as ext4 goes: 2446. */
  kept(4, (int64_t[]){2147483647, 2147483648, 4294967295, 15032385533});
}

static void past(void) { kept(3, (int64_t[]){0, -2, -2147483647}); }

static void nanoseconds(void) {
  static const struct timespec EXACT[2] = {{100000000, 123456789}, {-5, 999999999}};
  put("file", "");
  OK(utimensat(AT_FDCWD, "file", EXACT, 0));
  SAME_TIME(stat_of("file").st_atim, EXACT[0]);
  SAME_TIME(stat_of("file").st_mtim, EXACT[1]);
}

static void bad_nanoseconds(void) {
  put("file", "");
  set_old("file");
  FAILS(utimensat(AT_FDCWD, "file", (struct timespec[]){{5, 1000000000}, {5, 0}}, 0), EINVAL);
  FAILS(utimensat(AT_FDCWD, "file", (struct timespec[]){{5, 0}, {5, -1}}, 0), EINVAL);
  FAILS(utimensat(AT_FDCWD, "file", OLD, 0x4000), EINVAL);
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
}

static void of_users(void) {
  static const struct timespec NOW[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  static const struct timespec HALF[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  static const struct timespec NONE[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  put("file", "");
  OK(chown("file", ANN, ANN));
  OK(chmod("file", 0444));
  /* The owner may always. */
  become(ANN);
  OK(utimensat(AT_FDCWD, "file", OLD, 0));
  OK(utimensat(AT_FDCWD, "file", NULL, 0));
  /* Others only with permission to write, and only to now. */
  become(BOB);
  FAILS(utimensat(AT_FDCWD, "file", OLD, 0), EPERM);
  FAILS(utimensat(AT_FDCWD, "file", HALF, 0), EPERM);
  FAILS(utimensat(AT_FDCWD, "file", NULL, 0), EACCES);
  FAILS(utimensat(AT_FDCWD, "file", NOW, 0), EACCES);
  OK(utimensat(AT_FDCWD, "file", NONE, 0));
  become(ROOT);
  OK(chmod("file", 0666));
  become(BOB);
  OK(utimensat(AT_FDCWD, "file", NULL, 0));
  OK(utimensat(AT_FDCWD, "file", NOW, 0));
  FAILS(utimensat(AT_FDCWD, "file", OLD, 0), EPERM);
  FAILS(utimensat(AT_FDCWD, "file", HALF, 0), EPERM);
}

static void of_users_in_folders(void) {
  OK(mkdir("folder", 0777));
  OK(symlink("nowhere", "link"));
  become(BOB);
  FAILS(utimensat(AT_FDCWD, "folder", OLD, 0), EPERM);
  OK(utimensat(AT_FDCWD, "folder", NULL, 0));
  FAILS(utimensat(AT_FDCWD, "link", OLD, AT_SYMLINK_NOFOLLOW), EPERM);
}

/* ---- what changes what ---- */

static void read_changes(void) {
  put("file", "text");
  set_old("file");
  struct stat before = stat_of("file");
  tick();
  has("file", "text");
  struct stat after = stat_of("file");
  LATER(after.st_atim, before.st_atim);
  SAME_TIME(after.st_mtim, before.st_mtim);
  SAME_TIME(after.st_ctim, before.st_ctim);
}

static void read_without_atime(void) {
  put("file", "text");
  set_old("file");
  char found[8];
  int fd = (int)OK(open("file", O_RDONLY | O_NOATIME));
  SAME(read(fd, found, sizeof found), 4);
  OK(close(fd));
  SAME_TIME(stat_of("file").st_atim, OLD[0]);
  become(ANN);
  FAILS(open("file", O_RDONLY | O_NOATIME), EPERM);
}

static void list_changes(void) {
  OK(mkdir("folder", 0755));
  put("folder/file", "");
  set_old("folder");
  tick();
  DIR *folder = opendir("folder");
  TRUE(folder != NULL);
  while (readdir(folder) != NULL) {
  }
  closedir(folder);
  LATER(stat_of("folder").st_atim, OLD[0]);
  SAME_TIME(stat_of("folder").st_mtim, OLD[1]);
}

static void readlink_changes(void) {
  OK(symlink("target", "link"));
  set_old("link");
  tick();
  char found[8];
  SAME(readlink("link", found, sizeof found), 6);
  LATER(lstat_of("link").st_atim, OLD[0]);
  SAME_TIME(lstat_of("link").st_mtim, OLD[1]);
}

static void write_changes(void) {
  put("file", "text");
  set_old("file");
  struct stat before = stat_of("file");
  tick();
  int fd = (int)OK(open("file", O_WRONLY));
  SAME_TIME(fstat_of(fd).st_mtim, OLD[1]);
  SAME(write(fd, "", 0), 0);
  SAME_TIME(fstat_of(fd).st_mtim, OLD[1]);
  SAME(write(fd, "more", 4), 4);
  struct stat after = fstat_of(fd);
  LATER(after.st_mtim, before.st_ctim);
  LATER(after.st_ctim, before.st_ctim);
  SAME_TIME(after.st_atim, OLD[0]);
  OK(close(fd));
  struct stat last = stat_of("file");
  LATER(last.st_mtim, before.st_ctim);
  SAME_TIME(last.st_atim, OLD[0]);
}

static void set_after_write(void) {
  /* What was written before must not change what is set after. */
  int fd = (int)OK(open("file", O_CREAT | O_WRONLY, 0644));
  OK(write(fd, "text", 4));
  OK(futimens(fd, OLD));
  SAME_TIME(fstat_of(fd).st_mtim, OLD[1]);
  OK(close(fd));
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
  tick();
  OK(fsync(fd = (int)OK(open("file", O_RDONLY))));
  OK(close(fd));
  SAME_TIME(stat_of("file").st_mtim, OLD[1]);
}

static void look_changes_nothing(void) {
  put("file", "text");
  OK(symlink("file", "link"));
  struct stat before = stat_of("file");
  tick();
  OK(access("file", R_OK));
  OK(close((int)OK(open("file", O_RDWR))));
  OK(close((int)OK(open("link", O_PATH))));
  struct stat after = stat_of("file");
  SAME_TIME(after.st_atim, before.st_atim);
  SAME_TIME(after.st_mtim, before.st_mtim);
  SAME_TIME(after.st_ctim, before.st_ctim);
}

static void of_folder(void) {
  OK(mkdir("folder", 0755));
  put("folder/file", "text");
  set_old("folder");
  struct stat before = stat_of("folder");
  tick();
  /* Neither content nor attributes of an entry are the folder's. */
  put("folder/file", "other");
  OK(chmod("folder/file", 0600));
  OK(truncate("folder/file", 1));
  struct stat after = stat_of("folder");
  SAME_TIME(after.st_mtim, before.st_mtim);
  SAME_TIME(after.st_ctim, before.st_ctim);
}

static void made_now(void) {
  struct timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  put("file", "");
  clock_gettime(CLOCK_REALTIME, &after);
  struct stat found = stat_of("file");
  /* The clocks of two machines may differ. */
  TRUE(found.st_mtim.tv_sec >= before.tv_sec - 600 && found.st_mtim.tv_sec <= after.tv_sec + 600);
  SAME_TIME(found.st_atim, found.st_mtim);
}

static const struct test TESTS[] = {
    {"set", set},
    {"set through a descriptor or link", through_descriptor},
    {"set to now", now},
    {"UTIME_NOW and UTIME_OMIT", now_and_omit},
    {"far in the future", future},
    {"before 1970", past},
    {"nanoseconds", nanoseconds},
    {"bad nanoseconds", bad_nanoseconds},
    {"of users", of_users},
    {"of users in folders", of_users_in_folders},
    {"read", read_changes},
    {"O_NOATIME", read_without_atime},
    {"list", list_changes},
    {"readlink", readlink_changes},
    {"write", write_changes},
    {"set after a write", set_after_write},
    {"a look changes nothing", look_changes_nothing},
    {"of a folder", of_folder},
    {"of a new file", made_now},
};

PART(TIMES, "times", TESTS, ORDINARY);
