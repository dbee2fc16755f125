// Images: which values are pictures, and their elements.

import { element } from "./dom.js";

// How the base64 of each kind of file begins.
const SIGNATURES = [
  ["iVBORw0KGgo", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"],
];
const DATA_URL = /^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/;
const BASE64 = /^[A-Za-z0-9+/]+=*$/;

/** The least pixels on a side of nested arrays that are taken for a picture. */
const LEAST_SIDE = 8;

/** What rows of single bytes must have of, one or the other, to be no board of a game's pieces. */
const PICTURE_SIDE = 65;
const PICTURE_LIGHT = 32;

/** Return a picture's address, or `null`. Addresses of other hosts are none: nothing is fetched. */
export function pictureUrl(value) {
  if (typeof value !== "string" || value.length < 32) return null;
  if (DATA_URL.test(value.slice(0, 40))) return value;
  const [, type] = SIGNATURES.find(([start]) => value.startsWith(start)) ?? [];
  return type && BASE64.test(value) ? `data:${type};base64,${value}` : null;
}

/** Make the element of a picture; small ones are shown larger, pixel by pixel. */
export function picture(url, label) {
  const image = element("img", { class: "picture", src: url, alt: label });
  const caption = element("figcaption", { class: "muted" });
  image.addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = image;
    if (Math.max(width, height) < 160) image.classList.add("tiny");
    caption.textContent = `${width} × ${height}`;
  });
  image.addEventListener("error", () => {
    caption.textContent = "a picture that this browser cannot show";
  });
  return element("figure", {}, image, caption);
}

/** Return the size of rows of pixels (each a byte, or a list of one, three or four), or `null`. */
export function pixelSize(value) {
  if (!Array.isArray(value) || value.length < LEAST_SIDE || !Array.isArray(value[0])) return null;
  const [height, width] = [value.length, value[0].length];
  const depth = value[0][0]?.length;
  if (width < LEAST_SIDE || !(depth in COLOURS)) return null;
  const isByte = (light) => Number.isInteger(light) && light >= 0 && light <= 255;
  const isPixel = depth === undefined ? isByte : (pixel) => pixel?.length === depth && pixel.every(isByte);
  const isPicture = value.every((row) => row?.length === width && row.every(isPixel));
  return isPicture && (depth !== undefined || !isBoard(value)) ? { width, height, depth } : null;
}

const isBoard = (rows) =>
  Math.max(rows.length, rows[0].length) < PICTURE_SIDE && rows.every((row) => row.every((light) => light < PICTURE_LIGHT));

/** The colour of a pixel with its opacity, by how many bytes it has. */
const COLOURS = {
  undefined: (light) => [light, light, light, 255],
  1: ([light]) => [light, light, light, 255],
  3: (lights) => [...lights, 255],
  4: (lights) => lights,
};

/** Draw rows of pixels. */
export function pixels(value, { width, height, depth }, label) {
  const canvas = element("canvas", { class: "picture", width, height, role: "img", "aria-label": label });
  if (Math.max(width, height) < 160) canvas.classList.add("tiny");
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  value.flat().forEach((pixel, index) => image.data.set(COLOURS[depth](pixel), index * 4));
  context.putImageData(image, 0, 0);
  return element("figure", {}, canvas, element("figcaption", { class: "muted", text: `${width} × ${height}` }));
}
