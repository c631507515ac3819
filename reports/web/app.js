"use strict";
// The page works without this script: sliders are a form, charts have tables, jobs a page to load again. With it, what
// is shown follows the sliders: the page of the new address is fetched, and its part #live takes the place of the old.

const drawn = new Map(); // by the id of its box: the specification without its rows, and the view
let asked = null; // what stops the request that is under way
let waiting = 0; // the timer of what comes after it
let swings = null; // what stops asking what sliders can do
const PAUSE_MS = 500; // after which a slider begins another move: moves are the steps back
const last = { name: "", at: 0, move: 0 }; // the slider that was moved last
let stepped = 0; // the move that the newest step of the history is of

const live = () => document.getElementById("live");
const form = () => document.getElementById("controls");

function addressOf(controls) {
  const pairs = new URLSearchParams();
  for (const field of controls.elements) {
    if (!field.name || (field.dataset.own !== undefined && isOwn(field))) continue;
    pairs.set(field.name, field.value);
  }
  return location.pathname + "?" + pairs;
}

// A slider has the values of its steps only: what is nearest to the scenario's own value stands for that.
function isOwn(field) {
  if (field.type !== "range") return field.value === field.dataset.own;
  if (field.dataset.own === "") return field.value === field.defaultValue && field.dataset.moved !== "1";
  const own = Math.min(Math.max(Number(field.dataset.own), Number(field.min)), Number(field.max));
  return Math.abs(Number(field.value) - own) <= Number(field.dataset.step) / 2 + 1e-12;
}

async function fetchPage(address, quick) {
  if (asked) asked.abort();
  asked = new AbortController();
  const headers = quick ? { "X-Planner-Quick": "1" } : {};
  const answer = await fetch(address, { headers, signal: asked.signal, redirect: "follow" });
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// move: which one the address comes of; 0 for one that stands in the browser already
async function show(address, quick, withControls, move = 0) {
  clearTimeout(waiting);
  if (swings) swings.abort();
  live().setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(address, quick);
    // with the answer and not with every event: browsers keep scripts from writing addresses much faster
    if (move) history[move === stepped ? "replaceState" : "pushState"](null, "", address);
    if (move) stepped = move;
    replace(page, withControls);
  } catch (error) {
    if (error.name === "AbortError") return;
    say("The server does not answer: " + error.message + ". What is shown is the answer before.");
  } finally {
    live().removeAttribute("aria-busy");
  }
}

function replace(page, withControls) {
  const fresh = page.getElementById("live");
  if (!fresh) return;
  const open = [...live().querySelectorAll("details")].map((one) => one.open);
  const kept = new Map([...live().querySelectorAll(".chart")].map((box) => [box.id, box]));
  const before = live();
  before.replaceWith(fresh);
  // a chart that is drawn moves over, so that only its rows are drawn again
  for (const box of fresh.querySelectorAll(".chart")) {
    const old = kept.get(box.id);
    if (old && drawn.has(box.id)) {
      old.setAttribute("aria-label", box.getAttribute("aria-label"));
      box.replaceWith(old);
    }
  }
  if (open.length === fresh.querySelectorAll("details").length) {
    fresh.querySelectorAll("details").forEach((one, place) => { one.open = open[place]; });
  }
  document.title = page.title;
  for (const link of document.querySelectorAll("header nav a, header .brand")) {
    const same = [...page.querySelectorAll("header nav a, header .brand")].find((one) => one.pathname === link.pathname);
    if (same) link.href = same.href;
  }
  if (withControls) {
    const controls = page.getElementById("controls");
    if (controls && form()) form().replaceWith(controls);
  } else {
    for (const source of page.querySelectorAll("#controls small[id]")) {
      const here = document.getElementById(source.id);
      if (here) here.textContent = source.textContent;
    }
  }
  settle();
}

// what follows once a page stands: its charts, what was not worked out yet, and what has to be asked for again
function settle() {
  // without this script no step keeps a slider that is not moved from the scenario's own value
  for (const field of document.querySelectorAll("[data-step]")) field.step = field.dataset.step;
  drawCharts();
  const { pending, again } = live().dataset;
  if (pending) waiting = setTimeout(() => show(location.href, false, false), 150);
  else if (again) waiting = setTimeout(() => show(location.href, false, false), Number(again));
  else if (form()) waiting = setTimeout(showSwing, 400);
  document.body.dataset.settled = String(Number(document.body.dataset.settled || 0) + 1);
}

// One slider after the other, so that an answer that is asked for meanwhile waits for one of them at most.
async function showSwing() {
  const stop = new AbortController();
  swings = stop;
  const side = form().elements["pane.side"] ? "b" : "a";
  for (const place of form().querySelectorAll("[data-swing]")) {
    if (!form().elements[(side === "b" ? "b." : "") + place.dataset.swing].max) continue;
    const pairs = new URLSearchParams(location.search);
    pairs.set("pane.slider", place.dataset.swing);
    pairs.set("pane.side", side);
    try {
      const answer = await fetch("/swing.json?" + pairs, { signal: stop.signal });
      if (answer.ok) place.textContent = (await answer.json()).words;
    } catch {
      return; // the slider moves again, or the page is left
    }
  }
}

function drawCharts() {
  const roles = JSON.parse(document.getElementById("roles").textContent);
  for (const source of document.querySelectorAll("script.spec")) {
    const box = document.getElementById(source.dataset.chart);
    const { datasets = {}, ...spec } = JSON.parse(source.textContent);
    const text = JSON.stringify(spec);
    const known = drawn.get(box.id);
    if (known && known.text === text && known.box === box) {
      for (const [name, rows] of Object.entries(datasets)) known.chart.view.data(name, rows);
      known.chart.view.runAsync();
      continue;
    }
    if (known) known.chart.remove();
    drawn.delete(box.id);
    drawChart(box, { ...spec, datasets }, roles, { ast: true, patch: quietBrush, tooltip: { disableDefaultStyle: true } })
      .then((chart) => {
        drawn.set(box.id, { text, chart, box });
        if (box.id === "chart-timeline") chooseTimes(chart.view);
        document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
      })
      .catch((error) => {
        box.textContent = "This chart could not be drawn: " + error.message + ". Its table is below.";
      });
  }
}

// What is drawn of a drag is a mark without a name, and nothing for screen readers.
function quietBrush(spec) {
  for (const mark of spec.marks || []) {
    if (/_brush(_bg)?$/.test(mark.name || "")) mark.aria = false;
    quietBrush(mark);
  }
  return spec;
}

// A drag over the timeline becomes `from` and `to` of the address, once the pointer is up.
function chooseTimes(view) {
  let chosen = null;
  view.addSignalListener("window", (_, value) => { chosen = value && value.start ? value.start : null; });
  view.container().addEventListener("pointerup", () => setTimeout(() => {
    if (!chosen || chosen[1] - chosen[0] < 60_000) return;
    const [start, end] = [Math.min(...chosen), Math.max(...chosen)].map((at) => new Date(at).toISOString().slice(0, 16));
    const address = new URL(location.href);
    address.searchParams.set("from", start);
    address.searchParams.set("to", end);
    chosen = null;
    history.pushState(null, "", address);
    show(address.href, true, true);
  }, 50));
}

function say(text) {
  let place = document.getElementById("said");
  if (!place) {
    place = document.createElement("p");
    place.id = "said";
    place.setAttribute("role", "status");
    live().prepend(place);
  }
  place.textContent = text;
}

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!form() || !form().contains(field)) return;
  if (field.type === "range") {
    field.dataset.moved = "1";
    const shown = form().querySelector(`output[for="${field.name}"]`);
    shown.textContent = `${Number(field.value).toLocaleString("en", { maximumSignificantDigits: 6 })} ${field.dataset.unit}`;
  }
  if (field.name !== last.name || performance.now() - last.at > PAUSE_MS) last.move += 1;
  Object.assign(last, { name: field.name, at: performance.now() });
  show(addressOf(form()), true, false, last.move);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(location.href);
    say("The address of this page is copied.");
  } catch {
    say("Copy the address of this page: " + location.href);
  }
});

window.addEventListener("popstate", () => { last.name = ""; show(location.href, true, true); });
window.addEventListener("DOMContentLoaded", () => { document.body.classList.add("scripted"); settle(); });
