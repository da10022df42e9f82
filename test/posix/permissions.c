/* Who may do what: every class with every bit, sticky folders, groups. */
#include "suite.h"

/* The three classes of a file of Ann's and of group 4711. */
static void become_class(int class) {
  if (class == 0)
    become_in(ANN, 4712, 0, NULL);
  else if (class == 1)
    become_in(BOB, BOB, 1, (gid_t[]){4711});
  else
    become(CID);
}

static const char *const CLASSES[] = {"owner", "group", "others"};

/* Requires a call to be allowed or refused with EACCES. */
static void allowed(int class, int bits, const char *what, long result, int is_allowed) {
  int got = error_of(result);
  int wanted = is_allowed ? 0 : EACCES;
  if (got != wanted)
    fail(__FILE__, __LINE__, "%s of %s with bits %d: expected %s, got %s", what, CLASSES[class],
         bits, error_name(wanted), error_name(got));
}

static long close_if(int fd) { return fd == -1 ? -1 : close(fd); }

/* The bits for one class; the others have what must not matter. */
static mode_t mode_for(int class, int bits, int rest) {
  mode_t mode = 0;
  for (int other = 0; other < 3; other++)
    mode |= (mode_t)(other == class ? bits : rest) << (6 - 3 * other);
  return mode;
}

static void of_files(void) {
  put("file", "text");
  OK(chown("file", ANN, 4711));
  for (int class = 0; class < 3; class ++) {
    for (int bits = 0; bits < 8; bits++) {
      become(ROOT);
      OK(chmod("file", mode_for(class, bits, 7 - bits)));
      become_class(class);
      allowed(class, bits, "read", close_if(open("file", O_RDONLY)), bits & 4);
      allowed(class, bits, "write", close_if(open("file", O_WRONLY)), bits & 2);
      allowed(class, bits, "both", close_if(open("file", O_RDWR)), (bits & 6) == 6);
      allowed(class, bits, "truncate", truncate("file", 4), bits & 2);
      allowed(class, bits, "execute", faccessat(AT_FDCWD, "file", X_OK, AT_EACCESS), bits & 1);
    }
  }
}

static void of_folders(void) {
  OK(mkdir("folder", 0755));
  OK(mkdir("folder/inner", 0777));
  OK(chmod("folder/inner", 0777));
  put("folder/file", "");
  OK(chown("folder", ANN, 4711));
  for (int class = 0; class < 3; class ++) {
    for (int bits = 0; bits < 8; bits++) {
      become(ROOT);
      OK(chmod("folder", mode_for(class, bits, 7 - bits)));
      become_class(class);
      int can_change = (bits & 3) == 3;
      allowed(class, bits, "list", close_if(open("folder", O_RDONLY | O_DIRECTORY)), bits & 4);
      allowed(class, bits, "search", faccessat(AT_FDCWD, "folder/inner", F_OK, AT_EACCESS),
              bits & 1);
      allowed(class, bits, "mkdir", mkdir("folder/new", 0755), can_change);
      allowed(class, bits, "create", close_if(open("folder/other", O_CREAT | O_WRONLY, 0644)),
              can_change);
      allowed(class, bits, "rename", rename("folder/inner", "folder/moved"), can_change);
      allowed(class, bits, "unlink", unlink("folder/file"), can_change);
      if (!can_change) continue;
      OK(rename("folder/moved", "folder/inner"));
      OK(rmdir("folder/new"));
      OK(unlink("folder/other"));
      put("folder/file", "");
    }
  }
}

static void of_root(void) {
  put("file", "text");
  OK(mkdir("folder", 0));
  OK(chmod("file", 0));
  OK(chown("file", ANN, ANN));
  OK(chown("folder", ANN, ANN));
  has("file", "text");
  put("folder/file", "");
  OK(unlink("folder/file"));
  FAILS(access("file", X_OK), EACCES);
  OK(access("file", R_OK | W_OK));
}

static void groups(void) {
  put("file", "text");
  OK(chown("file", ROOT, 4711));
  OK(chmod("file", 0060));
  become(ANN);
  FAILS(open("file", O_RDONLY), EACCES);
  become_in(ANN, 4711, 0, NULL);
  OK(close((int)OK(open("file", O_RDWR))));
  gid_t many[30];
  for (int i = 0; i < 30; i++) many[i] = 5000 + i;
  many[29] = 4711;
  become_in(ANN, ANN, 30, many);
  OK(close((int)OK(open("file", O_RDWR))));
}

/* ---- sticky folders ---- */

static void sticky(void) {
  OK(mkdir("sticky", 01777));
  OK(chmod("sticky", 01777));
  OK(chown("sticky", BOB, BOB));
  for (int kind = 0; kind < KINDS; kind++) {
    char name[64];
    snprintf(name, sizeof name, "sticky/%s", KIND_NAMES[kind]);
    /* Neither the file's nor the folder's owner. */
    become(ROOT);
    make((enum kind)kind, name);
    become(ANN);
    FAILS(kind == FOLDER ? rmdir(name) : unlink(name), EPERM);
    FAILS(rename(name, "sticky/new"), EPERM);
    put("sticky/mine", "");
    if (kind != FOLDER) FAILS(rename("sticky/mine", name), EPERM);
    OK(unlink("sticky/mine"));
    /* The file's owner. */
    become(ROOT);
    OK(lchown(name, ANN, ANN));
    become(ANN);
    OK(rename(name, "sticky/new"));
    OK(kind == FOLDER ? rmdir("sticky/new") : unlink("sticky/new"));
    /* The folder's owner. */
    become(ROOT);
    make((enum kind)kind, name);
    become(BOB);
    OK(rename(name, "sticky/new"));
    OK(kind == FOLDER ? rmdir("sticky/new") : unlink("sticky/new"));
  }
}

static void sticky_folder_into(void) {
  OK(mkdir("sticky", 0777));
  OK(chmod("sticky", 01777));
  become(ANN);
  put("free", "");
  OK(rename("free", "sticky/file"));
  become(BOB);
  FAILS(rename("sticky/file", "taken"), EPERM);
  FAILS(unlink("sticky/file"), EPERM);
  become(ANN);
  OK(rename("sticky/file", "free"));
}

static void checked_once(void) {
  /* What an open descriptor allows stays allowed. */
  put("file", "text");
  OK(chown("file", ANN, ANN));
  become(ANN);
  int fd = (int)OK(open("file", O_RDWR));
  become(ROOT);
  OK(chown("file", BOB, BOB));
  OK(chmod("file", 0600));
  become(ANN);
  FAILS(open("file", O_RDONLY), EACCES);
  char found[8];
  SAME(pread(fd, found, sizeof found, 0), 4);
  OK(pwrite(fd, "T", 1, 0));
  OK(close(fd));
  become(ROOT);
  has("file", "Text");
}

static void changed_by_others(void) {
  /* Permission to write is enough for every way to change the content. */
  put("file", "some text");
  OK(chown("file", BOB, BOB));
  OK(chmod("file", 0666));
  become(ANN);
  int fd = (int)OK(open("file", O_RDWR));
  OK(ftruncate(fd, 6));
  OK(write(fd, "S", 1));
  OK(close(fd));
  has("file", "Some t");
  OK(truncate("file", 4));
  has("file", "Some");
  OK(close((int)OK(open("file", O_WRONLY | O_TRUNC))));
  SAME(stat_of("file").st_size, 0);
}

static void in_listed_folder(void) {
  /* Read without search: names, and nothing else. */
  OK(mkdir("folder", 0755));
  put("folder/file", "");
  OK(chown("folder", BOB, BOB));
  OK(chmod("folder", 0744));
  become(ANN);
  DIR *folder = opendir("folder");
  TRUE(folder != NULL);
  int count = 0;
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  SAME(count, 3);
  FAILS(stat("folder/file", &(struct stat){0}), EACCES);
}

static const struct test TESTS[] = {
    {"of files", of_files},         {"of folders", of_folders},
    {"of root", of_root},           {"of groups", groups},
    {"sticky folder", sticky},      {"into a sticky folder", sticky_folder_into},
    {"checked once", checked_once},
    {"changed by others", changed_by_others}, {"a folder that may be listed only", in_listed_folder},
};

PART(PERMISSIONS, "permissions", TESTS, ORDINARY);
