// The documentation site in a browser: node site.mjs CHROMIUM SITE PICTURES [PAGE …]
// Every page at 1280 and 390 pixels, and in the dark: nothing is loaded from elsewhere, nothing fails, no page is wider than the
// screen, pictures are there, and axe finds no serious fault of contrast, names or order. Pictures of the pages lie in PICTURES.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [executablePath, site, pictures, ...only] = process.argv.slice(2);
const root = path.resolve(site);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const kinds = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json", ".png": "image/png" };
const server = http.createServer((request, response) => {
  const file = path.join(root, decodeURIComponent(new URL(request.url, "http://x").pathname));
  const found = fs.existsSync(file) && fs.statSync(file).isDirectory() ? path.join(file, "index.html") : file;
  if (!found.startsWith(root) || !fs.existsSync(found)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": kinds[path.extname(found)] ?? "application/octet-stream" }).end(fs.readFileSync(found));
});
await new Promise((done) => server.listen(0, "localhost", done));
const address = ["http://localhost", server.address().port].join(":");

const pages = fs
  .readdirSync(root, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".html") && name !== "404.html" && (only.length === 0 || only.includes(name)))
  .sort();
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const faults = [];
fs.mkdirSync(pictures, { recursive: true });
for (const [mode, width, colorScheme] of [["wide", 1280, "light"], ["narrow", 390, "light"], ["dark", 1280, "dark"]]) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  let name = "";
  const say = (fault) => {
    faults.push(fault);
    console.log(`${name} (${mode}): ${fault}`);
  };
  page.on("pageerror", (error) => say(`error: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && say(`console: ${message.text()}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !url.startsWith("data:") && !url.startsWith("blob:")) say(`loads ${url}`);
  });
  for (name of pages) {
    await page.goto(`${address}/${name}`, { waitUntil: "load" });
    const seen = await page.evaluate((width) => {
      const wide = [...document.querySelectorAll("article *")].filter((part) => part.getBoundingClientRect().right > width + 1);
      return {
        height: document.documentElement.scrollHeight,
        width: document.documentElement.scrollWidth,
        wide: wide.slice(0, 3).map((part) => `${part.tagName}.${part.className}`),
        missing: [...document.images].filter((image) => image.complete && image.naturalWidth === 0).map((image) => image.src),
      };
    }, width);
    if (seen.width > width) say(`is ${seen.width} pixels wide on a screen of ${width}: ${seen.wide.join(", ")}`);
    for (const missing of seen.missing) say(`no picture at ${missing}`);
    // What axe judges depends on the colours, little on the width.
    if (mode !== "narrow") {
      await page.evaluate(axe);
      const found = await page.evaluate(async () => {
        const result = await window.axe.run(document, {
          runOnly: ["wcag2a", "wcag2aa"],
          // Chromium and Firefox let the keyboard reach what scrolls; the rule asks for a tabindex besides.
          rules: { "scrollable-region-focusable": { enabled: false } },
        });
        const grave = result.violations.filter((one) => ["serious", "critical"].includes(one.impact));
        return grave.map((one) => `${one.id}, ${one.nodes.length} times, first ${one.nodes[0].target}: ${one.nodes[0].failureSummary}`);
      });
      for (const fault of found) say(fault.replaceAll(/\s+/g, " "));
    }
    const picture = path.join(pictures, `${name.replaceAll("/", "-").replace(".html", "")}-${mode}.png`);
    await page.screenshot({ path: picture, clip: { x: 0, y: 0, width, height: Math.min(seen.height, 2400) }, fullPage: true });
  }
  await context.close();
}
await browser.close();
server.close();
console.log(`${pages.length} pages in three ways, ${faults.length} faults`);
if (faults.length || !pages.length) process.exit(1);
