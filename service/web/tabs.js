// The tabs, by the pattern of ARIA's authoring practices: arrows, Home and End move and choose.

import { byId } from "./dom.js";

/** Make the tabs work; `onShow` hears the name of each that is shown. */
export function setUpTabs(onShow) {
  const list = byId("tabs");
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const nameOf = (tab) => tab.getAttribute("aria-controls");

  const show = (tab, { focus = false } = {}) => {
    for (const other of tabs) {
      const isShown = other === tab;
      other.setAttribute("aria-selected", String(isShown));
      other.tabIndex = isShown ? 0 : -1;
      byId(nameOf(other)).hidden = !isShown;
    }
    if (focus) tab.focus();
    onShow(nameOf(tab));
  };
  const choose = (tab) => {
    show(tab, { focus: true });
    history.replaceState(null, "", `#${nameOf(tab)}`);
  };

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    choose(tabs[(steps[event.key] + tabs.length) % tabs.length]);
  });

  const fromAddress = () => {
    const name = location.hash.slice(1);
    const stem = name.startsWith("readme-") ? "readme" : name;
    return tabs.find((tab) => nameOf(tab) === stem);
  };
  addEventListener("hashchange", () => fromAddress() && show(fromAddress()));
  show(fromAddress() ?? tabs[0]);
}
