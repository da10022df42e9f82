/* Sizes: truncate, ftruncate, fallocate, holes, limits. */
#include "suite.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>

static const off_t LARGE = (off_t)5 << 30;

static void truncated(void) {
  put("file", "some text");
  OK(truncate("file", 4));
  has("file", "some");
  OK(truncate("file", 6));
  SAME(stat_of("file").st_size, 6);
  int fd = (int)OK(open("file", O_RDWR));
  char found[8];
  SAME(read(fd, found, sizeof found), 6);
  SAME(memcmp(found, "some\0\0", 6), 0);
  OK(ftruncate(fd, 2));
  SAME(fstat_of(fd).st_size, 2);
  SAME(lseek(fd, 0, SEEK_CUR), 6);
  OK(write(fd, "x", 1));
  SAME(pread(fd, found, sizeof found, 0), 7);
  SAME(memcmp(found, "so\0\0\0\0x", 7), 0);
  OK(ftruncate(fd, 0));
  SAME(read(fd, found, sizeof found), 0);
  OK(close(fd));
}

static void times(void) {
  put("file", "some text");
  struct stat before = stat_of("file");
  tick();
  OK(truncate("file", 3));
  struct stat after = stat_of("file");
  LATER(after.st_mtim, before.st_mtim);
  LATER(after.st_ctim, before.st_ctim);
  tick();
  int fd = (int)OK(open("file", O_WRONLY));
  OK(ftruncate(fd, 100));
  LATER(fstat_of(fd).st_mtim, after.st_mtim);
  LATER(fstat_of(fd).st_ctim, after.st_ctim);
  after = fstat_of(fd);
  tick();
  OK(ftruncate(fd, 100));
  LATER(fstat_of(fd).st_mtim, after.st_mtim);
  OK(close(fd));
  after = stat_of("file");
  tick();
  OK(chown("file", BOB, BOB));
  become(ANN);
  FAILS(truncate("file", 0), EACCES);
  SAME_TIME(stat_of("file").st_mtim, after.st_mtim);
}

static void refused(void) {
  OK(mkdir("folder", 0755));
  FAILS(truncate("folder", 0), EISDIR);
  put("file", "");
  FAILS(truncate("file", -1), EINVAL);
  int fd = (int)OK(open("file", O_RDWR));
  FAILS(ftruncate(fd, -1), EINVAL);
  OK(close(fd));
  FAILS(ftruncate(fd, 0), EBADF);
  FAILS(truncate("absent", 0), ENOENT);
}

static void too_big(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  FAILS_WITH(ftruncate(fd, INT64_MAX), EFBIG, EINVAL);
  FAILS_WITH(truncate("file", INT64_MAX), EFBIG, EINVAL);
  FAILS_WITH(pwrite(fd, "x", 1, INT64_MAX - 1), EFBIG, EINVAL);
  SAME(fstat_of(fd).st_size, 0);
  OK(close(fd));
}

static void resource_limit(void *argument) {
  (void)argument;
  OK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}));
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  char block[600] = {0};
  SAME(write(fd, block, sizeof block), 600);
  SAME(write(fd, block, sizeof block), 400);
  FAILS(write(fd, block, sizeof block), EFBIG);
  FAILS(ftruncate(fd, 1001), EFBIG);
  OK(ftruncate(fd, 1000));
  FAILS(truncate("file", 2000), EFBIG);
  OK(close(fd));
}

static void limited(void) { join(spawn(resource_limit, NULL)); }

static void large(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  SAME(pwrite(fd, "far", 3, LARGE), 3);
  struct stat found = fstat_of(fd);
  SAME(found.st_size, LARGE + 3);
  TRUE(found.st_blocks < 1024);
  char text[8] = "";
  SAME(pread(fd, text, sizeof text, LARGE), 3);
  SAME(memcmp(text, "far", 3), 0);
  SAME(pread(fd, text, sizeof text, LARGE - 100), 8);
  for (int i = 0; i < 8; i++) SAME(text[i], 0);
  SAME(pread(fd, text, sizeof text, (off_t)1 << 31), 8);
  SAME(lseek(fd, 0, SEEK_END), LARGE + 3);
  OK(write(fd, "ther", 4));
  OK(ftruncate(fd, LARGE + 1));
  SAME(pread(fd, text, sizeof text, LARGE), 1);
  SAME(stat_of("file").st_size, LARGE + 1);
  OK(truncate("file", (off_t)1 << 40));
  SAME(stat_of("file").st_size, (off_t)1 << 40);
  OK(close(fd));
}

static void holes(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  char block[4096];
  memset(block, 'b', sizeof block);
  SAME(pwrite(fd, block, sizeof block, 1 << 20), sizeof block);
  OK(ftruncate(fd, 2 << 20));
  OK(fsync(fd));
  /* Data may be reported larger than it is, never smaller; the end is a hole. */
  off_t data = (off_t)OK(lseek(fd, 0, SEEK_DATA));
  TRUE(data <= 1 << 20);
  off_t hole = (off_t)OK(lseek(fd, 1 << 20, SEEK_HOLE));
  TRUE(hole >= (1 << 20) + 4096 && hole <= 2 << 20);
  FAILS(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
  FAILS(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
  OK(close(fd));
}

static void holes_are_found(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  char block[4096];
  memset(block, 'b', sizeof block);
  SAME(pwrite(fd, block, sizeof block, 1 << 20), sizeof block);
  OK(ftruncate(fd, 2 << 20));
  OK(fsync(fd));
  SAME(lseek(fd, 0, SEEK_HOLE), 0);
  SAME(lseek(fd, 0, SEEK_DATA), 1 << 20);
  OK(close(fd));
}

static void allocated(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(write(fd, "text", 4));
  /* Either the file system does it, or the library writes. */
  SAME(posix_fallocate(fd, 0, 100000), 0);
  SAME(fstat_of(fd).st_size, 100000);
  TRUE(fstat_of(fd).st_blocks * 512 >= 100000);
  char found[8];
  SAME(pread(fd, found, 5, 0), 5);
  SAME(memcmp(found, "text\0", 5), 0);
  SAME(posix_fallocate(fd, 10, 10), 0);
  SAME(fstat_of(fd).st_size, 100000);
  SAME(posix_fallocate(fd, 0, 0), EINVAL);
  SAME(posix_fallocate(fd, -1, 10), EINVAL);
  OK(close(fd));
  fd = (int)OK(open("file", O_RDONLY));
  SAME(posix_fallocate(fd, 0, 10), EBADF);
  OK(close(fd));
}

static void preallocated(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536));
  SAME(fstat_of(fd).st_size, 0);
  OK(close(fd));
}

static void punched(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  static char block[16384];
  memset(block, 'b', sizeof block);
  OK(write(fd, block, sizeof block));
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
  SAME(pread(fd, block, 4096, 4096), 4096);
  SAME(block[0], 0);
  OK(close(fd));
}

static void block_counts(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  SAME(fstat_of(fd).st_blocks, 0);
  static char block[65536];
  memset(block, 'b', sizeof block);
  OK(write(fd, block, sizeof block));
  OK(fsync(fd));
  TRUE(fstat_of(fd).st_blocks * 512 >= 65536);
  TRUE(fstat_of(fd).st_blksize >= 512);
  OK(close(fd));
}

static void statistics(void) {
  struct statvfs found;
  OK(statvfs(".", &found));
  TRUE(found.f_bsize >= 512);
  TRUE(found.f_blocks > 0);
  TRUE(found.f_bfree <= found.f_blocks);
  TRUE(found.f_bavail <= found.f_bfree);
  TRUE(found.f_files == 0 || found.f_ffree <= found.f_files);
  SAME(found.f_namemax, 255);
  put("file", "");
  int fd = (int)OK(open("file", O_RDONLY));
  struct statvfs same;
  OK(fstatvfs(fd, &same));
  SAME(same.f_blocks, found.f_blocks);
  OK(close(fd));
}

static void statistics_change(void) {
  struct statvfs before, after;
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(fsync(fd));
  OK(statvfs(".", &before));
  static char block[1 << 18];
  memset(block, 'b', sizeof block);
  for (int i = 0; i < 4; i++) write_all(fd, block, sizeof block);
  OK(fsync(fd));
  OK(statvfs(".", &after));
  OK(close(fd));
  /* Others may use the same file system: half of it is enough. */
  TRUE((before.f_bfree - after.f_bfree) * (after.f_frsize) >= sizeof block * 2);
}

static const struct test TESTS[] = {
    {"truncate and ftruncate", truncated},
    {"times", times},
    {"refused", refused},
    {"too big", too_big},
    {"resource limit", limited},
    {"large", large},
    {"holes", holes},
    {"holes are found", holes_are_found},
    {"posix_fallocate", allocated},
    {"fallocate", preallocated},
    {"punched holes", punched},
    {"block counts", block_counts},
    {"statfs", statistics},
    {"statfs changes", statistics_change},
};

PART(SIZES, "sizes", TESTS, ORDINARY);
