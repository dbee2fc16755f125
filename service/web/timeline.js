// The timeline: a table of the episode's steps, the newest first, so many at a time.

import { element } from "./dom.js";
import { brief, figure } from "./json.js";

const ROWS = 20;

export class Timeline {
  #place;
  #onChoose;
  #page = 0; // 0 holds the newest
  #entries = [];
  #chosen = null;

  /** `onChoose` hears of the entry that is asked for. */
  constructor(place, onChoose) {
    this.#place = place;
    this.#onChoose = onChoose;
  }

  /** Show the entries, and mark the one that the observation shows. */
  show(entries, chosen) {
    if (entries !== this.#entries && entries.length === 1) this.#page = 0;
    this.#entries = entries;
    this.#chosen = chosen;
    this.#draw();
  }

  #draw() {
    const newest = this.#entries.length - 1 - this.#page * ROWS;
    const oldest = Math.max(0, newest - ROWS + 1);
    const rows = [];
    for (let index = newest; index >= oldest; index -= 1) rows.push(this.#row(this.#entries[index]));
    const names = ["Step", "Action", "Reward", "Return"];
    const head = names.map((name, at) => element("th", { scope: "col", class: at > 1 ? "to-right" : "", text: name }));
    const table = element("table", { class: "steps" }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows));
    const focused = this.#place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.#place.replaceChildren(table, ...this.#pager(newest, oldest));
    if (focused) this.#place.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  #row(entry) {
    const isChosen = entry === this.#chosen;
    const button = element("button", {
      type: "button",
      class: "link",
      "data-key": `step-${entry.index}`,
      "aria-label": entry.index ? `Show step ${entry.index}` : "Show the reset",
      "aria-pressed": String(isChosen),
      text: entry.index || "reset",
      on: { click: () => this.#onChoose(entry) },
    });
    const action = entry.action === undefined ? "" : summary(entry.action);
    return element(
      "tr",
      { class: isChosen ? "chosen" : "" },
      element("td", {}, button),
      element("td", { class: "action" }, action, entry.done ? element("span", { class: "badge", text: "done" }) : null),
      element("td", { class: "number to-right", text: entry.index && entry.reward !== null ? figure(entry.reward) : "" }),
      element("td", { class: "number to-right", text: entry.index ? figure(entry.total) : "" }),
    );
  }

  #pager(newest, oldest) {
    if (this.#entries.length <= ROWS) return [];
    const turn = (by) => () => {
      this.#page += by;
      this.#draw();
    };
    const button = (text, by, isOff) =>
      element("button", { type: "button", class: "quiet small", text, "data-key": text, "aria-disabled": String(isOff), on: isOff ? {} : { click: turn(by) } });
    const words = `${oldest || "reset"} to ${newest} of ${this.#entries.length - 1}`;
    return [
      element(
        "div",
        { class: "pager" },
        button("Newer", -1, this.#page === 0),
        element("span", { class: "muted", text: words }),
        button("Older", 1, oldest === 0),
      ),
    ];
  }
}

/** Tell an action in one short line: the value of its only field, or its JSON. */
function summary(action) {
  const values = Object.values(action);
  return brief(values.length === 1 ? values[0] : action, 90);
}
