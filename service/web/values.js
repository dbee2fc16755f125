// Values: any JSON, shown for reading, within bounds whatever its size.

import { copyButton, element } from "./dom.js";
import { picture, pictureUrl, pixels, pixelSize } from "./image.js";
import { brief, figure, isObject, write } from "./json.js";
import { resolve, titleOf, variantsOf } from "./schema.js";

// Beyond these, the rest is a click away.
const LONG_TEXT = 1500;
const LONG_LINES = 24;
const LONGEST_TEXT = 400_000;
const MANY_MEMBERS = 40;
const DEEPEST = 6;

/** Show the members of an object as a list of names and values. */
export function members(value, schema, root, depth = 0) {
  const found = resolve(schema ?? {}, root);
  const entries = Object.entries(value);
  const row = (index) => {
    const [name, member] = entries[index];
    const of = resolve(found.properties?.[name] ?? {}, root);
    const title = titleOf(of, name);
    return element(
      "div",
      { class: isWide(member) ? "member wide" : "member" },
      element("dt", { text: title, title: of.description }),
      element("dd", {}, shown(member, of, root, title, depth)),
    );
  };
  const list = (part) => element("dl", { class: "values" }, part);
  return cut({ count: entries.length, most: MANY_MEMBERS, what: "members" }, row, list);
}

/** Show one value. */
export function shown(value, schema, root, label, depth = 0) {
  if (value === null || value === undefined) return element("span", { class: "muted", text: "none" });
  if (typeof value === "boolean") return element("span", { text: value ? "yes" : "no" });
  if (typeof value === "number" || typeof value === "bigint") {
    return element("span", { class: "number", text: figure(value), title: String(value) });
  }
  if (typeof value === "string") {
    const url = pictureUrl(value);
    return url ? picture(url, label) : text(value);
  }
  if (depth >= DEEPEST) return element("code", { text: brief(value, 200) });
  if (Array.isArray(value)) return array(value, schema, root, label, depth);
  if (!Object.keys(value).length) return element("span", { class: "muted", text: "empty" });
  return members(value, branchOf(schema, root), root, depth + 1);
}

const branchOf = (schema, root) =>
  variantsOf(schema)?.map((variant) => resolve(variant, root)).find((variant) => variant.properties) ?? schema;

function isWide(value) {
  if (typeof value === "string") return value.length > 60 || value.includes("\n");
  return value !== null && typeof value === "object" && Object.keys(value).length > 0 && !isShort(value);
}

const isShort = (value) =>
  Array.isArray(value) && value.length <= 12 && value.every((item) => typeof item !== "object" || item === null) &&
  write(value).length < 60;

// Text

/** Show a text; a long one shows its beginning until the rest is asked for. */
export function text(value, tag = "p") {
  if (value === "") return element("span", { class: "muted", text: "empty text" });
  const bounded = value.length > LONGEST_TEXT
    ? `${value.slice(0, LONGEST_TEXT)}\n… ${value.length - LONGEST_TEXT} more characters; Copy takes them all`
    : value;
  const start = beginning(bounded);
  const node = element(tag, { class: "text" });
  node.textContent = start;
  if (start === bounded) return node;
  const more = element("button", { type: "button", class: "quiet small", "aria-expanded": "false" });
  const show = (isOpen) => {
    node.textContent = isOpen ? bounded : start;
    more.textContent = isOpen ? "Show less" : `Show all ${value.length.toLocaleString("en")} characters`;
    more.setAttribute("aria-expanded", String(isOpen));
  };
  more.addEventListener("click", () => show(more.getAttribute("aria-expanded") === "false"));
  show(false);
  return element("div", {}, node, element("div", { class: "tools" }, more, copyButton(node, "Copy", () => value)));
}

function beginning(value) {
  const lines = value.split("\n", LONG_LINES + 1);
  const part = lines.length > LONG_LINES ? lines.slice(0, LONG_LINES).join("\n") : value;
  if (part.length <= LONG_TEXT) return part === value ? value : `${part}\n…`;
  return `${[...part.slice(0, LONG_TEXT)].slice(0, -1).join("")}…`; // no half of a pair
}

// Arrays

function array(value, schema, root, label, depth) {
  if (!value.length) return element("span", { class: "muted", text: "empty list" });
  if (isShort(value)) return element("span", { class: "number", text: value.map((item) => brief(item)).join(", ") });
  const size = pixelSize(value);
  if (size) return pixels(value, size, label);
  if (isGrid(value)) return grid(value, label);
  const of = resolve(schema?.items ?? {}, root);
  const item = (index) => element("li", {}, shown(value[index], of, root, `${label} ${index + 1}`, depth + 1));
  const list = (part, from) => element("ol", { class: "list", start: from + 1 }, part);
  // Lists of lists of lists have fewer items each, or all together they would be too many.
  const most = Math.max(4, MANY_MEMBERS >> (2 * depth));
  return cut({ count: value.length, most, what: "items" }, item, list);
}

const isCell = (cell) => typeof cell !== "object" && String(cell).length <= 12;
const isGrid = (value) =>
  value.length > 1 && value.length <= 64 &&
  value.every((row) => Array.isArray(row) && row.length === value[0].length && row.length <= 64 && row.every(isCell)) &&
  value[0].length > 1;

/** Show rows of short values as a board. */
function grid(value, label) {
  const rows = value.map((row) => element("tr", {}, row.map((cell) => element("td", { text: typeof cell === "number" ? figure(cell) : String(cell) }))));
  const table = element("table", { class: "grid" }, element("tbody", {}, rows));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

/** Show the first of many, and the rest in parts, each made when it is asked for. */
function cut({ count, most, what }, make, list) {
  const part = (from) => list(Array.from({ length: Math.min(most, count - from) }, (_, index) => make(from + index)), from);
  if (count <= most) return part(0);
  let from = most;
  const more = element("button", { type: "button", class: "quiet small" });
  const label = () => (more.textContent = `Show ${Math.min(most, count - from)} of ${count - from} more ${what}`);
  more.addEventListener("click", () => {
    more.before(part(from));
    from += most;
    if (from >= count) more.remove();
    else label();
  });
  label();
  return element("div", {}, part(0), more);
}

// Raw JSON

/** Show a value as JSON, with a button that copies it. */
export function raw(value, label) {
  const whole = write(value, 2);
  const isCut = whole.length > LONGEST_TEXT;
  const code = element("code", { text: isCut ? `${whole.slice(0, LONGEST_TEXT)}\n…` : whole });
  const block = element("pre", { tabindex: "0", "aria-label": label }, code);
  const note = isCut ? `Cut after ${LONGEST_TEXT.toLocaleString("en")} of ${whole.length.toLocaleString("en")} characters` : "";
  return element(
    "div",
    { class: "raw" },
    element("div", { class: "tools" }, copyButton(code, "Copy", () => whole), element("span", { class: "muted", text: note })),
    block,
  );
}

/** Return the first text of an object, for the ear. */
export function firstText(value) {
  const texts = isObject(value) ? Object.values(value) : [];
  const found = texts.find((member) => typeof member === "string" && !pictureUrl(member));
  return found === undefined ? "" : brief(found, 200);
}
