/* Flags of open, and descriptors that it gives. */
#include "suite.h"

#include <sys/uio.h>

static void created(void) {
  become(ANN);
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0751));
  struct stat found = fstat_of(fd);
  SAME_MODE(found.st_mode, S_IFREG | 0751);
  SAME(found.st_uid, ANN);
  SAME(found.st_gid, ANN);
  SAME(found.st_size, 0);
  SAME(found.st_nlink, 1);
  OK(close(fd));
  /* The mode is of no matter for a file that is there. */
  OK(close((int)OK(open("file", O_CREAT | O_RDWR, 0))));
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0751);
}

static void created_without_permission(void) {
  become(ANN);
  int fd = (int)OK(open("none", O_CREAT | O_RDWR, 0));
  OK(write(fd, "text", 4));
  char found[8];
  SAME(pread(fd, found, sizeof found, 0), 4);
  OK(close(fd));
  FAILS(open("none", O_RDONLY), EACCES);
  fd = (int)OK(open("readable", O_CREAT | O_WRONLY, 0444));
  OK(write(fd, "text", 4));
  OK(close(fd));
  FAILS(open("readable", O_WRONLY), EACCES);
  FAILS(open("readable", O_CREAT | O_WRONLY, 0666), EACCES);
  has("readable", "text");
}

static void ftruncate_without_permission(void) {
  become(ANN);
  int fd = (int)OK(open("none", O_CREAT | O_RDWR, 0));
  OK(ftruncate(fd, 1000));
  SAME(fstat_of(fd).st_size, 1000);
  OK(close(fd));
}

static void exclusive(void) {
  OK(close((int)OK(open("file", O_CREAT | O_EXCL | O_RDWR, 0644))));
  FAILS(open("file", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
  OK(symlink("file", "link"));
  FAILS(open("link", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
  make(SYMLINK, "dangling");
  FAILS(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
  FAILS(open(".", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
}

static int *winners;

static void race(void *argument) {
  (void)argument;
  char name[32];
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "file-%d", i);
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd == -1) {
      SAME_ERROR(errno, EEXIST);
      continue;
    }
    __atomic_add_fetch(&winners[i], 1, __ATOMIC_SEQ_CST);
    close(fd);
  }
}

static void exclusive_race(void) {
  winners = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t others[3];
  for (int i = 0; i < 3; i++) others[i] = spawn(race, NULL);
  for (int i = 0; i < 3; i++) join(others[i]);
  for (int i = 0; i < 20; i++) SAME(winners[i], 1);
  munmap(winners, 4096);
}

static void truncating(void) {
  put("file", "some text");
  struct stat before = stat_of("file");
  tick();
  OK(close((int)OK(open("file", O_WRONLY | O_TRUNC))));
  struct stat after = stat_of("file");
  SAME(after.st_size, 0);
  SAME(after.st_ino, before.st_ino);
  LATER(after.st_mtim, before.st_mtim);
  LATER(after.st_ctim, before.st_ctim);
  tick();
  OK(close((int)OK(open("file", O_WRONLY | O_TRUNC | O_CREAT, 0600))));
  LATER(stat_of("file").st_mtim, after.st_mtim);
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0644);
}

static void truncating_read_only(void) {
  put("file", "text");
  OK(chown("file", BOB, BOB));
  become(ANN);
  FAILS(open("file", O_RDONLY | O_TRUNC), EACCES);
  FAILS(open("file", O_WRONLY | O_TRUNC), EACCES);
  become(ROOT);
  has("file", "text");
}

static void folders(void) {
  OK(mkdir("folder", 0755));
  FAILS(open("folder", O_WRONLY), EISDIR);
  FAILS(open("folder", O_RDWR), EISDIR);
  FAILS(open("folder", O_RDONLY | O_TRUNC), EISDIR);
  FAILS(open("folder", O_RDONLY | O_CREAT, 0644), EISDIR);
  FAILS(open("absent/", O_WRONLY | O_CREAT, 0644), EISDIR);
  int fd = (int)OK(open("folder", O_RDONLY));
  char byte;
  FAILS(read(fd, &byte, 1), EISDIR);
  FAILS(write(fd, "x", 1), EBADF);
  FAILS(ftruncate(fd, 0), EINVAL);
  OK(fsync(fd));
  OK(close(fd));
  put("file", "");
  FAILS(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

static void access_modes(void) {
  put("file", "text");
  char byte = 'b';
  int fd = (int)OK(open("file", O_RDONLY));
  FAILS(write(fd, "x", 1), EBADF);
  FAILS(ftruncate(fd, 1), EINVAL);
  OK(close(fd));
  fd = (int)OK(open("file", O_WRONLY));
  FAILS(read(fd, &byte, 1), EBADF);
  OK(write(fd, "T", 1));
  OK(close(fd));
  fd = (int)OK(open("file", O_PATH));
  FAILS(read(fd, &byte, 1), EBADF);
  SAME(fstat_of(fd).st_size, 4);
  OK(close(fd));
  has("file", "Text");
  FAILS(pread(-1, &byte, 1, 0), EBADF);
}

static void negative_offsets(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  char byte = 0;
  FAILS(pread(fd, &byte, 1, -1), EINVAL);
  FAILS(pwrite(fd, &byte, 1, -1), EINVAL);
  FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
  FAILS(lseek(fd, 0, 99), EINVAL);
  OK(close(fd));
}

static void append(void) {
  put("file", "one");
  int fd = (int)OK(open("file", O_RDWR | O_APPEND));
  OK(write(fd, "two", 3));
  has("file", "onetwo");
  OK(lseek(fd, 0, SEEK_SET));
  OK(write(fd, "three", 5));
  has("file", "onetwothree");
  SAME(lseek(fd, 0, SEEK_CUR), 11);
  /* Linux appends with pwrite, too. */
  OK(pwrite(fd, "four", 4, 0));
  has("file", "onetwothreefour");
  OK(ftruncate(fd, 3));
  OK(write(fd, "!", 1));
  has("file", "one!");
  OK(close(fd));
}

static void append_later(void) {
  int fd = (int)OK(open("file", O_CREAT | O_WRONLY, 0644));
  OK(write(fd, "one", 3));
  OK(lseek(fd, 0, SEEK_SET));
  OK(fcntl(fd, F_SETFL, O_APPEND));
  OK(write(fd, "two", 3));
  OK(close(fd));
  has("file", "onetwo");
}

enum { APPENDERS = 3, RECORDS = 20, RECORD = 100 };

static void appender(void *argument) {
  char record[RECORD];
  memset(record, 'a' + (int)(intptr_t)argument, sizeof record);
  int fd = (int)OK(open("log", O_WRONLY | O_APPEND));
  for (int i = 0; i < RECORDS; i++) SAME(write(fd, record, sizeof record), RECORD);
  OK(close(fd));
}

static void append_by_many(void) {
  put("log", "");
  pid_t others[APPENDERS];
  for (intptr_t i = 0; i < APPENDERS; i++) others[i] = spawn(appender, (void *)i);
  for (int i = 0; i < APPENDERS; i++) join(others[i]);
  char found[APPENDERS * RECORDS * RECORD + 1];
  int fd = (int)OK(open("log", O_RDONLY));
  SAME(read_all(fd, found, sizeof found), sizeof found - 1);
  OK(close(fd));
  int counts[APPENDERS] = {0};
  for (int i = 0; i < APPENDERS * RECORDS; i++) {
    char *record = found + (size_t)i * RECORD;
    TRUE(record[0] >= 'a' && record[0] < 'a' + APPENDERS);
    for (int at = 1; at < RECORD; at++) TRUE(record[at] == record[0]);
    counts[record[0] - 'a']++;
  }
  for (int i = 0; i < APPENDERS; i++) SAME(counts[i], RECORDS);
}

static void synchronous(void) {
  static const int FLAGS[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND, O_NOATIME, O_NONBLOCK, O_NOCTTY};
  for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
    int fd = (int)OK(open("file", O_CREAT | O_TRUNC | O_RDWR | FLAGS[i], 0644));
    OK(write(fd, "text", 4));
    char found[8];
    SAME(pread(fd, found, sizeof found, 0), 4);
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(syncfs(fd));
    OK(close(fd));
    has("file", "text");
  }
}

static void direct(void) {
  char *block = NULL;
  TRUE(posix_memalign((void **)&block, 4096, 8192) == 0);
  for (int i = 0; i < 8192; i++) block[i] = (char)(i * 7);
  int fd = (int)OK(open("file", O_CREAT | O_RDWR | O_DIRECT, 0644));
  SAME(write(fd, block, 8192), 8192);
  SAME(fstat_of(fd).st_size, 8192);
  memset(block, 0, 8192);
  SAME(pread(fd, block, 4096, 4096), 4096);
  for (int i = 0; i < 4096; i++) SAME(block[i], (char)((i + 4096) * 7));
  SAME(pread(fd, block, 4096, 8192), 0);
  OK(close(fd));
  /* What was written around the cache is what a read through it finds. */
  fd = (int)OK(open("file", O_RDONLY));
  SAME(pread(fd, block, 4096, 0), 4096);
  for (int i = 0; i < 4096; i++) SAME(block[i], (char)(i * 7));
  OK(close(fd));
  free(block);
}

static void unnamed(void) {
  int fd = (int)OK(open(".", O_TMPFILE | O_RDWR, 0640));
  OK(write(fd, "text", 4));
  SAME(fstat_of(fd).st_nlink, 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "file", AT_SYMLINK_FOLLOW));
  has("file", "text");
  OK(close(fd));
}

static void copy_program(const char *name) {
  int from = (int)OK(open("/proc/self/exe", O_RDONLY));
  int to = (int)OK(open(name, O_CREAT | O_WRONLY, 0755));
  static char buffer[1 << 16];
  for (size_t count; (count = read_all(from, buffer, sizeof buffer)) > 0;)
    write_all(to, buffer, count);
  OK(close(from));
  OK(close(to));
}

static void program_in_use(void) {
  copy_program("program");
  int fds[2];
  OK(pipe2(fds, O_CLOEXEC));
  pid_t process = (pid_t)OK(fork());
  if (process == 0) {
    execl("./program", "program", "wait", NULL);
    int error = errno;
    if (write(fds[1], &error, sizeof error) < 0) _exit(2);
    _exit(1);
  }
  close(fds[1]);
  int error = 0;
  read_all(fds[0], &error, sizeof error); /* ends when the program has started */
  close(fds[0]);
  int write_error = error_of(open("program", O_WRONLY));
  int truncate_error = error_of(truncate("program", 10));
  int unlink_error = error_of(unlink("program"));
  kill(process, SIGKILL);
  waitpid(process, NULL, 0);
  SAME_ERROR(error, 0);
  SAME_ERROR(write_error, ETXTBSY);
  SAME_ERROR(truncate_error, ETXTBSY);
  SAME_ERROR(unlink_error, 0);
}

static void exec_of_written(void) {
  copy_program("program");
  int fd = (int)OK(open("program", O_WRONLY));
  FAILS(execl("./program", "program", "wait", NULL), ETXTBSY);
  OK(close(fd));
  OK(chmod("program", 0644));
  FAILS(execl("./program", "program", "wait", NULL), EACCES);
}

static void special_files(void) {
  OK(mknod("fifo", S_IFIFO | 0666, 0));
  OK(mknod("socket", S_IFSOCK | 0666, 0));
  FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  FAILS(open("socket", O_RDONLY), ENXIO);
  OK(mknod("device", S_IFCHR | 0666, makedev(4000, 4000)));
  FAILS_WITH(open("device", O_RDONLY), ENXIO, ENODEV);
  FAILS(truncate("fifo", 0), EINVAL);
}

static void many_open(void) {
  int fds[200];
  for (int i = 0; i < 200; i++) fds[i] = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(pwrite(fds[0], "text", 4, 0));
  char found[8];
  SAME(pread(fds[199], found, sizeof found, 0), 4);
  for (int i = 0; i < 200; i++) OK(close(fds[i]));
}

static const struct test TESTS[] = {
    {"created", created},
    {"created without permission", created_without_permission},
    {"ftruncate without permission", ftruncate_without_permission},
    {"O_EXCL", exclusive},
    {"O_EXCL has one winner", exclusive_race},
    {"O_TRUNC", truncating},
    {"O_TRUNC of a file of others", truncating_read_only},
    {"of folders", folders},
    {"access modes", access_modes},
    {"negative offsets", negative_offsets},
    {"O_APPEND", append},
    {"O_APPEND set later", append_later},
    {"O_APPEND by many", append_by_many},
    {"O_SYNC and others", synchronous},
    {"O_DIRECT", direct},
    {"O_TMPFILE", unnamed},
    {"a program in use", program_in_use},
    {"a program that is written", exec_of_written},
    {"special files", special_files},
    {"many at once", many_open},
};

PART(OPENS, "opens", TESTS, ORDINARY);
