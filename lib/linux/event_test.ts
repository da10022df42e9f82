import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

const NO_FD = 1 << 30;

test("epoll reports eventfds with their data", (box) => {
  const epoll = box.own(linux.epollCreate(linux.EPOLL_CLOEXEC));
  const first = box.own(linux.eventfd(0, linux.EFD_CLOEXEC | linux.EFD_NONBLOCK));
  const second = box.own(linux.eventfd(0, linux.EFD_CLOEXEC | linux.EFD_NONBLOCK));
  const { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLLIN, EPOLLOUT, EPOLLET } = linux;
  const events = new linux.EpollEvents(8);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_ADD, first, EPOLLIN, 2 ** 53 - 1), 0);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_ADD, second, EPOLLIN | EPOLLET, 7), 0);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_ADD, second, EPOLLIN, 7), -linux.EEXIST);
  assert.equal(linux.epollWait(epoll, events, 0), 0);
  assert.equal(linux.eventfdWrite(first, 3), 0);
  assert.equal(linux.eventfdWrite(second, 2 ** 33), 0);
  assert.equal(linux.epollWait(epoll, events, 1000), 2);
  const seen = [0, 1].map((index) => [events.data(index), events.events(index)]);
  assert.deepEqual(seen.sort(([a = 0], [b = 0]) => a - b), [[7, EPOLLIN], [2 ** 53 - 1, EPOLLIN]]);
  assert.equal(linux.epollWait(epoll, events, 0), 1, "edge-triggered events come once");
  assert.equal(events.data(0), 2 ** 53 - 1);
  assert.equal(linux.eventfdRead(first), 3);
  assert.equal(linux.eventfdRead(second), 2 ** 33);
  assert.equal(linux.eventfdRead(first), -linux.EAGAIN);
  assert.equal(linux.epollWait(epoll, events, 0), 0);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_MOD, first, EPOLLOUT, 9), 0);
  assert.equal(linux.epollWait(epoll, events, 0), 1);
  assert.deepEqual([events.data(0), events.events(0)], [9, EPOLLOUT]);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_DEL, first, 0, 0), 0);
  assert.equal(linux.epollCtl(epoll, EPOLL_CTL_DEL, first, 0, 0), -linux.ENOENT);
  assert.equal(linux.epollWait(NO_FD, events, 0), -linux.EBADF);
  assert.equal(linux.epollCreate(1), -linux.EINVAL);
});

test("epollWaitAsync() lets timers run while it waits", async (box) => {
  const epoll = box.own(linux.epollCreate(linux.EPOLL_CLOEXEC));
  const fd = box.own(linux.eventfd(0, linux.EFD_CLOEXEC));
  assert.equal(linux.epollCtl(epoll, linux.EPOLL_CTL_ADD, fd, linux.EPOLLIN, 5), 0);
  const events = new linux.EpollEvents(4);
  assert.equal(await linux.epollWaitAsync(epoll, events, 1), 0);
  const timer = setTimeout(() => linux.eventfdWrite(fd, 1), 20);
  assert.equal(await linux.epollWaitAsync(epoll, events, 10_000), 1);
  clearTimeout(timer);
  assert.deepEqual([events.data(0), events.events(0)], [5, linux.EPOLLIN]);
  assert.equal(await linux.epollWaitAsync(NO_FD, events, 0), -linux.EINTR);
});

test("a semaphore eventfd counts down", (box) => {
  const flags = linux.EFD_CLOEXEC | linux.EFD_NONBLOCK | linux.EFD_SEMAPHORE;
  const fd = box.own(linux.eventfd(2, flags));
  assert.deepEqual([1, 2, 3].map(() => linux.eventfdRead(fd)), [1, 1, -linux.EAGAIN]);
  assert.equal(linux.eventfd(0, 1 << 30), -linux.EINVAL);
  assert.equal(linux.eventfdWrite(NO_FD, 1), -linux.EBADF);
});

test("poll() watches a pipe, which pipe2() made", (box) => {
  const pipe = linux.pipe2(linux.O_CLOEXEC | linux.O_NONBLOCK);
  assert(Array.isArray(pipe));
  const [reader, writer] = pipe;
  box.own(reader);
  const set = new linux.PollSet(2);
  set.set(0, reader, linux.POLLIN);
  assert.equal(linux.poll(set, 0), 0);
  assert.equal(linux.read(reader, box.at(), 1), -linux.EAGAIN);
  assert.equal(linux.write(writer, box.at(), 5), 5);
  assert.equal(linux.poll(set, 1000), 1);
  assert.deepEqual([set.revents(0), set.revents(1)], [linux.POLLIN, 0]);
  linux.close(writer);
  assert.equal(linux.read(reader, box.at(), 10), 5);
  assert.equal(linux.poll(set, 1000), 1);
  assert.equal(set.revents(0), linux.POLLHUP);
  set.set(1, NO_FD, linux.POLLIN);
  assert.equal(linux.poll(set, 1000), 2);
  assert.equal(set.revents(1), linux.POLLNVAL);
  assert.equal(linux.pipe2(1), -linux.EINVAL);
});
