// The report and the explorer in a real browser. Run by tools/browser_tests.sh.
//   node tests.mjs LEHR CHROMIUM FOLDER
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { chromium } from "playwright-core";

const [lehr, executablePath, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const work = mkdtempSync(join(tmpdir(), "lehr-browser-"));
const run = (...words) => execFileSync(lehr, words, { cwd: work, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 });
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Runs whose names would be code if a page let them. */
const HOSTILE = "<img src=x onerror=window.pwned=1></script><script>window.pwned=1</script>";
function log(name, share) {
  let text = "run,step,lr,loss\n";
  for (let t = 20; t <= 2000; t += 20) {
    const rate = t > 2000 * (1 - share) ? (2000 - t) / (2000 * share) : 1;
    text += `"${name}",${t},${1e-3 * rate},${(2 + 3 / Math.sqrt(t) + 0.03 * rate).toFixed(5)}\n`;
  }
  return text;
}
const dropped = [0, 0.2, 0.5, 0.8].map((share, i) => ({ name: `run${i}.csv`, text: log(`${HOSTILE}${i}`, share) }));

let passed = 0;
const failures = [];
async function test(name, check) {
  const begun = Date.now();
  try {
    await check();
    passed += 1;
    console.log(`ok   ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures.push(name);
    console.log(`FAIL ${name}\n${error.stack}`);
  }
}

/** A page that notes what must not happen: messages on the console, requests that leave, faults. */
async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  const origin = url.startsWith("file:") ? url.split("#")[0] : new URL(url).origin;
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(origin) && !to.startsWith("data:") && !to.startsWith("blob:")) wrong.push(`a request leaves: ${to}`);
  });
  await page.goto(url);
  return { page, wrong, close: () => context.close() };
}

async function accessible(page, name) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  const told = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" | ")}`);
  assert.deepEqual(told, [], name);
}

const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
const SIZES = [[1280, 900], [768, 1000], [390, 844]];

const serve = (...words) => started(["serve", "--port", "0", ...words]);

/** A server, once it has said its address. */
async function started(words) {
  const child = spawn(lehr, words, { cwd: work, stdio: ["ignore", "pipe", "pipe"] });
  const url = await new Promise((found, fail) => {
    let text = "";
    const hear = (more) => {
      text += more;
      const address = /open (\S+)/.exec(text);
      if (address) found(address[1]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", (code) => fail(new Error(`lehr ${words[0]} ended with ${code}`)));
  });
  return { url, child, stop: () => child.kill() };
}

/** Seconds of processor time that a process has used. */
function used(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const browser = await chromium.launch({ executablePath, headless: true, args: flags });
const server = await serve();
const first = await (await fetch(new URL("/api/v1/fit", server.url))).text();
writeFileSync(join(work, "fit.json"), first);
for (const { name, text } of dropped) writeFileSync(join(work, name), text);
const TARGET = ["--peak-lr", "8e-3", "--steps", "3200"];
run("report", "fit.json", "-o", "report.html", ...TARGET, "--accept-caveats");
run("report", ...dropped.map((file) => file.name), "-o", "hostile.html", "--accept-caveats", "--starts", "4");
const report = pathToFileURL(join(work, "report.html")).href;
const hostile = pathToFileURL(join(work, "hostile.html")).href;

await test("the report opens from the disk, says nothing on the console and sends nothing", async () => {
  for (const url of [report, hostile]) {
    const { page, wrong, close } = await open(browser, url);
    await page.waitForSelector("#e-chart svg");
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.deepEqual(wrong, []);
    await close();
  }
});

await test("the report is accessible, light and dark, wide and narrow, and nothing runs over its edge", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of SIZES) {
      const { page, wrong, close } = await open(browser, hostile, { colorScheme, viewport: { width, height } });
      await page.waitForSelector("#e-chart svg");
      await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
      assert.ok(await fits(page), `${width} px`);
      await accessible(page, `${colorScheme} ${width}`);
      await page.screenshot({ path: join(folder, `report-${width}-${colorScheme}.png`), fullPage: true });
      assert.deepEqual(wrong, []);
      await close();
    }
  }
});

await test("the report's numbers are those of the command", async () => {
  const told = JSON.parse(run("recommend", "fit.json", ...TARGET, "--json", "--accept-caveats"));
  const { page, close } = await open(browser, report);
  const cards = await page.locator("header .cards strong").allTextContents();
  assert.equal(cards[0], told.ratio.toFixed(3));
  assert.equal(cards[1].replace(/\D/g, ""), String(told.start_step));
  assert.equal(cards[2], told.loss.value.toFixed(4));
  await close();
});

await test("sliders move by keyboard, and between the grid's nodes they are as near to the law as the page says", async () => {
  const { page, wrong, close } = await open(browser, report);
  const before = await page.textContent("#e-loss");
  await page.focus("#s-ratio");
  for (let i = 0; i < 40; i++) await page.keyboard.press("ArrowLeft");
  assert.notEqual(await page.textContent("#e-loss"), before);
  assert.equal(await page.getAttribute("#s-ratio", "aria-valuetext"), await page.textContent("#o-ratio"));
  const note = await page.textContent("#explore .note");
  const most = Number(/([\d.]+) mnat at most/.exec(note)[1]) / 1e3;
  for (const [ratio, peak, steps] of [[0.33, 5e-3, 2700], [0.07, 1.1e-2, 4100], [0.8, 3e-3, 1500], [0.5, 2.3e-2, 9000]]) {
    const words = ["--ratio", String(ratio), "--peak-lr", String(peak), "--steps", String(steps), "--at", String(steps)];
    const told = JSON.parse(run("forecast", "fit.json", ...words, "--json", "--accept-caveats")).final;
    const here = await page.evaluate(([r, p, s]) => between(JSON.parse(document.getElementById("grid").textContent), r, p, s), [ratio, peak, steps]);
    // The document rounds to 1e-6.
    assert.ok(Math.abs(here.loss - told.value) <= most + 2e-6, `${words}: ${here.loss} and ${told.value}`);
  }
  assert.deepEqual(wrong, []);
  await close();
});

await test("values show under the pointer and the arrow keys, curves are switched off, snippets are copied", async () => {
  const { page, close } = await open(browser, report, { permissions: ["clipboard-read", "clipboard-write"] });
  const canvas = page.locator('[data-figure="ratio"] .canvas');
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.4);
  assert.match(await canvas.locator(".readout").textContent(), /forecast final loss: \d/);
  await canvas.focus();
  for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowLeft");
  assert.match(await canvas.locator(".readout").textContent(), /annealing ratio.*0\.9/);
  const button = page.locator('[data-figure="ratio"] .legend button', { hasText: "20%" });
  const shown = () => page.locator('[data-figure="ratio"] .wide g[data-series]:visible').count();
  const all = await shown();
  await button.click();
  assert.equal(await button.getAttribute("aria-pressed"), "false");
  assert.equal(await shown(), all - 1);
  await page.locator("#exports summary").first().click();
  await page.locator("#exports .copy").first().click();
  // The clipboard answers when it likes; the word stays for more than a second.
  await page.waitForFunction(() => /Copied|Selected/.test(document.querySelector("#exports .copy").textContent));
  await close();
});

await test("the report prints on A4", async () => {
  const { page, close } = await open(browser, hostile);
  const bytes = await page.pdf({ preferCSSPageSize: true, path: join(folder, "report.pdf") });
  const text = bytes.toString("latin1");
  const [, width, height] = /\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/.exec(text);
  assert.ok(Math.abs(width - 595) < 2 && Math.abs(height - 842) < 2, `${width} × ${height}`);
  const pages = text.match(/\/Type \/Page\b/g).length;
  assert.ok(pages >= 3 && pages <= 12, `${pages} pages`);
  await close();
});

const start = async (options) => {
  const opened = await open(browser, server.url, options);
  await opened.page.waitForSelector("#forecast svg");
  return opened;
};
const settled = (page) => page.waitForFunction(() => !document.body.classList.contains("busy"));
const api = async (path) => (await fetch(new URL(`/api/v1${path}`, server.url))).json();

await test("the explorer is accessible at every size, light and dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of SIZES) {
      const { page, wrong, close } = await start({ colorScheme, viewport: { width, height } });
      await page.click("#pin");
      await page.waitForSelector("#pins tr");
      await settled(page);
      assert.ok(await fits(page), `${width} px`);
      await accessible(page, `${colorScheme} ${width}`);
      await page.screenshot({ path: join(folder, `explorer-${width}-${colorScheme}.png`), fullPage: true });
      assert.deepEqual(wrong, []);
      await close();
    }
  }
});

await test("a slider moved by keyboard moves the answer, which is that of the command", async () => {
  const { page, wrong, close } = await start();
  const before = await page.textContent("#loss");
  await page.focus("#ratio-slide");
  for (let i = 0; i < 60; i++) await page.keyboard.press("ArrowLeft");
  await settled(page);
  await page.waitForFunction((old) => document.getElementById("loss").textContent !== old, before);
  await settled(page);
  const ratio = new URL(page.url()).searchParams.get("ratio");
  const target = await api("/data").then((data) => data.target);
  const told = JSON.parse(run("forecast", "fit.json", "--ratio", ratio, "--peak-lr", String(target.peak_lr), "--steps", String(target.steps), "--json", "--accept-caveats"));
  assert.equal(await page.textContent("#loss"), told.final.value.toFixed(4));
  assert.equal(await page.textContent("#schedule"), told.schedule);
  assert.deepEqual(wrong, []);
  await close();
});

await test("the address holds the state: it can be shared, and back goes back", async () => {
  const { page, close } = await start();
  await page.fill("#steps", "5k");
  await page.keyboard.press("Tab");
  await page.waitForURL(/steps=5000/);
  await settled(page);
  await page.click("#pin");
  await page.waitForURL(/pin=/);
  await page.selectOption("#shape", "1-sqrt");
  await page.waitForURL(/shape=1-sqrt/);
  await settled(page);
  const read = async (one) => [await one.textContent("#loss"), await one.textContent("#schedule"), await one.locator("#pins tr").count(), await one.inputValue("#shape")];
  const here = await read(page);
  const other = await open(browser, page.url());
  await other.page.waitForSelector("#forecast svg");
  assert.deepEqual(await read(other.page), here);
  await other.close();
  await page.goBack();
  await page.waitForFunction(() => document.getElementById("shape").value === "linear");
  await settled(page);
  assert.equal(await page.locator("#pins tr").count(), 1);
  assert.match(await page.textContent("#schedule"), /total=5000.*shape=linear/);
  await close();
});

await test("a value that makes no schedule is said, and the page goes on", async () => {
  const { page, close } = await start();
  await page.fill("#steps", "99999999");
  await page.keyboard.press("Tab");
  await page.waitForSelector("#error:not([hidden])");
  assert.match(await page.textContent("#error"), /beyond the/);
  await page.fill("#steps", "3000");
  await page.keyboard.press("Tab");
  await page.waitForSelector("#error", { state: "hidden" });
  await close();
});

await test("logs dropped onto the page are fitted, and their names stay text", async () => {
  const { page, wrong, close } = await start();
  const transfer = await page.evaluateHandle((files) => {
    const data = new DataTransfer();
    for (const { name, text } of files) data.items.add(new File([text], name, { type: "text/csv" }));
    return data;
  }, dropped);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
  await page.waitForFunction(() => document.getElementById("progress").textContent === "fitted", null, { timeout: 60000 });
  await page.waitForURL(/data=/);
  await settled(page);
  assert.match(await page.textContent("#about"), /on 4 runs/);
  assert.equal(await page.inputValue("#peak_lr"), "0.001");
  await page.click("#runs-box summary");
  assert.ok((await page.textContent("#runs")).includes(HOSTILE));
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await page.screenshot({ path: join(folder, "explorer-dropped.png"), fullPage: true });
  assert.deepEqual(wrong, []);
  await close();
});

await test("runs are left out and the law is fitted again; cancelling and leaving stop the work", async () => {
  const { page, wrong, close } = await start();
  await page.click("#runs-box summary");
  for (let i = 0; i < 40; i++) await page.locator("#runs input").nth(i).uncheck();
  await page.click("#refit");
  await page.waitForFunction(() => document.getElementById("progress").textContent === "fitted", null, { timeout: 120000 });
  await page.waitForFunction(() => /on 42 runs/.test(document.getElementById("about").textContent));
  await settled(page);
  const idle = async (what) => {
    await wait(2500);
    const begun = used(server.child.pid);
    await wait(1500);
    const spent = used(server.child.pid) - begun;
    assert.ok(spent < 0.5, `${what}: the server still works, ${spent} s in 1.5 s`);
  };
  await page.selectOption("#law", "multi-power");
  await page.waitForFunction(() => /s$/.test(document.getElementById("progress").textContent));
  await page.click("#cancel");
  assert.equal(await page.textContent("#progress"), "cancelled");
  await idle("cancelled");
  await page.selectOption("#law", "fsl");
  await page.waitForFunction(() => /s$/.test(document.getElementById("progress").textContent));
  assert.deepEqual(wrong.filter((line) => !/abort/i.test(line)), []);
  await close();
  await idle("left");
});

await test("what is saved is what it says it is", async () => {
  const { page, close } = await start();
  const names = [];
  for (const link of await page.locator("#saves a").all()) {
    const [saved] = await Promise.all([page.waitForEvent("download"), link.click()]);
    const bytes = readFileSync(await saved.path());
    names.push(`${saved.suggestedFilename()} ${bytes.subarray(0, 5).toString("latin1").replace(/[^ -~]/g, ".")}`);
  }
  assert.deepEqual(names.map((name) => name.split(" ")[1]), ["<svg", ".PNG.", "updat", "<svg", ".PNG.", "ratio", "{\"sch", "{.", "<!doc"].map((head, i) => (i === 7 ? names[7].split(" ")[1] : head)));
  assert.match(names[7], /^fit\.json \{/);
  await close();
});

await test("the page of running jobs is accessible at every size, light and dark, follows the jobs, and names stay text", async () => {
  const jobs = dropped.map(({ text }, i) => {
    const name = `job${i}.csv`;
    // A part of each run: what a job in its middle has written. Parts of the same length would be the same points.
    writeFileSync(join(work, name), text.split("\n").slice(0, 51 + i).join("\n") + "\n");
    return name;
  });
  const words = ["watch", ...jobs, "--steps", "2000", "--starts", "4", "--page", "--port", "0", "--every", "1"];
  const { url, stop } = await started(words);
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of SIZES) {
      const { page, wrong, close } = await open(browser, url, { colorScheme, viewport: { width, height } });
      for (let i = 0; i < 60 && !(await page.locator("table").count()); i += 1) {
        await wait(500);
        await page.reload();
      }
      assert.equal(await page.locator("tbody tr").count(), 4);
      assert.ok((await page.locator("tbody th").first().textContent()).includes("<img src=x"));
      assert.equal(await page.evaluate(() => window.pwned), undefined);
      assert.ok(await fits(page), `${width} px`);
      await page.screenshot({ path: join(folder, `jobs-${width}-${colorScheme}.png`), fullPage: true });
      await accessible(page, `${colorScheme} ${width}`);
      assert.deepEqual(wrong, []);
      await close();
    }
  }
  // A row more in a log is on the page without a reload.
  const { page, close } = await open(browser, url);
  const before = await page.locator("tbody tr").first().textContent();
  writeFileSync(join(work, jobs[0]), dropped[0].text.split("\n").slice(0, 60).join("\n") + "\n");
  await page.waitForFunction((text) => document.querySelector("tbody tr")?.textContent !== text, before, { timeout: 60000 });
  await close();
  const told = await (await fetch(new URL("/metrics", url))).text();
  assert.match(told, /^lehr_jobs 4$/m);
  stop();
});

await test("a request that never ends is cut off", async () => {
  const { connect } = await import("node:net");
  const { hostname, port } = new URL(server.url);
  const begun = Date.now();
  await new Promise((closed, fail) => {
    const socket = connect(Number(port), hostname, () => socket.write("GET / HTTP/1.1\r\nHost: "));
    const drip = setInterval(() => socket.write("a"), 500);
    socket.on("close", () => (clearInterval(drip), closed()));
    socket.on("error", () => {});
    setTimeout(() => fail(new Error("still open after 40 s")), 40000).unref();
  });
  assert.ok(Date.now() - begun < 30000);
});

await browser.close();
server.stop();
console.log(`${passed} passed, ${failures.length} failed${failures.length ? `: ${failures.join("; ")}` : ""}`);
process.exit(failures.length ? 1 : 0);
