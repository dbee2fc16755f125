// Words: what happened, and what to do, for everything that can go wrong.

import { Ended } from "./session.js";
import { figure } from "./json.js";

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

/** Tell how full the service is. */
export function capacityWords({ active, waiting, limit }) {
  const inUse = active >= limit && limit > 1
    ? `all ${limit} sessions are in use`
    : `${active} of ${count(limit, "session", "sessions")} in use`;
  return waiting ? `${inUse}, ${waiting} waiting` : inUse;
}

/** Tell that the pool is full while this page waits in its queue. */
export function queueWords({ waiting, limit }) {
  const full = limit === 1 ? "The only session is in use" : `All ${limit} sessions are in use`;
  const others = Math.max(0, waiting - 1);
  return `${full}, waiting…${others ? ` ${count(others, "other waits", "others wait")} too.` : ""}`;
}

/** Tell what one reply came to, for the ear. */
export function resultWords(entry, text) {
  const parts = entry.index ? [`Step ${entry.index}.`] : ["A new episode."];
  if (entry.index && entry.reward != null) {
    parts.push(`Reward ${figure(entry.reward)}, return ${figure(entry.total)}.`);
  }
  if (entry.done) parts.push("The episode is done.");
  if (text) parts.push(text);
  return parts.join(" ");
}

/** Tell of an error: `title` in a few words, `detail` with what to do. */
export function errorWords(error) {
  if (error instanceof Ended) return endWords(error);
  switch (error.code) {
    case "CAPACITY_REACHED":
      return {
        title: "Every session is in use",
        detail: `None of ${error.details.max_sessions ?? "them"} became free in time. Reset asks again.`,
      };
    case "FACTORY_ERROR":
      return { title: "The environment could not be made", detail: sentence(error.message) };
    case "VALIDATION_ERROR":
      return { title: "This was not accepted", detail: sentence(error.message) };
    case "EXECUTION_TIMEOUT":
      return { title: "The environment took too long", detail: `${sentence(error.message)} The session goes on.` };
    case "EXECUTION_ERROR":
      return { title: "The environment raised an error", detail: `${sentence(error.message)} The session goes on.` };
    default:
      return { title: "The service refused", detail: sentence(error.message) };
  }
}

const REASONS = {
  1001: ["The service is stopping", "It closed the session. Reset opens another once it is back."],
  1008: ["The session was ended", ""],
  1009: ["The message was too large", "It was larger than the service takes, which ended the session."],
  1011: ["The service failed", "It ended the session; its log says why."],
  1013: ["Every session is in use", "Reset asks again."],
};

function endWords({ code, reason, wasOpen }) {
  if (!wasOpen) {
    return {
      title: "The service could not be reached",
      detail: "It is down, or something in between lets no WebSocket through. Reset tries again.",
    };
  }
  const [title, detail] = REASONS[code] ?? [
    "The session is gone",
    "The connection broke, or the service stopped. Its episode is lost; Reset begins another.",
  ];
  if (code === 1008) return { title, detail: `${sentence(reason)} Reset opens another.` };
  return { title, detail };
}

/** Make a sentence of what somebody else wrote. */
export function sentence(text) {
  const words = String(text ?? "").trim();
  if (!words) return "It gave no reason.";
  const first = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}
