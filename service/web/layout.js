// The layout: what a style sheet alone cannot do for two columns of unlike length.

import { byId } from "./dom.js";

/** What is left free above and below a column that stays in sight. */
const GAP_PX = 20;

/**
 * Where there are two columns, show the reset's options, and have each column stay in sight: a
 * short one by its top, a long one by its end.
 */
export function layOut() {
  const isWide = matchMedia("(min-width: 861px)");
  const open = () => (byId("reset-options").open = isWide.matches);
  isWide.addEventListener("change", open);
  open();
  const columns = [...document.querySelectorAll(".column")];
  const stick = () => {
    for (const column of columns) {
      column.style.top = `${Math.min(GAP_PX, innerHeight - column.offsetHeight - GAP_PX)}px`;
    }
  };
  const watch = new ResizeObserver(stick);
  columns.forEach((column) => watch.observe(column));
  addEventListener("resize", stick);
}
