/* Listing folders: complete, once each, while they change, and from any place on. */
#include "suite.h"

/* More than one answer of a server holds. */
enum { MANY = 200 };

static void make_many(const char *folder, int count) {
  char name[300];
  OK(mkdir(folder, 0755));
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/entry-%04d-%.*s", folder, i, i, long_name(200));
    OK(close((int)OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
  }
}

static DIR *opened(const char *name) {
  DIR *folder = opendir(name);
  if (folder == NULL)
    fail(__FILE__, __LINE__, "opendir(\"%s\"): expected success, got %s", name, error_name(errno));
  return folder;
}

static int number_of(const struct dirent *entry) {
  int number = -1;
  sscanf(entry->d_name, "entry-%d", &number);
  return number;
}

static void complete(void) {
  make_many("folder", MANY);
  int seen[MANY] = {0};
  int dots = 0;
  DIR *folder = opened("folder");
  for (struct dirent *entry; errno = 0, (entry = readdir(folder)) != NULL;) {
    int number = number_of(entry);
    if (number >= 0 && number < MANY)
      seen[number]++;
    else
      dots++;
  }
  SAME_ERROR(errno, 0);
  closedir(folder);
  SAME(dots, 2);
  for (int i = 0; i < MANY; i++) SAME(seen[i], 1);
}

static void kinds(void) {
  static const unsigned char TYPES[KINDS] = {DT_REG, DT_DIR,  DT_FIFO, DT_BLK,
                                             DT_CHR, DT_SOCK, DT_LNK};
  for (int kind = 0; kind < KINDS; kind++) make((enum kind)kind, KIND_NAMES[kind]);
  int count = 0;
  DIR *folder = opened(".");
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    for (int kind = 0; kind < KINDS; kind++) {
      if (strcmp(entry->d_name, KIND_NAMES[kind]) != 0) continue;
      if (entry->d_type != DT_UNKNOWN) SAME(entry->d_type, TYPES[kind]);
      count++;
    }
  }
  closedir(folder);
  SAME(count, KINDS);
}

static void numbers(void) {
  for (int kind = 0; kind < KINDS; kind++) make((enum kind)kind, KIND_NAMES[kind]);
  DIR *folder = opened(".");
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (strcmp(entry->d_name, "..") == 0) continue;
    SAME(entry->d_ino, lstat_of(entry->d_name).st_ino);
  }
  closedir(folder);
}

static void dots(void) {
  OK(mkdir("folder", 0755));
  DIR *folder = opened("folder");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL; count++)
    TRUE(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
  closedir(folder);
  SAME(count, 2);
  SAME(stat_of("folder/..").st_ino, stat_of(".").st_ino);
  SAME(stat_of("folder/.").st_ino, stat_of("folder").st_ino);
}

static void seeks(void) {
  make_many("folder", MANY);
  static long positions[MANY + 3];
  static char names[MANY + 3][256];
  DIR *folder = opened("folder");
  int count = 0;
  for (struct dirent *entry;;) {
    positions[count] = telldir(folder);
    if ((entry = readdir(folder)) == NULL) break;
    strcpy(names[count++], entry->d_name);
    TRUE(count <= MANY + 2);
  }
  SAME(count, MANY + 2);
  struct random random = {settings.seed};
  for (int i = 0; i < 40; i++) {
    int at = (int)below(&random, (uint64_t)count);
    seekdir(folder, positions[at]);
    struct dirent *entry = readdir(folder);
    TRUE(entry != NULL);
    SAME(strcmp(entry->d_name, names[at]), 0);
  }
  seekdir(folder, positions[count]);
  TRUE(readdir(folder) == NULL);
  closedir(folder);
}

static void rewound(void) {
  make_many("folder", 5);
  DIR *folder = opened("folder");
  int count = 0;
  while (readdir(folder) != NULL) count++;
  SAME(count, 7);
  put("folder/new", "");
  OK(unlink("folder/entry-0000-"));
  rewinddir(folder);
  int found = 0, gone = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    found += strcmp(entry->d_name, "new") == 0;
    gone += number_of(entry) == 0;
  }
  SAME(found, 1);
  SAME(gone, 0);
  closedir(folder);
}

static void removed_while_listed(void) {
  make_many("folder", MANY);
  DIR *folder = opened("folder");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (number_of(entry) < 0) continue;
    OK(unlinkat(dirfd(folder), entry->d_name, 0));
    count++;
  }
  closedir(folder);
  SAME(count, MANY);
  OK(rmdir("folder"));
}

static void changed_while_listed(void) {
  /* What was there all the time is seen once, whatever else comes and goes. */
  make_many("folder", MANY);
  int seen[MANY] = {0};
  char name[64];
  DIR *folder = opened("folder");
  int made = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    int number = number_of(entry);
    if (number >= 0 && number < MANY) seen[number]++;
    if (made < 50) {
      snprintf(name, sizeof name, "folder/other-%d", made++);
      put(name, "");
      if (made % 2 == 0) OK(unlink(name));
    }
  }
  closedir(folder);
  for (int i = 0; i < MANY; i++) SAME(seen[i], 1);
}

static void renamed_while_listed(void) {
  make_many("folder", 50);
  DIR *folder = opened("folder");
  TRUE(readdir(folder) != NULL);
  OK(rename("folder", "moved"));
  int count = 1;
  while (readdir(folder) != NULL) count++;
  SAME(count, 52);
  put("moved/new", "");
  rewinddir(folder);
  for (count = 0; readdir(folder) != NULL;) count++;
  SAME(count, 53);
  closedir(folder);
}

static void removed_while_open(void) {
  OK(mkdir("folder", 0755));
  DIR *folder = opened("folder");
  OK(rmdir("folder"));
  int count = 0;
  while (readdir(folder) != NULL) count++;
  TRUE(count <= 2);
  closedir(folder);
}

static void two_readers(void) {
  make_many("folder", 100);
  DIR *a = opened("folder"), *b = opened("folder");
  int counts[2] = {0};
  for (int going = 1; going;) {
    going = 0;
    if (readdir(a) != NULL) counts[0]++, going = 1;
    if (readdir(b) != NULL) counts[1]++, going = 1;
  }
  closedir(a);
  closedir(b);
  SAME(counts[0], 102);
  SAME(counts[1], 102);
}

static void small_buffer(void) {
  make_many("folder", 60);
  int fd = (int)OK(open("folder", O_RDONLY | O_DIRECTORY));
  char buffer[100];
  int count = 0;
  for (long size; (size = OK(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0;)
    for (long at = 0; at < size; count++) at += *(unsigned short *)(void *)(buffer + at + 16);
  SAME(count, 62);
  FAILS(lseek(fd, 0, SEEK_SET) + syscall(SYS_getdents64, fd, buffer, 10), EINVAL);
  OK(close(fd));
}

static void removed_tree(void) {
  char path[256] = "tree";
  OK(mkdir(path, 0755));
  for (int i = 0; i < 10; i++) {
    char name[300];
    for (int j = 0; j < 8; j++) {
      snprintf(name, sizeof name, "%s/file-%d", path, j);
      put(name, "");
    }
    strcat(path, "/inner");
    OK(mkdir(path, 0755));
  }
  OK(remove_tree("tree"));
  TRUE(!EXISTS("tree"));
}

static const struct test TESTS[] = {
    {"complete", complete},
    {"kinds", kinds},
    {"inode numbers", numbers},
    {"dots", dots},
    {"telldir and seekdir", seeks},
    {"rewinddir", rewound},
    {"entries removed while listed", removed_while_listed},
    {"entries changed while listed", changed_while_listed},
    {"renamed while listed", renamed_while_listed},
    {"removed while open", removed_while_open},
    {"two readers", two_readers},
    {"small buffer", small_buffer},
    {"a tree is removed", removed_tree},
};

PART(FOLDERS, "folders", TESTS, ORDINARY);
