// Lints the pages' scripts and their tests: node lint.mjs ROOT [--fix]
// First each of the faults below has to be found, so that a rule that no longer holds is seen.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ESLint } from "eslint";

const [cwd, ...options] = process.argv.slice(2);
const configuration = { cwd, overrideConfigFile: join(import.meta.dirname, "eslint.config.mjs") };
const eslint = new ESLint({ ...configuration, fix: options.includes("--fix") });

/** A fault and the rule that has to find it. */
const FAULTS = [
  ["const x = 1;", "no-unused-vars"],
  ["addEventListener('load', (event) => 1);", "no-unused-vars"],
  ["nowhere();", "no-undef"],
  ["if (location.hash == 1) close();", "eqeqeq"],
  ["let x = 1; close(x);", "prefer-const"],
  ["var x = 1; close(x);", "no-var"],
  ["eval(location.hash);", "no-eval"],
  ["setTimeout('close()', 1);", "no-implied-eval"],
  ["close(new Function('return 1'));", "no-new-func"],
  ["location.href = 'javascript:close()';", "no-script-url"],
  ["document.body.innerHTML = location.hash;", "no-restricted-syntax"],
  ["document.body['outerHTML'] = location.hash;", "no-restricted-syntax"],
  ["Object.assign(document.body, { innerHTML: location.hash });", "no-restricted-syntax"],
  ["document.body.insertAdjacentHTML('beforeend', location.hash);", "no-restricted-syntax"],
  ["document.write(location.hash);", "no-restricted-syntax"],
  ["new DOMParser().parseFromString(location.hash, 'text/html');", "no-restricted-syntax"],
  ["document.body.setAttribute('onclick', location.hash);", "no-restricted-syntax"],
  ["document.body.onclick = close;", "no-restricted-syntax"],
  ["document.createElement('iframe');", "no-restricted-syntax"],
  ["close(); // eslint-disable-line no-eval", null],
];
// The faults alone: fixing them would hide them.
const judge = new ESLint(configuration);
let wrong = 0;
for (const [code, rule] of FAULTS) {
  const [{ messages }] = await judge.lintText(`${code}\n`, { filePath: join(cwd, "crates/lehr-page/src/assets/sample.js") });
  if (!messages.some((one) => one.ruleId === rule && one.severity === 2)) {
    wrong += 1;
    console.log(`the rules let this pass: ${code} (wanted: ${rule ?? "a needless exception"}; found: ${messages.map((one) => one.ruleId).join(", ") || "nothing"})`);
  }
}

const found = await eslint.lintFiles(["crates/lehr-page/src/assets/*.js", "tools/browser/*.mjs"]);
await ESLint.outputFixes(found);
console.log((await eslint.loadFormatter("stylish")).format(found));
for (const { errorCount, warningCount } of found) wrong += errorCount + warningCount;

// The packages that the tests need have a licence that deny.toml allows.
const allowed = [...readFileSync(join(cwd, "deny.toml"), "utf8").matchAll(/^ {4}"([^"]+)",$/gm)].map((line) => line[1]);
const packages = Object.entries(JSON.parse(readFileSync(join(cwd, "tools/browser/package-lock.json"), "utf8")).packages).filter(([name]) => name);
for (const [name, { license }] of packages) {
  if (allowed.includes(license)) continue;
  wrong += 1;
  console.log(`${name}: licence ${license}, which deny.toml does not allow`);
}
console.log(`${FAULTS.length} samples of faults, ${found.length} scripts, ${packages.length} packages: ${wrong} faults`);
if (wrong || found.length < 9) process.exit(1);
