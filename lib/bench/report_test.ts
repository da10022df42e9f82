import assert from "node:assert/strict";
import { emptyBars, figuresOf, PAPER_BLOCKS } from "./paper.ts";
import { makeReport, type ReportFile } from "./report.ts";
import type { Results } from "./results_types.ts";
import { cellOf, resultsOf } from "./results_test_helper.ts";

/** Results of Figures 3 and 5, emulated, with something nasty in a name. */
function emulated(): Results {
  const cells = ["virtfs@512000", "nfs", "cifs", "block"].flatMap((series, i) =>
    PAPER_BLOCKS.map((blockBytes) => {
      const values = Array.from({ length: 8 }, (_, k) => 40 - 5 * i + k / 10);
      const cell = { operation: "read", blockBytes, fileSystems: 1, series } as const;
      return cellOf(series, values, { ...cell, figures: figuresOf(cell) });
    })
  );
  const { guest, ...rest } = resultsOf(cells);
  assert.ok(guest !== null);
  return {
    ...rest,
    guest: { ...guest, accelerator: "tcg", acceleratorReason: "no /dev/kvm" },
    host: { ...rest.host, cpu: `</svg><script>alert("x")</script> | & \u0000` },
  };
}

function textOf(files: readonly ReportFile[], name: string): string {
  const content = files.find((file) => file.name === name)?.content;
  assert.ok(typeof content === "string", `there is no ${name}`);
  return content;
}

Deno.test("makeReport() makes every form, all marked as emulated, and always the same", async () => {
  const results = emulated();
  const files = await makeReport(results);
  assert.deepEqual(files.map(({ name }) => name), [
    "report.md",
    "report.html",
    "junit.xml",
    "fig3.svg",
    "fig3.png",
    "fig5.svg",
    "fig5.png",
  ]);
  for (const name of ["report.md", "report.html", "junit.xml", "fig3.svg", "fig5.svg"]) {
    assert.match(textOf(files, name), /EMULATED/, name);
  }
  assert.deepEqual(await makeReport({ ...results, claims: [], models: [] }), files);

  const svg = textOf(files, "fig3.svg");
  assert.match(svg, />Throughput \(MB\/s\)</);
  for (const block of ["8k", "64k", "2M"]) assert.match(svg, new RegExp(`>${block}<`));
  for (const series of ["NFS", "CIFS", "VirtFS (ours), msize 512000"]) {
    assert.ok(svg.includes(`>${series}<`), series);
  }
  for (const name of ["report.html", "fig3.svg", "report.md", "junit.xml"]) {
    assert.ok(!textOf(files, name).includes("\u0000"), name);
    assert.doesNotMatch(textOf(files, name), /(?<!\\)<script|https?:\/\/(?!www\.w3\.org)/, name);
  }
  assert.match(textOf(files, "report.md"), /\| VirtFS reads faster than NFS .* \| +holds \|/);
  assert.match(textOf(files, "junit.xml"), /name="fig3-read-beats-nfs"><system-out>/);
  assert.match(textOf(files, "junit.xml"), /<skipped message="not measured"\/>/);
});

Deno.test("makeReport(): the letters of a PNG are drawn, not left out", async () => {
  const files = await makeReport(emulated());
  const png = files.find(({ name }) => name === "fig3.png")?.content;
  assert.ok(png instanceof Uint8Array);
  assert.deepEqual([...png.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const { drawPng } = await import("./chart.ts");
  const without = await drawPng(
    textOf(files, "fig3.svg").replace(/<text[^]*?<\/text>/g, ""),
  );
  // Letters are most of what is hard to compress in a picture of bars.
  assert.ok(png.length > 2 * without.length, `${png.length} bytes, ${without.length} without text`);
});

Deno.test("makeReport() shows operations of rpc and micro, and no claims there", async () => {
  const files = await makeReport({
    ...resultsOf([]),
    kind: "rpc",
    guest: null,
    plan: null,
    measurements: [{
      kind: "rpc",
      target: "unix:///tmp/9p.sock",
      operation: "getattr",
      bytes: 0,
      depth: 4,
      clients: 2,
      msize: 8192,
      unit: "op/s",
      samples: [1000, 1100, 1050],
      latencies: {
        count: 3,
        min: 1e3,
        mean: 2e3,
        p50: 2e3,
        p90: 3e3,
        p99: 4e3,
        p999: 5e3,
        max: 6e6,
      },
      cpuPerOperation: 1500,
    }],
  });
  assert.deepEqual(files.map(({ name }) => name), ["report.md", "report.html"]);
  const text = textOf(files, "report.md");
  assert.match(text, /rpc unix:\/\/\/tmp\/9p\.sock getattr, depth 4, 2 clients/);
  assert.match(text, /1050 \| op\/s \| 2\.00 µs \| 4\.00 µs \| 5\.00 µs \| 6\.00 ms \|/);
});

Deno.test("makeReport() refuses to draw more bars than a picture can show", async () => {
  const cells = Array.from({ length: 301 }, (_, i) => cellOf(`tcp@${4096 + i}`, [1]));
  await assert.rejects(
    makeReport(resultsOf(cells)),
    /^Error: Cannot draw other-read: 301 bars are too many, 300 fit$/,
  );
});

Deno.test("makeReport() draws the paper's bars beside, once somebody has measured them", async () => {
  const { bars } = emptyBars();
  const measured = bars.map((bar) => ({
    ...bar,
    value: bar.figure === "3" && bar.series === "nfs" ? 12 : null,
  }));
  const files = await makeReport(emulated(), { digitisedBy: "a test", bars: measured });
  assert.ok(textOf(files, "fig3.svg").includes(">nfs in the paper<"));
  assert.ok(!textOf(files, "fig5.svg").includes("in the paper<"));
  assert.match(textOf(files, "report.md"), /Bars of the paper were measured by: a test/);
});
