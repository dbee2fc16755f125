// The form: an object's fields, its faults, and the keys that send it.

import { element } from "./dom.js";
import { memberFields, readMembers, writeMembers } from "./groups.js";
import { misfits, typeOf } from "./schema.js";

/** A value that cannot be read from its form; each fault says where (`loc`) and what (`msg`). */
export class Unfit extends Error {
  constructor(faults) {
    super("something in the form cannot be read");
    this.faults = faults;
  }
}

/** The fields of an object's schema, put into a place of the page. */
export class Form {
  #schema;
  #fields;
  #failed = [];

  constructor(place, schema, { aside = () => false } = {}) {
    this.#schema = schema;
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

  /** Fill in a value; throws `Unfit` where it is none that the form can give back. */
  write(value) {
    this.clear();
    writeMembers(this.#fields, value);
    const places = misfits(value, this.draft, this.#schema, this.#schema);
    if (places.length) throw new Unfit(places.map((loc) => ({ loc, msg: "the form cannot show this" })));
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
 * Have a form sent by Enter in a text of one line. Enter goes on to the next line in a longer text,
 * and Shift with Enter in any.
 */
export function sendByEnter(form) {
  form.addEventListener("keydown", (event) => {
    const isLine = event.target.matches("textarea.text") && !event.target.value.includes("\n");
    const isPlain = !(event.shiftKey || event.altKey || event.ctrlKey || event.metaKey);
    if (event.key === "Enter" && !event.isComposing && isLine && isPlain) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

/** Have a form sent by Ctrl or Cmd with Enter, wherever one is while it can be seen. */
export function sendFromAnywhere(form) {
  document.addEventListener("keydown", (event) => {
    const isSent = event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing;
    if (isSent && form.checkVisibility()) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
