/* A file system that is full, one that is read-only, and one that turns into that or fails. */
#include "suite.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>

enum { BLOCK_SIZE = 65536 };
static char block[BLOCK_SIZE];

/* Writes until nothing fits any more; where a cache takes what the disk does not, sync tells. */
static off_t fill(const char *name) {
  int fd = (int)OK(open(name, O_CREAT | O_WRONLY | O_APPEND, 0644));
  int error = 0;
  for (size_t size = BLOCK_SIZE; error == 0 || size > 1;) {
    if (error != 0) size /= 2;
    ssize_t count = write(fd, block, size);
    error = count == -1 ? errno : 0;
    if (error == 0 && fsync(fd) == -1) error = errno;
    if (error != 0) SAME_ERROR(error, ENOSPC);
    if (error != 0 && size <= 1) break;
    if (error == 0 && size < BLOCK_SIZE) error = ENOSPC;
  }
  off_t size = fstat_of(fd).st_size;
  close(fd);
  return size;
}

static void disk(void) {
  memset(block, 'b', sizeof block);
  off_t size = fill("filler");
  TRUE(size > BLOCK_SIZE);
  SAME(stat_of("filler").st_size, size);
  struct statvfs found;
  OK(statvfs(".", &found));
  TRUE(found.f_bavail <= 16);
  /* What is there can be read and changed. */
  int fd = (int)OK(open("filler", O_RDWR));
  SAME(pread(fd, block, 100, 0), 100);
  SAME(block[99], 'b');
  SAME(pwrite(fd, "x", 1, 0), 1);
  OK(fsync(fd));
  OK(close(fd));
  OK(rename("filler", "renamed"));
  OK(chmod("renamed", 0600));
  OK(truncate("renamed", 0));
  /* And then there is room again. */
  fd = (int)OK(open("renamed", O_WRONLY));
  for (int i = 0; i < 4; i++) write_all(fd, block, sizeof block);
  OK(fsync(fd));
  OK(close(fd));
  SAME(stat_of("renamed").st_size, 4 * BLOCK_SIZE);
}

static void error_is_told(void) {
  /* Whoever writes to a full disk hears of it: from write, else from fsync or close. */
  memset(block, 'b', sizeof block);
  fill("filler");
  int fd = (int)OK(open("other", O_CREAT | O_WRONLY, 0644));
  int error = 0;
  for (int i = 0; i < 4 && error == 0; i++) error = error_of(write(fd, block, sizeof block));
  if (error == 0) error = error_of(fsync(fd));
  int last = error_of(close(fd));
  SAME_ERROR(error == 0 ? last : error, ENOSPC);
}

static void large_attribute(void) {
  memset(block, 'b', sizeof block);
  put("file", "");
  fill("filler");
  SAME_ERROR(error_of(setxattr("file", "user.large", block, 60000, 0)), ENOSPC);
  SAME_ERROR(error_of(getxattr("file", "user.large", NULL, 0)), ENODATA);
}

static void inodes(void) {
  char name[32];
  int count = 0, error = 0;
  for (; count < 20000 && error == 0; count++) {
    snprintf(name, sizeof name, "file-%d", count);
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    error = error_of(fd);
    if (fd != -1) close(fd);
  }
  SAME_ERROR(error, ENOSPC);
  TRUE(!EXISTS(name));
  FAILS(mkdir("folder", 0755), ENOSPC);
  FAILS(symlink("target", "link"), ENOSPC);
  FAILS(mkfifo("fifo", 0644), ENOSPC);
  FAILS(mknod("device", S_IFCHR | 0644, makedev(1, 3)), ENOSPC);
  TRUE(!EXISTS("folder") && !EXISTS("link") && !EXISTS("fifo") && !EXISTS("device"));
  OK(link("file-0", "linked"));
  OK(rename("linked", "file-1"));
  OK(mkdir("folder", 0755));
}

static const struct test FULL_TESTS[] = {
    {"disk", disk},
    {"an error is told", error_is_told},
    {"an attribute", large_attribute},
    {"inodes", inodes},
};

PART(FULL, "full", FULL_TESTS, SPECIAL);

/* ---- read-only: "file", a link to it, "folder" with "inner" in it, and "empty" are there ---- */

static void changes_are_refused(void) {
  FAILS(open("file", O_WRONLY), EROFS);
  FAILS(open("file", O_RDWR), EROFS);
  FAILS(open("file", O_RDONLY | O_TRUNC), EROFS);
  FAILS(open("new", O_CREAT | O_WRONLY, 0644), EROFS);
  FAILS(mkdir("new", 0755), EROFS);
  FAILS(mkfifo("new", 0644), EROFS);
  FAILS(mknod("new", S_IFCHR | 0644, makedev(1, 3)), EROFS);
  FAILS(symlink("target", "new"), EROFS);
  FAILS(link("file", "new"), EROFS);
  FAILS(rename("file", "new"), EROFS);
  FAILS(rename("file", "folder/inner"), EROFS);
  FAILS(rename("folder", "new"), EROFS);
  FAILS(unlink("file"), EROFS);
  FAILS(rmdir("empty"), EROFS);
  FAILS(chmod("file", 0600), EROFS);
  FAILS(chown("file", ANN, ANN), EROFS);
  FAILS(lchown("link", ANN, ANN), EROFS);
  FAILS(truncate("file", 0), EROFS);
  FAILS(utimensat(AT_FDCWD, "file", NULL, 0), EROFS);
  FAILS(setxattr("file", "user.name", "value", 5, 0), EROFS);
  FAILS(setxattr("folder", "user.name", "value", 5, 0), EROFS);
}

static void other_errors_come_first(void) {
  FAILS(mkdir("folder", 0755), EEXIST);
  FAILS(symlink("target", "file"), EEXIST);
  FAILS(link("file", "folder"), EEXIST);
  FAILS(open("file", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
  FAILS_WITH(unlink("absent"), ENOENT, EROFS);
  FAILS_WITH(rmdir("absent"), ENOENT, EROFS);
  FAILS_WITH(rename("absent", "new"), ENOENT, EROFS);
  FAILS(chmod("absent", 0644), ENOENT);
  FAILS(truncate("absent", 0), ENOENT);
  FAILS(mkdir("file/new", 0755), ENOTDIR);
}

static void reading_works(void) {
  has("file", "text\n");
  has("link", "text\n");
  has("folder/inner", "inner\n");
  OK(close((int)OK(open("file", O_CREAT | O_RDONLY, 0644))));
  SAME(stat_of("folder").st_nlink, 2);
  DIR *folder = opendir(".");
  TRUE(folder != NULL);
  int count = 0;
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  TRUE(count >= 6);
}

static const struct test READ_ONLY_TESTS[] = {
    {"changes are refused", changes_are_refused},
    {"other errors come first", other_errors_come_first},
    {"reading works", reading_works},
};

PART(READ_ONLY, "read-only", READ_ONLY_TESTS, IN_PLACE);

/* ---- what changes while it is worked on ---- */

/* Works until something fails, for a minute at most; returns the error. */
static int work_until_failure(void) {
  char name[32], other[32];
  for (int i = 0; i < 100000; i++) {
    snprintf(name, sizeof name, "made-%d", i);
    snprintf(other, sizeof other, "renamed-%d", i);
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    if (fd == -1) return errno;
    int error = error_of(write(fd, "text", 4));
    if (error == 0) error = error_of(fsync(fd));
    int last = error_of(close(fd));
    if (error == 0) error = last;
    if (error == 0) error = error_of(rename(name, other));
    if (error == 0) error = error_of(unlink(other));
    if (error != 0) return error;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    static time_t start;
    if (start == 0) start = now.tv_sec;
    if (now.tv_sec > start + 60) return 0;
    /* Files that are open for writing keep a file system from becoming read-only. */
    struct timespec wait = {0, 20000000};
    nanosleep(&wait, NULL);
  }
  return 0;
}

static void turns_read_only(void) {
  SAME_ERROR(work_until_failure(), EROFS);
  FAILS(mkdir("new", 0755), EROFS);
  FAILS(open("file", O_WRONLY), EROFS);
  FAILS(chmod("file", 0600), EROFS);
  has("file", "text\n");
}

static void fails(void) {
  int fd = (int)OK(open("file", O_WRONLY));
  SAME_ERROR(work_until_failure(), EIO);
  /* What was open before hears of it, too. */
  int error = error_of(write(fd, "more", 4));
  if (error == 0) error = error_of(fsync(fd));
  SAME_ERROR(error, EIO);
  close(fd);
  FAILS(mkdir("new", 0755), EIO);
}

static const struct test CHANGED_TESTS[] = {
    {"turns read-only", turns_read_only},
    {"fails", fails},
};

PART(CHANGED, "changed", CHANGED_TESTS, IN_PLACE);
