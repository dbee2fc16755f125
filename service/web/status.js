// The status line: where this page's session stands, and how full the service is.

import { byId } from "./dom.js";
import { readCapacity } from "./service.js";
import { capacityWords } from "./words.js";

const PHASES = {
  idle: "No session",
  connecting: "Connecting…",
  waiting: "Waiting for a session",
  open: "Session open",
  ended: "Session ended",
  unreachable: "Service unreachable",
};

const SOON_MS = 1000;
const SELDOM_MS = 5000;
const LONGEST_MS = 30_000;

/** Shows the phase, and asks for the capacity while the page is seen. */
export class Status {
  #phase = "idle";
  #timer = null;
  #failures = 0;
  #onCapacity;

  /** `onCapacity` hears of each answer. */
  constructor(onCapacity) {
    this.#onCapacity = onCapacity;
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  get phase() {
    return this.#phase;
  }

  set phase(phase) {
    this.#phase = phase;
    this.#show(phase);
  }

  #show(phase) {
    byId("connection").dataset.phase = phase;
    byId("connection-text").textContent = PHASES[phase];
  }

  /** Ask for the capacity now, and again from time to time. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    try {
      const capacity = await readCapacity();
      if (this.#failures) this.#show(this.#phase);
      this.#failures = 0;
      byId("capacity").textContent = capacityWords(capacity);
      this.#onCapacity(capacity);
    } catch {
      this.#failures += 1;
      byId("capacity").textContent = "";
      this.#show("unreachable");
    }
    if (document.hidden || this.#timer !== null) return;
    const pause = this.#phase === "waiting" || this.#phase === "connecting" ? SOON_MS : SELDOM_MS;
    this.#timer = setTimeout(() => this.refresh(), Math.min(LONGEST_MS, pause * 2 ** Math.min(this.#failures, 5)));
  }
}
