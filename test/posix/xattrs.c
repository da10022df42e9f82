/* Extended attributes. */
#include "suite.h"

#include <sys/xattr.h>

/* Requires the value of an attribute to be a text. */
static void value_is(const char *file, const char *name, const char *text) {
  char found[256];
  long size = getxattr(file, name, found, sizeof found);
  if (size == -1)
    fail(__FILE__, __LINE__, "getxattr of %s: expected success, got %s", name, error_name(errno));
  SAME(size, strlen(text));
  SAME(memcmp(found, text, (size_t)size), 0);
}

static int listed(const char *file, const char *name) {
  char list[8192];
  long size = OK(listxattr(file, list, sizeof list));
  int count = 0;
  for (long at = 0; at < size; at += (long)strlen(list + at) + 1)
    count += strcmp(list + at, name) == 0;
  return count;
}

static void exercised(const char *file) {
  FAILS(getxattr(file, "user.a", NULL, 0), ENODATA);
  OK(setxattr(file, "user.a", "value", 5, 0));
  value_is(file, "user.a", "value");
  SAME(listed(file, "user.a"), 1);
  OK(setxattr(file, "user.a", "other value", 11, 0));
  value_is(file, "user.a", "other value");
  OK(setxattr(file, "user.b", "b", 1, 0));
  SAME(listed(file, "user.a") + listed(file, "user.b"), 2);
  OK(removexattr(file, "user.a"));
  FAILS(getxattr(file, "user.a", NULL, 0), ENODATA);
  FAILS(removexattr(file, "user.a"), ENODATA);
  SAME(listed(file, "user.a"), 0);
  value_is(file, "user.b", "b");
}

static void of_files(void) {
  put("file", "");
  exercised("file");
}

static void of_folders(void) {
  OK(mkdir("folder", 0755));
  exercised("folder");
}

static void through_descriptor(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(fsetxattr(fd, "user.a", "value", 5, 0));
  char found[16];
  SAME(fgetxattr(fd, "user.a", found, sizeof found), 5);
  value_is("file", "user.a", "value");
  TRUE(flistxattr(fd, found, sizeof found) >= 7);
  OK(symlink("file", "link"));
  value_is("link", "user.a", "value");
  FAILS(lgetxattr("link", "user.a", NULL, 0), ENODATA);
  OK(fremovexattr(fd, "user.a"));
  FAILS(fgetxattr(fd, "user.a", found, sizeof found), ENODATA);
  OK(close(fd));
}

static void create_and_replace(void) {
  put("file", "");
  FAILS(setxattr("file", "user.a", "x", 1, XATTR_REPLACE), ENODATA);
  OK(setxattr("file", "user.a", "x", 1, XATTR_CREATE));
  FAILS(setxattr("file", "user.a", "y", 1, XATTR_CREATE), EEXIST);
  value_is("file", "user.a", "x");
  OK(setxattr("file", "user.a", "z", 1, XATTR_REPLACE));
  value_is("file", "user.a", "z");
  FAILS(setxattr("file", "user.a", "z", 1, 99), EINVAL);
}

static void empty(void) {
  put("file", "");
  OK(setxattr("file", "user.empty", "", 0, 0));
  SAME(getxattr("file", "user.empty", NULL, 0), 0);
  SAME(listed("file", "user.empty"), 1);
}

static void buffers(void) {
  put("file", "");
  OK(setxattr("file", "user.a", "value", 5, 0));
  char found[16];
  SAME(getxattr("file", "user.a", NULL, 0), 5);
  FAILS(getxattr("file", "user.a", found, 4), ERANGE);
  TRUE(listxattr("file", NULL, 0) >= 7);
  FAILS(listxattr("file", found, 3), ERANGE);
}

static void binary(void) {
  char value[256], found[256];
  for (int i = 0; i < 256; i++) value[i] = (char)i;
  put("file", "");
  OK(setxattr("file", "user.\xff\xfe b", value, sizeof value, 0));
  SAME(getxattr("file", "user.\xff\xfe b", found, sizeof found), 256);
  SAME(memcmp(found, value, 256), 0);
  SAME(listed("file", "user.\xff\xfe b"), 1);
}

static void sizes(void) {
  static char value[65537], found[65537];
  static const size_t SIZES_[] = {1, 100, 1000, 4000, 8192, 20000, 65535, 65536};
  for (size_t i = 0; i < sizeof value; i++) value[i] = (char)(i * 13);
  put("file", "");
  for (unsigned i = 0; i < sizeof SIZES_ / sizeof *SIZES_; i++) {
    OK(setxattr("file", "user.large", value, SIZES_[i], 0));
    SAME(getxattr("file", "user.large", NULL, 0), SIZES_[i]);
    SAME(getxattr("file", "user.large", found, sizeof found), SIZES_[i]);
    SAME(memcmp(found, value, SIZES_[i]), 0);
  }
  FAILS(setxattr("file", "user.large", value, 65537, 0), E2BIG);
}

static void names(void) {
  put("file", "");
  char name[300] = "user.";
  memset(name + 5, 'n', 250);
  OK(setxattr("file", name, "x", 1, 0));
  value_is("file", name, "x");
  SAME(listed("file", name), 1);
  name[255] = 'n';
  FAILS(setxattr("file", name, "x", 1, 0), ERANGE);
  FAILS(setxattr("file", "user.", "x", 1, 0), EINVAL);
  FAILS(setxattr("file", "", "x", 1, 0), ERANGE);
  FAILS(setxattr("file", "nothing.a", "x", 1, 0), EOPNOTSUPP);
}

static void many(void) {
  put("file", "");
  char name[64];
  for (int i = 0; i < 50; i++) {
    snprintf(name, sizeof name, "user.attribute-number-%d", i);
    OK(setxattr("file", name, name, strlen(name), 0));
  }
  for (int i = 0; i < 50; i++) {
    snprintf(name, sizeof name, "user.attribute-number-%d", i);
    value_is("file", name, name);
  }
  snprintf(name, sizeof name, "user.attribute-number-%d", 49);
  SAME(listed("file", name), 1);
}

static void user_namespace_kinds(void) {
  /* "user." is for files and folders; since Linux 7 for sockets, too. */
  make(FIFO, "fifo");
  make(SYMLINK, "link");
  FAILS(setxattr("fifo", "user.a", "x", 1, 0), EPERM);
  FAILS(lsetxattr("link", "user.a", "x", 1, 0), EPERM);
}

static void trusted(void) {
  put("file", "");
  OK(setxattr("file", "trusted.a", "value", 5, 0));
  value_is("file", "trusted.a", "value");
  become(ANN);
  FAILS(getxattr("file", "trusted.a", NULL, 0), ENODATA);
  FAILS(setxattr("file", "trusted.a", "x", 1, 0), EPERM);
  SAME(listed("file", "trusted.a"), 0);
}

static void security(void) {
  put("file", "");
  OK(setxattr("file", "security.virtfs", "value", 5, 0));
  value_is("file", "security.virtfs", "value");
  OK(removexattr("file", "security.virtfs"));
}

static void capability(void) {
  /* Version 2: CAP_NET_BIND_SERVICE may be used. A write takes it away. */
  static const unsigned char VALUE[20] = {1, 0, 0, 2, 0, 4};
  put("file", "");
  OK(setxattr("file", "security.capability", VALUE, sizeof VALUE, 0));
  unsigned char found[32];
  SAME(getxattr("file", "security.capability", found, sizeof found), 20);
  SAME(memcmp(found, VALUE, 20), 0);
}

static void of_users(void) {
  put("file", "");
  OK(chown("file", ANN, ANN));
  OK(setxattr("file", "user.a", "x", 1, 0));
  OK(chmod("file", 0600));
  become(BOB);
  FAILS(setxattr("file", "user.a", "y", 1, 0), EACCES);
  FAILS(getxattr("file", "user.a", NULL, 0), EACCES);
  FAILS(removexattr("file", "user.a"), EACCES);
  become(ROOT);
  OK(chmod("file", 0644));
  become(BOB);
  value_is("file", "user.a", "x");
  FAILS(setxattr("file", "user.a", "y", 1, 0), EACCES);
  become(ANN);
  OK(setxattr("file", "user.a", "y", 1, 0));
  OK(chmod("file", 0444));
  FAILS(setxattr("file", "user.a", "z", 1, 0), EACCES);
}

static void of_sticky_folders(void) {
  OK(mkdir("folder", 0777));
  OK(chmod("folder", 01777));
  become(ANN);
  FAILS(setxattr("folder", "user.a", "x", 1, 0), EPERM);
}

static void times(void) {
  put("file", "");
  struct stat before = stat_of("file");
  tick();
  OK(setxattr("file", "user.a", "x", 1, 0));
  struct stat after = stat_of("file");
  LATER(after.st_ctim, before.st_ctim);
  SAME_TIME(after.st_mtim, before.st_mtim);
  tick();
  OK(removexattr("file", "user.a"));
  LATER(stat_of("file").st_ctim, after.st_ctim);
}

static void stay(void) {
  put("file", "");
  OK(setxattr("file", "user.a", "value", 5, 0));
  OK(rename("file", "moved"));
  OK(link("moved", "linked"));
  OK(chmod("moved", 0600));
  OK(chown("moved", ANN, BOB));
  put("moved", "other");
  value_is("moved", "user.a", "value");
  value_is("linked", "user.a", "value");
  put("new", "");
  OK(rename("new", "moved"));
  FAILS(getxattr("moved", "user.a", NULL, 0), ENODATA);
  value_is("linked", "user.a", "value");
}

static const struct test TESTS[] = {
    {"of files", of_files},
    {"of folders", of_folders},
    {"through a descriptor or link", through_descriptor},
    {"create and replace", create_and_replace},
    {"empty value", empty},
    {"buffers", buffers},
    {"any bytes", binary},
    {"sizes", sizes},
    {"names", names},
    {"many", many},
    {"user namespace of other kinds", user_namespace_kinds},
    {"trusted namespace", trusted},
    {"security namespace", security},
    {"capability", capability},
    {"of users", of_users},
    {"of sticky folders", of_sticky_folders},
    {"times", times},
    {"stay with the file", stay},
};

PART(XATTRS, "xattrs", TESTS, ORDINARY);
