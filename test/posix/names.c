/* Names: every byte, every length, deep folders. */
#include "suite.h"

static int found_in_folder(const char *name) {
  DIR *folder = opendir(".");
  TRUE(folder != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
    count += strcmp(entry->d_name, name) == 0;
  closedir(folder);
  return count;
}

/* Makes, finds, renames and removes an entry of that name. */
static void used(const char *name) {
  put(name, "text");
  has(name, "text");
  SAME(found_in_folder(name), 1);
  OK(rename(name, "other"));
  TRUE(!EXISTS(name));
  OK(rename("other", name));
  OK(unlink(name));
  OK(mkdir(name, 0755));
  SAME(found_in_folder(name), 1);
  OK(rmdir(name));
  SAME(found_in_folder(name), 0);
}

static void every_byte(void) {
  /* All in one folder, so that one listing shows them. */
  char name[4] = "";
  int made = 0;
  for (int byte = 1; byte < 256; byte++) {
    if (byte == '/' || byte == '.') continue;
    name[0] = (char)byte;
    OK(close((int)OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
    made++;
  }
  char seen[256] = {0};
  DIR *folder = opendir(".");
  TRUE(folder != NULL);
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (strlen(entry->d_name) == 1) seen[(unsigned char)entry->d_name[0]]++;
  }
  closedir(folder);
  for (int byte = 1; byte < 256; byte++)
    if (byte != '/' && byte != '.') SAME(seen[byte], 1);
  for (int byte = 1; byte < 256; byte++) {
    if (byte == '/' || byte == '.') continue;
    name[0] = (char)byte;
    OK(unlink(name));
    made--;
  }
  SAME(made, 0);
}

static void odd(void) {
  static const char *const NAMES_[] = {
      "...",      ".hidden",      "..double", " ",         " lead",        "trail ",
      "a\nb",     "\xff\xfe\x80", "\xc3\xa4", "a\xcc\x88", "\xed\xa0\x80", "\xf4\x90\x80\x80",
      "\xc0\xaf", "\xe2\x82",     "C:\\x",    "con",       "-rf",          "*",
      "a;b",      "\x7f\x01",
  };
  for (unsigned i = 0; i < sizeof NAMES_ / sizeof *NAMES_; i++) used(NAMES_[i]);
}

static void told_apart(void) {
  /* Case, composed and decomposed letters, and bytes that no UTF-8 has. */
  static const char *const PAIRS[][2] = {{"name", "Name"}, {"\xc3\xa4", "a\xcc\x88"},
                                         {"\xff", "\xfe"}, {"\x80", "\xef\xbf\xbd"},
                                         {"a", "a "},      {"\xff", "\xed\xb3\xbf"}};
  for (unsigned i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
    put(PAIRS[i][0], "first");
    put(PAIRS[i][1], "second");
    has(PAIRS[i][0], "first");
    has(PAIRS[i][1], "second");
    OK(unlink(PAIRS[i][0]));
    has(PAIRS[i][1], "second");
    OK(unlink(PAIRS[i][1]));
  }
}

static void longest(void) {
  used(long_name(NAME_MAX));
  OK(mkdir(long_name(NAME_MAX), 0755));
  OK(rmdir(long_name(NAME_MAX)));
  OK(symlink("x", long_name(NAME_MAX)));
  OK(unlink(long_name(NAME_MAX)));
  /* Bytes count, not letters. */
  char name[NAME_MAX + 1];
  for (int i = 0; i < NAME_MAX; i += 3) memcpy(name + i, "\xe2\x82\xac", 3);
  name[NAME_MAX] = 0;
  used(name);
  memset(name, 0xff, NAME_MAX);
  used(name);
}

static void too_long(void) {
  put("file", "");
  FAILS(mkdir(long_name(256), 0755), ENAMETOOLONG);
  FAILS(open(long_name(256), O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
  FAILS(rename("file", long_name(256)), ENAMETOOLONG);
  FAILS(link("file", long_name(256)), ENAMETOOLONG);
  FAILS(stat(long_name(1000), &(struct stat){0}), ENAMETOOLONG);
  FAILS(mkdir(long_name(4000), 0755), ENAMETOOLONG);
}

static void longest_path(void) {
  char path[PATH_MAX + 2];
  OK(mkdir("folder", 0755));
  /* "folder/././…/x" of PATH_MAX bytes with its NUL, and one more. */
  strcpy(path, "folder/");
  while (strlen(path) + 2 < PATH_MAX - 2) strcat(path, "./");
  strcat(path, strlen(path) == PATH_MAX - 2 ? "x" : "xy");
  SAME(strlen(path), PATH_MAX - 1);
  put(path, "text");
  has(path, "text");
  strcat(path, "z");
  FAILS(open(path, O_RDONLY), ENAMETOOLONG);
}

enum { DEPTH = 40 };

static void deep(void) {
  /* Deeper than any path can say. */
  const char *name = long_name(200);
  for (int i = 0; i < DEPTH; i++) {
    OK(mkdir(name, 0755));
    OK(chdir(name));
  }
  put("file", "text");
  has("file", "text");
  char path[PATH_MAX];
  path[0] = 0;
  for (int i = 0; i < 10; i++) strcat(path, "../");
  strcat(path, ".");
  TRUE(stat_of(path).st_ino != stat_of(".").st_ino);
  OK(rename("file", "../file"));
  OK(chdir(".."));
  has("file", "text");
}

static void many_steps(void) {
  /* More steps than one message of a walk can hold. */
  char path[512] = "";
  int folder = AT_FDCWD;
  for (int i = 0; i < 40; i++) {
    OK(mkdirat(folder, "d", 0755));
    folder = (int)OK(openat(folder, "d", O_PATH));
    strcat(path, "d/");
  }
  strcat(path, "file");
  put(path, "text");
  has(path, "text");
  strcat(path, "x");
  FAILS(open(path, O_RDONLY), ENOENT);
}

static const struct test TESTS[] = {
    {"every byte", every_byte},
    {"odd", odd},
    {"told apart", told_apart},
    {"longest", longest},
    {"too long", too_long},
    {"longest path", longest_path},
    {"deep", deep},
    {"many steps", many_steps},
};

PART(NAMES, "names", TESTS, ORDINARY);
