// The HTML report in a real Chromium: no error in the console, nothing loaded from elsewhere, every plot
// drawn, zoom in step, everything reachable by keyboard, light and dark, phone and paper.
//
//   scripts/test-browser            runs it
//
// Arguments: the pages of a bad run, of a good one, of one that speaks, of a comparison; a folder for screenshots.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [bad, good, spoken, compared, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
let failed = 0;

async function on(page_file, options, test) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const troubles = [];
  page.on("console", message => ["error", "warning"].includes(message.type()) && troubles.push(message.text()));
  page.on("pageerror", error => troubles.push(String(error)));
  page.on("request", request => request.url().startsWith("file:") || troubles.push("loads " + request.url()));
  await page.goto(pathToFileURL(page_file).href);
  await test(page);
  assert.deepEqual(troubles, []);
  await context.close();
}

async function check(name, body) {
  try {
    await body();
    console.log("ok    " + name);
  } catch (error) {
    failed += 1;
    console.log("FAIL  " + name + "\n" + error.stack);
  }
}

const ranges = page => page.evaluate(() => connstorm.over_time.map(u => [u.scales.x.min, u.scales.x.max]));
const wide = { width: 1280, height: 900 };

await check("every plot is drawn", () => on(bad, {}, async page => {
  const inked = await page.evaluate(() => connstorm.all.map(([u]) => {
    const { width, height } = u.ctx.canvas;
    const pixels = u.ctx.getImageData(0, 0, width, height).data;
    let seen = 0;
    for (let i = 3; i < pixels.length; i += 4) seen += pixels[i] > 0;
    return seen;
  }));
  const told = await page.evaluate(() => connstorm.data.plots.length);
  assert.ok(told >= 5, "a run that went wrong has much to show");
  assert.equal(inked.length, told + 1, "all over time, and the curve");
  inked.forEach((seen, n) => assert.ok(seen > 1500, `plot ${n} has ${seen} pixels`));
  const data = await page.evaluate(() => connstorm.over_time.map(u => u.data.slice(1).map(c => c.filter(v => v != null).length)));
  data.forEach(series => series.forEach(points => assert.ok(points > 0)));
}));

await check("a drag zooms all plots in step, and 'whole run' goes back", () => on(bad, {}, async page => {
  const before = await ranges(page);
  const over = page.locator(".u-over").first();
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width * .3, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * .6, box.y + 60, { steps: 5 });
  await page.mouse.up();
  const zoomed = await ranges(page);
  assert.ok(zoomed[0][1] - zoomed[0][0] < (before[0][1] - before[0][0]) * .5, String(zoomed[0]));
  zoomed.forEach(range => assert.deepEqual(range, zoomed[0]));
  await page.click("#whole");
  const back = await ranges(page);
  back.forEach(range => assert.equal(range[1], before[0][1]));
}));

await check("the pointer is shown in all plots at once", () => on(bad, {}, async page => {
  const over = page.locator(".u-over").first();
  await over.scrollIntoViewIfNeeded();
  await over.hover({ position: { x: 120, y: 60 } });
  const at = await page.evaluate(() => connstorm.over_time.map(u => u.cursor.idx));
  at.forEach(idx => assert.equal(idx, at[0]));
  assert.ok(at[0] != null);
}));

await check("an onset's button zooms to it", () => on(bad, {}, async page => {
  const button = page.locator("button.mark").first();
  const at = Number(await button.getAttribute("data-at"));
  await button.click();
  const [min, max] = (await ranges(page))[0];
  assert.ok(min < at && at < max && max - min < 5, `${min} ${at} ${max}`);
}));

await check("plots, buttons and details are reached by keyboard, and answer", () => on(bad, {}, async page => {
  const reached = new Set();
  for (let n = 0; n < 80; n += 1) {
    await page.keyboard.press("Tab");
    const on = await page.evaluate(() => {
      const e = document.activeElement;
      return e.classList.contains("plot") ? e.getAttribute("aria-label") : e.tagName + " " + (e.getAttribute("aria-label") || e.textContent.trim()).slice(0, 40);
    });
    if (on.startsWith("BODY")) break;
    reached.add(on);
  }
  const all = await page.locator(".plot, button, summary").count();
  assert.ok(reached.size >= all - 2, `${reached.size} of ${all}: ${[...reached].join(" | ")}`);
  await page.locator(".plot").first().focus();
  const before = (await ranges(page))[0];
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("+");
  const zoomed = await ranges(page);
  assert.ok(zoomed[0][1] - zoomed[0][0] < (before[1] - before[0]) * .6, String(zoomed));
  zoomed.forEach(range => assert.deepEqual(range, zoomed[0]));
  const first = await page.evaluate(() => connstorm.over_time[0].cursor.idx);
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await page.evaluate(() => connstorm.over_time[0].cursor.idx), first);
  await page.keyboard.press("0");
  assert.equal((await ranges(page))[0][1], before[1]);
}));

await check("a command is copied", () => on(bad, { permissions: ["clipboard-read", "clipboard-write"] }, async page => {
  await page.locator(".copy").first().click();
  await page.waitForFunction(() => /copied|selected/.test(document.querySelector(".copy").textContent));
  const text = await page.evaluate(() => navigator.clipboard.readText().catch(() => String(getSelection())));
  assert.match(text, /^sysctl -w net\.ipv4\.tcp_tw_reuse=1/);
}));

await check("it says first what happened and whose fault it is", async () => {
  await on(bad, {}, async page => {
    assert.match(await page.textContent("header"), /failed.*49\.4 % of 2,025 attempts.*Side: generator/s);
  });
  await on(good, {}, async page => {
    assert.match(await page.textContent("header"), /passed.*13,000 connections, none failed/s);
  });
});

await check("nothing is wider than a phone", () => on(bad, { viewport: { width: 375, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }, async page => {
  const [page_width, window_width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(page_width <= window_width, `${page_width} > ${window_width}`);
  await page.screenshot({ path: `${folder}/phone.png` });
  await page.locator("#h-plots").scrollIntoViewIfNeeded();
  await page.screenshot({ path: `${folder}/phone-plots.png`, fullPage: true });
}));

for (const colorScheme of ["light", "dark"]) {
  await check(`it is readable in ${colorScheme}`, () => on(bad, { viewport: wide, colorScheme }, async page => {
    const contrast = await page.evaluate(() => {
      const light = text => {
        const [r, g, b] = text.match(/[\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
      };
      const background = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)|transparent/.test(c)) return c; } return "rgb(255,255,255)"; };
      return [...document.querySelectorAll("h1, .verdict, p, td, th, dt, dd, li, small, code, button, summary")].map(e => {
        const [a, b] = [light(getComputedStyle(e).color), light(background(e))].sort((x, y) => y - x);
        return [(a + .05) / (b + .05), e.tagName + " " + e.className + " " + e.textContent.slice(0, 20)];
      });
    });
    contrast.forEach(([ratio, what]) => assert.ok(ratio >= 4.5, `${ratio.toFixed(2)} ${what}`));
    await page.screenshot({ path: `${folder}/${colorScheme}.png`, fullPage: true });
  }));
}

await check("it can be printed", () => on(bad, { colorScheme: "dark" }, async page => {
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--fg").trim()), "#1b1f24");
  const pdf = await page.pdf({ path: `${folder}/print.pdf`, format: "A4", printBackground: true });
  assert.ok(pdf.length > 20_000);
}));

await check("a good run is drawn", () => on(good, { viewport: wide }, async page => {
  assert.ok(await page.locator(".plot canvas").count() >= 7);
  await page.screenshot({ path: `${folder}/good.png`, fullPage: true });
}));

// The rules of axe-core (WCAG 2.1 A and AA, and its best practices), on every page and in both colour schemes.
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
for (const [name, file] of [["a bad run", bad], ["a good run", good], ["a run that speaks", spoken], ["a comparison", compared]]) {
  for (const colorScheme of ["light", "dark"]) {
    await check(`no fault against accessibility is found in the page of ${name}, ${colorScheme}`, () => on(file, { viewport: wide, colorScheme }, async page => {
      await page.evaluate(() => document.querySelectorAll("details").forEach(d => { d.open = true; }));
      await page.evaluate(axe);
      const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations", "passes"] }));
      assert.ok(passes.length > 15, `only ${passes.length} rules were looked at`);
      const told = violations.map(v => `${v.id} (${v.impact}): ${v.help}\n` + v.nodes.slice(0, 3).map(n => "    " + n.html.slice(0, 160) + " " + n.failureSummary).join("\n"));
      assert.deepEqual(told, []);
    }));
  }
}

await check("what was said is drawn, and times go to a logarithmic scale and back", () => on(spoken, { viewport: wide }, async page => {
  const titles = await page.locator(".plot h3").allTextContents();
  for (const title of ["Time of round trip", "Time of handshake", "Messages and handshakes"]) {
    assert.ok(titles.some(t => t.includes(title)), `${title} in ${titles}`);
  }
  const scales = () => page.evaluate(() => connstorm.over_time.map((u, n) => [connstorm.data.plots[n].unit, u.scales.y.distr]));
  assert.ok((await scales()).every(([, distr]) => distr === 1));
  await page.click("#log");
  (await scales()).forEach(([unit, distr]) => assert.equal(distr, unit === "ms" ? 3 : 1, unit));
  assert.equal(await page.getAttribute("#log", "aria-pressed"), "true");
  await page.screenshot({ path: `${folder}/spoken.png`, fullPage: true });
  // The keys still move the plot that was made anew.
  await page.locator(".plot").first().focus();
  await page.keyboard.press("+");
  const zoomed = await ranges(page);
  zoomed.forEach(range => assert.deepEqual(range, zoomed[0]));
  await page.click("#log");
  assert.ok((await scales()).every(([, distr]) => distr === 1));
}));

await check("a comparison fits a desk, a phone and paper", () => on(compared, { viewport: wide }, async page => {
  await page.screenshot({ path: `${folder}/compare.png`, fullPage: true });
  await page.setViewportSize({ width: 375, height: 740 });
  const [page_width, window_width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(page_width <= window_width, `${page_width} > ${window_width}`);
  await page.screenshot({ path: `${folder}/compare-phone.png`, fullPage: true });
  await page.pdf({ path: `${folder}/compare.pdf`, format: "A4", printBackground: true });
}));

await check("a picture for the README", () => on(bad, { viewport: { width: 1200, height: 960 }, colorScheme: "light" }, async page => {
  await page.locator("#h-plots").scrollIntoViewIfNeeded();
  await page.evaluate(() => scrollTo(0, document.getElementById("h-plots").offsetTop - 20));
  await page.screenshot({ path: `${folder}/report.png` });
}));

await browser.close();
process.exit(failed ? 1 : 0);
