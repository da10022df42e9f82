/* Bytes: every way to move them, mappings, and that all ways agree. */
#include "suite.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static void fill(char *buffer, size_t size, int seed) {
  for (size_t i = 0; i < size; i++) buffer[i] = (char)((size_t)seed + i * 31 + i / 251);
}

static void vectors(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  char a[3] = "abc", b[1] = "d", c[6] = "efghij";
  struct iovec parts[] = {{a, 3}, {b, 1}, {NULL, 0}, {c, 6}};
  SAME(writev(fd, parts, 4), 10);
  SAME(pwritev(fd, parts, 2, 8), 4);
  char found[16] = "";
  struct iovec into[] = {{found, 5}, {found + 5, 11}};
  SAME(preadv(fd, into, 2, 0), 12);
  SAME(memcmp(found, "abcdefghabcd", 12), 0);
  OK(lseek(fd, 4, SEEK_SET));
  SAME(readv(fd, into, 2), 8);
  SAME(memcmp(found, "efghabcd", 8), 0);
  OK(close(fd));
}

static void sizes(void) {
  /* Around pages and around what fits in one message of the usual sizes. */
  static const size_t SIZES_[] = {1, 4095, 4096, 4097, 8168, 8192, 65511, 65536, 131072, 300001};
  static char out[300001], in[300001];
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  for (unsigned i = 0; i < sizeof SIZES_ / sizeof *SIZES_; i++) {
    fill(out, SIZES_[i], (int)i);
    OK(ftruncate(fd, 0));
    SAME(pwrite(fd, out, SIZES_[i], (off_t)i * 3), SIZES_[i]);
    SAME(fstat_of(fd).st_size, SIZES_[i] + i * 3);
    memset(in, 0, SIZES_[i]);
    SAME(pread(fd, in, SIZES_[i], (off_t)i * 3), SIZES_[i]);
    SAME(memcmp(in, out, SIZES_[i]), 0);
    SAME(pread(fd, in, 100, (off_t)(SIZES_[i] + i * 3)), 0);
  }
  OK(close(fd));
}

static void two_descriptors(void) {
  int a = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  int b = (int)OK(open("file", O_RDWR));
  char found[16];
  for (int i = 0; i < 20; i++) {
    char text[16];
    snprintf(text, sizeof text, "round %03d", i);
    SAME(pwrite(i % 2 ? a : b, text, 9, i), 9);
    SAME(pread(i % 2 ? b : a, found, 9, i), 9);
    SAME(memcmp(found, text, 9), 0);
    SAME(fstat_of(i % 2 ? b : a).st_size, 9 + i);
  }
  OK(close(a));
  OK(close(b));
}

static void written_by_another(void *name) { put(name, "from the other"); }

static void two_processes(void) {
  put("file", "mine");
  has("file", "mine");
  join(spawn(written_by_another, "file"));
  has("file", "from the other");
}

static void positions(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(write(fd, "0123456789", 10));
  int same = (int)OK(dup(fd));
  SAME(lseek(same, 2, SEEK_SET), 2);
  char byte;
  SAME(read(fd, &byte, 1), 1);
  SAME(byte, '2');
  SAME(lseek(same, 0, SEEK_CUR), 3);
  SAME(lseek(fd, -1, SEEK_END), 9);
  SAME(lseek(fd, 100, SEEK_SET), 100);
  SAME(read(fd, &byte, 1), 0);
  OK(write(fd, "x", 1));
  SAME(fstat_of(fd).st_size, 101);
  OK(close(fd));
  OK(close(same));
}

static void copies(void) {
  static char block[100000], found[100000];
  fill(block, sizeof block, 5);
  int from = (int)OK(open("from", O_CREAT | O_RDWR, 0644));
  write_all(from, block, sizeof block);
  int to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
  off_t at = 0;
  while (at < (off_t)sizeof block) TRUE(sendfile(to, from, &at, sizeof block - (size_t)at) > 0);
  SAME(pread(to, found, sizeof found, 0), sizeof found);
  SAME(memcmp(found, block, sizeof found), 0);
  OK(ftruncate(to, 0));
  loff_t source = 0, target = 10;
  while (source < (loff_t)sizeof block)
    TRUE(OK(copy_file_range(from, &source, to, &target, sizeof block - (size_t)source, 0)) > 0);
  SAME(pread(to, found, sizeof found, 10), sizeof found);
  SAME(memcmp(found, block, sizeof found), 0);
  int pipe_[2];
  OK(pipe(pipe_));
  source = 0;
  SAME(splice(from, &source, pipe_[1], NULL, 4096, 0), 4096);
  target = 0;
  SAME(splice(pipe_[0], NULL, to, &target, 4096, 0), 4096);
  SAME(pread(to, found, 4096, 0), 4096);
  SAME(memcmp(found, block, 4096), 0);
  close(pipe_[0]);
  close(pipe_[1]);
  OK(close(from));
  OK(close(to));
}

/* ---- mappings ---- */

static char *mapped(int fd, size_t size, int protection, int flags) {
  char *map = mmap(NULL, size, protection, flags, fd, 0);
  if (map == MAP_FAILED)
    fail(__FILE__, __LINE__, "mmap: expected success, got %s", error_name(errno));
  return map;
}

static void mapped_private(void) {
  static char block[10000];
  fill(block, sizeof block, 1);
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  write_all(fd, block, sizeof block);
  char *map = mapped(fd, sizeof block, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  OK(close(fd));
  SAME(memcmp(map, block, sizeof block), 0);
  map[5] = 'X';
  SAME(map[sizeof block], 0);
  OK(munmap(map, sizeof block));
  fd = (int)OK(open("file", O_RDONLY));
  char byte;
  SAME(pread(fd, &byte, 1, 5), 1);
  SAME(byte, block[5]);
  OK(close(fd));
}

static void mapped_shared(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(ftruncate(fd, 8192));
  char *map = mapped(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
  memcpy(map + 4090, "across pages", 12);
  char found[16];
  SAME(pread(fd, found, 12, 4090), 12);
  SAME(memcmp(found, "across pages", 12), 0);
  SAME(pwrite(fd, "written", 7, 100), 7);
  SAME(memcmp(map + 100, "written", 7), 0);
  OK(msync(map, 8192, MS_SYNC));
  OK(munmap(map, 8192));
  OK(close(fd));
  fd = (int)OK(open("file", O_RDONLY));
  SAME(pread(fd, found, 12, 4090), 12);
  SAME(memcmp(found, "across pages", 12), 0);
  OK(close(fd));
}

static void mapped_after_close(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(ftruncate(fd, 4096));
  char *map = mapped(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  OK(close(fd));
  strcpy(map, "after close");
  OK(unlink("file"));
  strcat(map, " and unlink");
  OK(msync(map, 4096, MS_SYNC));
  SAME(strcmp(map, "after close and unlink"), 0);
  OK(munmap(map, 4096));
}

static void mapped_by_another(void *argument) {
  (void)argument;
  int fd = (int)OK(open("file", O_RDWR));
  char *map = mapped(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  SAME(strcmp(map, "one"), 0);
  strcpy(map, "two");
  OK(munmap(map, 4096));
}

static void mapped_by_two(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(ftruncate(fd, 4096));
  char *map = mapped(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  strcpy(map, "one");
  join(spawn(mapped_by_another, NULL));
  SAME(strcmp(map, "two"), 0);
  OK(munmap(map, 4096));
  OK(close(fd));
}

static void mapped_changes_times(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(ftruncate(fd, 4096));
  struct stat before = fstat_of(fd);
  char *map = mapped(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  tick();
  map[0] = 'x';
  OK(msync(map, 4096, MS_SYNC));
  OK(munmap(map, 4096));
  LATER(fstat_of(fd).st_mtim, before.st_mtim);
  OK(close(fd));
}

static void mapped_access(void) {
  put("file", "text");
  int fd = (int)OK(open("file", O_RDONLY));
  FAILS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
  char *map = mapped(fd, 4096, PROT_READ, MAP_SHARED);
  SAME(memcmp(map, "text", 5), 0);
  OK(munmap(map, 4096));
  OK(close(fd));
}

static const struct test TESTS[] = {
    {"vectors", vectors},
    {"sizes", sizes},
    {"two descriptors", two_descriptors},
    {"two processes", two_processes},
    {"positions", positions},
    {"copies", copies},
    {"private mapping", mapped_private},
    {"shared mapping", mapped_shared},
    {"mapping after close", mapped_after_close},
    {"mapping of two processes", mapped_by_two},
    {"mapping changes times", mapped_changes_times},
    {"mapping and access", mapped_access},
};

PART(DATA, "data", TESTS, ORDINARY);
