// The theme, chosen before the page is painted. "system" follows the device.
"use strict";

globalThis.theme = (() => {
  const NAME = "aioenv-theme";
  const THEMES = ["system", "light", "dark"];

  const chosen = () => {
    try {
      const theme = localStorage.getItem(NAME);
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      return "system"; // a frame of another site may have no storage
    }
  };

  const choose = (theme) => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // It holds until the page is left.
    }
  };

  const next = () => {
    const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    choose(theme);
    return theme;
  };

  document.documentElement.dataset.theme = chosen();
  return { next };
})();
