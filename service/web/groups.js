// Groups: fields that hold fields. Objects, lists, maps, unions, and what may be left out.
//
// What a group holds is built when it is needed, so that a schema may refer to itself.

import { element, freshId, say } from "./dom.js";
import { makeField } from "./fields.js";
import { isObject } from "./json.js";
import { fits, inWords, resolve, titleOf, variantsOf } from "./schema.js";

/** Put a legend, a help and an error around other nodes. */
function grouped(field, ...nodes) {
  const id = freshId("group");
  const help = element("p", { class: "help", id: `${id}-help`, text: field.description ?? "" });
  help.hidden = !field.description;
  const error = element("p", { class: "error", id: `${id}-error`, hidden: true });
  const node = element(
    "fieldset",
    { class: "group", "aria-describedby": `${id}-help ${id}-error` },
    element("legend", { text: field.label }),
    help,
    error,
    nodes,
  );
  return { node, fail: (message) => say(error, message) };
}

/** Tell every fault at the field that it is about, as deep as the path leads. */
function follow(members, self) {
  return (path) => {
    const [step, ...rest] = path;
    return members(step)?.at(rest) ?? self();
  };
}

// Objects

/** Make the fields of an object, without a frame of its own. */
export function memberFields(schema, root) {
  const required = new Set(schema.required ?? []);
  return new Map(
    Object.entries(schema.properties ?? {}).map(([name, member]) => [
      name,
      makeField(member, root, { name, required: required.has(name) }),
    ]),
  );
}

/** Read the members of an object; what is left out is not in it. */
export function readMembers(fields, path, faults) {
  const value = {};
  for (const [name, field] of fields) {
    const member = field.read([...path, name], faults);
    if (member !== undefined) value[name] = member;
  }
  return value;
}

/** Fill in the members that a value has; the others become what they were at first. */
export function writeMembers(fields, value) {
  for (const [name, field] of fields) field.write(isObject(value) ? value[name] : undefined);
}

export function groupField(field) {
  const fields = memberFields(field.schema, field.root);
  const nodes = [...fields.values()].map((member) => member.node);
  const group = grouped(field, element("div", { class: "members" }, nodes));
  const write = (value = field.fallback) => writeMembers(fields, value);
  write();
  const self = {
    ...group,
    read: (path, faults) => readMembers(fields, path, faults),
    write,
    focus: () => fields.values().next().value?.focus(),
    at: follow((step) => fields.get(step), () => self),
  };
  return self;
}

// What may be left out

/**
 * A group that a box opens. Closed, it is null where null is allowed, and else left out; and a fault
 * of it is told by whatever is around it.
 */
export function optionalField(field, make) {
  const box = element("input", { type: "checkbox", id: freshId("give") });
  const place = element("div", { class: "given" });
  const summary = field.schema.properties ? "" : `${inWords(field.schema, field.root)}; `;
  const label = element("label", { for: box.id, text: field.label });
  const head = element("div", { class: "field-head" }, label, element("span", { class: "type", text: `${summary}optional` }));
  const node = element("div", { class: "field check optional" }, box, head, place);
  let inner = null;
  const open = (isOpen) => {
    box.checked = isOpen;
    if (isOpen && inner === null) {
      inner = make({ ...field, isNullable: false, required: true });
      place.append(inner.node);
    }
    place.hidden = !isOpen;
  };
  box.addEventListener("change", () => open(box.checked));
  const write = (value = field.fallback) => {
    open(value != null);
    if (value != null) inner.write(value);
  };
  write();
  return {
    node,
    write,
    read: (path, faults) => {
      if (box.checked) return inner.read(path, faults);
      return field.isNullable && (field.required || field.fallback != null) ? null : undefined;
    },
    focus: () => (box.checked ? inner.focus() : box.focus()),
    at: (path) => (box.checked ? inner.at(path) : undefined),
  };
}

// Lists

export function listField(field) {
  const { schema, root } = field;
  const least = schema.minItems ?? 0;
  const most = schema.maxItems ?? Infinity;
  const items = [];
  const list = element("ol", { class: "items" });
  const add = element("button", { type: "button", class: "secondary small", text: "Add an item" });
  const group = grouped(field, list, add);

  const refresh = () => {
    items.forEach((item, index) => {
      item.node.querySelector("label, legend").textContent = nameOf(index);
      item.remove.setAttribute("aria-label", `Remove item ${index + 1} of ${field.label}`);
      item.remove.hidden = items.length <= least;
    });
    add.hidden = items.length >= most;
  };
  const nameOf = (index) => `Item ${index + 1}`;
  const append = (value) => {
    const inner = makeField(schema.items ?? {}, root, { name: "item", label: nameOf(items.length) });
    if (value !== undefined) inner.write(value);
    const remove = element("button", { type: "button", class: "quiet small", text: "Remove" });
    const item = { inner, remove, node: element("li", {}, inner.node, remove) };
    remove.addEventListener("click", () => {
      items.splice(items.indexOf(item), 1);
      item.node.remove();
      refresh();
      add.focus();
    });
    items.push(item);
    list.append(item.node);
    refresh();
    return inner;
  };
  const write = (value = field.fallback) => {
    items.splice(0).forEach((item) => item.node.remove());
    (Array.isArray(value) ? value : []).forEach(append);
    while (items.length < least) append();
    refresh();
  };
  add.addEventListener("click", () => append().focus());
  write();
  const self = {
    ...group,
    write,
    read: (path, faults) => items.map((item, index) => item.inner.read([...path, index], faults) ?? null),
    focus: () => (items[0]?.inner ?? add).focus(),
    at: follow((step) => items[step]?.inner, () => self),
  };
  return self;
}

export function tupleField(field) {
  const fields = field.schema.prefixItems.map((item, index) =>
    makeField(item, field.root, { name: "item", label: resolve(item, field.root).title ?? `Item ${index + 1}` }),
  );
  const group = grouped(field, ...fields.map((item) => item.node));
  const write = (value = field.fallback) => fields.forEach((item, index) => item.write(value?.[index]));
  write();
  const self = {
    ...group,
    write,
    read: (path, faults) => fields.map((item, index) => item.read([...path, index], faults) ?? null),
    focus: () => fields[0]?.focus(),
    at: follow((step) => fields[step], () => self),
  };
  return self;
}

// Maps: objects whose names are free

export function mapField(field) {
  const entries = [];
  const list = element("ul", { class: "items" });
  const add = element("button", { type: "button", class: "secondary small", text: "Add an entry" });
  const group = grouped(field, list, add);

  const append = (name = "", value = undefined) => {
    const id = freshId("name");
    const input = element("input", { id, autocomplete: "off", spellcheck: "false", value: name });
    const inner = makeField(field.schema.additionalProperties, field.root, { name: "value" });
    if (value !== undefined) inner.write(value);
    const remove = element("button", { type: "button", class: "quiet small", text: "Remove", "aria-label": `Remove this entry of ${field.label}` });
    const entry = { input, inner };
    const named = element("div", { class: "field" }, element("label", { for: id, text: "Name" }), input);
    const node = element("li", {}, named, inner.node, remove);
    entry.node = node;
    remove.addEventListener("click", () => {
      entries.splice(entries.indexOf(entry), 1);
      node.remove();
      add.focus();
    });
    entries.push(entry);
    list.append(node);
    return input;
  };
  const write = (value = field.fallback) => {
    entries.splice(0).forEach((entry) => entry.node.remove());
    Object.entries(isObject(value) ? value : {}).forEach(([name, member]) => append(name, member));
  };
  add.addEventListener("click", () => append().focus());
  write();
  const find = (name) => entries.find((entry) => entry.input.value === name)?.inner;
  const self = {
    ...group,
    write,
    read: (path, faults) =>
      Object.fromEntries(
        entries.map(({ input, inner }) => [input.value, inner.read([...path, input.value], faults) ?? null]),
      ),
    focus: () => (entries[0]?.input ?? add).focus(),
    at: follow(find, () => self),
  };
  return self;
}

// Unions

export function unionField(field) {
  const variants = variantsOf(field.schema).map((variant) => resolve(variant, field.root));
  const list = element(
    "select",
    { "aria-label": `Kind of ${field.label}` },
    variants.map((variant, index) =>
      element("option", { value: index, text: variant.title ? titleOf(variant) : inWords(variant, field.root) }),
    ),
  );
  const place = element("div", { class: "variant" });
  const group = grouped(field, list, place);
  let inner = null;
  const choose = (index) => {
    list.value = String(index);
    inner = makeField(variants[index], field.root, { name: "value", label: "Value" });
    place.replaceChildren(inner.node);
  };
  const write = (value = field.fallback) => {
    const fitting = variants.findIndex((variant) => fits(value, variant, field.root));
    choose(value === undefined ? 0 : Math.max(0, fitting));
    inner.write(value);
  };
  list.addEventListener("change", () => choose(Number(list.value)));
  write();
  return {
    ...group,
    write,
    read: (path, faults) => inner.read(path, faults),
    focus: () => list.focus(),
    at: (path) => inner.at(path),
  };
}
