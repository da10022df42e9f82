/* The most names that a file, and the most folders that a folder can have: 65000 on ext4. */
#include "suite.h"

static void of_file(void) {
  char name[32];
  put("file", "");
  int error = 0, count = 1;
  for (; count < 70000 && error == 0; count++) {
    snprintf(name, sizeof name, "name-%d", count);
    error = error_of(link("file", name));
  }
  SAME_ERROR(error, EMLINK);
  SAME(stat_of("file").st_nlink, 65000);
  OK(unlink("name-1"));
  OK(link("file", "name-1"));
  FAILS(link("file", "one more"), EMLINK);
}

static const struct test TESTS[] = {
    {"of a file", of_file},
};

PART(LINK_LIMIT, "link limit", TESTS, SPECIAL);
