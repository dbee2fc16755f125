// The form: an object's fields, its faults, and the keys that send it.

import { element } from "./dom.js";
import { memberFields, readMembers, writeMembers } from "./groups.js";
import { typeOf } from "./schema.js";

/** A value that cannot be read from its form; each fault says where (`loc`) and what (`msg`). */
export class Unfit extends Error {
  constructor(faults) {
    super("something in the form cannot be read");
    this.faults = faults;
  }
}

/** The fields of an object's schema, put into a place of the page. */
export class Form {
  #fields;
  #failed = [];

  constructor(place, schema, { aside = () => false } = {}) {
    this.#fields = memberFields(schema, schema);
    const names = [...this.#fields.keys()];
    const nodes = (test) => names.filter(test).map((name) => this.#fields.get(name).node);
    place.replaceChildren(...nodes((name) => !aside(name, schema.properties[name])));
    const more = nodes((name) => aside(name, schema.properties[name]));
    if (more.length) {
      place.append(element("details", { class: "more" }, element("summary", { text: "More" }), more));
    }
    if (!names.length) place.append(element("p", { class: "muted", text: "It has no fields." }));
  }

  /** Return what is filled in; throws `Unfit`. */
  read() {
    const faults = [];
    const value = readMembers(this.#fields, [], faults);
    if (faults.length) throw new Unfit(faults);
    return value;
  }

  /** Return as much as can be read. */
  get draft() {
    return readMembers(this.#fields, [], []);
  }

  write(value) {
    this.clear();
    writeMembers(this.#fields, value);
  }

  /** Show each fault at its field, go to the first, and return those that have no field. */
  fail(faults) {
    this.clear();
    const homeless = [];
    for (const fault of faults) {
      const [name, ...rest] = fault.loc ?? [];
      const field = this.#fields.get(name)?.at(rest);
      if (field === undefined) homeless.push(fault);
      else {
        field.fail(fault.msg);
        this.#failed.push(field);
        const folded = field.node.closest("details");
        if (folded) folded.open = true;
      }
    }
    this.#failed[0]?.focus();
    return homeless;
  }

  clear() {
    this.#failed.splice(0).forEach((field) => field.fail(""));
  }

  focus() {
    this.#fields.values().next().value?.focus();
  }
}

/** Whether a field of an action only carries remarks, which few people fill in. */
export const isRemark = (name, schema) =>
  name === "metadata" && typeOf(schema) === "object" && !schema.properties;

/**
 * Have a form sent by its keys: Enter in a text of one line, Ctrl or Cmd with Enter anywhere.
 * Enter goes on to the next line in a longer text, and Shift with Enter in any.
 */
export function sendByKeys(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const isForced = event.ctrlKey || event.metaKey;
    const isLine = event.target.matches("textarea.text") && !event.shiftKey && !event.altKey &&
      !event.target.value.includes("\n");
    if (isForced || isLine) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
