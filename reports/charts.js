"use strict";

// Vega-Lite charts in the reader's colours, as wide as their boxes. Colours stand in specifications as those of light
// pages; here they become variables of the style sheet, which follow the reader's setting and printing by themselves.

// below this width of a box, in pixels, the entries of a legend stand one under the other
const NARROW = 560;

function inRoles(value, roles) {
  if (typeof value === "string") return roles[value] ? `var(--${roles[value]})` : value;
  if (Array.isArray(value)) return value.map((each) => inRoles(each, roles));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, key === "datasets" ? each : inRoles(each, roles)]),
  );
}

// Draws a chart into a box; roles: of colours, by light colour. Resolves to an object with the view, and `remove`.
async function drawChart(box, spec, roles, options = {}) {
  // the page has the title as a heading
  const drawn = { ...inRoles(spec, roles), title: undefined };
  const isNarrow = () => box.clientWidth < NARROW;
  let narrow = null;
  let embedded = null;
  let width = 0;
  let work = Promise.resolve();

  async function embed() {
    narrow = isNarrow();
    const legend = { ...drawn.config.legend, ...(narrow ? { columns: 1 } : {}) };
    const made = { ...drawn, background: "transparent", config: { ...drawn.config, legend } };
    if (embedded) embedded.finalize();
    embedded = await vegaEmbed(box, made, { renderer: "svg", actions: false, defaultStyle: false, ...options });
    await fit();
    await fit(); // words beside the last point may have moved
  }

  async function fit() {
    const picture = box.querySelector("svg");
    if (!picture) return;
    width = box.clientWidth;
    const view = embedded.view;
    // what is left of the box beside axes and titles, whose own width does not depend on it
    const beside = picture.width.baseVal.value - view.width();
    const room = Math.max(width - beside - 1, 60);
    if (Math.abs(room - view.width()) >= 1) await view.width(room).runAsync();
  }

  // one after the other: a box may change again while it is drawn
  const queue = (task) => (work = work.then(task));
  await queue(embed);
  const observer = new ResizeObserver(() => {
    if (box.clientWidth && box.clientWidth !== width) queue(() => (isNarrow() === narrow ? fit() : embed()));
  });
  observer.observe(box);
  return {
    get view() { return embedded.view; },
    remove() { observer.disconnect(); embedded.finalize(); },
  };
}
