// The Schema tab: what an action, an observation, a state and a reset hold.

import { element } from "./dom.js";
import { brief } from "./json.js";
import { inWords, resolve, variantsOf, typeOf } from "./schema.js";
import { raw } from "./values.js";

const PARTS = [
  ["action", "Action", "What a step takes."],
  ["observation", "Observation", "What a reset and a step return."],
  ["state", "State", "Where an episode stands."],
  ["reset", "Reset", "What a reset takes; all of it may be left out unless it says otherwise."],
];

/** Fill the tab. */
export function showSchemas(place, schemas) {
  const cards = PARTS.filter(([name]) => schemas[name]).map(([name, title, words]) => {
    const schema = schemas[name];
    return element(
      "section",
      { class: "card" },
      element("h2", { text: title }),
      element("p", { class: "muted", text: describe(schema, title) ?? words }),
      table(schema, schema, title),
      nested(schema, title),
      element("details", {}, element("summary", { text: "JSON Schema" }), raw(schema, `JSON Schema of ${title}`)),
    );
  });
  place.replaceChildren(element("div", { class: "stack" }, cards));
}

const describe = (schema, title) =>
  schema.description ? (schema.title && schema.title !== title ? `${schema.title}: ${schema.description}` : schema.description) : null;

function table(schema, root, label) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) => row(name, resolve(member, root), root, required));
  if (!rows.length) return element("p", { class: "muted", text: "It has no fields." });
  const head = ["Field", "Type", "Default", "Meaning"].map((name) => element("th", { scope: "col", text: name }));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `Fields of ${label}` },
    element("table", { class: "fields" }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)),
  );
}

function row(name, schema, root, required) {
  const fallback = required.has(name) ? element("span", { class: "badge", text: "required" })
    : schema.default === undefined ? element("span", { class: "muted", text: "optional" })
    : element("code", { text: JSON.stringify(schema.default) });
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("code", { text: name })),
    element("td", { text: typeWords(schema, root) }),
    element("td", {}, fallback),
    element("td", { class: "meaning", text: brief(schema.description ?? "", 400) }),
  );
}

const typeWords = (schema, root) =>
  typeOf(schema) === "object" && schema.properties && schema.title && !variantsOf(schema) ? schema.title : inWords(schema, root, 1);

/** Show the models that a model's fields refer to. */
function nested(schema, label) {
  return Object.entries(schema.$defs ?? {}).map(([name, model]) =>
    element(
      "div",
      { class: "nested" },
      element("h3", { text: name }),
      model.description ? element("p", { class: "muted", text: model.description }) : null,
      table(model, schema, `${name} of ${label}`),
    ),
  );
}
