// @ts-check
// The report's sliders: they read a grid of answers that the report holds. The same interpolation as `Grid::at` in
// crates/lehr-app/src/report/grid.rs; a browser test holds the two against each other.

/** @typedef {{ratio: number[], peak_lr: number[], steps: number[], loss: number[], lower: number[], upper: number[],
 *   target: {ratio: number, peak_lr: number, steps: number, warmup: number}}} Grid */

/** Lagrange's cubic through the four nodes around x. @param {number[]} nodes @param {number} x @returns {[number, number[]]} */
function weights(nodes, x) {
  const at = Math.max(nodes[0], Math.min(nodes[nodes.length - 1], x));
  let cell = 0;
  while (cell + 1 < nodes.length && nodes[cell + 1] <= at) cell++;
  const from = Math.min(Math.max(cell - 1, 0), nodes.length - 4);
  const near = nodes.slice(from, from + 4);
  return [from, near.map((a, i) => near.reduce((w, b, j) => (i === j ? w : (w * (at - b)) / (a - b)), 1))];
}

/** The loss and its interval between the nodes. @param {Grid} grid @param {number} ratio @param {number} peak @param {number} steps
 * @returns {{loss: number, lower: number, upper: number}} */
function between(grid, ratio, peak, steps) {
  const [i0, wi] = weights(grid.ratio.map(Math.sqrt), Math.sqrt(ratio));
  const [j0, wj] = weights(grid.peak_lr.map(Math.log), Math.log(peak));
  const [k0, wk] = weights(grid.steps.map(Math.log), Math.log(steps));
  const sums = { loss: 0, lower: 0, upper: 0 };
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++)
      for (let k = 0; k < 4; k++) {
        const w = wi[i] * wj[j] * wk[k];
        const at = ((i0 + i) * grid.peak_lr.length + j0 + j) * grid.steps.length + k0 + k;
        sums.loss += w * grid.loss[at];
        sums.lower += w * grid.lower[at];
        sums.upper += w * grid.upper[at];
      }
  return sums;
}

/** Ticks of an axis: 1, 2 or 5 times a power of ten apart. @param {number} lo @param {number} hi @returns {number[]} */
function ticks(lo, hi) {
  const raw = (hi - lo) / 4;
  const unit = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((s) => s >= raw) || raw;
  const out = [];
  for (let k = Math.ceil(lo / step); k * step <= hi + 1e-9 * step; k++) out.push(k * step);
  return out;
}

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] @returns {SVGElement} */
function shape(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** @param {Grid} grid */
function sliders(grid) {
  /** @param {string} id @returns {HTMLElement} */
  const by = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (by(id));
  const [ratio, peak, steps] = [input("s-ratio"), input("s-peak"), input("s-steps")];
  const most = grid.ratio[grid.ratio.length - 1];
  /** @param {number[]} nodes @param {HTMLInputElement} slider */
  const even = (nodes, slider) => nodes[0] * Math.pow(nodes[nodes.length - 1] / nodes[0], Number(slider.value) / Number(slider.max));
  /** @param {number[]} nodes @param {number} value @param {HTMLInputElement} slider */
  const place = (nodes, value, slider) =>
    String(Math.round((Number(slider.max) * Math.log(value / nodes[0])) / Math.log(nodes[nodes.length - 1] / nodes[0])));
  let best = grid.target.ratio;

  function follow() {
    const r = (most * Number(ratio.value)) / Number(ratio.max);
    const rate = even(grid.peak_lr, peak);
    const total = Math.round(even(grid.steps, steps));
    const found = between(grid, r, rate, total);
    const n = Number(ratio.max);
    const ratios = Array.from({ length: n + 1 }, (_, i) => (most * i) / n);
    const curve = ratios.map((one) => between(grid, one, rate, total));
    const at = curve.reduce((least, one, i) => (one.loss < curve[least].loss ? i : least), 0);
    best = ratios[at];
    const cost = 1e3 * (found.loss - curve[at].loss);
    const length = Math.round(r * total);
    /** @type {[HTMLInputElement, string, string][]} */
    const said = [
      [ratio, "o-ratio", r.toFixed(3)],
      [peak, "o-peak", show(rate, 3)],
      [steps, "o-steps", show(total)],
    ];
    for (const [slider, id, text] of said) {
      by(id).textContent = text;
      slider.setAttribute("aria-valuetext", text);
    }
    by("e-loss").textContent = found.loss.toFixed(4);
    by("e-interval").textContent = `${found.lower.toFixed(4)} … ${found.upper.toFixed(4)} nats per token`;
    by("e-cost").textContent = `${cost.toFixed(1)} mnat`;
    by("e-best").textContent = `best ratio here ${best.toFixed(3)}`;
    by("e-start").textContent = show(total - length);
    by("e-length").textContent = `${show(length)} updates of annealing`;
    draw(curve, ratios, r, found.loss, best);
  }

  /** @param {{loss: number, lower: number, upper: number}[]} curve @param {number[]} ratios @param {number} r @param {number} loss @param {number} least */
  function draw(curve, ratios, r, loss, least) {
    const narrow = by("e-chart").clientWidth < 500;
    const [width, height, left, right, top, bottom] = [narrow ? 360 : 760, narrow ? 260 : 280, 56, 16, 28, 40];
    const losses = curve.map((one) => one.loss);
    const low = Math.min(...losses);
    // A rate that never falls may cost so much that the basin would be a line.
    const sorted = [...losses].sort((a, b) => a - b);
    const high = Math.max(sorted[Math.floor(sorted.length * 0.9)], Math.min(loss, low + 3 * (sorted[Math.floor(sorted.length * 0.9)] - low)));
    const pad = 0.12 * (high - low);
    const [lo, hi] = [low - pad, high + pad];
    const x = (/** @type {number} */ v) => left + (v * (width - left - right));
    const y = (/** @type {number} */ v) => top + ((hi - Math.max(lo, Math.min(hi, v))) / (hi - lo)) * (height - top - bottom);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "e-chart", role: "img", "aria-label": `Final loss against the annealing ratio; lowest at ${least.toFixed(3)}` });
    const values = ticks(lo, hi);
    const decimals = values.length > 1 ? Math.max(0, Math.ceil(-Math.log10(values[1] - values[0]))) : 3;
    for (const tick of values) {
      svg.append(shape("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "chart-grid" }));
      svg.append(shape("text", { x: left - 6, y: y(tick) + 4, class: "chart-text end" }, tick.toFixed(decimals)));
    }
    for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      svg.append(shape("text", { x: x(tick), y: height - bottom + 16, class: "chart-text middle" }, String(tick)));
    }
    svg.append(shape("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "chart-axis" }));
    svg.append(shape("line", { x1: x(least), x2: x(least), y1: top, y2: height - bottom, class: "chart-best" }));
    const half = width / 2;
    svg.append(shape("text", { x: x(least) + (x(least) > half ? -6 : 6), y: height - bottom - 8, class: `chart-text good${x(least) > half ? " end" : ""}` }, `best ${least.toFixed(2)}`));
    // What lies above the picture is left out, up to where the line enters it.
    const points = ratios.flatMap((one, i) => {
      const inside = losses[i] <= hi || (losses[i + 1] ?? Infinity) <= hi || (losses[i - 1] ?? Infinity) <= hi;
      return inside ? [`${x(one).toFixed(1)},${y(losses[i]).toFixed(1)}`] : [];
    });
    svg.append(shape("polyline", { points: points.join(" "), class: "chart-line" }));
    svg.append(shape("circle", { cx: x(r), cy: y(loss), r: 6, class: "chart-dot" }));
    svg.append(shape("text", { x: left - 48, y: 14, class: "chart-text" }, "final loss (nats per token)"));
    svg.append(shape("text", { x: (left + width - right) / 2, y: height - 6, class: "chart-text middle" }, "annealing ratio"));
    by("e-chart").replaceChildren(svg);
  }

  function target() {
    ratio.value = String(Math.round((Number(ratio.max) * grid.target.ratio) / most));
    peak.value = place(grid.peak_lr, grid.target.peak_lr, peak);
    steps.value = place(grid.steps, grid.target.steps, steps);
    follow();
  }
  for (const slider of [ratio, peak, steps]) slider.addEventListener("input", follow);
  by("to-target").addEventListener("click", target);
  by("to-best").addEventListener("click", () => {
    ratio.value = String(Math.round((Number(ratio.max) * best) / most));
    follow();
  });
  let wide = 0;
  new ResizeObserver(() => {
    const now = by("e-chart").clientWidth;
    if ((now < 500) !== (wide < 500)) follow();
    wide = now;
  }).observe(by("e-chart"));
  target();
}

const held = document.getElementById("grid");
if (held) sliders(JSON.parse(held.textContent || "{}"));
