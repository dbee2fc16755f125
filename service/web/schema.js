// JSON Schemas: what a form and a table need to know of them.

import { brief, figure, isObject } from "./json.js";

/** Follow a schema's reference; what stands beside it (a title, a description) goes first. */
export function resolve(schema, root) {
  let found = schema ?? {};
  for (let depth = 0; found.$ref !== undefined && depth < 16; depth += 1) {
    const { $ref, ...beside } = found;
    const path = $ref.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    const target = path.reduce((node, step) => node?.[step.replaceAll("~1", "/")], root) ?? {};
    found = { ...target, ...beside };
  }
  return found;
}

/** Return what a field is called. */
export function titleOf(schema, name) {
  const plain = String(name ?? "").replaceAll("_", " ").trim();
  const title = String(schema.title ?? plain).trim();
  const words = title.toLowerCase() === plain.toLowerCase() ? plain : title;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Return the choices of an enumeration, or `null`. */
export function choicesOf(schema) {
  if (schema.const !== undefined) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : null;
}

/** Return the alternatives of a union, or `null`. */
export const variantsOf = (schema) => schema.anyOf ?? schema.oneOf ?? null;

/** Return the type of a schema; the first that is not null, where it names several. */
export function typeOf(schema) {
  const types = [schema.type ?? []].flat();
  if (types.length) return types.find((type) => type !== "null") ?? "null";
  if (schema.properties) return "object";
  return schema.items || schema.prefixItems ? "array" : "any";
}

const WORDS = {
  string: "text",
  integer: "whole number",
  number: "number",
  boolean: "yes or no",
  null: "nothing",
  array: "list",
  object: "object",
  any: "any JSON",
};

/** Tell a schema's type and bounds in words. */
export function inWords(schema, root, depth = 0) {
  const variants = variantsOf(schema);
  if (variants) {
    const words = variants.map((variant) => inWords(resolve(variant, root), root, depth + 1));
    return [...new Set(words)].join(" or ");
  }
  const choices = choicesOf(schema);
  if (choices) return choices.length > 1 ? `one of ${brief(choices.join(", "), 120)}` : `always ${brief(choices[0])}`;
  const type = typeOf(schema);
  const words = [schema.format ? `${schema.format} ${WORDS[type]}` : WORDS[type] ?? type];
  if (schema.contentEncoding === "base64") words[0] = "bytes in base64";
  if (type === "array" && schema.items && depth < 2) {
    words[0] = `list of ${inWords(resolve(schema.items, root), root, depth + 1)}`;
  }
  if (type === "object" && schema.properties && schema.title && depth) words[0] = schema.title;
  return [...words, ...boundsOf(schema)].join(", ");
}

function boundsOf(schema) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const words = [];
  if (minimum !== undefined && maximum !== undefined) words.push(`${figure(minimum)} to ${figure(maximum)}`);
  else if (minimum !== undefined) words.push(`${figure(minimum)} or more`);
  else if (maximum !== undefined) words.push(`${figure(maximum)} or less`);
  if (exclusiveMinimum !== undefined) words.push(`more than ${figure(exclusiveMinimum)}`);
  if (exclusiveMaximum !== undefined) words.push(`less than ${figure(exclusiveMaximum)}`);
  if (schema.multipleOf !== undefined) words.push(`a multiple of ${figure(schema.multipleOf)}`);
  words.push(...sizes(schema.minLength, schema.maxLength, "characters"));
  words.push(...sizes(schema.minItems, schema.maxItems, "items"));
  if (schema.pattern !== undefined) words.push(`matching ${schema.pattern}`);
  return words;
}

function sizes(least, most, unit) {
  if (least && least === most) return [`${most} ${unit}`];
  const words = [];
  if (least) words.push(`at least ${least} ${unit}`);
  if (most !== undefined) words.push(`at most ${most} ${unit}`);
  return words;
}

/**
 * Return the paths at which a value differs from what a form has made of it. What is left out of
 * either is its default.
 */
export function misfits(value, made, schema, root, path = []) {
  const whole = resolve(schema, root);
  const found = resolve(variantsOf(whole)?.find((variant) => fits(value, variant, root)) ?? whole, root);
  const within = (names, schemaOf) =>
    names.flatMap((name) => {
      const member = schemaOf(name);
      const { [name]: one = resolve(member, root).default } = value;
      const { [name]: other = resolve(member, root).default } = made;
      return misfits(one, other, member, root, [...path, name]);
    });
  if (Array.isArray(value) && Array.isArray(made) && value.length === made.length) {
    return within([...value.keys()], (index) => found.prefixItems?.[index] ?? found.items ?? {});
  }
  if (isObject(value) && isObject(made)) {
    const names = [...new Set([...Object.keys(value), ...Object.keys(made)])];
    return within(names, (name) => found.properties?.[name] ?? found.additionalProperties ?? {});
  }
  return value === made ? [] : [path];
}

/** Whether a value is what a schema's type says; enough to choose between alternatives. */
export function fits(value, schema, root) {
  const found = resolve(schema, root);
  const choices = choicesOf(found);
  if (choices) return choices.includes(value);
  const variants = variantsOf(found);
  if (variants) return variants.some((variant) => fits(value, variant, root));
  switch (typeOf(found)) {
    case "null":
      return value === null;
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "integer":
      return Number.isInteger(value) || typeof value === "bigint";
    case "number":
      return typeof value === "number" || typeof value === "bigint";
    case "array":
      return Array.isArray(value);
    case "object":
      return value !== null && typeof value === "object" && !Array.isArray(value) &&
        (found.required ?? []).every((name) => name in value);
    default:
      return true;
  }
}
