// Many clients that move sliders of `lehr serve`: latencies and memory.
//   node load.mjs LEHR CLIENTS SECONDS [PAUSE_MS]
// Each client asks for the view of a target of its own walk over slider positions, waits for the answer, pauses, asks again.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";

const [lehr, clients, seconds, pause] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4]), Number(process.argv[5] ?? 1000)];
const server = spawn(lehr, ["serve", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
const url = await new Promise((found) => server.stdout.on("data", (text) => /open (\S+)/.exec(text) && found(new URL(/open (\S+)/.exec(text)[1]))));
const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) / 1024;
// Processor time of the server, milliseconds: what a busy machine does not change.
const worked = () => {
  const fields = readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
};
const get = (path) =>
  new Promise((done, fail) => {
    const request = http.get({ host: url.hostname, port: url.port, path, agent }, (answer) => {
      answer.resume();
      answer.on("end", () => done(answer.statusCode));
    });
    request.on("error", fail);
  });
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const times = [];
const wrong = new Map();
const end = Date.now() + 1000 * seconds;
let seed = 1;
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
async function client() {
  let [ratio, peak, steps] = [100, 100, 100].map((middle) => middle + Math.round(60 * (random() - 0.5)));
  await wait(random() * pause);
  while (Date.now() < end) {
    const move = random();
    const by = Math.round(6 * (random() - 0.5)) || 1;
    if (move < 0.6) ratio = Math.max(0, Math.min(190, ratio + by));
    else if (move < 0.8) peak = Math.max(0, Math.min(200, peak + by));
    else steps = Math.max(0, Math.min(200, steps + by));
    const rate = Number((3e-4 * Math.pow(80, peak / 200)).toPrecision(3));
    const total = Math.round(Number((200 * Math.pow(80, steps / 200)).toPrecision(3)));
    const begun = performance.now();
    const status = await get(`/api/v1/view?ratio=${(ratio / 200).toFixed(3)}&peak_lr=${rate}&steps=${total}&width=wide`).catch(() => 0);
    times.push(performance.now() - begun);
    if (status !== 200) wrong.set(status, (wrong.get(status) ?? 0) + 1);
    await wait(pause * (0.5 + random()));
  }
}
await get("/api/v1/view");
const before = memory();
const workedBefore = worked();
let most = before;
const watch = setInterval(() => (most = Math.max(most, memory())), 500);
await Promise.all(Array.from({ length: clients }, client));
clearInterval(watch);
times.sort((a, b) => a - b);
const at = (share) => times[Math.floor(share * (times.length - 1))].toFixed(0);
console.log(`${clients} clients, ${seconds} s, pause ${pause} ms: ${times.length} answers, ${(times.length / seconds).toFixed(0)} a second, p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms; ${((worked() - workedBefore) / times.length).toFixed(1)} ms of processor time each; refused ${JSON.stringify([...wrong])}; memory ${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most, ${memory().toFixed(0)} MiB after`);
server.kill();
process.exit(0);
