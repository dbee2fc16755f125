// JSON texts: read and written without losing the digits of large integers.

const LARGE = /\d{16}/;
const canKeepDigits = typeof JSON.rawJSON === "function";

/** Read a JSON text; integers beyond 2^53 become BigInts where the browser can. */
export function parse(text) {
  if (!canKeepDigits || !LARGE.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, context) => {
    const isLarge = typeof value === "number" && !Number.isSafeInteger(value);
    return isLarge && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  });
}

/** Write a value as JSON. */
export function write(value, indent) {
  return JSON.stringify(
    value,
    (_, member) => (typeof member === "bigint" ? JSON.rawJSON(String(member)) : member),
    indent,
  );
}

/** Write a value in one short line. */
export function brief(value, limit = 80) {
  const text = typeof value === "string" ? value : (write(value) ?? "");
  const line = text.slice(0, limit * 4).replace(/\s+/g, " ");
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

/** Write a number as people read it, with no more digits than it deserves. */
export function figure(value) {
  if (value == null) return "none";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(6)));
}

export const isObject = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value);
