/*
 * What the file-system exercise does that a shell cannot, as one static program that runs both in
 * the guest and on the host:
 *
 *   helper mktree DIR COUNT all|plain   a tree of COUNT entries, the same for every run;
 *                                       "plain" has regular files and folders only
 *   helper manifest DIR                 one line per entry: path in hex, type, mode, links, size, hash
 *   helper mkmany DIR COUNT             COUNT empty files
 *   helper socket FILE                  a socket that nobody listens on
 *   helper names DIR                    the names in DIR, each ended by NUL, in getdents order
 *   helper bigwrite FILE OFFSET         64 KiB of a pattern at OFFSET
 *   helper bigcheck FILE OFFSET         whether they are there, with nothing before and after
 *   helper check NAME DIR [DIR2]        one named check; status 1 and a reason if it fails
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...) {
  int error = errno;
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  printf(" (errno %d: %s)\n", error, strerror(error));
  exit(1);
}

/* Fails the program unless the condition holds; the errno told is the last one, if any. */
#define REQUIRE(condition, ...)         \
  do {                                  \
    if (!(condition)) die(__VA_ARGS__); \
  } while (0)

/* Requires a call to fail with one of two errors. */
#define REFUSED(call, one, other)                                                  \
  do {                                                                             \
    errno = 0;                                                                     \
    long result_ = (long)(call);                                                   \
    if (result_ != -1 || (errno != (one) && errno != (other)))                     \
      die("%s gave %ld, expected it to be refused with errno %d", #call, result_, one); \
  } while (0)

static uint64_t fnv(uint64_t hash, const void *data, size_t size) {
  const unsigned char *bytes = data;
  for (size_t at = 0; at < size; at++) hash = (hash ^ bytes[at]) * 0x100000001b3u;
  return hash;
}

#define FNV_START 0xcbf29ce484222325u

static unsigned char pattern(uint64_t seed, uint64_t at) {
  uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + at * 0xbf58476d1ce4e5b9u;
  return (unsigned char)((x ^ (x >> 29)) >> 13);
}

static void fill(unsigned char *buffer, size_t size, uint64_t seed) {
  for (size_t at = 0; at < size; at++) buffer[at] = pattern(seed, at);
}

static void write_all(int fd, const void *data, size_t size, const char *name) {
  const char *bytes = data;
  while (size > 0) {
    ssize_t count = write(fd, bytes, size);
    if (count <= 0) die("write to %s gave %zd", name, count);
    bytes += count;
    size -= (size_t)count;
  }
}

static size_t read_all(int fd, void *data, size_t size, const char *name) {
  size_t have = 0;
  while (have < size) {
    ssize_t count = read(fd, (char *)data + have, size - have);
    if (count < 0) die("read of %s failed", name);
    if (count == 0) break;
    have += (size_t)count;
  }
  return have;
}

static void make_file(const char *path, uint64_t seed, size_t size, mode_t mode) {
  unsigned char *buffer = malloc(size + 1);
  fill(buffer, size, seed);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) die("cannot create %s", path);
  write_all(fd, buffer, size, path);
  if (fchmod(fd, mode) != 0) die("cannot chmod %s", path);
  if (close(fd) != 0) die("cannot close %s", path);
  free(buffer);
}

/* ---- trees ---- */

static const char *const ODD_NAMES[] = {
    "with space", "new\nline",  "-dash",        "quote'\"`$(x)", "star*?[a]",
    "back\\slash", "\xff\xfe not utf-8 \x80", "tab\tbell\a", "...",   "\xc3\xbcml\xc3\xa4ut",
    "tail ",      "#hash~",    "\x01\x02\x7f", "a:b;c,d=e",
};
#define ODD_COUNT (sizeof ODD_NAMES / sizeof *ODD_NAMES)

static int make_tree(const char *root, unsigned count, int plain) {
  static const mode_t MODES[] = {0644, 0600, 0755, 0444, 0640};
  char path[8192], previous[8192] = "", folder[4096];
  REQUIRE(mkdir(root, 0755) == 0, "cannot make %s", root);
  unsigned made = 0;
  for (unsigned index = 0; made < count; index++) {
    if (index % 50 == 0) {
      snprintf(folder, sizeof folder, "%s/folder %u", root, index / 50);
      REQUIRE(mkdir(folder, 0755) == 0, "cannot make %s", folder);
      if (++made == count) break;
    }
    snprintf(path, sizeof path, "%s/file-%u", folder, index);
    if (index < ODD_COUNT) {
      snprintf(path, sizeof path, "%s/%s", folder, ODD_NAMES[index]);
    } else if (index == ODD_COUNT) {
      size_t length = strlen(folder);
      snprintf(path, sizeof path, "%s/", folder);
      memset(path + length + 1, 'L', 255);
      path[length + 1 + 255] = 0;
    }
    if (!plain && index % 20 == 17) {
      const char *target = index % 40 == 17 ? "nowhere/at all" : strrchr(previous, '/') + 1;
      REQUIRE(symlink(target, path) == 0, "cannot make symbolic link %s", path);
    } else if (!plain && index % 25 == 23) {
      REQUIRE(link(previous, path) == 0, "cannot link %s", path);
    } else if (index == 40) {
      /* Sparse: data at the start, in the middle and at the end of 4 MiB. */
      int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
      REQUIRE(pwrite(fd, "start", 5, 0) == 5, "cannot write %s", path);
      REQUIRE(pwrite(fd, "middle", 6, 2 << 20) == 6, "cannot write %s", path);
      REQUIRE(pwrite(fd, "end", 3, (4 << 20) - 3) == 3, "cannot write %s", path);
      close(fd);
    } else {
      size_t size = index % 31 == 5 ? 0 : index % 997 == 99 ? 300001 : (index * 379) % 5000;
      make_file(path, index, size, MODES[index % 5]);
      strcpy(previous, path);
    }
    made++;
  }
  return 0;
}

static char **lines;
static size_t line_count, line_room;

static void add_line(char *line) {
  if (line_count == line_room) {
    line_room = line_room ? line_room * 2 : 1024;
    lines = realloc(lines, line_room * sizeof *lines);
  }
  lines[line_count++] = line;
}

static int compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t hash_file(int folder, const char *name) {
  static unsigned char buffer[256 * 1024];
  int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW);
  if (fd < 0) die("cannot open %s", name);
  uint64_t hash = FNV_START;
  ssize_t count;
  while ((count = read(fd, buffer, sizeof buffer)) > 0) hash = fnv(hash, buffer, (size_t)count);
  if (count < 0) die("cannot read %s", name);
  close(fd);
  return hash;
}

static void list_tree(int parent, const char *name, const char *hexpath) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) die("cannot open folder %s", name);
  DIR *folder = fdopendir(fd);
  struct dirent *entry;
  errno = 0;
  while ((entry = readdir(folder)) != NULL) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    struct stat info;
    if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      die("cannot stat %s", entry->d_name);
    }
    size_t length = strlen(hexpath);
    char *hex = malloc(length + 2 * strlen(entry->d_name) + 2);
    strcpy(hex, hexpath);
    for (const char *byte = entry->d_name; *byte; byte++) {
      length += (size_t)sprintf(hex + length, "%02x", (unsigned char)*byte);
    }
    char *line = malloc(length + 100);
    unsigned mode = info.st_mode & 07777, links = (unsigned)info.st_nlink;
    if (S_ISREG(info.st_mode)) {
      sprintf(line, "%s f %o %u %lld %016llx", hex, mode, links, (long long)info.st_size,
              (unsigned long long)hash_file(fd, entry->d_name));
    } else if (S_ISLNK(info.st_mode)) {
      char target[4097];
      ssize_t size = readlinkat(fd, entry->d_name, target, sizeof target);
      if (size < 0) die("cannot read link %s", entry->d_name);
      sprintf(line, "%s l 777 %u %zd %016llx", hex, links, size,
              (unsigned long long)fnv(FNV_START, target, (size_t)size));
    } else if (S_ISDIR(info.st_mode)) {
      sprintf(line, "%s d %o 0 0 0", hex, mode);
    } else {
      sprintf(line, "%s s %o %u 0 %o", hex, mode, links, info.st_mode & S_IFMT);
    }
    add_line(line);
    if (S_ISDIR(info.st_mode)) {
      strcpy(hex + length, "/");
      list_tree(fd, entry->d_name, hex);
    }
    free(hex);
    errno = 0;
  }
  if (errno != 0) die("cannot list %s", name);
  closedir(folder);
}

static int manifest(const char *root) {
  list_tree(AT_FDCWD, root, "");
  qsort(lines, line_count, sizeof *lines, compare_lines);
  for (size_t at = 0; at < line_count; at++) puts(lines[at]);
  return 0;
}

static int make_many(const char *root, unsigned count) {
  char path[4096];
  REQUIRE(mkdir(root, 0755) == 0, "cannot make %s", root);
  for (unsigned index = 0; index < count; index++) {
    /* Names of many lengths, so that entries straddle every boundary of a reply. */
    snprintf(path, sizeof path, "%s/%u-%.*s", root, index, (int)(index % 23),
             "abcdefghijklmnopqrstuvw");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) die("cannot create %s", path);
    close(fd);
  }
  return 0;
}

static int print_names(const char *root) {
  static char buffer[32768];
  int fd = open(root, O_RDONLY | O_DIRECTORY);
  if (fd < 0) die("cannot open %s", root);
  long count;
  while ((count = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < count;) {
      struct dirent64 *entry = (struct dirent64 *)(buffer + at);
      fwrite(entry->d_name, 1, strlen(entry->d_name) + 1, stdout);
      at += entry->d_reclen;
    }
  }
  if (count < 0) die("cannot list %s", root);
  return 0;
}

#define BIG_SIZE 65536

static int big_write(const char *path, off_t offset) {
  static unsigned char buffer[BIG_SIZE];
  fill(buffer, sizeof buffer, 5);
  int fd = open(path, O_WRONLY | O_CREAT, 0644);
  REQUIRE(fd >= 0, "cannot create %s", path);
  for (size_t at = 0; at < sizeof buffer;) {
    ssize_t count = pwrite(fd, buffer + at, sizeof buffer - at, offset + (off_t)at);
    if (count <= 0) die("write at %lld gave %zd", (long long)offset, count);
    at += (size_t)count;
  }
  REQUIRE(close(fd) == 0, "cannot close %s", path);
  return 0;
}

static int big_check(const char *path, off_t offset) {
  static unsigned char wanted[BIG_SIZE], buffer[BIG_SIZE * 2];
  fill(wanted, sizeof wanted, 5);
  int fd = open(path, O_RDONLY);
  REQUIRE(fd >= 0, "cannot open %s", path);
  struct stat info;
  REQUIRE(fstat(fd, &info) == 0 && info.st_size == offset + BIG_SIZE, "size is %lld",
          (long long)info.st_size);
  REQUIRE(lseek(fd, offset - 4096, SEEK_SET) == offset - 4096, "cannot seek");
  size_t count = read_all(fd, buffer, sizeof buffer, path);
  REQUIRE(count == BIG_SIZE + 4096, "read %zu bytes at the end", count);
  for (size_t at = 0; at < 4096; at++) REQUIRE(buffer[at] == 0, "hole has a byte at %zu", at);
  REQUIRE(memcmp(buffer + 4096, wanted, BIG_SIZE) == 0, "data differs");
  /* Where an offset cut to 32 bits would lead. */
  REQUIRE(pread(fd, buffer, 4096, offset & 0xffffffff) == 4096, "cannot read the hole");
  for (size_t at = 0; at < 4096; at++) REQUIRE(buffer[at] == 0, "hole was written at %zu", at);
  return 0;
}

/* ---- checks ---- */

static void enter(const char *folder) {
  REQUIRE(chdir(folder) == 0, "cannot enter %s", folder);
}

static void put_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) die("cannot create %s", path);
  write_all(fd, text, strlen(text), path);
  if (close(fd) != 0) die("cannot close %s", path);
}

static void want_text(int fd, const char *text, const char *when) {
  char buffer[256] = "";
  ssize_t count = pread(fd, buffer, sizeof buffer - 1, 0);
  if (count != (ssize_t)strlen(text) || strcmp(buffer, text) != 0) {
    die("%s: read %zd bytes \"%s\", expected \"%s\"", when, count, buffer, text);
  }
}

static void want_file(const char *path, const char *text, const char *when) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) die("%s: cannot open %s", when, path);
  want_text(fd, text, when);
  close(fd);
}

static long long size_of(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) die("fstat failed");
  return info.st_size;
}

static void check_append(void) {
  put_text("log", "start");
  int one = open("log", O_WRONLY | O_APPEND), two = open("log", O_WRONLY | O_APPEND);
  REQUIRE(one >= 0 && two >= 0, "cannot open for appending");
  write_all(one, "-one", 4, "log");
  write_all(two, "-two", 4, "log");
  REQUIRE(lseek(one, 0, SEEK_SET) == 0, "cannot seek");
  write_all(one, "-three", 6, "log");
  close(one);
  close(two);
  want_file("log", "start-one-two-three", "after appending");
}

static void check_truncate(void) {
  put_text("cut", "0123456789");
  REQUIRE(truncate("cut", 4) == 0, "truncate failed");
  want_file("cut", "0123", "after truncate");
  REQUIRE(truncate("cut", 6) == 0, "truncate to grow failed");
  int fd = open("cut", O_RDWR);
  char buffer[8];
  REQUIRE(pread(fd, buffer, 8, 0) == 6 && memcmp(buffer, "0123\0\0", 6) == 0, "grown part is no zeros");
  REQUIRE(ftruncate(fd, 2) == 0 && size_of(fd) == 2, "ftruncate left %lld bytes", size_of(fd));
  REQUIRE(pwrite(fd, "end", 3, 100) == 3 && size_of(fd) == 103, "write beyond the end left %lld bytes",
          size_of(fd));
  REQUIRE(pread(fd, buffer, 8, 50) == 8 && memcmp(buffer, "\0\0\0\0\0\0\0", 8) == 0, "gap is no zeros");
  REQUIRE(pread(fd, buffer, 8, 103) == 0, "read at the end gave bytes");
  REQUIRE(pread(fd, buffer, 8, 1000) == 0, "read beyond the end gave bytes");
  close(fd);
  close(open("cut", O_WRONLY | O_TRUNC));
  struct stat info;
  REQUIRE(stat("cut", &info) == 0 && info.st_size == 0, "O_TRUNC left %lld bytes", (long long)info.st_size);
}

static void check_create(void) {
  int fd = open("once", O_RDWR | O_CREAT | O_EXCL, 0640);
  REQUIRE(fd >= 0, "cannot create");
  write_all(fd, "abc", 3, "once");
  want_text(fd, "abc", "through the creating descriptor");
  struct stat info;
  REQUIRE(fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 07777) == 0640,
          "mode is %o", info.st_mode);
  close(fd);
  REFUSED(open("once", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST, EEXIST);
  REFUSED(open("absent", O_RDONLY), ENOENT, ENOENT);
  REFUSED(open("once/below", O_RDONLY), ENOTDIR, ENOTDIR);
  REFUSED(open(".", O_WRONLY), EISDIR, EISDIR);
  REFUSED(open("once", O_RDONLY | O_DIRECTORY), ENOTDIR, ENOTDIR);
  /* A file without any permission can still be written by who created it. */
  fd = open("closed", O_RDWR | O_CREAT | O_EXCL, 0);
  REQUIRE(fd >= 0, "cannot create with mode 0");
  write_all(fd, "x", 1, "closed");
  close(fd);
  REQUIRE(unlink("closed") == 0, "cannot remove");
}

static void check_vectors(void) {
  static unsigned char out[300000], in[300000];
  fill(out, sizeof out, 9);
  int fd = open("vectors", O_RDWR | O_CREAT, 0644);
  struct iovec parts[3] = {{out, 1}, {out + 1, 200000}, {out + 200001, 99999}};
  ssize_t count = writev(fd, parts, 3);
  REQUIRE(count == sizeof out, "writev wrote %zd bytes", count);
  struct iovec views[2] = {{in, 123457}, {in + 123457, 300000 - 123457}};
  REQUIRE(lseek(fd, 0, SEEK_SET) == 0, "cannot seek");
  count = readv(fd, views, 2);
  REQUIRE(count == sizeof in, "readv read %zd bytes", count);
  REQUIRE(memcmp(in, out, sizeof in) == 0, "data differs");
  /* Odd sizes at odd offsets. */
  for (size_t at = 1; at < 100000; at += 7919) {
    REQUIRE(pread(fd, in, 4099, (off_t)at) == 4099, "pread at %zu is short", at);
    REQUIRE(memcmp(in, out + at, 4099) == 0, "data differs at %zu", at);
  }
  REQUIRE(fsync(fd) == 0, "fsync failed");
  REQUIRE(fdatasync(fd) == 0, "fdatasync failed");
  close(fd);
}

static void check_rename(void) {
  put_text("from", "from");
  REQUIRE(rename("from", "to") == 0, "rename failed");
  want_file("to", "from", "after rename");
  REFUSED(open("from", O_RDONLY), ENOENT, ENOENT);
  REQUIRE(mkdir("one", 0755) == 0 && mkdir("two", 0755) == 0, "mkdir failed");
  REQUIRE(rename("to", "one/moved") == 0, "rename to another folder failed");
  want_file("one/moved", "from", "after moving");
  REQUIRE(mkdir("one/deep", 0755) == 0, "mkdir failed");
  put_text("one/deep/leaf", "leaf");
  int held = open("one/deep/leaf", O_RDWR);
  REQUIRE(held >= 0, "cannot open the leaf");
  REQUIRE(rename("one/deep", "two/deeper") == 0, "rename of a folder failed");
  want_file("two/deeper/leaf", "leaf", "below a moved folder");
  want_text(held, "leaf", "through a descriptor from before the move");
  REQUIRE(pwrite(held, "LEAF", 4, 0) == 4, "write through it failed");
  close(held);
  want_file("two/deeper/leaf", "LEAF", "after a write from before the move");
  REFUSED(rename("one", "two"), ENOTEMPTY, EEXIST);
  REFUSED(rename("two", "two/deeper/x"), EINVAL, EINVAL);
  REFUSED(rename("absent", "other"), ENOENT, ENOENT);
  REFUSED(rename("one/moved", "two"), EISDIR, EISDIR);
  REFUSED(rename("two", "one/moved"), ENOTDIR, ENOTDIR);
}

/* What the 9P2000 dialect can say: a new name in the same folder. */
static void check_rename_here(void) {
  put_text("from", "from");
  int held = open("from", O_RDONLY);
  REQUIRE(rename("from", "to") == 0, "rename failed");
  want_file("to", "from", "after rename");
  want_text(held, "from", "through a descriptor from before");
  close(held);
  REFUSED(open("from", O_RDONLY), ENOENT, ENOENT);
}

static void check_rename_over_open(void) {
  put_text("target", "old");
  put_text("source", "new text");
  int held = open("target", O_RDWR);
  REQUIRE(held >= 0, "cannot open");
  REQUIRE(rename("source", "target") == 0, "rename over an open file failed");
  want_text(held, "old", "through the descriptor of the replaced file");
  REQUIRE(pwrite(held, "OLD", 3, 0) == 3, "write to the replaced file failed");
  want_text(held, "OLD", "through the descriptor after writing");
  want_file("target", "new text", "under the name");
  close(held);
  want_file("target", "new text", "after closing the replaced file");
}

static void check_unlinked_open(void) {
  int fd = open("gone", O_RDWR | O_CREAT, 0644);
  REQUIRE(fd >= 0, "cannot create");
  write_all(fd, "before-", 7, "gone");
  REQUIRE(unlink("gone") == 0, "cannot unlink an open file");
  REFUSED(open("gone", O_RDONLY), ENOENT, ENOENT);
  write_all(fd, "after", 5, "gone");
  want_text(fd, "before-after", "through the descriptor of an unlinked file");
  struct stat info;
  REQUIRE(fstat(fd, &info) == 0, "fstat of an unlinked open file failed");
  REQUIRE(info.st_size == 12, "fstat of an unlinked open file says %lld bytes", (long long)info.st_size);
  REQUIRE(ftruncate(fd, 6) == 0, "ftruncate of an unlinked open file failed");
  REQUIRE(fchmod(fd, 0600) == 0, "fchmod of an unlinked open file failed");
  want_text(fd, "before", "after ftruncate");
  put_text("gone", "another");
  want_text(fd, "before", "beside a new file of the same name");
  REQUIRE(close(fd) == 0, "close failed");
  want_file("gone", "another", "the new file");
}

static void check_folders(void) {
  REQUIRE(mkdir("outer", 0750) == 0, "mkdir failed");
  struct stat info;
  REQUIRE(stat("outer", &info) == 0 && S_ISDIR(info.st_mode) && (info.st_mode & 0777) == 0750,
          "mode is %o", info.st_mode);
  REFUSED(mkdir("outer", 0755), EEXIST, EEXIST);
  put_text("outer/file", "x");
  REFUSED(rmdir("outer"), ENOTEMPTY, EEXIST);
  REFUSED(rmdir("outer/file"), ENOTDIR, ENOTDIR);
  REFUSED(unlink("outer"), EISDIR, EPERM);
  REFUSED(rmdir("absent"), ENOENT, ENOENT);
  REQUIRE(unlink("outer/file") == 0 && rmdir("outer") == 0, "cannot remove");
  REFUSED(stat("outer", &info), ENOENT, ENOENT);
  /* More levels than one Twalk may name. */
  char path[1024] = "level";
  for (int depth = 0; depth < 40; depth++) {
    REQUIRE(mkdir(path, 0755) == 0, "mkdir at depth %d failed", depth);
    strcat(path, "/level");
  }
  put_text(path, "deep");
  want_file(path, "deep", "40 folders down");
  for (int depth = 0; depth <= 40; depth++) {
    REQUIRE((depth == 0 ? unlink(path) : rmdir(path)) == 0, "cannot remove %s", path);
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
  }
}

static void check_rewind(void) {
  char name[300];
  REQUIRE(mkdir("many", 0755) == 0, "mkdir failed");
  for (int index = 0; index < 100; index++) {
    sprintf(name, "many/%d", index);
    put_text(name, "");
  }
  DIR *folder = opendir("many");
  for (int round = 0; round < 2; round++) {
    int count = 0;
    struct dirent *listed;
    /* The dialect 9P2000 has no "." and "..", and v9fs makes none up. */
    while ((listed = readdir(folder)) != NULL) count += listed->d_name[0] != '.';
    REQUIRE(count == 100, "round %d listed %d entries", round, count);
    rewinddir(folder);
  }
  /* Removing while listing must reach every entry. */
  int removed = 0;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    sprintf(name, "many/%s", entry->d_name);
    REQUIRE(unlink(name) == 0, "cannot remove %s", name);
    removed++;
  }
  closedir(folder);
  REQUIRE(removed == 100, "listing while removing met %d of 100 entries", removed);
  REQUIRE(rmdir("many") == 0, "the folder is not empty");
}

static void check_links(void) {
  char target[1001], back[1100];
  memset(target, 't', 1000);
  for (int at = 100; at < 1000; at += 100) target[at] = '/';
  target[1000] = 0;
  REQUIRE(symlink(target, "long") == 0, "symlink failed");
  ssize_t size = readlink("long", back, sizeof back);
  REQUIRE(size == 1000 && memcmp(back, target, 1000) == 0, "readlink gave %zd bytes", size);
  struct stat info;
  REQUIRE(lstat("long", &info) == 0 && S_ISLNK(info.st_mode) && info.st_size == 1000,
          "lstat says %o, %lld bytes", info.st_mode, (long long)info.st_size);
  REQUIRE(symlink("/etc/passwd", "absolute") == 0, "symlink failed");
  size = readlink("absolute", back, sizeof back);
  REQUIRE(size == 11 && memcmp(back, "/etc/passwd", 11) == 0, "readlink gave %zd bytes", size);
  put_text("file", "through");
  REQUIRE(symlink("file", "near") == 0, "symlink failed");
  want_file("near", "through", "through a symbolic link");
  REQUIRE(symlink("loop", "loop") == 0, "symlink failed");
  REFUSED(open("loop", O_RDONLY), ELOOP, ELOOP);
  REFUSED(symlink("x", "file"), EEXIST, EEXIST);
  REQUIRE(unlink("near") == 0 && stat("file", &info) == 0, "unlink removed the target");
}

static void check_hard_links(void) {
  struct stat one, two;
  put_text("first", "shared");
  REQUIRE(link("first", "second") == 0, "link failed");
  REQUIRE(stat("first", &one) == 0 && stat("second", &two) == 0, "stat failed");
  REQUIRE(one.st_ino == two.st_ino, "inode numbers differ");
  REQUIRE(two.st_nlink == 2, "link count is %u", (unsigned)two.st_nlink);
  REFUSED(link("first", "second"), EEXIST, EEXIST);
  put_text("first", "changed");
  want_file("second", "changed", "through the second name");
  REQUIRE(unlink("first") == 0, "unlink failed");
  want_file("second", "changed", "after removing the first name");
}

static void check_chmod(void) {
  static const mode_t MODES[] = {0600, 0755, 0444, 0, 0777, 04755, 02755, 0640};
  struct stat info;
  put_text("file", "x");
  REQUIRE(mkdir("folder", 0755) == 0, "mkdir failed");
  for (size_t at = 0; at < sizeof MODES / sizeof *MODES; at++) {
    REQUIRE(chmod("file", MODES[at]) == 0, "chmod %o failed", MODES[at]);
    REQUIRE(stat("file", &info) == 0 && info.st_mode == (S_IFREG | MODES[at]), "mode is %o, not %o",
            info.st_mode, MODES[at]);
  }
  REQUIRE(chmod("folder", 01777) == 0, "chmod of a folder failed");
  REQUIRE(stat("folder", &info) == 0 && info.st_mode == (S_IFDIR | 01777), "mode is %o", info.st_mode);
}

static void check_chown(void) {
  struct stat info;
  put_text("file", "x");
  REQUIRE(chown("file", 1234, 5678) == 0, "chown failed");
  REQUIRE(stat("file", &info) == 0 && info.st_uid == 1234 && info.st_gid == 5678, "owner is %u:%u",
          info.st_uid, info.st_gid);
  REQUIRE(chown("file", (uid_t)-1, 42) == 0, "chown of the group failed");
  REQUIRE(stat("file", &info) == 0 && info.st_uid == 1234 && info.st_gid == 42, "owner is %u:%u",
          info.st_uid, info.st_gid);
  REQUIRE(symlink("file", "link") == 0 && lchown("link", 77, 88) == 0, "lchown failed");
  REQUIRE(lstat("link", &info) == 0 && info.st_uid == 77 && info.st_gid == 88,
          "owner of the link is %u:%u", info.st_uid, info.st_gid);
  REQUIRE(stat("file", &info) == 0 && info.st_uid == 1234, "lchown changed the target");
}

static int is_or_zero(long value, long wanted) { return value == wanted || value == 0; }

static const struct timespec STAMPS[2] = {{1111111111, 123456789}, {5555555555, 987654321}};

/* Two halves: the host stamps, the guest looks. */
static void check_stamp(void) {
  put_text("stamped", "x");
  REQUIRE(utimensat(AT_FDCWD, "stamped", STAMPS, 0) == 0, "utimensat failed");
}

static void check_stamped(void) {
  struct stat info;
  REQUIRE(stat("stamped", &info) == 0, "stat failed");
  REQUIRE(memcmp(&info.st_atim, &STAMPS[0], sizeof STAMPS[0]) == 0, "atime is %ld.%09ld",
          (long)info.st_atim.tv_sec, info.st_atim.tv_nsec);
  REQUIRE(memcmp(&info.st_mtim, &STAMPS[1], sizeof STAMPS[1]) == 0, "mtime is %ld.%09ld",
          (long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

static void check_times(void) {
  struct stat info;
  put_text("file", "x");
  struct timespec times[2] = {{1000000001, 123456789}, {1500000000, 987654321}};
  REQUIRE(utimensat(AT_FDCWD, "file", times, 0) == 0, "utimensat failed");
  REQUIRE(stat("file", &info) == 0, "stat failed");
  /* v9fs of Linux 6.1 cuts what it sets to seconds; "stamped" checks the other direction. */
  REQUIRE(info.st_atim.tv_sec == 1000000001 && is_or_zero(info.st_atim.tv_nsec, 123456789),
          "atime is %ld.%09ld", (long)info.st_atim.tv_sec, info.st_atim.tv_nsec);
  REQUIRE(info.st_mtim.tv_sec == 1500000000 && is_or_zero(info.st_mtim.tv_nsec, 987654321),
          "mtime is %ld.%09ld", (long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  struct timespec one[2] = {{0, UTIME_OMIT}, {5000000000, 0}};
  REQUIRE(utimensat(AT_FDCWD, "file", one, 0) == 0, "utimensat failed");
  REQUIRE(stat("file", &info) == 0 && info.st_mtim.tv_sec == 5000000000, "mtime after 2038 is %ld",
          (long)info.st_mtim.tv_sec);
  REQUIRE(info.st_atim.tv_sec == 1000000001, "UTIME_OMIT changed atime to %ld", (long)info.st_atim.tv_sec);
  REQUIRE(utimensat(AT_FDCWD, "file", NULL, 0) == 0, "utimensat to now failed");
  /* The clocks of guest and host are near each other, not equal. */
  REQUIRE(stat("file", &info) == 0 && labs((long)(info.st_mtim.tv_sec - time(NULL))) < 600,
          "mtime now is %ld", (long)info.st_mtim.tv_sec);
}

static void check_statfs(void) {
  struct statfs info;
  REQUIRE(statfs(".", &info) == 0, "statfs failed");
  REQUIRE(info.f_blocks > 0 && info.f_bsize >= 512 && info.f_bavail <= info.f_blocks,
          "statfs says %lu blocks of %ld, %lu available", (unsigned long)info.f_blocks,
          (long)info.f_bsize, (unsigned long)info.f_bavail);
  REQUIRE(info.f_namelen >= 255 && info.f_namelen < 65536, "names may have %ld bytes",
          (long)info.f_namelen);
  char name[300];
  memset(name, 'n', sizeof name);
  name[256] = 0;
  REFUSED(open(name, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG, ENAMETOOLONG);
}

static void check_fifo(void) {
  struct stat info;
  char buffer[8] = "";
  REQUIRE(mknod("pipe", S_IFIFO | 0640, 0) == 0, "mknod failed");
  REQUIRE(lstat("pipe", &info) == 0 && info.st_mode == (S_IFIFO | 0640), "mode is %o", info.st_mode);
  int fd = open("pipe", O_RDWR | O_NONBLOCK);
  REQUIRE(fd >= 0, "cannot open");
  REQUIRE(write(fd, "hello", 5) == 5 && read(fd, buffer, 8) == 5 && !strcmp(buffer, "hello"),
          "the guest's own pipe does not work");
  close(fd);
  REQUIRE(unlink("pipe") == 0, "cannot remove");
}

static void check_direct(void) {
  char *buffer = NULL;
  REQUIRE(posix_memalign((void **)&buffer, 4096, 8192) == 0, "no memory");
  memset(buffer, 'd', 8192);
  int fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
  REQUIRE(fd >= 0, "open with O_DIRECT failed");
  REQUIRE(pwrite(fd, buffer, 8192, 0) == 8192, "write failed");
  memset(buffer, 0, 8192);
  REQUIRE(pread(fd, buffer, 8192, 0) == 8192 && buffer[0] == 'd' && buffer[8191] == 'd', "read failed");
  close(fd);
}

#define MAP_SIZE (3 * 4096 + 100)

/* A file whose contents the host compares with the same pattern afterwards. */
static void check_mmap_shared(void) {
  static unsigned char wanted[MAP_SIZE];
  int fd = open("mapped", O_RDWR | O_CREAT, 0644);
  REQUIRE(ftruncate(fd, MAP_SIZE) == 0, "ftruncate failed");
  unsigned char *view = mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(view != MAP_FAILED, "a writable shared mapping is refused");
  fill(view, MAP_SIZE, 11);
  REQUIRE(msync(view, MAP_SIZE, MS_SYNC) == 0, "msync failed");
  fill(wanted, MAP_SIZE, 11);
  REQUIRE(memcmp(view, wanted, MAP_SIZE) == 0, "the mapping differs after msync");
  REQUIRE(munmap(view, MAP_SIZE) == 0 && close(fd) == 0, "munmap or close failed");
  static unsigned char back[MAP_SIZE];
  fd = open("mapped", O_RDONLY);
  REQUIRE(read_all(fd, back, MAP_SIZE, "mapped") == MAP_SIZE, "the file is short");
  REQUIRE(memcmp(back, wanted, MAP_SIZE) == 0, "the file differs from the mapping");
}

static void check_mmap_written(void) {
  static unsigned char wanted[MAP_SIZE], back[MAP_SIZE + 1];
  fill(wanted, MAP_SIZE, 11);
  int fd = open("mapped", O_RDONLY);
  REQUIRE(read_all(fd, back, MAP_SIZE + 1, "mapped") == MAP_SIZE, "the file has another size");
  REQUIRE(memcmp(back, wanted, MAP_SIZE) == 0, "the file differs from what was mapped");
}

static void check_mmap_private(void) {
  static unsigned char wanted[MAP_SIZE];
  fill(wanted, MAP_SIZE, 12);
  int fd = open("private", O_RDWR | O_CREAT, 0644);
  write_all(fd, wanted, MAP_SIZE, "private");
  unsigned char *view = mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  REQUIRE(view != MAP_FAILED, "a private mapping is refused");
  REQUIRE(memcmp(view, wanted, MAP_SIZE) == 0, "the mapping differs from the file");
  view[0] ^= 1;
  unsigned char first;
  REQUIRE(pread(fd, &first, 1, 0) == 1 && first == wanted[0], "a private change reached the file");
}

/*
 * ---- locks: DIR and DIR2 are two mounts of the same export ----
 *
 * Every holder is a process of its own: a server may take what one process locks through two mounts
 * for the locks of one owner.
 */

enum { SHARED = F_RDLCK, EXCLUSIVE = F_WRLCK, NOTHING = F_UNLCK };

struct request {
  enum { RECORD, WHOLE, CLOSE } kind;
  int command; /* F_SETLK, F_SETLKW or F_GETLK */
  int type;
  off_t start, length;
};

struct answer {
  int error; /* 0 or an errno */
  struct flock found;
};

struct holder {
  pid_t process;
  int requests, answers;
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void serve_locks(const char *path, int requests, int answers) {
  int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0) die("cannot open %s", path);
  struct request request;
  while (read(requests, &request, sizeof request) == sizeof request) {
    struct answer answer = {.found = {.l_type = (short)request.type,
                                      .l_whence = SEEK_SET,
                                      .l_start = request.start,
                                      .l_len = request.length}};
    int result;
    if (request.kind == CLOSE) {
      result = close(fd);
    } else if (request.kind == WHOLE) {
      int type = request.type == NOTHING ? LOCK_UN : request.type == SHARED ? LOCK_SH : LOCK_EX;
      result = flock(fd, type | (request.command == F_SETLKW ? 0 : LOCK_NB));
    } else {
      result = fcntl(fd, request.command, &answer.found);
    }
    answer.error = result == 0 ? 0 : errno;
    if (write(answers, &answer, sizeof answer) != sizeof answer) break;
  }
  _exit(0);
}

static struct holder start_holder(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int down[2], up[2];
  REQUIRE(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0, "no pipe");
  fflush(stdout);
  pid_t process = fork();
  REQUIRE(process >= 0, "cannot fork");
  if (process == 0) {
    /* A check that fails must leave nobody behind who keeps a mount busy. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(down[1]);
    close(up[0]);
    serve_locks(path, down[0], up[1]);
  }
  close(down[0]);
  close(up[1]);
  return (struct holder){process, down[1], up[0]};
}

static void send_request(struct holder *holder, struct request request) {
  REQUIRE(write(holder->requests, &request, sizeof request) == sizeof request, "a holder is gone");
}

/* Whether an answer came in time. */
static int take_answer(struct holder *holder, double seconds, struct answer *answer) {
  struct pollfd ready = {.fd = holder->answers, .events = POLLIN};
  if (poll(&ready, 1, (int)(seconds * 1000)) != 1) return 0;
  REQUIRE(read(holder->answers, answer, sizeof *answer) == sizeof *answer, "a holder ended");
  return 1;
}

/* The longest that v9fs sleeps before it asks a server again that answered "blocked" is 30 s. */
#define LONG_WAIT 45

/* The errno of a request that must be answered at once. */
static int ask(struct holder *holder, struct request request, struct answer *answer) {
  send_request(holder, request);
  if (!take_answer(holder, 20, answer)) die("a lock request that must not wait took over 20 s");
  return answer->error;
}

static int try_lock(struct holder *holder, int kind, int type, off_t start, off_t length) {
  struct answer answer;
  return ask(holder, (struct request){kind, F_SETLK, type, start, length}, &answer);
}

static void end_holder(struct holder *holder) {
  /* Closing its pipes would not do: later holders inherited them. */
  kill(holder->process, SIGKILL);
  close(holder->requests);
  close(holder->answers);
  waitpid(holder->process, NULL, 0);
}

#define GRANTED(who, kind, type, start, length, ...)                \
  do {                                                              \
    errno = try_lock(who, kind, type, start, length);               \
    if (errno != 0) die(__VA_ARGS__);                               \
  } while (0)

#define DENIED(who, kind, type, start, length, ...)                 \
  do {                                                              \
    errno = try_lock(who, kind, type, start, length);               \
    if (errno != EAGAIN && errno != EACCES) die(__VA_ARGS__);       \
  } while (0)

static void lock_contest(const char *one, const char *two, int kind, const char *name) {
  struct holder a = start_holder(one, name), b = start_holder(two, name);
  struct answer answer;
  GRANTED(&a, kind, EXCLUSIVE, 0, 0, "the first lock is refused");
  DENIED(&b, kind, EXCLUSIVE, 0, 0, "an exclusive lock is granted beside another");
  DENIED(&b, kind, SHARED, 0, 0, "a shared lock is granted beside an exclusive one");
  GRANTED(&a, kind, NOTHING, 0, 0, "unlocking failed");
  GRANTED(&b, kind, EXCLUSIVE, 0, 0, "the lock is refused after it was released");
  DENIED(&a, kind, EXCLUSIVE, 0, 0, "the lock is granted back while another holds it");
  REQUIRE(ask(&b, (struct request){.kind = CLOSE}, &answer) == 0, "close failed");
  GRANTED(&a, kind, EXCLUSIVE, 0, 0, "the lock is refused after its holder closed the file");
  end_holder(&b);

  b = start_holder(two, name);
  send_request(&b, (struct request){kind, F_SETLKW, EXCLUSIVE, 0, 0});
  if (take_answer(&b, 1.5, &answer)) die("a waiting lock ended while another was held");
  GRANTED(&a, kind, NOTHING, 0, 0, "unlocking failed");
  double start = now();
  if (!take_answer(&b, LONG_WAIT, &answer)) die("a waiting lock was not granted after the release");
  errno = answer.error;
  REQUIRE(errno == 0, "a waiting lock failed");
  printf("waited %.2f s after the release\n", now() - start);
  DENIED(&a, kind, EXCLUSIVE, 0, 0, "the lock that was waited for is not held");

  /* A holder that ends without unlocking leaves nothing behind. */
  end_holder(&b);
  GRANTED(&a, kind, EXCLUSIVE, 0, 0, "the lock is refused after its holder was killed");

  /* A waiter that is killed gets nothing and leaves nothing behind. */
  b = start_holder(two, name);
  send_request(&b, (struct request){kind, F_SETLKW, EXCLUSIVE, 0, 0});
  if (take_answer(&b, 1, &answer)) die("a waiting lock ended while another was held");
  start = now();
  end_holder(&b);
  REQUIRE(now() - start < 10, "a killed waiter took %.1f s to end", now() - start);
  GRANTED(&a, kind, NOTHING, 0, 0, "unlocking failed");
  b = start_holder(two, name);
  GRANTED(&b, kind, EXCLUSIVE, 0, 0, "the lock is refused after a waiter was killed");
  end_holder(&b);
  GRANTED(&a, kind, EXCLUSIVE, 0, 0, "the lock is refused at the end");
  end_holder(&a);
}

static void check_flock(const char *one, const char *two) {
  lock_contest(one, two, WHOLE, "flock");
  struct holder a = start_holder(one, "flock"), b = start_holder(two, "flock");
  GRANTED(&a, WHOLE, SHARED, 0, 0, "a shared lock is refused");
  GRANTED(&b, WHOLE, SHARED, 0, 0, "a second shared lock is refused");
  DENIED(&b, WHOLE, EXCLUSIVE, 0, 0, "an exclusive lock is granted beside a shared one");
  end_holder(&a);
  GRANTED(&b, WHOLE, EXCLUSIVE, 0, 0, "an only shared lock cannot become exclusive");
  end_holder(&b);
}

static void check_records(const char *one, const char *two) {
  lock_contest(one, two, RECORD, "records");
  struct holder a = start_holder(one, "records"), b = start_holder(two, "records");
  struct answer answer;
  GRANTED(&a, RECORD, EXCLUSIVE, 0, 10, "lock of [0, 10) is refused");
  GRANTED(&b, RECORD, EXCLUSIVE, 10, 10, "lock of [10, 20) is refused beside [0, 10)");
  DENIED(&b, RECORD, EXCLUSIVE, 5, 10, "lock of [5, 15) is granted over [0, 10)");
  DENIED(&b, RECORD, SHARED, 9, 1, "shared lock of [9, 10) is granted over [0, 10)");
  struct request question = {RECORD, F_GETLK, EXCLUSIVE, 0, 5};
  REQUIRE(ask(&b, question, &answer) == 0, "F_GETLK failed");
  REQUIRE(answer.found.l_type == F_WRLCK && answer.found.l_start == 0 && answer.found.l_len == 10,
          "F_GETLK found type %d at %lld, %lld bytes", answer.found.l_type,
          (long long)answer.found.l_start, (long long)answer.found.l_len);
  question.start = 30;
  REQUIRE(ask(&b, question, &answer) == 0 && answer.found.l_type == F_UNLCK,
          "F_GETLK found what nobody holds");
  /* Unlocking the middle splits. */
  GRANTED(&a, RECORD, NOTHING, 3, 4, "unlocking [3, 7) failed");
  GRANTED(&b, RECORD, EXCLUSIVE, 3, 4, "lock of the freed middle is refused");
  DENIED(&b, RECORD, EXCLUSIVE, 2, 1, "lock of what is left before the middle is granted");
  DENIED(&b, RECORD, EXCLUSIVE, 7, 1, "lock of what is left behind the middle is granted");
  /* Shared ones, and offsets beyond 32 bits. */
  off_t far = (off_t)6 << 30;
  GRANTED(&a, RECORD, SHARED, far, 100, "a shared lock at 6 GiB is refused");
  GRANTED(&b, RECORD, SHARED, far, 100, "a second shared lock at 6 GiB is refused");
  DENIED(&b, RECORD, EXCLUSIVE, far, 100, "an exclusive lock is granted beside a shared one");
  GRANTED(&b, RECORD, EXCLUSIVE, far & 0xffffffff, 100, "a lock where 32 bits would lead is refused");
  end_holder(&a);
  GRANTED(&b, RECORD, EXCLUSIVE, 0, 0, "a lock of everything is refused to the only holder");
  end_holder(&b);
}

struct check {
  const char *name;
  void (*alone)(void);
  void (*paired)(const char *, const char *);
};

static const struct check CHECKS[] = {
    {"append", check_append, NULL},
    {"truncate", check_truncate, NULL},
    {"create", check_create, NULL},
    {"vectors", check_vectors, NULL},
    {"rename", check_rename, NULL},
    {"rename-here", check_rename_here, NULL},
    {"rename-over-open", check_rename_over_open, NULL},
    {"unlinked-open", check_unlinked_open, NULL},
    {"folders", check_folders, NULL},
    {"rewind", check_rewind, NULL},
    {"links", check_links, NULL},
    {"hard-links", check_hard_links, NULL},
    {"chmod", check_chmod, NULL},
    {"chown", check_chown, NULL},
    {"times", check_times, NULL},
    {"stamp", check_stamp, NULL},
    {"stamped", check_stamped, NULL},
    {"statfs", check_statfs, NULL},
    {"fifo", check_fifo, NULL},
    {"direct", check_direct, NULL},
    {"mmap-shared", check_mmap_shared, NULL},
    {"mmap-written", check_mmap_written, NULL},
    {"mmap-private", check_mmap_private, NULL},
    {"flock", NULL, check_flock},
    {"records", NULL, check_records},
};

static int run_check(const char *name, const char *folder, const char *second) {
  umask(0);
  for (size_t at = 0; at < sizeof CHECKS / sizeof *CHECKS; at++) {
    if (strcmp(CHECKS[at].name, name) != 0) continue;
    if (CHECKS[at].paired != NULL) {
      REQUIRE(second != NULL, "check %s takes two folders", name);
      CHECKS[at].paired(folder, second);
    } else {
      enter(folder);
      CHECKS[at].alone();
    }
    return 0;
  }
  printf("no check %s\n", name);
  return 2;
}

int main(int count, char **words) {
  const char *command = count > 2 ? words[1] : "";
  umask(0);
  if (!strcmp(command, "mktree") && count == 5) {
    return make_tree(words[2], (unsigned)atoi(words[3]), !strcmp(words[4], "plain"));
  }
  if (!strcmp(command, "manifest") && count == 3) return manifest(words[2]);
  if (!strcmp(command, "socket") && count == 3) {
    REQUIRE(mknod(words[2], S_IFSOCK | 0640, 0) == 0, "cannot make socket %s", words[2]);
    return 0;
  }
  if (!strcmp(command, "mkmany") && count == 4) return make_many(words[2], (unsigned)atoi(words[3]));
  if (!strcmp(command, "names") && count == 3) return print_names(words[2]);
  if (!strcmp(command, "bigwrite") && count == 4) return big_write(words[2], atoll(words[3]));
  if (!strcmp(command, "bigcheck") && count == 4) return big_check(words[2], atoll(words[3]));
  if (!strcmp(command, "check") && count >= 4) {
    return run_check(words[2], words[3], count > 4 ? words[4] : NULL);
  }
  fprintf(stderr, "usage: helper mktree|manifest|mkmany|socket|names|bigwrite|bigcheck|check ...\n");
  return 2;
}
