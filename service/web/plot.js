// The plot: the reward of each step, and below it the return, over one axis of steps.

import { drawn, element } from "./dom.js";
import { figure } from "./json.js";

const MARGIN = { left: 52, right: 12, top: 10, bottom: 22 };
const PANEL = 64; // the height of each of the two
const GAP = 18;
const HEIGHT = MARGIN.top + PANEL + GAP + PANEL + MARGIN.bottom;
/** The most points that are drawn; more steps than that share theirs. */
const MOST_POINTS = 600;
/** Fewer steps than these have their numbers below them. */
const FEW = 24;

export class Plot {
  #place;
  #caption = element("p", { class: "plot-caption muted" });
  #canvas = element("div", { class: "plot-canvas" });
  #steps = [];
  #cursor = null;
  #onChoose;

  /** `onChoose` hears of the step that is clicked. */
  constructor(place, onChoose) {
    this.#place = place;
    this.#onChoose = onChoose;
    place.append(this.#canvas, this.#caption);
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    this.#canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.#canvas.addEventListener("pointerleave", () => this.#tell(this.#steps.at(-1), false));
    this.#canvas.addEventListener("click", (event) => {
      const step = this.#nearest(event);
      if (step) this.#onChoose(step);
    });
  }

  show(steps) {
    if (steps.length === this.#steps.length && steps.at(-1) === this.#steps.at(-1)) return;
    this.#steps = steps;
    this.#place.hidden = steps.length === 0;
    this.#draw();
  }

  #draw() {
    const width = Math.round(this.#canvas.clientWidth);
    if (!width || !this.#steps.length) return;
    const steps = thinned(this.#steps);
    const last = this.#steps.length;
    const x = (index) => MARGIN.left + ((index - 0.5) / Math.max(last, 1)) * (width - MARGIN.left - MARGIN.right);
    const rewards = scale(steps.map((step) => step.reward ?? 0), MARGIN.top);
    const returns = scale(steps.map((step) => step.total), MARGIN.top + PANEL + GAP);
    const thickness = Math.max(1, Math.min(14, (width / last) * 0.6));
    const bars = steps.filter((step) => step.reward).map((step) => `M${x(step.index)} ${rewards.y(0)}V${rewards.y(step.reward)}`);
    const line = steps.map((step, at) => `${at ? "L" : "M"}${x(step.index).toFixed(1)} ${returns.y(step.total).toFixed(1)}`);
    const area = `${line.join("")}L${x(steps.at(-1).index)} ${returns.y(0)}L${x(steps[0].index)} ${returns.y(0)}Z`;
    this.#cursor = drawn("path", { class: "cursor", d: "" });
    const svg = drawn(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": this.#words() },
      axis("Reward", rewards, width),
      drawn("path", { class: "bars", d: bars.join(""), "stroke-width": thickness }),
      axis("Return", returns, width),
      drawn("path", { class: "area", d: area }),
      drawn("path", { class: "line", d: line.join("") }),
      last === 1 ? drawn("circle", { class: "point", cx: x(1), cy: returns.y(steps[0].total), r: 3 }) : null,
      drawn("text", { x: x(1), y: HEIGHT - 4, "text-anchor": last < FEW ? "middle" : "start", text: last < FEW ? "1" : "step 1" }),
      last > 1 ? drawn("text", { x: last < FEW ? x(last) : width - MARGIN.right, y: HEIGHT - 4, "text-anchor": last < FEW ? "middle" : "end", text: last < FEW ? last : `step ${last}` }) : null,
      this.#cursor,
    );
    this.#x = x;
    this.#canvas.replaceChildren(svg);
    this.#tell(this.#steps.at(-1), false);
  }

  #x = () => 0;

  #nearest(event) {
    const box = this.#canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    const at = Math.floor(share * this.#steps.length);
    return this.#steps[Math.max(0, Math.min(this.#steps.length - 1, at))];
  }

  #point(event) {
    const step = this.#nearest(event);
    if (step) this.#tell(step, true);
  }

  #tell(step, isPointed) {
    if (!step) return;
    const at = this.#x(step.index);
    this.#cursor?.setAttribute("d", isPointed ? `M${at} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}` : "");
    this.#caption.textContent = `Step ${step.index}: reward ${figure(step.reward)}, return ${figure(step.total)}`;
  }

  /** The plot in words. */
  #words() {
    const rewards = this.#steps.map((step) => step.reward ?? 0);
    const least = figure(rewards.reduce((a, b) => Math.min(a, b)));
    const most = figure(rewards.reduce((a, b) => Math.max(a, b)));
    const count = this.#steps.length === 1 ? "1 step" : `${this.#steps.length} steps`;
    return `Plot of ${count}: rewards from ${least} to ${most}, return ${figure(this.#steps.at(-1).total)}`;
  }
}

/** Take fewer steps, so that each still has a place: of each group the one of largest reward. */
function thinned(steps) {
  const size = Math.ceil(steps.length / MOST_POINTS);
  if (size === 1) return steps;
  const kept = [];
  for (let from = 0; from < steps.length; from += size) {
    const group = steps.slice(from, from + size);
    kept.push(group.reduce((a, b) => (Math.abs(b.reward ?? 0) > Math.abs(a.reward ?? 0) ? b : a)));
  }
  return kept;
}

/** Return the place of a value in a panel, whose range always holds 0. */
function scale(values, top) {
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const range = high - low || 1;
  const roof = high === low ? 1 : high;
  return { top, low, high: roof, y: (value) => top + ((roof - value) / range) * PANEL };
}

function axis(label, { top, low, high, y }, width) {
  const ticks = [...new Set([high, 0, low])];
  return drawn(
    "g",
    { class: "axis" },
    drawn("text", { class: "name", x: 0, y: top + PANEL / 2 + 4, text: label }),
    ticks.map((value) => drawn("path", { class: value === 0 ? "zero" : "", d: `M${MARGIN.left} ${y(value)}H${width - MARGIN.right}` })),
    ticks.map((value) => drawn("text", { x: width - MARGIN.right, y: y(value) + (value > 0 ? 11 : -3), "text-anchor": "end", class: "tick", text: value ? figure(value) : "" })),
  );
}
