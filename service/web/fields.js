// Fields: one control for each simple value. Groups of them are in groups.js.
//
// A field is { node, read(path, faults), write(value), at(path), fail(message), focus() }. `read`
// returns `undefined` for what is left out, and notes what it cannot read; whether a value is
// allowed is the service's to say, in one place for all clients. `write` without a value makes the
// field what it was at first.

import { element, freshId, say } from "./dom.js";
import { isObject, parse, write } from "./json.js";
import { choicesOf, inWords, resolve, titleOf, typeOf, variantsOf } from "./schema.js";
import { groupField, listField, mapField, optionalField, tupleField, unionField } from "./groups.js";

/** The most choices, and the most letters of theirs, that are shown side by side. */
const FEW_CHOICES = 6;
const FEW_LETTERS = 48;

/** Make the field of a schema. `options`: `name`, `required`, `label`, `isBare` for no label. */
export function makeField(schema, root, options) {
  const whole = resolve(schema, root);
  const { schema: found, isNullable } = withoutNull(whole, root);
  const field = {
    schema: found,
    root,
    required: options.required ?? true,
    isNullable,
    label: options.label ?? titleOf(whole, options.name),
    description: whole.description ?? found.description,
    fallback: whole.default ?? found.default,
  };
  const isLeftOut = !field.required && field.fallback === undefined && whole.default !== null;
  const make = makerOf(found);
  if (make.isSimple && !(isLeftOut && make === booleanField)) return make(field, isLeftOut);
  if (isNullable || isLeftOut) return optionalField(field, (inner) => make(inner));
  return make(field);
}

function makerOf(schema) {
  if (choicesOf(schema)) return choiceField;
  if (variantsOf(schema)) return unionField;
  switch (typeOf(schema)) {
    case "string":
      return textField;
    case "integer":
    case "number":
      return numberField;
    case "boolean":
      return booleanField;
    case "array":
      return schema.prefixItems ? tupleField : listField;
    case "object":
      if (schema.properties && Object.keys(schema.properties).length) return groupField;
      return isObject(schema.additionalProperties) ? mapField : jsonField;
    default:
      return jsonField;
  }
}

/** Split "this or null" into this, and whether null is allowed. */
function withoutNull(schema, root) {
  const isNull = (variant) => resolve(variant, root).type === "null";
  const variants = variantsOf(schema);
  if (variants?.some(isNull)) {
    const rest = variants.filter((variant) => !isNull(variant));
    const { anyOf, oneOf, ...beside } = schema;
    if (rest.length !== 1) return { schema: { ...beside, anyOf: rest }, isNullable: true };
    return { schema: { ...resolve(rest[0], root), ...beside }, isNullable: true };
  }
  if (schema.enum?.includes(null) && schema.enum.length > 1) {
    const choices = schema.enum.filter((choice) => choice !== null);
    return { schema: { ...schema, enum: choices }, isNullable: true };
  }
  const isNullable = Array.isArray(schema.type) && schema.type.includes("null") && schema.type.length > 1;
  return { schema, isNullable };
}

// What simple fields share

/** Put a control between its label, its help and its error. */
export function framed(field, control, { note } = {}) {
  const id = (control.id ||= freshId("field"));
  const help = element("p", { class: "help", id: `${id}-help`, text: field.description ?? "" });
  help.hidden = !field.description;
  const error = element("p", { class: "error", id: `${id}-error`, hidden: true });
  control.setAttribute("aria-describedby", `${id}-type ${id}-help ${id}-error`);
  const type = note ?? inWords(field.schema, field.root);
  const label = element("label", { for: id, text: field.label });
  const head = element("div", { class: "field-head" }, label, element("span", { class: "type", id: `${id}-type`, text: type }));
  const node = element("div", { class: "field" }, head, control, help, error);
  const fail = (message) => {
    say(error, message);
    control.toggleAttribute("aria-invalid", false);
    if (message) control.setAttribute("aria-invalid", "true");
  };
  if (control.matches("input")) node.classList.add("brief");
  const self = { node, fail, focus: () => control.focus(), at: () => self };
  control.addEventListener("input", () => fail(""));
  return self;
}

const noteOf = (field, isLeftOut) => {
  const words = inWords(field.schema, field.root);
  if (field.isNullable) return `${words}; blank for none`;
  return isLeftOut ? `${words}; optional` : words;
};

// Text

/** Let a text area grow with its text, where the style sheet alone cannot. */
export function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

function textArea(rows, properties = {}) {
  const area = element("textarea", { rows, spellcheck: "false", ...properties });
  area.addEventListener("input", () => grow(area));
  return area;
}

function textField(field, isLeftOut) {
  const area = textArea(1, { class: "text" });
  const frame = framed(field, area, { note: noteOf(field, isLeftOut) });
  const write = (value = field.fallback) => {
    area.value = value ?? "";
    grow(area);
  };
  write();
  return {
    ...frame,
    write,
    read: () => {
      if (area.value !== "") return area.value;
      if (isLeftOut) return undefined;
      if (field.isNullable) return field.required ? null : undefined;
      return "";
    },
  };
}
textField.isSimple = true;

// Numbers

function numberField(field, isLeftOut) {
  const { schema } = field;
  const isWhole = typeOf(schema) === "integer";
  const input = element("input", {
    type: "number",
    inputmode: isWhole ? "numeric" : "decimal",
    step: schema.multipleOf ?? (isWhole ? 1 : "any"),
    min: schema.minimum ?? schema.exclusiveMinimum,
    max: schema.maximum ?? schema.exclusiveMaximum,
    autocomplete: "off",
  });
  const frame = framed(field, input, { note: noteOf(field, isLeftOut) });
  const write = (value = field.fallback) => (input.value = value == null ? "" : String(value));
  write();
  return {
    ...frame,
    write,
    read: (path, faults) => {
      if (input.validity.badInput) faults.push({ loc: path, msg: "this is not a number" });
      else if (input.value !== "") return numberOf(input.value);
      else if (field.isNullable && field.required) return null;
      else if (field.required) faults.push({ loc: path, msg: "a number is needed here" });
      return undefined;
    },
  };
}
numberField.isSimple = true;

function numberOf(text) {
  const [, sign, digits] = /^(-?)0*(\d{16,})$/.exec(text) ?? [];
  return digits ? parse(sign + digits) : Number(text);
}

// Yes or no

function booleanField(field) {
  if (field.isNullable) return choiceField({ ...field, schema: { ...field.schema, enum: [true, false] } });
  const id = freshId("field");
  const input = element("input", { type: "checkbox", id });
  const frame = framed(field, input);
  frame.node.classList.add("check");
  const write = (value = field.fallback) => (input.checked = value === true);
  write();
  return { ...frame, write, read: () => input.checked };
}
booleanField.isSimple = true;

// Choices

const nameOf = (choice) => {
  if (choice === true || choice === false) return choice ? "yes" : "no";
  return typeof choice === "string" ? choice || "(empty)" : write(choice);
};

const NONE = Symbol("none");

function choiceField(field, isLeftOut = false) {
  const given = choicesOf(field.schema);
  const isOptional = isLeftOut || field.isNullable;
  const choices = isOptional ? [NONE, ...given] : given;
  const names = choices.map((choice) => (choice === NONE ? "none" : nameOf(choice)));
  const isFew = choices.length <= FEW_CHOICES && names.join("").length <= FEW_LETTERS;
  const control = isFew ? radios(field, names) : select(field, names);
  const write = (value = field.fallback ?? (isOptional ? null : choices[0])) => {
    const index = choices.findIndex((choice) => (choice === NONE ? value == null : choice === value));
    control.choose(Math.max(0, index));
  };
  write();
  const read = () => {
    const choice = choices[control.chosen()];
    if (choice !== NONE) return choice;
    return field.required && field.isNullable ? null : undefined;
  };
  return { ...control.frame, write, read };
}
choiceField.isSimple = true;

function select(field, names) {
  const list = element("select", {}, names.map((name, index) => element("option", { value: index, text: name })));
  return {
    frame: framed(field, list, { note: `one of ${names.length}` }),
    choose: (index) => (list.value = String(index)),
    chosen: () => Number(list.value),
  };
}

function radios(field, names) {
  const name = freshId("choice");
  const inputs = names.map((_, index) => element("input", { type: "radio", name, value: index, id: `${name}-${index}` }));
  const labels = names.map((text, index) => element("label", { class: "pill" }, inputs[index], element("span", { text })));
  const help = element("p", { class: "help", id: `${name}-help`, text: field.description ?? "" });
  help.hidden = !field.description;
  const error = element("p", { class: "error", id: `${name}-error`, hidden: true });
  const legend = element("legend", { text: field.label });
  const node = element(
    "fieldset",
    { class: "field", "aria-describedby": `${name}-help ${name}-error` },
    legend,
    element("div", { class: "pills" }, labels),
    help,
    error,
  );
  const frame = {
    node,
    fail: (message) => say(error, message),
    focus: () => (inputs.find((input) => input.checked) ?? inputs[0]).focus(),
    at: () => frame,
  };
  node.addEventListener("input", () => frame.fail(""));
  return {
    frame,
    choose: (index) => (inputs[index].checked = true),
    chosen: () => inputs.findIndex((input) => input.checked),
  };
}

// Anything else

/** A field of JSON text, for what has no shape of its own. */
export function jsonField(field, isLeftOut) {
  const area = textArea(2, { class: "code" });
  const frame = framed(field, area, { note: `${inWords(field.schema, field.root)}; JSON` });
  const atFirst = field.fallback ?? (typeOf(field.schema) === "object" && !isLeftOut ? {} : undefined);
  const put = (value = atFirst) => {
    area.value = value === undefined ? "" : write(value, 2);
    grow(area);
  };
  put();
  const untouched = area.value;
  return {
    ...frame,
    write: put,
    read: (path, faults) => {
      if (!field.required && area.value === untouched) return undefined;
      if (area.value.trim() === "") {
        if (!field.required) return undefined;
        if (field.isNullable) return null;
        faults.push({ loc: path, msg: "a value is needed here, as JSON" });
        return undefined;
      }
      try {
        return parse(area.value);
      } catch (error) {
        faults.push({ loc: path, msg: `this is not JSON: ${error.message}` });
        return undefined;
      }
    },
  };
}
jsonField.isSimple = true;

