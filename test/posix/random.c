/*
 * Random work with a model: bytes of one file against a copy in memory, and trees of several
 * processes against a list of what must be there. The seed and the number of steps are arguments.
 */
#include "suite.h"

/* ---- one file ---- */

enum { LARGEST = 192 * 1024, MOST = 40 * 1024 };

struct shadow {
  int fd;
  off_t size;
  /* Whether shared mappings work here. */
  int can_map;
  unsigned step;
  struct random random;
  char bytes[LARGEST + MOST];
};

static struct shadow shadow;

static void reopen(void) {
  OK(close(shadow.fd));
  shadow.fd = (int)OK(open("file", O_RDWR));
}

static void compare(const char *what, const char *found, off_t at, size_t size) {
  if (memcmp(found, shadow.bytes + at, size) == 0) return;
  size_t i = 0;
  while (found[i] == shadow.bytes[at + (off_t)i]) i++;
  fail(__FILE__, __LINE__, "%s in step %u with seed %llu, byte at %lld: expected %d, got %d", what,
       shadow.step, (unsigned long long)settings.seed, (long long)at + (long long)i,
       shadow.bytes[at + (off_t)i], found[i]);
}

static void compare_all(const char *what) {
  static char found[LARGEST + MOST + 1];
  SAME(fstat_of(shadow.fd).st_size, shadow.size);
  OK(lseek(shadow.fd, 0, SEEK_SET));
  SAME(read_all(shadow.fd, found, sizeof found), shadow.size);
  compare(what, found, 0, (size_t)shadow.size);
}

/* New bytes for a range, in the shadow. */
static void scribble(off_t at, size_t size) {
  uint64_t seed = next_random(&shadow.random);
  for (size_t i = 0; i < size; i++)
    shadow.bytes[at + (off_t)i] = (char)(seed >> (i % 7 * 8)) ^ (char)i;
  if (at + (off_t)size > shadow.size) shadow.size = at + (off_t)size;
}

static void resize(off_t size) {
  if (size > shadow.size) memset(shadow.bytes + shadow.size, 0, (size_t)(size - shadow.size));
  shadow.size = size;
  /* What lies beyond the end comes back as zeros. */
  memset(shadow.bytes + size, 0, sizeof shadow.bytes - (size_t)size);
}

static void one_step(void) {
  struct random *random = &shadow.random;
  static char found[MOST];
  off_t at = (off_t)below(random, LARGEST);
  size_t size = below(random, 4) == 0 ? 1 + below(random, MOST - 1) : 1 + below(random, 5000);
  switch (below(random, 14)) {
    case 0:
    case 1:
    case 2:
    case 3: { /* read */
      ssize_t wanted = at >= shadow.size                ? 0
                       : shadow.size - at < (off_t)size ? shadow.size - at
                                                        : (ssize_t)size;
      SAME(pread(shadow.fd, found, size, at), wanted);
      compare("read", found, at, (size_t)wanted);
      break;
    }
    case 4:
    case 5:
    case 6:
    case 7: /* write */
      scribble(at, size);
      SAME(pwrite(shadow.fd, shadow.bytes + at, size, at), size);
      break;
    case 8: /* append */
      if (shadow.size + (off_t)size > LARGEST) break;
      at = shadow.size;
      scribble(at, size);
      OK(lseek(shadow.fd, 0, SEEK_END));
      write_all(shadow.fd, shadow.bytes + at, size);
      break;
    case 9: /* another size */
      resize(at);
      OK(below(random, 2) == 0 ? ftruncate(shadow.fd, at) : truncate("file", at));
      break;
    case 10: /* a write through another descriptor */
    {
      int fd = (int)OK(open("file", O_WRONLY));
      scribble(at, size);
      SAME(pwrite(fd, shadow.bytes + at, size, at), size);
      OK(close(fd));
      break;
    }
    case 11: /* a mapping, within the file */
    case 12: {
      if (!shadow.can_map || shadow.size == 0) break;
      if (at >= shadow.size) at = shadow.size - 1;
      if (at + (off_t)size > shadow.size) size = (size_t)(shadow.size - at);
      off_t start = at & ~(off_t)4095;
      size_t length = (size_t)(at - start) + size;
      char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, shadow.fd, start);
      SAME_ERROR(error_of(map == MAP_FAILED ? -1 : 0), 0);
      compare("mapping", map + (at - start), at, size);
      if (below(random, 2) == 0) {
        scribble(at, size);
        memcpy(map + (at - start), shadow.bytes + at, size);
      }
      OK(munmap(map, length));
      break;
    }
    default:
      if (below(random, 3) == 0)
        OK(fsync(shadow.fd));
      else if (below(random, 2) == 0)
        reopen();
      SAME(fstat_of(shadow.fd).st_size, shadow.size);
  }
}

static int can_map(int fd) {
  OK(ftruncate(fd, 4096));
  void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) munmap(map, 4096);
  OK(ftruncate(fd, 0));
  return map != MAP_FAILED;
}

static void one_file(void) {
  memset(&shadow, 0, sizeof shadow);
  shadow.random.state = settings.seed;
  shadow.fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  shadow.can_map = can_map(shadow.fd);
  for (shadow.step = 0; shadow.step < settings.steps * 4; shadow.step++) {
    one_step();
    if (shadow.step % 200 == 199) compare_all("all");
  }
  reopen();
  compare_all("all at the end");
  OK(close(shadow.fd));
}

/* ---- trees ---- */

enum { WORKERS = 3, SLOTS = 24, CHANGERS = 2 };

/* What a worker has at each of its names: kind, content, mode, and which names are one file. */
struct slot {
  int kind; /* -1: nothing; REGULAR, FOLDER, FIFO or SYMLINK */
  int file; /* names of one file have the same number */
  unsigned content;
  mode_t mode;
};

static void name_of(char *name, size_t size, int slot) { snprintf(name, size, "n%d", slot); }

static int links_of(const struct slot *slots, int file) {
  int count = 0;
  for (int i = 0; i < SLOTS; i++) count += slots[i].kind != -1 && slots[i].file == file;
  return count;
}

static void forget(struct slot *slot) { slot->kind = -1; }

/* Requires the tree to be what the model says. */
static void tree_is(const struct slot *slots) {
  char name[32], text[32];
  int wanted = 0, found = 0;
  for (int i = 0; i < SLOTS; i++) {
    name_of(name, sizeof name, i);
    if (slots[i].kind == -1) {
      TRUE(!EXISTS(name));
      continue;
    }
    wanted++;
    struct stat is = lstat_of(name);
    SAME_MODE(is.st_mode & S_IFMT, KIND_TYPES[slots[i].kind]);
    if (slots[i].kind != SYMLINK) SAME_MODE(is.st_mode & 07777, slots[i].mode);
    if (slots[i].kind != FOLDER) SAME(is.st_nlink, links_of(slots, slots[i].file));
    snprintf(text, sizeof text, "content %u", slots[i].content);
    if (slots[i].kind == REGULAR) has(name, text);
    if (slots[i].kind == SYMLINK) {
      char target[32] = "";
      OK(readlink(name, target, sizeof target - 1));
      SAME(strcmp(target, text), 0);
    }
    for (int j = 0; j < i; j++)
      if (slots[j].kind != -1)
        SAME(slots[j].file == slots[i].file, ({
               char other[32];
               name_of(other, sizeof other, j);
               lstat_of(other).st_ino == is.st_ino;
             }));
  }
  DIR *folder = opendir(".");
  TRUE(folder != NULL);
  while (readdir(folder) != NULL) found++;
  closedir(folder);
  SAME(found, wanted + 2);
}

static void change_tree(struct random *random, struct slot *slots, int *files) {
  char name[32], other[32], text[32];
  int a = (int)below(random, SLOTS), b = (int)below(random, SLOTS);
  name_of(name, sizeof name, a);
  name_of(other, sizeof other, b);
  struct slot *from = &slots[a], *to = &slots[b];
  unsigned content = (unsigned)below(random, 1000);
  snprintf(text, sizeof text, "content %u", content);
  switch (below(random, 9)) {
    case 0: /* make or write */
    case 1:
      if (from->kind == FOLDER || from->kind == FIFO || from->kind == SYMLINK) return;
      put(name, text);
      if (from->kind == -1) *from = (struct slot){REGULAR, ++*files, content, 0644};
      for (int i = 0; i < SLOTS; i++)
        if (slots[i].kind == REGULAR && slots[i].file == from->file) slots[i].content = content;
      return;
    case 2: {
      enum kind kind = (enum kind[]){FOLDER, FIFO, SYMLINK}[below(random, 3)];
      int error = error_of(kind == FOLDER ? mkdir(name, 0755)
                           : kind == FIFO ? mkfifo(name, 0644)
                                          : symlink(text, name));
      SAME_ERROR(error, from->kind == -1 ? 0 : EEXIST);
      if (error == 0)
        *from = (struct slot){(int)kind, ++*files, content, kind == FOLDER ? 0755 : 0644};
      return;
    }
    case 3: { /* remove */
      int error = error_of(unlink(name));
      SAME_ERROR(error, from->kind == -1 ? ENOENT : from->kind == FOLDER ? EISDIR : 0);
      if (error == EISDIR) OK(rmdir(name));
      forget(from);
      return;
    }
    case 4:
    case 5: { /* rename */
      int wanted = 0;
      if (from->kind == -1)
        wanted = ENOENT;
      else if (a == b)
        wanted = 0;
      else if (to->kind != -1 && from->kind == FOLDER && to->kind != FOLDER)
        wanted = ENOTDIR;
      else if (to->kind == FOLDER && from->kind != FOLDER)
        wanted = EISDIR;
      SAME_ERROR(error_of(rename(name, other)), wanted);
      if (wanted != 0 || a == b || (to->kind != -1 && to->file == from->file)) return;
      *to = *from;
      forget(from);
      return;
    }
    case 6: { /* link */
      int wanted = from->kind == -1       ? ENOENT
                   : to->kind != -1       ? EEXIST
                   : from->kind == FOLDER ? EPERM
                                          : 0;
      SAME_ERROR(error_of(link(name, other)), wanted);
      if (wanted == 0) *to = *from;
      return;
    }
    case 7: { /* chmod */
      if (from->kind == -1 || from->kind == SYMLINK) return;
      mode_t mode = (mode_t)(0600 + below(random, 0200));
      OK(chmod(name, mode));
      for (int i = 0; i < SLOTS; i++)
        if (slots[i].kind != -1 && slots[i].file == from->file) slots[i].mode = mode;
      return;
    }
    default: { /* over an open file */
      if (from->kind != REGULAR || links_of(slots, from->file) != 1) return;
      int fd = (int)OK(open(name, O_RDWR));
      OK(unlink(name));
      SAME(fstat_of(fd).st_nlink, 0);
      OK(write(fd, "gone", 4));
      OK(close(fd));
      forget(from);
    }
  }
}

static void work_alone(void *argument) {
  int worker = (int)(intptr_t)argument;
  char name[32];
  snprintf(name, sizeof name, "worker-%d", worker);
  OK(mkdir(name, 0755));
  OK(chdir(name));
  struct random random = {settings.seed * 1000 + (uint64_t)worker};
  struct slot slots[SLOTS];
  for (int i = 0; i < SLOTS; i++) forget(&slots[i]);
  int files = 0;
  for (unsigned step = 0; step < settings.steps / 3; step++) change_tree(&random, slots, &files);
  tree_is(slots);
}

static void own_trees(void) {
  pid_t workers[WORKERS];
  for (intptr_t i = 0; i < WORKERS; i++) workers[i] = spawn(work_alone, (void *)i);
  for (int i = 0; i < WORKERS; i++) join(workers[i]);
}

/* What may be answered when others change the same names; anything else is a fault. */
static void tolerated(long result) {
  if (result != -1) return;
  static const int ERRORS[] = {ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR,
                               EINVAL, ELOOP,  ESTALE,    EPERM,  EBUSY};
  for (unsigned i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
    if (errno == ERRORS[i]) return;
  fail(__FILE__, __LINE__, "a change beside others: expected a usual error, got %s",
       error_name(errno));
}

static void work_together(void *argument) {
  struct random random = {settings.seed * 2000 + (uint64_t)(intptr_t)argument};
  for (unsigned step = 0; step < settings.steps / 3; step++) {
    char name[64], other[64];
    snprintf(name, sizeof name, "d%d/n%d", (int)below(&random, 3), (int)below(&random, 6));
    snprintf(other, sizeof other, "d%d/n%d", (int)below(&random, 3), (int)below(&random, 6));
    switch (below(&random, 8)) {
      case 0:
      case 1: {
        int fd = open(name, O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0644);
        tolerated(fd);
        if (fd == -1) break;
        tolerated(write(fd, name, strlen(name)));
        tolerated(ftruncate(fd, 2));
        OK(close(fd));
        break;
      }
      case 2:
        tolerated(mkdir(name, 0755));
        break;
      case 3:
        tolerated(unlink(name));
        break;
      case 4:
        tolerated(rmdir(name));
        break;
      case 5:
        tolerated(rename(name, other));
        break;
      case 6:
        tolerated(link(name, other));
        break;
      default: {
        DIR *folder = opendir(name);
        if (folder == NULL) break;
        while (readdir(folder) != NULL) {
        }
        closedir(folder);
      }
    }
  }
}

static void shared_tree(void) {
  for (int i = 0; i < 3; i++) OK(mkdir((const char *[]){"d0", "d1", "d2"}[i], 0755));
  pid_t workers[CHANGERS];
  for (intptr_t i = 0; i < CHANGERS; i++) workers[i] = spawn(work_together, (void *)i);
  for (int i = 0; i < CHANGERS; i++) join(workers[i]);
  /* What is left can be looked at, is listed once, and goes. */
  for (int i = 0; i < 3; i++) {
    char path[300];
    snprintf(path, sizeof path, "d%d", i);
    DIR *folder = opendir(path);
    TRUE(folder != NULL);
    int inner = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
      if (entry->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "d%d/%s", i, entry->d_name);
      struct stat found = lstat_of(path);
      TRUE(found.st_nlink >= 1);
      inner += S_ISDIR(found.st_mode);
    }
    closedir(folder);
    snprintf(path, sizeof path, "d%d", i);
    SAME(stat_of(path).st_nlink, 2 + inner);
    OK(remove_tree(path));
  }
}

static const struct test TESTS[] = {
    {"bytes of one file", one_file},
    {"own trees of several processes", own_trees},
    {"one tree of several processes", shared_tree},
};

PART(RANDOM, "random", TESTS, ORDINARY);
