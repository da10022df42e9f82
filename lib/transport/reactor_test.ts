import assert from "node:assert/strict";
import {
  close,
  EPOLLIN,
  eventfd,
  eventfdRead,
  eventfdWrite,
  loadLibc,
  O_CLOEXEC,
  pipe2,
} from "../linux/mod.ts";
import { Reactor } from "./reactor.ts";

loadLibc();

Deno.test("Reactor.after() calls in order of time, and not what was called off", async () => {
  using reactor = new Reactor();
  const seen: string[] = [];
  reactor.after(30, () => {
    seen.push("third");
    reactor.stop();
  });
  reactor.after(10, () => seen.push("first"));
  reactor.after(20, () => seen.push("second"));
  reactor.after(15, () => seen.push("never"))();
  await reactor.run();
  assert.deepEqual(seen, ["first", "second", "third"]);
});

Deno.test("Reactor.watch() calls for what is ready, until unwatch()", async () => {
  using reactor = new Reactor();
  const ends = pipe2(O_CLOEXEC);
  assert.ok(typeof ends !== "number");
  const [reader, writer] = ends;
  let calls = 0;
  reactor.watch(reader, EPOLLIN, () => {
    // Level-triggered: nothing was read, so it is ready again.
    if (++calls === 3) {
      reactor.unwatch(reader);
      reactor.after(5, () => reactor.stop());
    }
  });
  eventfdWrite(writer, 1);
  await reactor.run();
  assert.equal(calls, 3);
  close(reader);
  close(writer);
});

Deno.test("Reactor.run() lets promises and timers of Deno go on while somebody needs them", async () => {
  using reactor = new Reactor();
  let isNeeded = true;
  const user = {
    get needsEventLoop() {
      return isNeeded;
    },
    get hasPromises() {
      return isNeeded;
    },
  };
  reactor.use(user);
  let isFired = false;
  setTimeout(() => {
    isFired = true;
    isNeeded = false;
    // A timer that is set while the loop sleeps wakes it.
    reactor.after(1, () => reactor.stop());
  }, 5);
  await reactor.run();
  reactor.unuse(user);
  assert.ok(isFired);
});

Deno.test("Reactor.run() gives promises their turn after what resolves them", async () => {
  using reactor = new Reactor();
  const order: string[] = [];
  const user = { needsEventLoop: false, hasPromises: true };
  reactor.use(user);
  let resolve: () => void = () => {};
  const answered = new Promise<void>((done) => resolve = done)
    .then(() => order.push("granted"))
    .then(() => order.push("encoded"));
  void answered;
  reactor.after(1, () => resolve());
  reactor.after(20, () => {
    order.push("later");
    reactor.stop();
  });
  await reactor.run();
  assert.deepEqual(order, ["granted", "encoded", "later"]);
});

Deno.test("Reactor.onWake is called when another thread writes to wakeFd", async () => {
  using reactor = new Reactor();
  let wakes = 0;
  reactor.onWake = async () => {
    wakes++;
    await new Promise((resolve) => setTimeout(resolve, 1));
    reactor.stop();
  };
  reactor.after(1, () => eventfdWrite(reactor.wakeFd, 1));
  await reactor.run();
  assert.equal(wakes, 1);
});

Deno.test("Reactor forgets events of descriptors that an earlier event of the round closed", async () => {
  using reactor = new Reactor();
  const fds = [eventfd(1, 0), eventfd(1, 0)];
  const seen: number[] = [];
  for (const fd of fds) {
    reactor.watch(fd, EPOLLIN, () => {
      seen.push(fd);
      eventfdRead(fd);
      for (const other of fds) {
        reactor.unwatch(other);
        close(other);
      }
      reactor.after(1, () => reactor.stop());
    });
  }
  await reactor.run();
  assert.equal(seen.length, 1);
});
