// Reloads: a page that is loaded anew has lost its session, and says so once.

import { notify } from "./notices.js";

const PLAYED = "aioenv-played";

/** Remember, while the page goes, how many steps its episode had. */
export function rememberEpisode(steps) {
  try {
    sessionStorage.setItem(PLAYED, String(steps));
  } catch {
    // Without storage nothing is told after a reload.
  }
}

/** Tell of the episode that was lost with the page before this one. */
export function tellOfReload() {
  let steps = null;
  try {
    steps = sessionStorage.getItem(PLAYED);
    sessionStorage.removeItem(PLAYED);
  } catch {
    // As above.
  }
  if (steps === null) return;
  const count = steps === "1" ? "1 step" : `${steps} steps`;
  notify(
    "info",
    "The page was loaded anew.",
    `Its session ended after ${count}, and its episode with it. Reset begins another.`,
  );
}
