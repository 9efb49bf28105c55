// Rules for the pages' scripts and for those that test them. Run by tools/browser_tests.sh through lint.mjs, which also holds a
// sample of each fault against these rules.
import js from "@eslint/js";
import globals from "globals";

/** Where text becomes nodes or code: names of runs come from logs, so nothing but `textContent` takes them. */
const SINKS = ["innerHTML", "outerHTML", "srcdoc"];
const PARSERS = ["insertAdjacentHTML", "createContextualFragment", "setHTMLUnsafe", "setHTML", "parseHTMLUnsafe", "parseHTML", "parseFromString", "write", "writeln"];
const WHY = "text of logs must stay text: make nodes and set textContent";

const sinks = [
  ...[...SINKS, ...PARSERS].map((name) => ({ selector: `MemberExpression[property.name="${name}"]`, message: `${name}: ${WHY}` })),
  { selector: `MemberExpression[computed=true] > Literal.property[value=/^(${[...SINKS, ...PARSERS].join("|")})$/]`, message: WHY },
  { selector: `Property[key.name=/^(${SINKS.join("|")})$/]`, message: `in an object for Object.assign: ${WHY}` },
  { selector: `CallExpression[callee.property.name=/^(setAttribute|setAttributeNS|toggleAttribute)$/] > Literal[value=/^(on.*|srcdoc)$/i]`, message: `an attribute that is code: ${WHY}` },
  { selector: 'AssignmentExpression > MemberExpression.left[property.name=/^on[a-z]+$/]', message: "addEventListener: an assigned handler takes the place of another" },
  { selector: 'CallExpression[callee.property.name="createElement"] > Literal[value="iframe"]', message: "a page frames nothing" },
];
const rules = {
  ...js.configs.recommended.rules,
  "array-callback-return": "error",
  eqeqeq: ["error", "always"],
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-script-url": "error",
  "no-self-compare": "error",
  "no-template-curly-in-string": "error",
  "no-throw-literal": "error",
  "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_" }],
  "no-var": "error",
  "prefer-const": "error",
};
// Scripts of a page share one scope: what figures.js offers, the two others take.
const offered = Object.fromEntries(["show", "liven"].map((name) => [name, "readonly"]));
const page = (own) => ({ sourceType: "script", ecmaVersion: 2022, globals: { ...globals.browser, ...own } });

export default [
  { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },
  { files: ["crates/lehr-page/src/assets/*.js"], languageOptions: page(offered), rules: { ...rules, "no-restricted-syntax": ["error", ...sinks] } },
  { files: ["crates/lehr-page/src/assets/figures.js"], languageOptions: page({ show: "off", liven: "off" }), rules: { "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_", varsIgnorePattern: "^(show|liven)$" }] } },
  {
    files: ["tools/browser/*.mjs"],
    // What tests evaluate in a page sees the page's names.
    languageOptions: { sourceType: "module", ecmaVersion: 2024, globals: { ...globals.nodeBuiltin, ...globals.browser, between: "readonly" } },
    rules,
  },
];
