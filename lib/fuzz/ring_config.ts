/**
 * What a device of ours tells before anybody attacks it.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  decodePayload,
  encodeMessage,
  REQUEST_NAMES,
  type RequestName,
  requestRow,
} from "../vhost/mod.ts";
import { decodeConfig, MAX_TAG_SIZE } from "../virtio/mod.ts";
import { NUMBER_EDGES, WIDE_EDGES } from "./values.ts";
import { RingDevice } from "./ring_device.ts";
import { Machine, Monitor } from "./ring_machine.ts";

/** Most bytes that a GET_CONFIG is asked for at once. */
const CONFIG_STEP = 4000;
/** Bytes before the payload of a message. */
const HEADER = 12;

/** What a device of ours is checked for without a machine that is hostile. */
export type ConfigCheck = (device: RingDevice) => Promise<void>;

/** Checks of the device that is attacked, before it is. */
export const CONFIG_CHECKS: Readonly<Record<string, ConfigCheck>> = {
  nothing_to_warn_of: async (device) => {
    {
      await using machine = await Machine.boot(device.path("device"));
      await machine.assertAlive();
    }
    const warnings = device.events.filter(({ level }) => level === "warn" || level === "error");
    assert.deepEqual(warnings.map(({ message }) => message), []);
  },
  messages_there_and_back: () => {
    for (const name of REQUEST_NAMES) {
      const { request, reply } = requestRow(name);
      for (const [direction, notation] of [["request", request], ["reply", reply]] as const) {
        if (notation === null) continue;
        for (let round = 0; round < WIDE_EDGES.length; round++) {
          const payload = valuesOf(notation, round);
          const [bytes, back] = direction === "request"
            ? thereAndBack(name, payload)
            : thereAndBackReply(name, payload);
          assert.deepEqual(back, payload, `${direction} ${name}: ${bytes.toHex()}`);
        }
      }
    }
    return Promise.resolve();
  },
};

/** Checks of devices that are started for them. */
export const START_CHECKS: Readonly<Record<string, ConfigCheck>> = {
  mount_tags: async () => {
    const tags = ["x", "long".repeat(MAX_TAG_SIZE / 4 + 1).slice(0, MAX_TAG_SIZE)];
    await using device = await RingDevice.start(tags);
    for (const tag of tags) {
      await using monitor = new Monitor(device.path(tag));
      await monitor.frontend.negotiate();
      const bytes = new Uint8Array(2 + tag.length);
      for (let at = 0; at < bytes.length; at += CONFIG_STEP) {
        const size = Math.min(CONFIG_STEP, bytes.length - at);
        bytes.set(await monitor.frontend.readConfig(at, size), at);
      }
      assert.equal(decodeConfig(bytes), tag);
    }
  },
};

function thereAndBack(name: RequestName, payload: unknown): [Uint8Array, unknown] {
  const bytes = encodeMessage(name, "request", payload as never);
  return [bytes, decodePayload(name, "request", bytes.subarray(HEADER))];
}

function thereAndBackReply(name: RequestName, payload: unknown): [Uint8Array, unknown] {
  const bytes = encodeMessage(name, "reply", payload as never);
  return [bytes, decodePayload(name, "reply", bytes.subarray(HEADER))];
}

/** Values for the fields of a notation, those of each round others. */
function valuesOf(notation: string, round: number): Record<string, unknown> {
  const [, fixed = notation, list, inner = ""] = /^(.*) n(\w+)\*\((.*)\)$/.exec(notation) ?? [];
  const values: Record<string, unknown> = {};
  const counted = new Set<string>();
  let index = round;
  for (const [, name = "", size = ""] of fixed.matchAll(/(\w+)\[(\w+)\]/g)) {
    if (!/^\d+$/.test(size)) {
      values[name] = new Uint8Array(round).fill(round);
      counted.add(size);
    } else if (name !== "padding") {
      const width = Number(size);
      const edges = width === 8 ? WIDE_EDGES : NUMBER_EDGES[width as 1 | 2 | 4];
      values[name] = edges[index++ % edges.length];
    }
  }
  if (list !== undefined) {
    counted.add(`n${list}`);
    values[list] = [valuesOf(inner, round), valuesOf(inner, round + 1)];
  }
  for (const name of counted) delete values[name];
  return values;
}
