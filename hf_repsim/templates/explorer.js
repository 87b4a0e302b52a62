// What is chosen, and the controls that choose it.

const MILLISECONDS = 450;
const state = { subject: 0, beside: data.beside, against: "", measure: "", step: 0, spot: null, over: null, timer: 0 };
const panes = [];
let limits = [0, 1];

const view = () => viewOf(state.subject, state.against);

// the maps to be shown: the chosen one, and one beside it at the same time of training
function shown() {
  const name = (subject) => (data.subjects.length > 1 ? data.subjects[subject].name : "");
  const first = { subject: state.subject, name: name(state.subject), view: view(), step: state.step };
  if (state.beside < 0) return [first];
  const keys = Object.keys(data.subjects[state.beside].views);
  const other = viewOf(state.beside, keys.includes(state.against) ? state.against : keys[0]);
  const step = other.nearest(first.view, state.step);
  return [first, { subject: state.beside, name: name(state.beside), view: other, step }];
}

function findLimits(views) {
  const ranges = views.filter((one) => one.measures.includes(state.measure))
    .map((one) => one.range(state.measure)).filter(Boolean);
  if (!ranges.length) return [0, 1];
  const low = Math.min(...ranges.map((range) => range[0])), high = Math.max(...ranges.map((range) => range[1]));
  if (at("colours").value === "full") return [Math.min(0, low), Math.max(1, high)];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

// draw what has changed since it was last drawn
function paint() {
  const parts = shown();
  limits = findLimits(parts.map((part) => part.view));
  parts.forEach((part, i) => panes[i].show({ ...part, measure: state.measure, limits }));
  mark();
  fillNumbers(parts);
}

function mark() {
  for (const pane of panes) pane.mark(state.spot, state.over, Boolean(state.timer));
  const when = view().when(state.step);
  at("when").textContent = when;
  at("step").value = state.step;
  at("step").setAttribute("aria-valuetext", when);
  const { x, y } = state.spot;
  const named = { subject: data.subjects[state.subject].name, against: state.against, measure: state.measure, x, y, colours: at("colours").value };
  if (view().timed) named.step = view().steps[state.step];
  if (state.beside >= 0) named.beside = data.subjects[state.beside].name;
  at("link").href = "#" + new URLSearchParams(named);
}

function fillNumbers(parts) {
  const box = at("numbers").querySelector("div");
  if (!at("numbers").open) { box.replaceChildren(); return; }
  const known = parts.filter((part) => part.view.measures.includes(state.measure));
  box.replaceChildren(...known.map(({ view: one, name, step }) => {
    const value = one.column(state.measure, "value");
    const said = [name, data.measures[state.measure], one.when(step)].filter(Boolean).join(", ");
    const head = element("tr", {}, element("td", {}), ...one.y.map((layer) => element("th", { scope: "col" }, layer)));
    const rows = one.x.map((layer, i) => element("tr", {}, element("th", { scope: "row" }, layer), ...one.y.map((_, j) => {
      const pair = one.pairAt(i, j), found = pair < 0 ? null : value(step, pair);
      const isRefused = pair >= 0 && found === null && one.isThere(state.measure, step, pair);
      return element("td", {}, found !== null ? found.toFixed(3) : isRefused ? "refused" : "");
    }))).reverse();
    return element("table", { class: "matrix" }, element("caption", {}, said), element("thead", {}, head), element("tbody", {}, ...rows));
  }));
}

function choose(spot) {
  if (!spot) return;
  state.spot = spot;
  state.over = null;
  mark();
}

function point(spot) {
  const same = spot && state.over && spot.i === state.over.i && spot.j === state.over.j;
  if (same || (!spot && !state.over)) return;
  state.over = spot;
  mark();
}

function go(step) {
  state.step = Math.min(Math.max(step, 0), view().steps.length - 1);
  paint();
}

function options(id, entries, chosen) {
  const select = at(id);
  select.replaceChildren(...entries.map(([value, label]) => new Option(label, value)));
  select.value = chosen;
  select.closest("label").hidden = entries.length < 2;
}

// keep what was chosen where this subject has it, else take what comes first
function settle() {
  const keys = Object.keys(data.subjects[state.subject].views);
  if (!keys.includes(state.against)) state.against = keys[0];
  if (state.beside === state.subject) state.beside = -1;
  if (!view().measures.includes(state.measure)) state.measure = view().measures[0];
  state.step = Math.min(state.step, view().steps.length - 1);
  const pair = state.spot ? view().pairOf(state.spot) : 0;
  state.spot = view().spot(Math.max(pair, 0));
}

function show() {
  settle();
  const subjects = data.subjects.map((one, i) => [i, one.name]);
  const { views } = data.subjects[state.subject];
  options("subject", subjects, state.subject);
  options("beside", [[-1, "nothing"], ...subjects.filter(([i]) => i !== state.subject)], state.beside);
  options("against", Object.keys(views).map((key) => [key, views[key].name]), state.against);
  options("measure", view().measures.map((name) => [name, data.measures[name]]), state.measure);
  at("step").max = view().steps.length - 1;
  document.querySelector("#live .time").hidden = !view().timed;
  at("step").hidden = at("play").hidden = view().steps.length < 2;
  const parts = shown();
  while (panes.length > parts.length) panes.pop().root.remove();
  while (panes.length < parts.length) {
    const goTo = (pane, step) => { stop(); go(pane === panes[0] ? step : view().nearest(pane.view, step)); };
    panes.push(new Pane({ choose, point, go: goTo }));
    at("panes").append(panes[panes.length - 1].root);
  }
  at("panes").classList.toggle("two", parts.length > 1);
  for (const pane of panes) pane.forget();
  paintLegend(parts);
  paint();
}

function paintLegend(parts) {
  limits = findLimits(parts.map((part) => part.view));
  paintScale(at("scale"), limits, data.measures[state.measure]);
  const known = parts.map((part) => part.view).filter((one) => one.measures.includes(state.measure));
  document.querySelector(".if-refused").hidden = !known.some((one) => one.marks(state.measure).refused);
  document.querySelector(".if-noted").hidden = !known.some((one) => one.marks(state.measure).noted);
}

function stop() {
  clearInterval(state.timer);
  state.timer = 0;
  at("play").textContent = "Play";
}

function play() {
  if (state.timer) { stop(); mark(); return; }
  const isOver = () => state.step >= view().steps.length - 1;
  if (isOver()) go(0);
  at("play").textContent = "Pause";
  state.timer = setInterval(() => { if (isOver()) { stop(); mark(); } else go(state.step + 1); }, MILLISECONDS);
}

// what a link to a view says; it may come from a stranger, so only what is known here is taken
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!asked.has("measure") && !asked.has("step")) return false;
  const subject = (key) => data.subjects.findIndex((one) => one.name === asked.get(key));
  if (subject("subject") >= 0) state.subject = subject("subject");
  state.beside = subject("beside");
  state.against = asked.get("against");
  state.measure = asked.get("measure");
  if (["full", "run"].includes(asked.get("colours"))) at("colours").value = asked.get("colours");
  settle();
  const [i, j] = [view().x.indexOf(asked.get("x")), view().y.indexOf(asked.get("y"))];
  if (view().pairAt(i, j) >= 0) state.spot = view().spot(view().pairAt(i, j));
  if (asked.has("step")) { // the checkpoint of that step, or the next one
    state.step = view().steps.filter((step) => step < Number(asked.get("step"))).length;
  }
  return true;
}

const chosen = {
  subject: (value) => { state.subject = Number(value); },
  beside: (value) => { state.beside = Number(value); },
  against: (value) => { state.against = value; },
  measure: (value) => { state.measure = value; },
  colours: () => {},
};
for (const [id, take] of Object.entries(chosen)) {
  at(id).addEventListener("change", (event) => { take(event.target.value); show(); });
}
at("step").addEventListener("input", (event) => { stop(); go(Number(event.target.value)); });
at("play").addEventListener("click", play);
at("numbers").addEventListener("toggle", () => fillNumbers(shown()));
at("csv").addEventListener("click", () => {
  save(csv(shown().map((part) => part.subject)), fileName("similarity", data.subjects[state.subject].name) + ".csv");
});
at("png").addEventListener("click", () => {
  const step = view().timed ? `step_${view().steps[state.step]}` : "";
  const name = fileName(data.subjects[state.subject].name, state.measure, step) + ".png";
  picture(shown(), { measure: state.measure, limits }).toBlob((blob) => save(blob, name), "image/png");
});
addEventListener("hashchange", () => { if (readAddress()) show(); });
at("live").hidden = false;
const isLinked = readAddress();
show();
let room = at("panes").clientWidth;
new ResizeObserver(() => {
  if (at("panes").clientWidth !== room) {
    for (const pane of panes) pane.forget();
    paint();
  }
  room = at("panes").clientWidth;
}).observe(at("panes"));
if (isLinked) at("explorer").scrollIntoView();
