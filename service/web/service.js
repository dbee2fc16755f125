// The service: its addresses, seen from this page, and what its plain doors tell.

const TOKEN = "aioenv-token";
const TOKEN_PROTOCOL = "base64url.bearer.authorization.aioenv.";
const PLAIN_PROTOCOL = "aioenv.plain";

/** The service's own address, whatever path it is behind. */
export const base = new URL("..", location.href.split(/[?#]/)[0]);

/** The address as people write it. */
export const baseText = base.href.replace(/\/$/, "");

let token = "";
try {
  token = sessionStorage.getItem(TOKEN) ?? "";
} catch {
  // A frame of another site may have no storage; the token then lives as long as the page.
}

/** Keep the token for this tab, out of every address and every log. */
export function keepToken(given) {
  token = given;
  try {
    sessionStorage.setItem(TOKEN, given);
  } catch {
    // As above.
  }
}

/** The service was reached, and has answered with an error. */
export class Answered extends Error {}

async function get(path) {
  const headers = token ? { Authorization: `Bearer ${bytesOf(token)}` } : {};
  const response = await fetch(new URL(path, base), { headers });
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  throw new Answered(`/${path} answered ${response.status}${detail ? `: ${detail}` : ""}`);
}

const getJson = async (path) => (await get(path)).json();

/** Whether a token is asked for, and whether the one that is kept is it. */
export const readAccess = () => getJson("web/access");

export const readMetadata = () => getJson("metadata");
export const readSchemas = () => getJson("schema");
export const readCapacity = () => getJson("capacity");

/** Return the README as HTML that the service made safe; empty where there is none. */
export const readReadme = async () => (await get("web/readme")).text();

/** Open a WebSocket that waits for a session, at most so many seconds. */
export function openSocket(waitS) {
  const url = new URL(`ws?wait_s=${waitS}`, base);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, token ? [PLAIN_PROTOCOL, TOKEN_PROTOCOL + base64url(token)] : []);
}

/** Return a text's bytes in UTF-8, one character each, as headers and `btoa` want them. */
const bytesOf = (text) =>
  Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");

function base64url(text) {
  return btoa(bytesOf(text)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
