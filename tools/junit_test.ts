import assert from "node:assert/strict";
import { closingLine, type Counts, countTests } from "./junit.ts";

const A = 'classname="./a_test.ts" time="0.001" line="1" col="6"';
const B = 'classname="./b_test.ts" time="0.001" line="1" col="6"';

const reports: [what: string, cases: string, counts: Counts][] = [
  ["nothing in an empty report", "", { passed: 0, failed: 0, skipped: 0 }],
  [
    "a test that passed, failed, was skipped",
    `<testcase name="one" ${A}>
        </testcase>
        <testcase name="two" ${A}>
            <failure message="Uncaught &lt;testcase">Error: &lt;skipped/&gt;</failure>
        </testcase>
        <testcase name="three" ${A}>
            <skipped/>
        </testcase>`,
    { passed: 1, failed: 1, skipped: 1 },
  ],
  [
    "a test with steps once",
    `<testcase name="steps" ${A}>
        </testcase>
        <testcase name="steps &gt; one" ${A}>
        </testcase>
        <testcase name="steps &gt; one &gt; inner" ${A}>
        </testcase>`,
    { passed: 1, failed: 0, skipped: 0 },
  ],
  [
    "a failed step as its test's failure and a skipped step by itself",
    `<testcase name="steps" ${A}>
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="steps &gt; one" ${A}>
            <failure message="no">no</failure>
        </testcase>
        <testcase name="steps &gt; two" ${A}>
            <skipped/>
        </testcase>`,
    { passed: 0, failed: 1, skipped: 1 },
  ],
  [
    "a test of another file that is named like a step",
    `<testcase name="a" ${A}></testcase><testcase name="a &gt; b" ${B}></testcase>`,
    { passed: 2, failed: 0, skipped: 0 },
  ],
  [
    "test cases without a body",
    `<testcase name="one" ${A}/><testcase name="two" ${A}><error message="x"/></testcase>`,
    { passed: 1, failed: 1, skipped: 0 },
  ],
];

for (const [what, cases, counts] of reports) {
  Deno.test(`countTests() counts ${what}`, () => {
    const head = '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="deno test">';
    const report = `${head}<testsuite name="./a_test.ts">${cases}</testsuite></testsuites>`;
    assert.deepEqual(countTests(report), counts);
  });
}

Deno.test("closingLine() leaves out what is none", () => {
  assert.equal(closingLine({ passed: 3, failed: 0, skipped: 0 }), "3 passed, 0 failed");
  assert.equal(closingLine({ passed: 3, failed: 1, skipped: 2 }), "3 passed, 1 failed, 2 skipped");
});
