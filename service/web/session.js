// The session: a WebSocket of this page's own, one reply for each request, in order.

import { parse, write } from "./json.js";
import { openSocket } from "./service.js";

/** The service's refusal of one request; the session goes on. */
export class Refusal extends Error {
  constructor({ message, code, errors, ...details }) {
    super(message);
    this.code = code;
    this.faults = errors ?? [];
    this.details = details;
  }
}

/** The session is over, or never began. */
export class Ended extends Error {
  constructor({ code, reason, wasOpen, isOwn }) {
    super(reason || `closed with ${code}`);
    this.code = code;
    this.reason = reason;
    this.wasOpen = wasOpen;
    this.isOwn = isOwn;
  }
}

/** What is asked to learn that there is a session: it is answered without the environment. */
const PING = { jsonrpc: "2.0", id: 1, method: "ping" };
/** How long to queue for a session, in seconds; the service may allow less. */
const WAIT_S = 600;

export class Session {
  #socket;
  #waiting = []; // those who wait for a reply, the oldest first
  #end = null;
  #isOwn = false;
  #wasOpen = false;

  /** `onEnd` hears once of the session's end, as `Ended`. */
  constructor(onEnd) {
    this.#socket = openSocket(WAIT_S);
    this.#socket.addEventListener("message", (event) => this.#take(event.data));
    this.#socket.addEventListener("close", (event) => this.#finish(event, onEnd));
    this.opened = new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", () => {
        this.#wasOpen = true;
        resolve();
      });
      this.#socket.addEventListener("close", () => reject(this.#end));
    });
    this.opened.catch(() => {}); // whoever asks hears of it
  }

  /** Wait for a session of the pool: the service answers nothing before there is one. */
  async begin() {
    await this.opened;
    await this.ask("mcp", PING);
  }

  /** Ask for something; returns the reply's data, throws `Refusal` or `Ended`. */
  ask(type, data) {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      this.#waiting.push({ resolve, reject });
      return this.#socket.send(write(data === undefined ? { type } : { type, data }));
    });
  }

  /** End it, and what is under way in it. */
  leave() {
    this.#isOwn = true;
    this.#socket.close(1000);
  }

  #take(text) {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return; // nobody has asked
    const { type, data } = parse(text);
    if (type === "error") waiting.reject(new Refusal(data));
    else waiting.resolve(data);
  }

  #finish({ code, reason }, onEnd) {
    this.#end = new Ended({ code, reason, wasOpen: this.#wasOpen, isOwn: this.#isOwn });
    this.#waiting.splice(0).forEach(({ reject }) => reject(this.#end));
    onEnd(this.#end);
  }
}

