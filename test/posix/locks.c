/* Locks of records and of whole files, between processes. */
#include "suite.h"

#include <sys/file.h>
#include <sys/time.h>

static struct flock range(short type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int set(int fd, short type, off_t start, off_t length) {
  struct flock lock = range(type, start, length);
  return fcntl(fd, F_SETLK, &lock);
}

/* Runs a body in another process, with the file open there. */
static void (*other_body)(int fd);

static void in_other(void *argument) {
  (void)argument;
  other_body((int)OK(open("file", O_RDWR)));
}

static void elsewhere(void (*body)(int fd)) {
  other_body = body;
  join(spawn(in_other, NULL));
}

static void sees_write_lock(int fd) {
  FAILS_WITH(set(fd, F_WRLCK, 0, 10), EAGAIN, EACCES);
  FAILS_WITH(set(fd, F_RDLCK, 9, 1), EAGAIN, EACCES);
  OK(set(fd, F_WRLCK, 10, 10));
  struct flock lock = range(F_RDLCK, 5, 100);
  OK(fcntl(fd, F_GETLK, &lock));
  SAME(lock.l_type, F_WRLCK);
  SAME(lock.l_start, 0);
  SAME(lock.l_len, 10);
  SAME(lock.l_pid, getppid());
}

static void sees_nothing(int fd) {
  struct flock lock = range(F_WRLCK, 0, 0);
  OK(fcntl(fd, F_GETLK, &lock));
  SAME(lock.l_type, F_UNLCK);
  OK(set(fd, F_WRLCK, 0, 0));
}

static void records(void) {
  put("file", "some text to lock");
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_WRLCK, 0, 10));
  elsewhere(sees_write_lock);
  OK(set(fd, F_UNLCK, 0, 10));
  elsewhere(sees_nothing);
  /* Those of a process end with it. */
  OK(set(fd, F_WRLCK, 0, 0));
  OK(close(fd));
}

static void shares(int fd) {
  OK(set(fd, F_RDLCK, 0, 10));
  FAILS_WITH(set(fd, F_WRLCK, 0, 10), EAGAIN, EACCES);
}

static void shared_records(void) {
  put("file", "");
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_RDLCK, 0, 0));
  elsewhere(shares);
  OK(set(fd, F_WRLCK, 0, 0));
  OK(close(fd));
  fd = (int)OK(open("file", O_RDONLY));
  OK(set(fd, F_RDLCK, 0, 0));
  FAILS(set(fd, F_WRLCK, 0, 0), EBADF);
  OK(close(fd));
}

static void sees_split(int fd) {
  OK(set(fd, F_WRLCK, 40, 20));
  FAILS_WITH(set(fd, F_WRLCK, 39, 1), EAGAIN, EACCES);
  FAILS_WITH(set(fd, F_WRLCK, 60, 1), EAGAIN, EACCES);
}

static void split_records(void) {
  put("file", "");
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_WRLCK, 0, 100));
  OK(set(fd, F_UNLCK, 40, 20));
  elsewhere(sees_split);
  OK(close(fd));
}

static void closed_elsewhere(void) {
  /* Any close of the file by a process ends the record locks it has there. */
  put("file", "");
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_WRLCK, 0, 0));
  OK(close((int)OK(open("file", O_RDONLY))));
  elsewhere(sees_nothing);
  OK(close(fd));
}

static int gate[2];

static void holds_for_a_while(void *argument) {
  (void)argument;
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_WRLCK, 0, 0));
  OK(write(gate[1], "l", 1));
  struct timespec wait = {0, 100000000};
  nanosleep(&wait, NULL);
  OK(pwrite(fd, "done", 4, 0));
  OK(close(fd));
}

static void waits(void) {
  put("file", "");
  OK(pipe(gate));
  pid_t other = spawn(holds_for_a_while, NULL);
  char byte;
  SAME(read(gate[0], &byte, 1), 1);
  int fd = (int)OK(open("file", O_RDWR));
  struct flock lock = range(F_WRLCK, 0, 0);
  OK(fcntl(fd, F_SETLKW, &lock));
  char found[8];
  SAME(pread(fd, found, sizeof found, 0), 4);
  OK(close(fd));
  close(gate[0]);
  close(gate[1]);
  join(other);
}

static void nothing(int number) { (void)number; }

static void interrupted(int fd) {
  struct sigaction action = {.sa_handler = nothing};
  OK(sigaction(SIGALRM, &action, NULL));
  OK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 200000}}, NULL));
  struct flock lock = range(F_WRLCK, 0, 0);
  FAILS(fcntl(fd, F_SETLKW, &lock), EINTR);
}

static void wait_is_interrupted(void) {
  put("file", "");
  int fd = (int)OK(open("file", O_RDWR));
  OK(set(fd, F_WRLCK, 0, 0));
  elsewhere(interrupted);
  OK(set(fd, F_UNLCK, 0, 0));
  elsewhere(sees_nothing);
  OK(close(fd));
}

static void of_descriptions(void) {
  put("file", "");
  int a = (int)OK(open("file", O_RDWR));
  int b = (int)OK(open("file", O_RDWR));
  struct flock lock = range(F_WRLCK, 0, 10);
  OK(fcntl(a, F_OFD_SETLK, &lock));
  lock = range(F_WRLCK, 5, 10);
  FAILS_WITH(fcntl(b, F_OFD_SETLK, &lock), EAGAIN, EACCES);
  lock = range(F_WRLCK, 10, 10);
  OK(fcntl(b, F_OFD_SETLK, &lock));
  OK(close(a));
  lock = range(F_WRLCK, 0, 10);
  OK(fcntl(b, F_OFD_SETLK, &lock));
  OK(close(b));
}

/* ---- whole files ---- */

static void cannot_lock(int fd) {
  FAILS(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  FAILS(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
}

static void can_share(int fd) {
  OK(flock(fd, LOCK_SH | LOCK_NB));
  FAILS(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
}

static void can_lock(int fd) { OK(flock(fd, LOCK_EX | LOCK_NB)); }

static void files(void) {
  put("file", "");
  int fd = (int)OK(open("file", O_RDONLY));
  OK(flock(fd, LOCK_EX));
  elsewhere(cannot_lock);
  OK(flock(fd, LOCK_SH));
  elsewhere(can_share);
  OK(flock(fd, LOCK_UN));
  elsewhere(can_lock);
  OK(flock(fd, LOCK_EX));
  int same = (int)OK(dup(fd));
  OK(close(fd));
  elsewhere(cannot_lock);
  OK(close(same));
  elsewhere(can_lock);
}

static void two_descriptions(void) {
  put("file", "");
  int a = (int)OK(open("file", O_RDWR));
  int b = (int)OK(open("file", O_RDWR));
  OK(flock(a, LOCK_EX | LOCK_NB));
  FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  OK(close(a));
  OK(flock(b, LOCK_EX | LOCK_NB));
  OK(close(b));
}

static void bad(void) {
  put("file", "");
  int fd = (int)OK(open("file", O_RDWR));
  FAILS(set(fd, 99, 0, 0), EINVAL);
  FAILS(set(fd, F_WRLCK, -5, 1), EINVAL);
  FAILS(flock(fd, 64), EINVAL);
  OK(close(fd));
  FAILS(flock(fd, LOCK_EX), EBADF);
}

static void of_unlinked(void) {
  int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
  int other = (int)OK(open("file", O_RDWR));
  OK(unlink("file"));
  OK(flock(fd, LOCK_EX | LOCK_NB));
  FAILS(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  OK(close(fd));
  OK(flock(other, LOCK_EX | LOCK_NB));
  OK(close(other));
}

static const struct test TESTS[] = {
    {"records", records},
    {"shared records", shared_records},
    {"split records", split_records},
    {"a close ends records", closed_elsewhere},
    {"a record is waited for", waits},
    {"a wait is interrupted", wait_is_interrupted},
    {"of open file descriptions", of_descriptions},
    {"whole files", files},
    {"two descriptions", two_descriptions},
    {"bad", bad},
    {"of an unlinked file", of_unlinked},
};

PART(LOCKS, "locks", TESTS, ORDINARY);
