// The Connect tab: programs that play this very environment, at this very address.

import { copyButton, element } from "./dom.js";
import { isObject, write } from "./json.js";
import { baseText } from "./service.js";

const TOKEN_VARIABLE = "AIOENV_TOKEN";

/** Write a value as Python does. */
export function python(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (isObject(value)) {
    const entries = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${python(member)}`);
    return `{${entries.join(", ")}}`;
  }
  return String(value);
}

/** Write a text as one word of a shell. */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

const client = (hasToken) =>
  hasToken
    ? `GenericEnvClient(
    base_url="${baseText}",
    headers={"Authorization": f"Bearer {os.environ['${TOKEN_VARIABLE}']}"},
    capacity_timeout_s=60,
)`
    : `GenericEnvClient(base_url="${baseText}", capacity_timeout_s=60)`;

const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

/** Write options as a Python call's arguments. */
function named(options) {
  const isName = (name) => /^[A-Za-z_]\w*$/.test(name);
  if (!Object.keys(options).every(isName)) return `**${python(options)}`;
  return Object.entries(options).map(([name, value]) => `${name}=${python(value)}`).join(", ");
}

const asynchronous = ({ action, options }, hasToken) => `import asyncio
${hasToken ? "import os\n" : ""}
from aioenv.client import GenericEnvClient


async def main():
    async with ${indented(client(hasToken), 4)} as env:
        result = await env.reset(${named(options)})
        print(result.observation)
        result = await env.step(${python(action)})
        print(result.observation, result.reward, result.done)


asyncio.run(main())
`;

const blocking = ({ action, options }, hasToken) => `${hasToken ? "import os\n\n" : ""}from aioenv.client import GenericEnvClient

with ${client(hasToken)} as env:
    result = env.reset(${named(options)})
    print(result.observation)
    result = env.step(${python(action)})
    print(result.observation, result.reward, result.done)
`;

const curl = ({ action, options }, hasToken) => {
  const token = hasToken ? ` -H "Authorization: Bearer $${TOKEN_VARIABLE}"` : "";
  const call = `curl -fsS${token}`;
  return `URL=${quoted(baseText)}
SESSION=$(${call} -X POST "$URL/sessions?wait_s=60" | python3 -c 'import json, sys; print(json.load(sys.stdin)["session_id"])')
${call} -X POST "$URL/reset" -H "X-Session-ID: $SESSION" -d ${quoted(write(options))}
${call} -X POST "$URL/step" -H "X-Session-ID: $SESSION" \\
  -d ${quoted(write({ action }))}
${call} "$URL/state" -H "X-Session-ID: $SESSION"
${call} -X DELETE "$URL/sessions/$SESSION"
`;
};

const PARTS = [
  ["Python", "In asynchronous code; many of these run side by side in one event loop.", asynchronous],
  ["Python, blocking", "In scripts, notebooks and trainers that know no event loop.", blocking],
  ["curl", "Over plain HTTP, in a session that lasts from one request to the next.", curl],
];

/** Fill the tab; the programs take the `action` and the reset's `options` as they stand in the forms. */
export function showPrograms(place, { action, options }, hasToken) {
  const played = { action, options: { seed: 7, ...options } };
  const cards = PARTS.map(([title, words, program]) => {
    const code = element("code", { text: program(played, hasToken) });
    return element(
      "section",
      { class: "card" },
      element("div", { class: "card-head" }, element("h2", { text: title }), copyButton(code, "Copy")),
      element("p", { class: "muted", text: words }),
      element("pre", { tabindex: "0", "aria-label": `${title} program` }, code),
    );
  });
  const intro = element(
    "section",
    { class: "card" },
    element("h2", { text: "This environment" }),
    element("dl", { class: "values" },
      line("Address", baseText),
      line("WebSocket", `${baseText.replace(/^http/, "ws")}/ws`),
    ),
    element("p", { class: "muted", text: "The programs below take the options and the action that stand in the Playground. Each plays in a session of its own." }),
    hasToken ? element("p", { class: "muted", text: `The service asks for a token: they read it from the environment variable ${TOKEN_VARIABLE}.` }) : null,
  );
  place.replaceChildren(element("div", { class: "stack" }, intro, cards));
}

const line = (name, value) =>
  element("div", { class: "member" }, element("dt", { text: name }), element("dd", {}, element("code", { text: value })));
