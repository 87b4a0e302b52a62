"use strict";
// Everything shown is set as text or as a number, never as markup: names may come from strangers.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const VIEWS = {
    final: { name: "the last checkpoint", x: "this checkpoint", y: "the last checkpoint" },
    self: { name: "itself, input and output", x: "this checkpoint", y: "the same checkpoint" },
  };
  const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]
    .map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const CELL = 46, MILLISECONDS = 450;
  const state = { subject: 0, against: "", measure: "", step: 0, pair: 0, timer: 0 };
  let cells = [], frame = null;

  const subject = () => data.subjects[state.subject];
  const view = () => subject().views[state.against];
  const rows = () => view().values[state.measure];
  const number = (value, digits) => (value === null ? "none" : value.toFixed(digits));

  function draw(parent, kind, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function clear(svg, width, height) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    return svg;
  }

  function options(select, names, chosen) {
    select.replaceChildren(...names.map(([value, label]) => new Option(label, value)));
    select.value = chosen;
  }

  function limits() {
    const known = rows().flat().filter((value) => value !== null);
    const low = Math.min(...known), high = Math.max(...known);
    if (!known.length) return [0, 1];
    if (at("colours").value === "full") return [Math.min(0, low), Math.max(1, high)];
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  }

  function mix(share) {
    const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
    const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
    return VIRIDIS[i].map((from, c) => Math.round(from + (place - i) * (VIRIDIS[i + 1][c] - from)));
  }

  const shortened = (name) => (name.length > 14 ? name.slice(0, 7) + "…" + name.slice(-6) : name);

  function build() {
    const { x, y, pairs } = view();
    const left = 14 + 8.5 * Math.max(...x.map((name) => shortened(name).length));
    const below = 14 + 8.5 * Math.max(...y.map((name) => shortened(name).length));
    const svg = clear(at("map"), left + CELL * y.length + 4, CELL * x.length + below);
    const pattern = draw(draw(svg, "defs", {}), "pattern",
      { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    draw(pattern, "path", { class: "hatch-line", d: "M0 0V6" });
    const top = (i) => CELL * (x.length - 1 - i); // the first layer at the bottom, as in the figures
    x.forEach((name, i) => draw(svg, "text",
      { x: left - 6, y: top(i) + CELL / 2 + 4, "text-anchor": "end" }, shortened(name)));
    y.forEach((name, j) => {
      const place = `translate(${left + CELL * (j + 0.5) + 4} ${CELL * x.length + 8}) rotate(-90)`;
      draw(svg, "text", { transform: place, "text-anchor": "end" }, shortened(name));
    });
    cells = pairs.map(([i, j], k) => {
      const corner = { x: left + CELL * j, y: top(i) };
      const rect = draw(svg, "rect", { ...corner, width: CELL - 1, height: CELL - 1 });
      const value = draw(svg, "text",
        { class: "value", x: corner.x + CELL / 2, y: corner.y + CELL / 2 + 4, "text-anchor": "middle" });
      for (const event of ["pointerenter", "pointerdown"]) rect.addEventListener(event, () => choose(k));
      return { rect, value, corner };
    });
    frame = draw(svg, "rect", { class: "chosen", width: CELL - 1, height: CELL - 1 });
    at("axes").textContent = `Rows: layers of ${VIEWS[state.against].x}. Columns: layers of ${VIEWS[state.against].y}.`;
  }

  function paint() {
    const [low, high] = limits();
    rows()[state.step].forEach((value, k) => {
      const { rect, value: label } = cells[k];
      if (value === null) {
        rect.setAttribute("fill", "url(#hatch)");
        label.textContent = "";
        return;
      }
      const colour = mix((value - low) / (high - low));
      rect.setAttribute("fill", `rgb(${colour})`);
      const bright = colour[0] * 0.3 + colour[1] * 0.59 + colour[2] * 0.11 > 100;
      label.setAttribute("class", `value ${bright ? "dark" : "light"}`);
      label.textContent = value.toFixed(2);
    });
    paintScale(low, high);
  }

  function paintScale(low, high) {
    const svg = clear(at("scale"), 320, 34);
    for (let i = 0; i < 64; i++) {
      draw(svg, "rect", { x: i * 5, y: 0, width: 5.5, height: 14, fill: `rgb(${mix(i / 63)})` });
    }
    draw(svg, "text", { x: 0, y: 30 }, low.toFixed(2));
    draw(svg, "text", { x: 160, y: 30, "text-anchor": "middle" }, data.measures[state.measure]);
    draw(svg, "text", { x: 320, y: 30, "text-anchor": "end" }, high.toFixed(2));
    svg.setAttribute("aria-label", `Colours run from ${low.toFixed(2)} to ${high.toFixed(2)}`);
  }

  function path(values, place) {
    let pen = "M";
    return values.map((value, i) => {
      if (value === null) { pen = "M"; return ""; }
      const drawn = pen + place(i, value);
      pen = "L";
      return drawn;
    }).join("");
  }

  function paintCurve() {
    const { steps, epochs, cer } = view();
    const values = rows().map((row) => row[state.pair]);
    const low = Math.min(0, ...values.filter((value) => value !== null));
    const across = (i) => 30 + (280 * i) / Math.max(steps.length - 1, 1);
    const up = (value) => 8 + (110 * (1 - Math.min(value, 1))) / (1 - low);
    const svg = clear(at("curve"), 320, 142);
    draw(svg, "path", { class: "frame", d: `M30 ${up(1)}H310M30 ${up(0)}H310` });
    draw(svg, "text", { class: "soft", x: 24, y: up(1) + 4, "text-anchor": "end" }, "1");
    draw(svg, "text", { class: "soft", x: 24, y: up(0) + 4, "text-anchor": "end" }, "0");
    draw(svg, "path", { class: "now", d: `M${across(state.step)} 4V122` });
    const place = (i, value) => `${across(i).toFixed(1)} ${up(value).toFixed(1)}`;
    draw(svg, "path", { class: "cer", d: path(cer, place) });
    draw(svg, "path", { class: "pair", d: path(values, place) });
    const last = epochs[epochs.length - 1];
    draw(svg, "text", { class: "soft", x: 30, y: 138 }, `step ${steps[0]}`);
    draw(svg, "text", { class: "soft", x: 310, y: 138, "text-anchor": "end" }, `epoch ${number(last, 1)}`);
    svg.setAttribute("aria-label", "This pair's similarity, and the character error rate, over the checkpoints");
  }

  function say() {
    const { steps, epochs, cer, x, y, pairs } = view(), runs = subject().n_runs;
    const [i, j] = pairs[state.pair], value = rows()[state.step][state.pair];
    const error = cer[state.step] === null ? "not measured" : `${(100 * cer[state.step]).toFixed(1)} %`;
    const when = `epoch ${number(epochs[state.step], 2)}, step ${steps[state.step]}, CER ${error}`;
    at("when").textContent = when;
    at("step").setAttribute("aria-valuetext", when);
    at("pair").setAttribute("aria-live", state.timer ? "off" : "polite");
    at("pair").textContent = `${x[i]} and ${y[j]}: ${value === null ? "refused" : value.toFixed(3)}` +
      ` (${data.measures[state.measure]}, ${runs === 1 ? "1 run" : `${runs} runs`})`;
    at("map").setAttribute("aria-label", `Similarity of layers, ${subject().name}, ${when}. Arrow keys choose a pair.`);
    const { corner } = cells[state.pair];
    frame.setAttribute("x", corner.x);
    frame.setAttribute("y", corner.y);
    const named = { subject: subject().name, against: state.against, measure: state.measure, step: steps[state.step] };
    at("link").href = "#" + new URLSearchParams(named);
  }

  function choose(pair) {
    state.pair = pair;
    paintCurve();
    say();
  }

  function go(step) {
    state.step = Math.min(Math.max(step, 0), view().steps.length - 1);
    at("step").value = state.step;
    paint();
    choose(state.pair);
  }

  // keep what was chosen where this encoder has it, else take what comes first
  function settle() {
    const views = Object.keys(subject().views);
    if (!views.includes(state.against)) state.against = views[0];
    const measures = Object.keys(view().values);
    if (!measures.includes(state.measure)) state.measure = measures[0];
    state.pair = Math.min(state.pair, view().pairs.length - 1);
  }

  function show() {
    settle();
    options(at("subject"), data.subjects.map((one, i) => [i, one.name]), state.subject);
    options(at("against"), Object.keys(subject().views).map((name) => [name, VIEWS[name].name]), state.against);
    options(at("measure"), Object.keys(view().values).map((name) => [name, data.measures[name]]), state.measure);
    at("step").max = view().steps.length - 1;
    build();
    go(state.step);
  }

  function stop() {
    clearInterval(state.timer);
    state.timer = 0;
    at("play").textContent = "Play";
  }

  function play() {
    if (state.timer) { stop(); say(); return; }
    const end = () => state.step >= view().steps.length - 1;
    if (end()) go(0);
    at("play").textContent = "Pause";
    state.timer = setInterval(() => { if (end()) { stop(); say(); } else go(state.step + 1); }, MILLISECONDS);
  }

  function walk(event) {
    const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [i, j] = view().pairs[state.pair];
    const next = view().pairs.findIndex(([a, b]) => a === i + move[0] && b === j + move[1]);
    if (next >= 0) choose(next);
  }

  function readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("step")) return false;
    const found = data.subjects.findIndex((one) => one.name === asked.get("subject"));
    if (found >= 0) state.subject = found;
    if (asked.has("against")) state.against = asked.get("against");
    if (asked.has("measure")) state.measure = asked.get("measure");
    settle();
    const before = view().steps.filter((step) => step < Number(asked.get("step")));
    state.step = before.length; // the checkpoint of that step, or the next one
    return true;
  }

  at("subject").addEventListener("change", (event) => { state.subject = Number(event.target.value); show(); });
  at("against").addEventListener("change", (event) => { state.against = event.target.value; show(); });
  at("measure").addEventListener("change", (event) => { state.measure = event.target.value; show(); });
  at("colours").addEventListener("change", paint);
  at("step").addEventListener("input", (event) => { stop(); go(Number(event.target.value)); });
  at("play").addEventListener("click", play);
  at("map").addEventListener("keydown", walk);
  addEventListener("hashchange", () => { if (readAddress()) show(); });
  readAddress();
  show();
  if (new URLSearchParams(location.hash.slice(1)).has("step")) at("explorer").scrollIntoView();
})();
