// @ts-check
// The explorer: fields and sliders make a question, the server answers with numbers and figures. The address holds the whole
// state, so it can be shared, and the back button goes back.
"use strict";

/** @typedef {{name: string, equation: string}} LawLine */
/** @typedef {{id: string, peak_lr: number, last_update: number, mape: number}} RunLine */
/** @typedef {{data: string, name: string, law: string, runs: RunLine[], target: {peak_lr: number, steps: number, warmup: number},
 *   fitted: {peak_lr: number[], last_update: number[]}, limits: {steps: number, pins: number}, laws: LawLine[],
 *   exports: {name: string, title: string}[], refit: boolean}} Data */
/** @typedef {{value: number, lower: number, upper: number}} Loss */
/** @typedef {{svg: string, title: string, subtitle: string | null, caption: string | null, data: object}} Figure */
/** @typedef {{ratio: number, schedule: string, start_step: number, anneal_steps: number, final: Loss, cost: number, level: number,
 *   target: {peak_lr: number, steps: number, warmup: number}, recommended: {ratio: number, loss: number},
 *   pins: {schedule: string, final: Loss, difference: number}[], caveats: {blocking: boolean, message: string}[],
 *   figures: {forecast: Figure, ratio: Figure}}} View */

const API = "/api/v1";
/** Fields whose text goes into a question as it is. */
const FIELDS = ["ratio", "peak_lr", "steps", "warmup", "final_lr", "shape", "params", "tokens_per_step"];

/** @param {string} id @returns {HTMLElement} */
const by = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id @returns {HTMLInputElement} */
const field = (id) => /** @type {HTMLInputElement} */ (by(id));
/** @param {string} tag @param {string} [text] @param {string} [kind] @returns {HTMLElement} */
function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

/** @type {Data} */
let data;
/** Schedules held against the target. @type {string[]} */
let pins = [];
/** The ratio that was asked for; null: the best. @type {string | null} */
let asked = null;
/** @type {View | null} */
let shown = null;
/** @type {{peak_lr: [number, number], steps: [number, number]}} */
let reach = { peak_lr: [1e-4, 1e-2], steps: [100, 1e5] };

/** The text of a problem that the server states. @param {Response} response @returns {Promise<Error>} */
async function problem(response) {
  try {
    const { error, hint } = await response.json();
    return new Error(hint ? `${error}. ${hint}` : error);
  } catch {
    return new Error(`the server answered ${response.status}`);
  }
}

/** @param {string} path @returns {Promise<any>} */
async function get(path) {
  const response = await fetch(API + path);
  if (!response.ok) throw await problem(response);
  return response.json();
}

/** The question that the fields make. @returns {URLSearchParams} */
function question() {
  const query = new URLSearchParams();
  if (data.data !== "start") query.set("data", data.data);
  for (const name of FIELDS) {
    const value = name === "ratio" ? asked : field(name).value.trim();
    if (value) query.set(name, name === "ratio" ? value : plain(name, value));
  }
  if (query.get("final_lr") === "0") query.delete("final_lr");
  if (query.get("shape") === "linear") query.delete("shape");
  for (const pin of pins) query.append("pin", pin);
  return query;
}

/** 50k and 1.3B as the server takes them. @param {string} name @param {string} text */
function plain(name, text) {
  const found = /^([0-9.]+) ?([kKmMbB])$/.exec(text.replace(/[\u202f_ ]/g, ""));
  if (!found || !["steps", "warmup", "params", "tokens_per_step"].includes(name)) return text.replace(/[\u202f_ ]/g, "");
  const unit = { k: 1e3, m: 1e6, b: 1e9 }[found[2].toLowerCase()] || 1;
  return String(Math.round(Number(found[1]) * unit));
}

/** The fields as the address says. @param {URLSearchParams} query */
function fill(query) {
  asked = query.get("ratio");
  pins = query.getAll("pin").slice(0, data.limits.pins);
  const usual = { peak_lr: String(data.target.peak_lr), steps: String(data.target.steps), warmup: "", final_lr: "0", shape: "linear", params: "", tokens_per_step: "" };
  for (const [name, value] of Object.entries(usual)) {
    const text = query.get(name) ?? value;
    const input = field(name);
    if (name === "shape" && ![...input.querySelectorAll("option")].some((one) => one.textContent === text)) input.append(make("option", text));
    input.value = text;
  }
  field("warmup").placeholder = String(data.target.warmup);
  slide();
}

/** Sliders follow the fields. */
function slide() {
  for (const name of /** @type {("peak_lr" | "steps")[]} */ (["peak_lr", "steps"])) {
    const value = Number(plain(name, field(name).value));
    const [low, high] = reach[name];
    if (value > 0) field(`${name}-slide`).value = String(Math.round((200 * Math.log(value / low)) / Math.log(high / low)));
    field(`${name}-slide`).setAttribute("aria-valuetext", field(name).value);
  }
}

/** @param {Figure} figure @param {string} name @param {HTMLElement} where */
function draw(figure, name, where) {
  const off = new Set([...where.querySelectorAll('.legend button[aria-pressed="false"]')].map((one) => one.textContent));
  const element = make("figure", undefined, "plot");
  element.dataset.figure = name;
  const caption = make("figcaption");
  caption.append(make("span", figure.title, "figure-title"));
  const canvas = make("div", undefined, "canvas");
  // eslint-disable-next-line no-restricted-syntax -- the server's own drawing, names escaped; the page's policy lets no script in it run
  const svg = new DOMParser().parseFromString(figure.svg, "image/svg+xml").documentElement;
  canvas.append(document.importNode(svg, true));
  const numbers = document.createElement("script");
  numbers.type = "application/json";
  numbers.className = "figure-data";
  numbers.textContent = JSON.stringify(figure.data);
  element.append(caption, canvas);
  if (figure.caption) element.append(make("p", figure.caption, "figure-note"));
  element.append(numbers);
  const focused = where.contains(document.activeElement);
  where.replaceChildren(element);
  liven(element);
  for (const button of element.querySelectorAll(".legend button")) {
    if (off.has(button.textContent)) /** @type {HTMLElement} */ (button).click();
  }
  if (focused) canvas.focus({ preventScroll: true });
}

/** @param {View} view */
function show_view(view) {
  shown = view;
  by("headline").textContent =
    view.anneal_steps > 0 ? `Anneal over the last ${(100 * view.ratio).toFixed(1)} % of ${show(view.target.steps)} updates` : `Hold the rate for all ${show(view.target.steps)} updates`;
  by("schedule").textContent = view.schedule;
  by("loss").textContent = view.final.value.toFixed(4);
  by("interval").textContent = `${view.final.lower.toFixed(4)} … ${view.final.upper.toFixed(4)} nats per token (${Math.round(100 * view.level)} %)`;
  by("cost").textContent = `${Math.max(0, 1e3 * view.cost).toFixed(1)} mnat`;
  by("best-ratio").textContent = `best ratio ${view.recommended.ratio.toFixed(3)}`;
  by("start").textContent = show(view.start_step);
  by("length").textContent = `${show(view.anneal_steps)} updates of annealing`;
  if (document.activeElement !== field("ratio")) field("ratio").value = view.ratio.toFixed(3);
  field("ratio-slide").value = String(Math.round(200 * view.ratio));
  field("ratio-slide").setAttribute("aria-valuetext", view.ratio.toFixed(3));
  by("caveats").replaceChildren(
    ...view.caveats.slice(0, 5).map((caveat) => make("li", (caveat.blocking ? "Look before you use it: " : "") + caveat.message, caveat.blocking ? "blocking" : "")),
  );
  by("pins-box").hidden = view.pins.length === 0;
  by("pins").replaceChildren(
    ...view.pins.map((pin, i) => {
      const row = make("tr");
      const remove = /** @type {HTMLButtonElement} */ (make("button", "Remove"));
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove pin ${i + 1}`);
      remove.addEventListener("click", () => {
        pins.splice(i, 1);
        void ask(true);
      });
      const last = make("td");
      last.append(remove);
      const difference = 1e3 * pin.difference;
      row.append(make("td", String(i + 1)), make("td", pin.schedule), make("td", pin.final.value.toFixed(4), "num"), make("td", `${difference < 0 ? "\u2212" : "+"}${Math.abs(difference).toFixed(1)}`, "num"), last);
      return row;
    }),
  );
  draw(view.figures.forecast, "forecast", by("forecast"));
  draw(view.figures.ratio, "ratio", by("ratio-figure"));
  const query = question();
  const link = (/** @type {string} */ text, /** @type {string} */ path, /** @type {Record<string, string>} */ more) => {
    const all = new URLSearchParams(query);
    if (!path.endsWith("figure") && !path.endsWith("explore") && !path.endsWith("forecast")) all.delete("pin");
    if (path === "/fit") for (const key of [...all.keys()]) if (key !== "data") all.delete(key);
    for (const [key, value] of Object.entries(more)) all.set(key, value);
    const anchor = /** @type {HTMLAnchorElement} */ (make("a", text, "button"));
    anchor.href = `${API}${path}?${all}`;
    anchor.download = "";
    const item = make("li");
    item.append(anchor);
    return item;
  };
  by("saves").replaceChildren(
    link("Forecast, SVG", "/figure", { figure: "forecast", format: "svg" }),
    link("Forecast, PNG", "/figure", { figure: "forecast", format: "png" }),
    link("Forecast, CSV", "/figure", { figure: "forecast", format: "csv" }),
    link("Ratio, SVG", "/figure", { figure: "ratio", format: "svg" }),
    link("Ratio, PNG", "/figure", { figure: "ratio", format: "png" }),
    link("Ratio, CSV", "/figure", { figure: "ratio", format: "csv" }),
    link("Everything, JSON", "/explore", {}),
    link("The fit", "/fit", {}),
    link("Report", "/report", {}),
  );
}

/** @param {unknown} error */
function complain(error) {
  const box = by("error");
  box.replaceChildren(make("p", error instanceof Error ? error.message : String(error)));
  box.hidden = false;
}

let asking = false;
let again = false;

/** Asks what the fields say; while an answer is under way, only the last question waits. @param {boolean} [settled] whether the address gets a step to go back to */
async function ask(settled) {
  const query = question();
  const address = query.size ? `?${query}` : location.pathname;
  if (settled && address !== (location.search || location.pathname)) history.pushState(null, "", address);
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  document.body.classList.add("busy");
  try {
    do {
      again = false;
      const now = question();
      now.set("width", by("forecast").clientWidth < 560 ? "narrow" : "wide");
      for (const box of by("runs").querySelectorAll("input:not(:checked)")) now.append("hide", /** @type {HTMLInputElement} */ (box).value);
      try {
        show_view(await get(`/view?${now}`));
        by("error").hidden = true;
      } catch (error) {
        complain(error);
      }
    } while (again);
  } finally {
    asking = false;
    document.body.classList.remove("busy");
  }
  void snippet();
}

let snippets = 0;
async function snippet() {
  const mine = ++snippets;
  const query = question();
  query.delete("pin");
  query.set("to", field("to").value);
  try {
    const made = await get(`/export?${query}`);
    if (mine !== snippets) return;
    const off = 100 * made.deviation.max_of_peak;
    by("snippet").textContent = made.text ?? "a binary file: lehr schedule writes it";
    by("snippet-note").textContent = [off < 5e-5 ? "exact" : `off by at most ${off.toFixed(2)} % of the peak rate`, `costs ${(1e3 * made.loss_cost).toFixed(2)} mnat by the law`, ...made.notes].join(" · ");
  } catch (error) {
    if (mine !== snippets) return;
    by("snippet").textContent = "";
    by("snippet-note").textContent = error instanceof Error ? error.message : String(error);
  }
}

/** Reads what there is to explore. @param {URLSearchParams} query */
async function load(query) {
  const id = query.get("data");
  data = await get(id ? `/data?data=${encodeURIComponent(id)}` : "/data");
  const { peak_lr, last_update } = data.fitted;
  const { target, limits } = data;
  reach = {
    peak_lr: [Math.min(peak_lr[0], target.peak_lr) / 3, Math.max(peak_lr[1], target.peak_lr) * 3],
    steps: [Math.max(10, Math.min(last_update[0], target.steps) / 2), Math.min(limits.steps, Math.max(last_update[1], target.steps) * 10)],
  };
  by("about").textContent = `${data.name}: ${data.law} law on ${data.runs.length} run${data.runs.length === 1 ? "" : "s"}`;
  by("runs-count").textContent = `${data.runs.length} run${data.runs.length === 1 ? "" : "s"}`;
  by("runs").replaceChildren(
    ...data.runs.map((run) => {
      const label = make("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.value = run.id;
      label.append(box, make("span", run.id));
      const item = make("li");
      item.append(label);
      return item;
    }),
  );
  by("law").replaceChildren(
    ...data.laws.map((law) => {
      const option = /** @type {HTMLOptionElement} */ (make("option", law.name));
      option.selected = law.name === data.law;
      option.title = law.equation;
      return option;
    }),
  );
  if (!by("to").children.length) {
    by("to").append(
      ...data.exports.map((one) => {
        const option = /** @type {HTMLOptionElement} */ (make("option", one.title === one.name ? one.name : `${one.name} (${one.title})`));
        option.value = one.name;
        return option;
      }),
    );
  }
  for (const id of ["refit", "law"]) /** @type {HTMLButtonElement} */ (by(id)).disabled = !data.refit;
  fill(query);
}

async function start() {
  try {
    await load(new URLSearchParams(location.search));
  } catch (error) {
    complain(error);
    await load(new URLSearchParams());
  }
  await ask();
}

// A fit with its progress. Leaving or cancelling closes the connection, and the server stops the work.
/** @type {AbortController | null} */
let fitting = null;

/** @param {object} request */
async function fit(request) {
  fitting?.abort();
  const mine = (fitting = new AbortController());
  by("cancel").hidden = false;
  by("progress").textContent = "starting …";
  let what = "fitting";
  try {
    const response = await fetch(`${API}/fits`, { method: "POST", body: JSON.stringify(request), headers: { "content-type": "application/json" }, signal: mine.signal });
    if (!response.ok || !response.body) throw await problem(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const lines = text.split("\n");
      text = lines.pop() || "";
      for (const line of lines) {
        const event = JSON.parse(line);
        if (event.event === "reading") by("progress").textContent = `reading: ${event.files} of ${event.of_files} files, ${event.runs} runs`;
        if (event.event === "begun") what = event.what;
        if (event.event === "waiting") by("progress").textContent = "waiting for another fit to end …";
        if (event.event === "working") by("progress").textContent = `${what} … ${event.seconds.toFixed(1)} s`;
        if (event.event === "failed") throw new Error(event.hint ? `${event.error}. ${event.hint}` : event.error);
        if (event.event === "done") {
          // Runs of another kind have a target of their own.
          const query = "tray" in request ? new URLSearchParams() : question();
          query.set("data", event.data);
          by("progress").textContent = "fitted";
          await load(query);
          await ask(true);
        }
      }
    }
  } catch (error) {
    by("progress").textContent = mine.signal.aborted ? "cancelled" : "";
    if (!mine.signal.aborted) complain(error);
  } finally {
    if (fitting === mine) {
      fitting = null;
      by("cancel").hidden = true;
    }
  }
}

/** Sends files and fits them. @param {File[]} files */
async function take(files) {
  if (files.length === 0) return;
  let tray = "";
  by("error").hidden = true;
  try {
    for (const [i, file] of files.entries()) {
      by("progress").textContent = `sending ${i + 1} of ${files.length}: ${file.name}`;
      const query = new URLSearchParams({ name: file.webkitRelativePath || file.name });
      if (tray) query.set("tray", tray);
      const response = await fetch(`${API}/files?${query}`, { method: "POST", body: file });
      if (!response.ok) throw await problem(response);
      tray = (await response.json()).tray;
    }
  } catch (error) {
    by("progress").textContent = "";
    complain(error);
    return;
  }
  await fit({ tray });
}

for (const name of /** @type {("peak_lr" | "steps")[]} */ (["peak_lr", "steps"])) {
  const slider = field(`${name}-slide`);
  slider.addEventListener("input", () => {
    const [low, high] = reach[name];
    const value = low * Math.pow(high / low, Number(slider.value) / 200);
    field(name).value = name === "steps" ? String(Math.round(Number(value.toPrecision(3)))) : String(Number(value.toPrecision(3)));
    slider.setAttribute("aria-valuetext", field(name).value);
    void ask();
  });
  slider.addEventListener("change", () => void ask(true));
}
field("ratio-slide").addEventListener("input", () => {
  asked = (Number(field("ratio-slide").value) / 200).toFixed(3);
  field("ratio").value = asked;
  void ask();
});
field("ratio-slide").addEventListener("change", () => void ask(true));
for (const name of FIELDS) {
  field(name).addEventListener("change", () => {
    if (name === "ratio") asked = field("ratio").value.trim() || null;
    slide();
    void ask(true);
  });
}
by("target").addEventListener("submit", (event) => event.preventDefault());
by("best").addEventListener("click", () => {
  asked = null;
  void ask(true);
});
by("pin").addEventListener("click", () => {
  if (!shown || pins.includes(shown.schedule)) return;
  if (pins.length >= data.limits.pins) return complain(`at most ${data.limits.pins} schedules can be pinned: remove one`);
  pins.push(shown.schedule);
  void ask(true);
});
by("to").addEventListener("change", () => void snippet());
by("runs").addEventListener("change", () => void ask());
for (const [id, on] of /** @type {[string, boolean][]} */ ([["all-runs", true], ["no-runs", false]])) {
  by(id).addEventListener("click", () => {
    for (const box of by("runs").querySelectorAll("input")) box.checked = on;
    void ask();
  });
}
const refit = () => {
  const boxes = [...by("runs").querySelectorAll("input")];
  const runs = boxes.filter((box) => box.checked).map((box) => box.value);
  void fit({ data: data.data, law: field("law").value, ...(runs.length < boxes.length ? { runs } : {}) });
};
by("refit").addEventListener("click", refit);
by("law").addEventListener("change", refit);
by("cancel").addEventListener("click", () => fitting?.abort());
by("files").addEventListener("change", () => {
  const files = [...(field("files").files || [])];
  field("files").value = "";
  void take(files);
});
for (const kind of ["dragover", "dragenter"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    by("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) by("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  by("drop").classList.remove("over");
  void take([...(event.dataTransfer?.files || [])]);
});
addEventListener("popstate", async () => {
  const query = new URLSearchParams(location.search);
  if ((query.get("data") || "start") !== data.data) await load(query).catch(complain);
  else fill(query);
  await ask();
});
let narrow = by("forecast").clientWidth < 560;
addEventListener("resize", () => {
  const now = by("forecast").clientWidth < 560;
  if (now !== narrow) void ask();
  narrow = now;
});
void start();
