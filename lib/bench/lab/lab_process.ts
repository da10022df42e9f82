/**
 * The process of a laboratory: reads its task from standard input, tells by lines of JSON on
 * standard output what it has measured, and ends with its input.
 *
 * @module
 */
import { Lab, LabFailure, SeriesFailure } from "./lab.ts";
import type { LabEvent, LabTask } from "./protocol.ts";

function tell(event: LabEvent): void {
  const line = new TextEncoder().encode(`${JSON.stringify(event)}\n`);
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

async function main(): Promise<void> {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await lines.read();
    if (done) return;
    text += value;
  }
  const task = JSON.parse(text) as LabTask;
  let isOver = false;
  let end = (): void => {
    isOver = true;
  };
  void lines.read().catch(() => {}).then(() => end());
  try {
    await using lab = await Lab.open(task, tell);
    // Without a guest the turn that is being taken fails at once.
    end = () => {
      isOver = true;
      void lab[Symbol.asyncDispose]();
    };
    for (const turn of task.turns) {
      if (isOver) return;
      if (!lab.has(turn)) continue;
      try {
        tell({ kind: "taken", turn, ...await lab.take(turn) });
      } catch (error) {
        if (!(error instanceof SeriesFailure)) throw error;
        lab.drop(turn, error.message);
      }
    }
  } catch (error) {
    const reason = error instanceof LabFailure
      ? error.message
      : error instanceof Error
      ? error.stack ?? error.message
      : String(error);
    tell({ kind: "failed", reason });
    return;
  } finally {
    await lines.cancel().catch(() => {});
  }
  tell({ kind: "over" });
}

if (import.meta.main) await main();
