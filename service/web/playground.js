// The playground: one session, one episode, from reset to step to what comes of it.

import { byId, say } from "./dom.js";
import { Episode } from "./episode.js";
import { Form, isRemark, sendByEnter, sendFromAnywhere, Unfit } from "./form.js";
import { parse, write } from "./json.js";
import { layOut } from "./layout.js";
import { announce, clearNotices, notify } from "./notices.js";
import { isFurther, optionsOf, resetSchema } from "./options.js";
import { rememberEpisode, tellOfReload } from "./reload.js";
import { Refusal, Session } from "./session.js";
import { Status } from "./status.js";
import { firstText } from "./values.js";
import { Viewer } from "./viewer.js";
import { errorWords, queueWords, resultWords } from "./words.js";

/** How long something may take before its seconds are shown. */
const PATIENCE_S = 2;

/** The phases in which there is no session yet. */
const PENDING = new Set(["connecting", "waiting"]);

const ALWAYS = /Mac|iP(hone|ad)/.test(navigator.platform) ? "⌘ Enter" : "Ctrl + Enter";
const KEYS = matchMedia("(hover: none)").matches
  ? "" // no keyboard to speak of
  : `Enter steps, Shift + Enter makes a new line; ${ALWAYS} always steps.`;

export class Playground {
  #resetForm;
  #stepForm;
  #asJson = false;
  #session = null;
  #episode = null;
  #viewer;
  #status;
  #under = null; // what is under way: { words, since, timer }

  constructor(schemas) {
    this.#resetForm = new Form(byId("reset-fields"), resetSchema(schemas), { aside: isFurther });
    this.#stepForm = new Form(byId("step-fields"), schemas.action, { aside: isRemark });
    this.#viewer = new Viewer(schemas, (action) => this.#take(action));
    this.#status = new Status((capacity) => this.#onCapacity(capacity));
    this.#status.phase = "idle";
    this.#listen();
    layOut();
    this.#refresh();
    tellOfReload();
    this.#status.refresh();
  }

  /** The action as it stands, or as much of it as can be read. */
  get action() {
    try {
      return this.#readAction();
    } catch {
      return this.#stepForm.draft;
    }
  }

  /** The options of a reset as they stand, or as many of them as can be read. */
  get options() {
    return optionsOf(this.#resetForm.draft);
  }

  #listen() {
    const forms = { "reset-form": () => this.#reset(), "step-form": () => this.#step() };
    for (const [id, send] of Object.entries(forms)) {
      byId(id).addEventListener("submit", (event) => {
        event.preventDefault();
        send();
      });
      sendByEnter(byId(id));
    }
    sendFromAnywhere(byId("step-form"));
    byId("leave").addEventListener("click", () => this.#leave());
    byId("as-form").addEventListener("click", () => this.#fillInAs(false));
    byId("as-json").addEventListener("click", () => this.#fillInAs(true));
    addEventListener("pagehide", () => {
      if (this.#session && this.#episode) rememberEpisode(this.#episode.steps.length);
    });
  }

  // The action

  #readAction() {
    if (!this.#asJson) return this.#stepForm.read();
    try {
      return parse(byId("step-json").value);
    } catch (error) {
      throw new Unfit([{ loc: [], msg: `This is not JSON: ${error.message}` }]);
    }
  }

  #fillInAs(asJson) {
    if (asJson === this.#asJson) return;
    this.#clearFaults();
    try {
      if (asJson) byId("step-json").value = write(this.#stepForm.draft, 2);
      else this.#stepForm.write(this.#readAction());
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      return this.#showFaults(error.faults);
    }
    this.#show(asJson);
    return undefined;
  }

  #show(asJson) {
    this.#asJson = asJson;
    byId("as-json").setAttribute("aria-pressed", String(asJson));
    byId("as-form").setAttribute("aria-pressed", String(!asJson));
    byId("step-json-field").hidden = !asJson;
    byId("step-fields").hidden = asJson;
  }

  #take(action) {
    this.#clearFaults();
    byId("step-json").value = write(action, 2);
    try {
      this.#stepForm.write(action);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      this.#show(true);
    }
    announce("The action is filled in.");
    byId("step").focus();
  }

  #showFaults(faults, form = this.#stepForm, place = "step") {
    const isForm = place === "reset" || !this.#asJson;
    const homeless = isForm ? form.fail(faults) : faults;
    const words = homeless.map(({ loc, msg }) => (loc?.length ? `${loc.join(" › ")}: ${msg}` : msg));
    if (isForm) say(byId(`${place}-error`), words.join("\n"));
    else {
      say(byId("step-json-error"), words.join("\n"));
      byId("step-json").focus();
    }
  }

  #clearFaults() {
    this.#stepForm.clear();
    this.#resetForm.clear();
    for (const id of ["step-error", "reset-error", "step-json-error"]) say(byId(id), "");
  }

  // The session

  async #reset() {
    if (this.#under) return;
    this.#clearFaults();
    let options;
    try {
      options = optionsOf(this.#resetForm.read());
    } catch (error) {
      this.#showFaults(error.faults, this.#resetForm, "reset");
      return;
    }
    clearNotices();
    try {
      const session = await this.#openSession();
      this.#begin("Resetting");
      const [data, state] = await Promise.allSettled([session.ask("reset", options), session.ask("state")]);
      if (data.status === "rejected") throw data.reason;
      this.#episode = new Episode();
      this.#see(this.#episode.add(data.value), state);
    } catch (error) {
      this.#fail(error, "reset");
    } finally {
      this.#end();
    }
  }

  async #openSession() {
    if (this.#session) return this.#session;
    this.#begin("Connecting");
    this.#status.phase = "connecting";
    const session = new Session((end) => this.#onEnd(session, end));
    this.#session = session;
    this.#refresh();
    const lookAround = setTimeout(() => this.#status.refresh(), 300);
    try {
      await session.begin();
    } catch (error) {
      if (this.#session === session) this.#session = null;
      throw error;
    } finally {
      clearTimeout(lookAround);
    }
    if (this.#status.phase === "waiting") announce("A session is free.");
    this.#status.phase = "open";
    this.#episode = null; // the one that is shown was played in another session
    this.#status.refresh();
    return session;
  }

  async #step() {
    if (this.#under || this.#obstacle) {
      announce(this.#obstacle ?? "Something is under way.");
      return;
    }
    this.#clearFaults();
    let action;
    try {
      action = this.#readAction();
    } catch (error) {
      this.#showFaults(error.faults);
      return;
    }
    clearNotices();
    const from = document.activeElement;
    this.#begin("Stepping");
    try {
      const session = this.#session;
      const [data, state] = await Promise.allSettled([session.ask("step", action), session.ask("state")]);
      if (data.status === "rejected") throw data.reason;
      this.#see(this.#episode.add(data.value, action), state);
      if (from === document.activeElement && from.matches("textarea.text")) from.select();
    } catch (error) {
      this.#fail(error, "step");
    } finally {
      this.#end();
    }
  }

  #leave() {
    this.#session?.leave();
    this.#session = null;
    this.#status.phase = "idle";
    this.#refresh();
    setTimeout(() => this.#status.refresh(), 300);
    byId("reset").focus();
  }

  // What comes back

  #see(entry, state) {
    this.#viewer.follow(this.#episode);
    if (state.status === "fulfilled") this.#viewer.showState(state.value);
    else this.#viewer.showState(null, errorWords(state.reason).detail);
    announce(resultWords(entry, firstText(entry.data.observation)));
  }

  #fail(error, place) {
    if (error.isOwn) return; // somebody left
    const { title, detail } = errorWords(error);
    if (error instanceof Refusal && error.faults.length) {
      const form = place === "step" ? this.#stepForm : this.#resetForm;
      this.#showFaults(error.faults, form, place);
      announce(title);
    } else if (error instanceof Refusal || error.wasOpen !== undefined) notify("error", title, detail);
    else throw error;
    if (!this.#session) this.#status.phase = "ended";
  }

  #onEnd(session, end) {
    if (session !== this.#session) return;
    this.#session = null;
    if (!this.#under) {
      const { title, detail } = errorWords(end);
      notify("error", title, detail);
    }
    this.#status.phase = "ended";
    this.#refresh();
    this.#status.refresh();
  }

  #onCapacity(capacity) {
    if (!PENDING.has(this.#status.phase)) return;
    if (capacity.active < capacity.limit || !capacity.waiting) return;
    const words = queueWords(capacity);
    if (this.#status.phase === "connecting") announce(words);
    this.#status.phase = "waiting";
    if (this.#under) this.#under.words = words;
    this.#tick();
  }

  // What is under way, and what may be done now

  #begin(words) {
    this.#end();
    this.#under = { words: `${words}…`, since: performance.now() };
    this.#under.timer = setInterval(() => this.#tick(), 1000);
    this.#refresh();
  }

  #end() {
    clearInterval(this.#under?.timer);
    this.#under = null;
    this.#refresh();
  }

  #tick() {
    if (!this.#under) return;
    const seconds = Math.floor((performance.now() - this.#under.since) / 1000);
    const words = seconds >= PATIENCE_S ? `${this.#under.words} ${seconds} s` : this.#under.words;
    byId(this.#isStepping ? "step-hint" : "reset-hint").textContent = words;
    byId("reset-hint").classList.toggle("waiting", this.#status.phase === "waiting");
  }

  get #isStepping() {
    return this.#under?.words.startsWith("Stepping") ?? false;
  }

  /** Why no step can be taken now, or `null`. */
  get #obstacle() {
    if (!this.#episode) return "Reset begins an episode; then you can step.";
    if (!this.#session) return "The session has ended. Reset opens another and begins an episode.";
    if (this.#episode.isDone) return "The episode is done. Reset begins another.";
    return null;
  }

  #refresh() {
    const { active, waiting } = { active: Boolean(this.#under), waiting: this.#isStepping };
    const obstacle = this.#obstacle;
    byId("reset").className = obstacle === null ? "secondary" : "primary";
    mark(byId("step"), { isOff: active || obstacle !== null, isBusy: waiting });
    mark(byId("reset"), { isOff: active, isBusy: active && !waiting });
    byId("leave").hidden = !this.#session;
    byId("leave").textContent = PENDING.has(this.#status.phase) ? "Cancel" : "End session";
    byId("step-hint").textContent = obstacle ?? KEYS;
    byId("reset-hint").classList.remove("waiting");
    byId("reset-hint").textContent = this.#session
      ? "The session is yours alone; it ends with this page."
      : "Reset opens a session of your own and begins an episode.";
    this.#tick();
  }
}

/** Switch a button off so that it keeps the focus and can say why. */
function mark(button, { isOff, isBusy }) {
  button.setAttribute("aria-disabled", String(isOff));
  button.classList.toggle("busy", isBusy);
}
