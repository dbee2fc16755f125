// Elements, made in one expression each.

let count = 0;

/** Return an id that no other element has. */
export const freshId = (stem = "x") => `${stem}-${(count += 1)}`;

/** Return the element of the page with an id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 *
 * `properties` are attributes; `class`, `text` and `on` (listeners by event) stand out. `null`,
 * `undefined` and `false` leave an attribute out, `true` sets it empty.
 */
export function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an element of SVG. */
export function drawn(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") node.textContent = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

/** Show a text in an element that is hidden while it has none. */
export function say(node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
}

/** Copy a text. Without the clipboard's permission, as on plain HTTP or in a frame, select it. */
export async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }
}

/** Return a button that copies what an element shows. */
export function copyButton(source, label, textOf = () => source.textContent) {
  const button = element("button", { type: "button", class: "quiet", text: label });
  button.addEventListener("click", async () => {
    const done = await copy(textOf(), source);
    button.textContent = done ? "Copied" : "Selected: copy it with your keyboard";
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}
