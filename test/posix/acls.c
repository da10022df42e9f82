/* POSIX access control lists, as setfacl and getfacl read and write them: the value of an
 * attribute. */
#include "suite.h"

#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP_ = 8, MASK = 16, OTHER = 32 };

struct entry {
  uint16_t tag;
  uint16_t bits;
  uint32_t id;
};

struct list {
  uint32_t version;
  struct entry entries[8];
};

static size_t size_of(int count) { return 4 + (size_t)count * sizeof(struct entry); }

static long set_list(const char *file, const char *name, int count, const struct entry *entries) {
  struct list list = {.version = 2};
  memcpy(list.entries, entries, (size_t)count * sizeof *entries);
  return setxattr(file, name, &list, size_of(count), 0);
}

static void must_set(int line, const char *file, const char *name, int count,
                     const struct entry *entries) {
  if (set_list(file, name, count, entries) != 0)
    fail(__FILE__, line, "setxattr of %s: expected success, got %s", name, error_name(errno));
}

#define SET(file, name, ...)                                                                 \
  must_set(__LINE__, file, name, sizeof(struct entry[]){__VA_ARGS__} / sizeof(struct entry), \
           (struct entry[]){__VA_ARGS__})

static void list_is(int line, const char *file, const char *name, int count,
                    const struct entry *wanted) {
  struct list found = {0};
  long size = getxattr(file, name, &found, sizeof found);
  if (size == -1)
    fail(__FILE__, line, "getxattr of %s: expected success, got %s", name, error_name(errno));
  if (size != (long)size_of(count))
    fail(__FILE__, line, "entries of %s: expected %d, got %ld", name, count, (size - 4) / 8);
  for (int i = 0; i < count; i++) {
    const struct entry *is = &found.entries[i];
    if (is->tag != wanted[i].tag || is->bits != wanted[i].bits || is->id != wanted[i].id)
      fail(__FILE__, line, "entry %d of %s: expected %u:%u:%o, got %u:%u:%o", i, name,
           wanted[i].tag, wanted[i].id, wanted[i].bits, is->tag, is->id, is->bits);
  }
}

#define LIST_IS(file, name, ...)                                                            \
  list_is(__LINE__, file, name, sizeof(struct entry[]){__VA_ARGS__} / sizeof(struct entry), \
          (struct entry[]){__VA_ARGS__})

#define NONE 0xffffffffu

static void set(void) {
  put("file", "");
  FAILS(getxattr("file", ACCESS, NULL, 0), ENODATA);
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 4, ANN}, {GROUP_OBJ, 4, NONE}, {MASK, 6, NONE},
      {OTHER, 0, NONE});
  LIST_IS("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 4, ANN}, {GROUP_OBJ, 4, NONE},
          {MASK, 6, NONE}, {OTHER, 0, NONE});
  /* The bits of the group show the mask. */
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0660);
  OK(removexattr("file", ACCESS));
  FAILS(getxattr("file", ACCESS, NULL, 0), ENODATA);
}

static void minimal(void) {
  /* What the mode alone says is the mode, and nothing is kept. */
  put("file", "");
  SET("file", ACCESS, {USER_OBJ, 7, NONE}, {GROUP_OBJ, 5, NONE}, {OTHER, 1, NONE});
  SAME_MODE(stat_of("file").st_mode, S_IFREG | 0751);
  FAILS(getxattr("file", ACCESS, NULL, 0), ENODATA);
}

static void malformed(void) {
  put("file", "");
  OK(mkdir("folder", 0755));
  FAILS(setxattr("file", ACCESS, "xxx", 3, 0), EINVAL);
  const struct entry no_mask[] = {
      {USER_OBJ, 6, NONE}, {USER, 4, ANN}, {GROUP_OBJ, 4, NONE}, {OTHER, 0, NONE}};
  FAILS(set_list("file", ACCESS, 4, no_mask), EINVAL);
  const struct entry plain[] = {{USER_OBJ, 6, NONE}, {GROUP_OBJ, 4, NONE}, {OTHER, 0, NONE}};
  FAILS(set_list("file", DEFAULT, 3, plain), EACCES);
  OK(set_list("folder", DEFAULT, 3, plain));
}

static void grants(void) {
  put("file", "text");
  OK(chmod("file", 0600));
  become(ANN);
  FAILS(open("file", O_RDONLY), EACCES);
  become(ROOT);
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 6, ANN}, {GROUP_OBJ, 0, NONE}, {MASK, 6, NONE},
      {OTHER, 0, NONE});
  become(ANN);
  OK(close((int)OK(open("file", O_RDWR))));
  become(BOB);
  FAILS(open("file", O_RDONLY), EACCES);
  become(ROOT);
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 6, ANN}, {GROUP_OBJ, 0, NONE}, {MASK, 4, NONE},
      {OTHER, 0, NONE});
  become(ANN);
  FAILS(open("file", O_RDWR), EACCES);
  has("file", "text");
}

static void denies(void) {
  put("file", "text");
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 0, ANN}, {GROUP_OBJ, 4, NONE}, {MASK, 4, NONE},
      {OTHER, 4, NONE});
  become(ANN);
  FAILS(open("file", O_RDONLY), EACCES);
  become(BOB);
  has("file", "text");
}

static void grants_group(void) {
  put("file", "text");
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {GROUP_OBJ, 0, NONE}, {GROUP_, 4, 4711}, {MASK, 4, NONE},
      {OTHER, 0, NONE});
  become_in(ANN, ANN, 1, (gid_t[]){4711});
  has("file", "text");
  FAILS(open("file", O_WRONLY), EACCES);
  become(CID);
  FAILS(open("file", O_RDONLY), EACCES);
}

static void chmod_changes_mask(void) {
  put("file", "");
  SET("file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 6, ANN}, {GROUP_OBJ, 6, NONE}, {MASK, 6, NONE},
      {OTHER, 0, NONE});
  OK(chmod("file", 0744));
  LIST_IS("file", ACCESS, {USER_OBJ, 7, NONE}, {USER, 6, ANN}, {GROUP_OBJ, 6, NONE},
          {MASK, 4, NONE}, {OTHER, 4, NONE});
  become(ANN);
  FAILS(open("file", O_WRONLY), EACCES);
  OK(close((int)OK(open("file", O_RDONLY))));
}

static void make_default(void) {
  OK(mkdir("folder", 0777));
  SET("folder", DEFAULT, {USER_OBJ, 7, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE}, {MASK, 7, NONE},
      {OTHER, 0, NONE});
}

static void inherited_by_files(void) {
  make_default();
  umask(077);
  OK(close((int)OK(open("folder/file", O_CREAT | O_WRONLY, 0644))));
  umask(0);
  /* The mode of the call takes bits away, the umask does not. */
  SAME_MODE(stat_of("folder/file").st_mode, S_IFREG | 0640);
  LIST_IS("folder/file", ACCESS, {USER_OBJ, 6, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE},
          {MASK, 4, NONE}, {OTHER, 0, NONE});
  FAILS_WITH(getxattr("folder/file", DEFAULT, NULL, 0), ENODATA, EOPNOTSUPP);
  become(BOB);
  OK(close((int)OK(open("folder/file", O_RDONLY))));
  become(ANN);
  FAILS(open("folder/file", O_RDONLY), EACCES);
}

static void inherited_by_folders(void) {
  make_default();
  umask(077);
  OK(mkdir("folder/inner", 0777));
  umask(0);
  SAME_MODE(stat_of("folder/inner").st_mode, S_IFDIR | 0770);
  LIST_IS("folder/inner", DEFAULT, {USER_OBJ, 7, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE},
          {MASK, 7, NONE}, {OTHER, 0, NONE});
  LIST_IS("folder/inner", ACCESS, {USER_OBJ, 7, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE},
          {MASK, 7, NONE}, {OTHER, 0, NONE});
  OK(mkdir("folder/inner/deeper", 0755));
  LIST_IS("folder/inner/deeper", DEFAULT, {USER_OBJ, 7, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE},
          {MASK, 7, NONE}, {OTHER, 0, NONE});
}

static void inherited_by_others(void) {
  make_default();
  OK(mkfifo("folder/fifo", 0666));
  SAME_MODE(stat_of("folder/fifo").st_mode, S_IFIFO | 0660);
  LIST_IS("folder/fifo", ACCESS, {USER_OBJ, 6, NONE}, {USER, 6, BOB}, {GROUP_OBJ, 5, NONE},
          {MASK, 6, NONE}, {OTHER, 0, NONE});
  OK(mknod("folder/device", S_IFCHR | 0600, makedev(1, 3)));
  SAME_MODE(stat_of("folder/device").st_mode, S_IFCHR | 0600);
  OK(symlink("nowhere", "folder/link"));
  SAME_MODE(lstat_of("folder/link").st_mode, S_IFLNK | 0777);
}

static void inherited_by_users_files(void) {
  make_default();
  OK(chmod("folder", 0777));
  become(ANN);
  OK(close((int)OK(open("folder/file", O_CREAT | O_WRONLY, 0666))));
  SAME_MODE(stat_of("folder/file").st_mode, S_IFREG | 0660);
  SAME(stat_of("folder/file").st_uid, ANN);
  become(BOB);
  OK(close((int)OK(open("folder/file", O_RDWR))));
}

static void default_removed(void) {
  make_default();
  OK(removexattr("folder", DEFAULT));
  umask(027);
  OK(close((int)OK(open("folder/file", O_CREAT | O_WRONLY, 0666))));
  SAME_MODE(stat_of("folder/file").st_mode, S_IFREG | 0640);
  FAILS(getxattr("folder/file", ACCESS, NULL, 0), ENODATA);
}

static void not_owner(void) {
  put("file", "");
  OK(chmod("file", 0666));
  become(ANN);
  const struct entry entries[] = {
      {USER_OBJ, 7, NONE}, {USER, 7, ANN}, {GROUP_OBJ, 4, NONE}, {MASK, 7, NONE}, {OTHER, 0, NONE}};
  FAILS(set_list("file", ACCESS, 5, entries), EPERM);
  FAILS_WITH(removexattr("file", ACCESS), EPERM, ENODATA);
  OK(close((int)OK(open("mine", O_CREAT | O_WRONLY, 0600))));
  OK(set_list("mine", ACCESS, 5, entries));
  SAME_MODE(stat_of("mine").st_mode, S_IFREG | 0770);
}

static void on_folders(void) {
  OK(mkdir("folder", 0700));
  put("folder/file", "text");
  become(ANN);
  FAILS(open("folder/file", O_RDONLY), EACCES);
  become(ROOT);
  SET("folder", ACCESS, {USER_OBJ, 7, NONE}, {USER, 7, ANN}, {GROUP_OBJ, 0, NONE}, {MASK, 7, NONE},
      {OTHER, 0, NONE});
  become(ANN);
  has("folder/file", "text");
  put("folder/new", "");
  OK(unlink("folder/file"));
  become(BOB);
  FAILS(stat("folder/new", &(struct stat){0}), EACCES);
}

static void listed(void) {
  make_default();
  char list[1024];
  long size = OK(listxattr("folder", list, sizeof list));
  int count = 0;
  for (long at = 0; at < size; at += (long)strlen(list + at) + 1)
    count += strcmp(list + at, DEFAULT) == 0;
  SAME(count, 1);
}

static const struct test TESTS[] = {
    {"set", set},
    {"minimal", minimal},
    {"malformed", malformed},
    {"grant", grants},
    {"deny", denies},
    {"grant to a group", grants_group},
    {"chmod changes the mask", chmod_changes_mask},
    {"inherited by files", inherited_by_files},
    {"inherited by folders", inherited_by_folders},
    {"inherited by others", inherited_by_others},
    {"inherited by files of users", inherited_by_users_files},
    {"default removed", default_removed},
    {"not the owner", not_owner},
    {"on folders", on_folders},
    {"listed", listed},
};

PART(ACLS, "acls", TESTS, ORDINARY);
