// The page: reads what the environment is, asks for a token where one is needed, and begins.

import { showPrograms } from "./connect.js";
import { byId, element, say } from "./dom.js";
import { clearNotices, notify } from "./notices.js";
import { Playground } from "./playground.js";
import { showSchemas } from "./schemas.js";
import { Answered, keepToken, readAccess, readMetadata, readReadme, readSchemas } from "./service.js";
import { setUpTabs } from "./tabs.js";

async function begin() {
  setUpTheme();
  const access = await persist(readAccess);
  if (!access.granted) await askForToken();
  const [metadata, schemas] = await persist(() => Promise.all([readMetadata(), readSchemas()]));
  clearNotices();
  show(metadata, schemas, access.required);
}

/** Ask until there is a good answer: the service may be starting, or the network away for a moment. */
async function persist(ask) {
  for (let pauseMs = 500; ; pauseMs = Math.min(10_000, pauseMs * 2)) {
    try {
      return await ask();
    } catch (error) {
      const isAnswered = error instanceof Answered;
      byId("connection").dataset.phase = "unreachable";
      byId("connection-text").textContent = isAnswered ? "Service fails" : "Service unreachable";
      if (isAnswered) notify("error", "The service fails.", `${error.message}. This page keeps trying.`);
      else notify("error", "The service cannot be reached.", "It may be starting or stopping. This page keeps trying.");
      await new Promise((done) => setTimeout(done, pauseMs));
    }
  }
}

function show(metadata, schemas, isTokenRequired) {
  const name = metadata.name || "Environment";
  document.title = name;
  byId("name").textContent = name;
  byId("description").textContent = metadata.description ?? "";
  if (metadata.version) byId("name").append(" ", element("span", { class: "version", text: metadata.version }));
  const playground = new Playground(schemas);
  showSchemas(byId("schema"), schemas);
  let hasReadme = false;
  setUpTabs((tab) => {
    if (tab === "connect") showPrograms(byId("connect"), playground, isTokenRequired);
    if (tab === "readme" && !hasReadme) showReadme().then((isThere) => (hasReadme ||= isThere));
  });
  document.body.dataset.ready = "true";
}

/** Show the README; returns whether there was an answer, and throws nothing. */
async function showReadme() {
  const place = byId("readme-body");
  try {
    const fragment = await readReadme();
    const parsed = new DOMParser().parseFromString(fragment, "text/html");
    place.replaceChildren(...parsed.body.childNodes);
    if (!fragment) place.append(element("p", { class: "empty", text: "This environment has no README. The variable ENV_README_PATH names one." }));
    if (location.hash.startsWith("#readme-")) byId(location.hash.slice(1))?.scrollIntoView();
    return true;
  } catch {
    place.replaceChildren(element("p", { class: "empty", text: "The README could not be loaded." }));
    return false;
  }
}

/** Ask until the token is right; nothing else of the page works before. */
function askForToken() {
  const form = byId("token-form");
  form.hidden = false;
  byId("playground").hidden = true;
  byId("tabs").hidden = true;
  byId("connection-text").textContent = "Token needed";
  byId("token").focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      keepToken(byId("token").value.trim());
      const { granted } = await persist(readAccess);
      clearNotices();
      if (!granted) {
        keepToken("");
        byId("token").setAttribute("aria-invalid", "true");
        say(byId("token-error"), "This is not the service's token.");
        byId("token").select();
        return;
      }
      form.hidden = true;
      byId("tabs").hidden = false;
      byId("main").focus();
      resolve();
    });
  });
}

function setUpTheme() {
  const button = byId("theme");
  const label = (theme) => {
    button.title = `Theme: ${theme}`;
    button.setAttribute("aria-label", button.title);
  };
  label(document.documentElement.dataset.theme);
  button.hidden = false;
  button.addEventListener("click", () => label(globalThis.theme.next()));
}

begin();
