// The episode: what was done and seen since the reset.

import { write } from "./json.js";

/** How much of the observations to keep, in characters of JSON; rewards are all kept. */
const KEPT_CHARACTERS = 32_000_000;

export class Episode {
  entries = [];
  #kept = 0; // the oldest entry that still has its observation
  #size = 0;

  /** Add what a reset (without an action) or a step came to, and return it. */
  add(data, action) {
    const before = this.last?.total ?? 0;
    const index = this.entries.length;
    const reward = data.reward ?? null;
    const entry = {
      index,
      action,
      data,
      reward,
      done: data.done === true,
      total: index ? before + (reward ?? 0) : 0,
      size: write(data).length,
    };
    this.entries.push(entry);
    this.#size += entry.size;
    while (this.#size > KEPT_CHARACTERS && this.#kept < index) {
      const oldest = this.entries[this.#kept];
      this.#kept += 1;
      this.#size -= oldest.size;
      oldest.data = null;
    }
    return entry;
  }

  get last() {
    return this.entries.at(-1);
  }

  /** The steps, without the reset before them. */
  get steps() {
    return this.entries.slice(1);
  }

  get isDone() {
    return this.last?.done === true;
  }
}
