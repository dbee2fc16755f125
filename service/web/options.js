// The options of a reset: their form's schema, and what a reset is sent of it.

/** The field for options that the schema does not name. */
const FURTHER = " further";

/** What every reset may be told, where the service tells nothing of it. */
const COMMON = {
  properties: {
    seed: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    episode_id: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
  },
};

/** Whether a field holds the options that the schema does not name. */
export const isFurther = (name) => name === FURTHER;

/** Return the schema of a reset's form; where any option may be given, with a field for them. */
export function resetSchema(schemas) {
  const { properties, additionalProperties = true, ...schema } = schemas.reset ?? COMMON;
  const further = {
    title: "Further options",
    description: "An object; its members become options of the reset",
    type: "object",
    default: {},
  };
  return { ...schema, properties: additionalProperties ? { ...properties, [FURTHER]: further } : properties };
}

/** Return the options that a form's value stands for. */
export function optionsOf(options) {
  const { [FURTHER]: further, ...own } = options;
  return { ...own, ...(further ?? {}) };
}
