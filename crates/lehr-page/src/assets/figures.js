// @ts-check
// Values under the pointer or the keyboard's cursor, switches for curves, and buttons that copy. The figures themselves are
// drawn before; this reads the numbers that come with them.
"use strict";

/** @typedef {{title: string, lo: number, hi: number, log: boolean}} Axis */
/** @typedef {{name: string, x: number[], y: number[], lower: number[], upper: number[]}} Series */
/** @typedef {{wide: number[], narrow: number[], title: string | null, x: Axis, y: Axis, series: Series[]}} PanelData */
/** @typedef {{panels: PanelData[]}} FigureData */

/** A number as people read it, with a true minus. @param {number} value @param {number} [digits] @returns {string} */
function show(value, digits = 4) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size < 1e-3 || size >= 1e7) text = value.toExponential(2).replace("e+", "e");
  else if (size >= 1000 && Number.isInteger(value)) text = String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  else text = Number(value.toPrecision(digits)).toString();
  return text.replace("-", "\u2212");
}

/** Where a value lies on an axis, 0 … 1. @param {Axis} axis @param {number} share @returns {number} */
function valueAt(axis, share) {
  return axis.log ? axis.lo * Math.pow(axis.hi / axis.lo, share) : axis.lo + share * (axis.hi - axis.lo);
}

/** @param {Axis} axis @param {number} value @returns {number} */
function shareOf(axis, value) {
  return axis.log ? Math.log(value / axis.lo) / Math.log(axis.hi / axis.lo) : (value - axis.lo) / (axis.hi - axis.lo);
}

/** The values of a series at x, between its points; null outside. @param {Series} series @param {number} x
 * @param {boolean} near take the nearest point instead @returns {{x: number, y: number, lower: number | null, upper: number | null} | null} */
function read(series, x, near) {
  const n = series.x.length;
  if (n === 0) return null;
  if (near) {
    let best = 0;
    for (let i = 1; i < n; i++) if (Math.abs(series.x[i] - x) < Math.abs(series.x[best] - x)) best = i;
    return { x: series.x[best], y: series.y[best], lower: null, upper: null };
  }
  if (x < series.x[0] || x > series.x[n - 1]) return null;
  let i = 1;
  while (i < n - 1 && series.x[i] < x) i++;
  const [a, b] = n > 1 ? [i - 1, i] : [0, 0];
  const share = b > a && series.x[b] > series.x[a] ? (x - series.x[a]) / (series.x[b] - series.x[a]) : 0;
  /** @param {number[]} v */
  const mix = (v) => v[a] + share * (v[b] - v[a]);
  const band = series.lower.length === n && series.upper.length === n;
  return { x, y: mix(series.y), lower: band ? mix(series.lower) : null, upper: band ? mix(series.upper) : null };
}

/** Makes a figure answer the pointer and the arrow keys. @param {HTMLElement} figure */
function liven(figure) {
  const source = figure.querySelector("script.figure-data");
  const canvas = /** @type {HTMLElement | null} */ (figure.querySelector(".canvas"));
  if (!source || !canvas || canvas.dataset.live) return;
  canvas.dataset.live = "yes";
  /** @type {FigureData} */
  const data = JSON.parse(source.textContent || "{}");
  /** @type {Set<string>} */
  const off = new Set();
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.hidden = true;
  readout.setAttribute("role", "status");
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  canvas.append(cursor, readout);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "group");
  const title = figure.querySelector(".figure-title");
  canvas.setAttribute("aria-label", `${title ? title.textContent : "Figure"}. Left and right arrow keys read its values.`);

  const svg = () => {
    const all = Array.from(canvas.querySelectorAll("svg"));
    return all.find((one) => one.getBoundingClientRect().width > 0) || all[0];
  };
  /** @param {number} panel @param {number} x @param {number | null} y */
  const tell = (panel, x, y) => {
    const drawing = svg();
    const narrow = Boolean(drawing.closest(".narrow"));
    const box = drawing.getBoundingClientRect();
    const scale = box.width / drawing.viewBox.baseVal.width;
    const { series, x: xs } = data.panels[panel];
    const frame = narrow ? data.panels[panel].narrow : data.panels[panel].wide;
    const visible = series.filter((one) => !off.has(one.name) && one.x.length > 0);
    const span = (xs.hi - xs.lo) / 40;
    let found = visible.flatMap((one) => {
      const value = read(one, x, one.x.length < 3);
      if (!value || (one.x.length < 3 && !xs.log && Math.abs(value.x - x) > span)) return [];
      return [{ name: one.name, value }];
    });
    if (found.length > 5) {
      const wanted = y === null ? found[0].value.y : y;
      const rest = found.slice(1).sort((a, b) => Math.abs(a.value.y - wanted) - Math.abs(b.value.y - wanted));
      found = [found[0], ...rest.slice(0, 2)];
    }
    readout.replaceChildren();
    const head = document.createElement("div");
    head.textContent = `${xs.title || "x"}: ${show(Math.abs(xs.hi) >= 1000 ? Math.round(x) : x)}`;
    readout.append(head);
    for (const { name, value } of found) {
      const line = document.createElement("div");
      const band = value.lower === null || value.upper === null ? "" : ` (${show(value.lower)} … ${show(value.upper)})`;
      line.textContent = `${name}: ${show(value.y, 5)}${band}`;
      readout.append(line);
    }
    const left = (frame[0] + shareOf(xs, x) * (frame[2] - frame[0])) * scale;
    cursor.style.left = `${left}px`;
    cursor.style.top = `${frame[1] * scale}px`;
    cursor.style.height = `${(frame[3] - frame[1]) * scale}px`;
    cursor.hidden = readout.hidden = false;
    const wide = readout.offsetWidth;
    readout.style.left = `${Math.max(0, Math.min(left + 12, box.width - wide))}px`;
    if (left + 12 + wide > box.width) readout.style.left = `${Math.max(0, left - wide - 12)}px`;
    readout.style.top = `${frame[1] * scale + 6}px`;
  };
  const quiet = () => {
    cursor.hidden = readout.hidden = true;
  };
  canvas.addEventListener("pointermove", (event) => {
    const drawing = svg();
    const narrow = Boolean(drawing.closest(".narrow"));
    const box = drawing.getBoundingClientRect();
    const scale = box.width / drawing.viewBox.baseVal.width;
    const [px, py] = [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
    const at = data.panels.findIndex((panel) => {
      const frame = narrow ? panel.narrow : panel.wide;
      return px >= frame[0] && px <= frame[2] && py >= frame[1] && py <= frame[3];
    });
    if (at < 0) return quiet();
    const frame = narrow ? data.panels[at].narrow : data.panels[at].wide;
    const x = valueAt(data.panels[at].x, (px - frame[0]) / (frame[2] - frame[0]));
    tell(at, x, valueAt(data.panels[at].y, (frame[3] - py) / (frame[3] - frame[1])));
  });
  canvas.addEventListener("pointerleave", quiet);
  canvas.addEventListener("blur", quiet);
  let place = { panel: 0, share: 1 };
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1 }[event.key];
    if (event.key === "Escape") return quiet();
    if (step === undefined && event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const turn = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? data.panels.length - 1 : 0;
    place = {
      panel: (place.panel + turn) % data.panels.length,
      share: Math.max(0, Math.min(1, place.share + (step || 0))),
    };
    tell(place.panel, valueAt(data.panels[place.panel].x, place.share), null);
  });

  // Switches, where a figure has several curves in one panel.
  const names = [...new Set(data.panels.flatMap((panel) => (panel.series.length > 1 ? panel.series.map((one) => one.name) : [])))];
  if (data.panels.length > 2 || names.length < 2) return;
  const legend = document.createElement("div");
  legend.className = "legend";
  legend.setAttribute("role", "group");
  legend.setAttribute("aria-label", "Curves");
  const groups = (/** @type {string} */ name) =>
    Array.from(canvas.querySelectorAll("svg")).flatMap((drawing) => {
      const all = Array.from(drawing.querySelectorAll("g[data-series]"));
      let from = 0;
      return data.panels.flatMap((panel) => {
        const own = all.slice(from, from + panel.series.length);
        from += panel.series.length;
        return own.filter((group) => panel.series[Number(group.getAttribute("data-series"))]?.name === name);
      });
    });
  for (const name of names) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const swatch = document.createElement("i");
    const drawn = groups(name)[0]?.querySelector("[stroke],[fill]");
    const ink = drawn?.getAttribute("stroke") || drawn?.getAttribute("fill");
    const filled = drawn?.getAttribute("fill");
    swatch.style.background = (ink && !ink.includes("--paper") ? ink : filled) || "currentColor";
    const label = document.createElement("span");
    label.textContent = name;
    label.title = name;
    button.append(swatch, label);
    button.addEventListener("click", () => {
      const show = off.has(name);
      if (show) off.delete(name);
      else off.add(name);
      button.setAttribute("aria-pressed", String(show));
      for (const group of groups(name)) group.toggleAttribute("hidden", !show);
      for (const group of groups(name)) /** @type {SVGElement} */ (group).style.display = show ? "" : "none";
    });
    legend.append(button);
  }
  if (names.length > 12) {
    const more = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = `Curves (${names.length})`;
    more.append(summary, legend);
    canvas.after(more);
  } else {
    canvas.after(legend);
  }
}

/** Copies a text; where the clipboard is closed, selects it. @param {HTMLElement} button */
async function copy(button) {
  const source = document.getElementById(button.dataset.copy || "");
  if (!source) return;
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent || "");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = getSelection();
    selection?.removeAllRanges();
    selection?.addRange(range);
    said = "Selected: press Ctrl+C";
  }
  const before = button.dataset.label || button.textContent || "Copy";
  button.dataset.label = before;
  button.textContent = said;
  setTimeout(() => (button.textContent = before), 1600);
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button.copy") : null;
  if (button instanceof HTMLElement) void copy(button);
});
for (const figure of document.querySelectorAll("figure.plot")) liven(/** @type {HTMLElement} */ (figure));
