// The viewer: the figures, one observation, the state, and the episode around them.

import { byId, element } from "./dom.js";
import { figure, isObject } from "./json.js";
import { Plot } from "./plot.js";
import { Timeline } from "./timeline.js";
import { members, raw } from "./values.js";

export class Viewer {
  #schemas;
  #episode = null;
  #chosen = null; // the entry that is shown; the last one unless somebody looks back
  #isRaw = false;
  #frame = null;
  #plot;
  #timeline;

  /** `onAgain` hears of the action that is to be taken again. */
  constructor(schemas, onAgain) {
    this.#schemas = schemas;
    this.#plot = new Plot(byId("plot"), (entry) => this.#choose(entry));
    this.#timeline = new Timeline(byId("timeline"), (entry) => this.#choose(entry));
    byId("as-readable").addEventListener("click", () => this.#present(false));
    byId("as-raw").addEventListener("click", () => this.#present(true));
    byId("latest").addEventListener("click", () => {
      this.#choose(this.#episode.last);
      byId("observation-heading").focus();
    });
    byId("again").addEventListener("click", () => onAgain(this.#chosen.action));
  }

  /** Show an episode from its latest entry on. */
  follow(episode) {
    this.#episode = episode;
    byId("timeline-card").hidden = false;
    this.#choose(episode.last);
  }

  /** Show the state, or why there is none. */
  showState(state, problem) {
    byId("state-card").hidden = false;
    const { state: schema } = this.#schemas;
    byId("state").replaceChildren(
      problem ? element("p", { class: "error", text: problem }) : members(state, schema, schema),
    );
  }

  #choose(entry) {
    this.#chosen = entry;
    const { last, steps } = this.#episode;
    const isLast = entry === last;
    byId("latest").hidden = isLast;
    byId("again").hidden = isLast || entry.action === undefined;
    byId("observation-heading").textContent = isLast
      ? "Observation"
      : `Observation of ${entry.index ? `step ${entry.index}` : "the reset"}`;
    byId("figure-reward").textContent = entry.reward === null ? "–" : figure(entry.reward);
    byId("figure-return").textContent = figure(entry.total);
    byId("figure-steps").textContent = isLast ? steps.length : `${entry.index} of ${steps.length}`;
    byId("figure-done").textContent = entry.done ? "yes" : "no";
    byId("figure-done").parentElement.classList.toggle("is-done", entry.done);
    this.#draw();
  }

  /** Draw what is large, once for each frame, however many steps there were since the last. */
  #draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#showObservation();
      this.#timeline.show(this.#episode.entries, this.#chosen);
      this.#plot.show(this.#episode.steps);
    });
  }

  #present(isRaw) {
    this.#isRaw = isRaw;
    byId("as-readable").setAttribute("aria-pressed", String(!isRaw));
    byId("as-raw").setAttribute("aria-pressed", String(isRaw));
    this.#draw();
  }

  #showObservation() {
    const { data } = this.#chosen;
    byId("observation-views").hidden = false;
    byId("observation").replaceChildren(data === null ? gone() : this.#isRaw ? raw(data, "Raw JSON") : this.#readable(data));
  }

  #readable({ observation, metadata }) {
    const { observation: schema } = this.#schemas;
    if (!isObject(observation)) return members({ observation }, {}, {});
    // Reward and done stand above; metadata stands last, and only where there is any.
    const { reward, done, metadata: within, ...own } = observation;
    const further = within ?? metadata;
    const nodes = Object.keys(own).length
      ? [members(own, schema, schema)]
      : [element("p", { class: "muted", text: "It has no fields of its own." })];
    if (isObject(further) && Object.keys(further).length) {
      nodes.push(element("h3", { text: "Metadata" }), members(further, {}, {}));
    }
    return element("div", {}, nodes);
  }
}

const gone = () =>
  element("p", { class: "empty", text: "This observation is not kept any more: the episode has grown too large for the page. Its reward is." });
