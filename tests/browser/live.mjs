// The live page of a run in a real Chromium: it grows, keeps its zoom, never says "passed" before the end, stops the
// run for whoever has the token and for nobody else, and shows the report when the run is over.
//
//   scripts/test-browser            runs it
//
// Arguments: the program, a folder for screenshots.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [program, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });

// A run, the addresses of its page without and with the token, and its exit code to come.
async function run(scenario) {
  const child = spawn(program, ["run", ...scenario, "--listen", "127.0.0.1:0", "--quiet"], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise(done => child.on("exit", done));
  for await (const line of createInterface({ input: child.stderr })) {
    const found = line.match(/live page: (\S+) .*: (\S+)\)/);
    if (found) return { plain: found[1], stop: found[2], ended };
  }
  throw new Error("no live page was announced");
}

async function open(address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const troubles = [];
  page.on("console", message => ["error", "warning"].includes(message.type()) && troubles.push(message.text()));
  page.on("pageerror", error => troubles.push(String(error)));
  page.on("request", request => new URL(request.url()).host === new URL(address).host || request.url().startsWith("data:") || troubles.push("loads " + request.url()));
  await page.goto(address);
  return { page, troubles, context };
}

const windows = page => page.evaluate(() => connstorm.data.t.length);
const load = ["--rate", "200/s", "--duration", "8s", "--threshold", "failed.ratio < 1%"];

const first = await run(["tcp://127.0.0.1:1", ...load]);
const { page, troubles } = await open(first.plain);
await page.waitForFunction(() => connstorm.data.t.length >= 3);
assert.match(await page.textContent("h1"), /running/);
assert.doesNotMatch(await page.textContent("body"), /passed/);
assert.equal(await page.isVisible("#stop"), false, "without the token there is no button");
assert.ok(await page.locator("#plots canvas").count() >= 2);
const failures = await page.textContent("#body");
assert.match(failures, /refused/);
await page.evaluate(() => connstorm.over_time[0].setScale("x", { min: 1, max: 2 }));
const before = await windows(page);
await page.waitForFunction(n => connstorm.data.t.length > n, before);
assert.deepEqual(await page.evaluate(() => { const x = connstorm.over_time[1].scales.x; return [x.min, x.max]; }), [1, 2], "zoom is kept");
await page.screenshot({ path: folder + "/live-light.png", fullPage: true });
const dark = await open(first.plain, { colorScheme: "dark" });
const phone = await open(first.plain, { viewport: { width: 375, height: 800 } });
for (const [name, other] of [["dark", dark], ["phone", phone]]) {
  await other.page.waitForFunction(() => connstorm.data.t.length >= 3);
  const wider = await other.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wider <= 0, `${name}: ${wider} px wider than the screen`);
  await other.page.screenshot({ path: `${folder}/live-${name}.png`, fullPage: true });
}
await page.waitForFunction(() => /failed/.test(document.querySelector("h1").textContent) && /ended/.test(document.getElementById("state").textContent), null, { timeout: 30000 });
await page.screenshot({ path: folder + "/live-ended.png", fullPage: true });
assert.ok([3, 4].includes(await first.ended), "a threshold failed, or a busy machine spoiled the run");
for (const one of [troubles, dark.troubles, phone.troubles]) assert.deepEqual(one, []);

const second = await run(["tcp://127.0.0.1:1", "--rate", "50/s", "--duration", "60s"]);
const refused = await fetch(second.plain + "stop", { method: "POST", headers: { "X-Connstorm-Token": "0".repeat(32) } });
assert.equal(refused.status, 403);
const holder = await open(second.stop);
await holder.page.waitForFunction(() => connstorm.data.t.length >= 1);
await holder.page.click("#stop");
assert.equal(await second.ended, 130);
await holder.page.waitForFunction(() => /interrupted/.test(document.querySelector("h1").textContent));
assert.deepEqual(holder.troubles, []);
console.log("ok    the live page");
await browser.close();
