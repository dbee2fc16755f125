// Notices: what a person should know, above everything; and what a screen reader should say.

import { byId, element } from "./dom.js";

/** Show a notice: `kind` is `info`, `warning` or `error`. The one before it goes. */
export function notify(kind, title, detail) {
  const close = element("button", { type: "button", class: "quiet small", text: "Dismiss" });
  const words = element("p", {}, element("strong", { text: title }), detail ? ` ${detail}` : "");
  const notice = element(
    "div",
    { class: "notice", "data-kind": kind, role: kind === "error" ? "alert" : "status" },
    words,
    close,
  );
  close.addEventListener("click", () => notice.remove());
  byId("notices").replaceChildren(notice);
}

/** Take the notice away. */
export const clearNotices = () => byId("notices").replaceChildren();

/** Have a screen reader say something, once it is free to. */
export function announce(text) {
  const announcer = byId("announcer");
  announcer.textContent = "";
  requestAnimationFrame(() => (announcer.textContent = text));
}
