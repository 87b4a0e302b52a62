// One map with what belongs to it: the pair that is looked at, its course, the profile over depth.
// Everything is set as text or as a number, never as markup: names may come from strangers.

const CURVE = { height: 150 }, PROFILE = { height: 150 };
const number = (value) => (value === null ? "none" : (value + 0).toFixed(4));
const count = (n, noun) => `${n.toLocaleString("en")} ${noun}`;

function element(kind, attributes, ...content) {
  const node = document.createElement(kind);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  node.append(...content);
  return node;
}

function legend(caption, said, keys) {
  const marks = keys.map(([kind, label]) =>
    element("span", { class: "entry" }, element("span", { class: `key ${kind}` }), ` ${label}`));
  caption.replaceChildren(`${said} `, ...marks);
}

class Pane {
  constructor({ choose, point, go }) {
    this.root = at("pane").content.cloneNode(true).firstElementChild;
    const part = (name) => this.root.querySelector(name);
    this.map = part(".map");
    this.canvas = part("canvas");
    this.overlay = part(".map svg");
    this.told = part(".told");
    this.curve = part(".curve");
    this.profile = part(".profile");
    this.tell = { choose, point, go };
    this.cells = this.layout = this.room = null;
    this.listen();
  }

  listen() {
    const { choose, point, go } = this.tell;
    const pair = (event) => {
      const box = this.map.getBoundingClientRect(), scale = this.layout.width / box.width;
      return this.layout.cellAt((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    };
    const spot = (pair) => (pair >= 0 ? this.view.spot(pair) : null);
    const column = (event, places) => {
      const box = event.currentTarget.getBoundingClientRect(), x = event.clientX - box.left;
      return places.reduce((best, place, i) => (Math.abs(place - x) < Math.abs(places[best] - x) ? i : best), 0);
    };
    this.map.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") point(spot(pair(event))); });
    this.map.addEventListener("pointerleave", () => point(null));
    this.map.addEventListener("click", (event) => choose(spot(pair(event))));
    this.map.addEventListener("keydown", (event) => this.walk(event));
    this.profile.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") point(spot(this.depth[column(event, this.depthPlaces)]));
    });
    this.profile.addEventListener("pointerleave", () => point(null));
    this.profile.addEventListener("click", (event) => choose(spot(this.depth[column(event, this.depthPlaces)])));
    this.curve.addEventListener("click", (event) => go(this, column(event, this.stepPlaces)));
  }

  // the next pair there is in the direction of a key
  walk(event) {
    const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
    const ends = { Home: [0, -1], End: [0, 1], PageUp: [1, 0], PageDown: [-1, 0] };
    const move = moves[event.key] || ends[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey || this.pair < 0) return;
    event.preventDefault();
    let [i, j] = this.view.pairs[this.pair], found = -1;
    do {
      i += move[0];
      j += move[1];
      const pair = this.view.pairAt(i, j);
      if (pair >= 0) found = pair;
    } while (i >= 0 && j >= 0 && i < this.view.x.length && j < this.view.y.length && (found < 0 || ends[event.key]));
    if (found >= 0) this.tell.choose(this.view.spot(found));
  }

  // the window or the page around it has changed
  forget() {
    this.room = null;
  }

  get isKnown() {
    return this.view.measures.includes(this.measure);
  }

  show({ view, name, measure, step, limits }) {
    const isNew = view !== this.view || !this.room;
    Object.assign(this, { view, name, measure, step, limits });
    this.root.querySelector(".curve-figure").hidden = !view.timed || !this.isKnown;
    this.root.querySelector(".profile-figure").hidden = !this.isKnown;
    this.map.hidden = !this.isKnown;
    if (!this.isKnown) {
      this.cells = this.layout = this.view = null;
      this.view = view;
      return;
    }
    if (!this.room) { // asked for only where it may have changed, as the answer costs a layout of the page
      const wide = (part) => this.root.querySelector(part).clientWidth;
      this.room = { map: wide(".map-figure"), facts: Math.max(wide(".facts"), 160) };
    }
    if (isNew || !this.layout) this.arrange();
    const cells = JSON.stringify([measure, step, limits]);
    if (this.cells === cells) return;
    this.cells = cells;
    this.ink.clearRect(0, 0, this.layout.width, this.layout.height);
    paintCells(this.ink, view, this.layout, { measure, step, limits, ratio: this.ratio });
    this.depth = view.profile(measure, step);
  }

  arrange() {
    this.layout = layoutOf(this.view, this.room.map);
    this.ratio = window.devicePixelRatio || 1;
    this.ink = canvasOf(this.canvas, this.layout.width, this.layout.height, this.ratio);
    this.map.style.width = `${this.layout.width}px`;
    this.map.style.aspectRatio = `${this.layout.width} / ${this.layout.height}`;
    this.labels = paintLabels(this.overlay, this.layout);
    this.marks = draw(this.overlay, "g", {});
    this.cells = null;
    const [x, y] = this.view.raw.of;
    this.root.querySelector(".axes").textContent = x === y
      ? `Rows and columns: layers of ${x}, the first at the lower left.`
      : `Rows: layers of ${x}, the first at the bottom. Columns: ${y ? `layers of ${y}` : "targets"}.`;
  }

  // `chosen` is kept, `pointed` is looked at while the pointer is there
  mark(chosen, pointed, isPlaying) {
    this.root.querySelector(".subject").textContent = this.name;
    this.told.setAttribute("aria-live", isPlaying ? "off" : "polite");
    if (!this.isKnown) {
      this.told.replaceChildren(element("p", {}, `${data.measures[this.measure]} was not computed for ${this.name}.`));
      return;
    }
    this.pair = chosen ? this.view.pairOf(chosen) : -1;
    const over = pointed ? this.view.pairOf(pointed) : -1;
    this.shown = over >= 0 ? over : this.pair;
    const said = [this.name, data.measures[this.measure], this.view.when(this.step)].filter(Boolean).join(", ");
    this.map.setAttribute("aria-label", `Similarity of layers, ${said}. Arrow keys choose a pair.`);
    this.paintMarks(over);
    this.say();
    if (this.view.timed) this.paintCurve();
    this.paintProfile();
  }

  paintMarks(over) {
    this.marks.replaceChildren();
    for (const [pair, kind] of [[over, "pointed"], [this.pair, "chosen"]]) {
      if (pair < 0) continue;
      const { x, y, width, height } = this.layout.box(this.view.pairs[pair]);
      draw(this.marks, "rect", { class: `${kind} under`, x: x - 1, y: y - 1, width: width + 2, height: height + 2 });
      draw(this.marks, "rect", { class: kind, x: x - 1, y: y - 1, width: width + 2, height: height + 2 });
    }
    if (this.shown < 0) return;
    const [i, j] = this.view.pairs[this.shown], { x, y, width, height } = this.layout.box([i, j]);
    const here = {
      y: { text: this.layout.rows[i], x: this.layout.left - 6, y: y + height / 2 + 4, along: "y" },
      x: { text: this.layout.columns[j], x: x + width / 2 + 4, y: this.layout.mapHeight + 7, along: "x" },
    };
    this.layout.labels.forEach((label, k) => {
      const isNear = Math.abs(label[label.along] - here[label.along][label.along]) < LINE - 1;
      this.labels[k].setAttribute("visibility", isNear ? "hidden" : "visible");
    });
    for (const label of [here.y, here.x]) drawLabel(this.marks, label, "here");
  }

  say() {
    if (this.shown < 0) {
      this.told.replaceChildren(element("p", {}, "No such pair here."));
      return;
    }
    const { view, measure, step, shown } = this, { x, y } = view.spot(shown), [ofX, ofY] = view.raw.of;
    const get = (name) => view.column(measure, name)(step, shown);
    const value = get("value"), missing = view.isThere(measure, step, shown) ? "refused" : "not asked for";
    const facts = [], ends = [get("low"), get("high")], ranks = [get("rank_x"), get("rank_y")];
    if (get("null") !== null) facts.push(["Chance level", number(get("null"))]);
    if (ends.every((end) => end !== null)) {
      facts.push([view.nRuns > 1 ? "From run to run" : "Interval", ends.map(number).join(" to ")]);
    }
    if (ranks.some((rank) => rank !== null)) facts.push(["Dimensions", ranks.map((rank) => rank ?? "all").join(" and ")]);
    const heard = [["n_utterances", "utterances"], ["n_frames", "frames"]].filter(([name]) => get(name) !== null);
    if (heard.length) facts.push(["Heard", heard.map(([name, noun]) => count(get(name), noun)).join(", ")]);
    if (view.nRuns > 1) facts.push(["Mean of", `${view.nRuns} runs`]);
    if (view.note(measure, step, shown)) facts.push(["Note", view.note(measure, step, shown)]);
    this.told.replaceChildren(
      element("p", { class: "pair" }, element("b", {}, x), ofX === ofY ? " and " : ` of ${ofX}, `, element("b", {}, y), ofY ? ` of ${ofY}` : ""),
      element("p", { class: "value" }, element("strong", {}, value === null ? missing : number(value)), ` ${data.measures[measure]}`),
      element("dl", {}, ...facts.map(([term, said]) => element("div", {}, element("dt", {}, term), element("dd", {}, said)))),
    );
  }

  // what is drawn of one column along checkpoints or layers
  series(name, places) {
    const get = this.view.column(this.measure, name);
    return places.map(([step, pair]) => (pair < 0 ? null : get(step, pair)));
  }

  paintSeries(svg, places, extra) {
    const [value, chance, low, high] = ["value", "null", "low", "high"].map((name) => this.series(name, places));
    const width = this.room.facts;
    const values = [...(this.view.range(this.measure) || []), ...chance, ...low, ...high];
    const drawn = axes(svg, { width, height: extra.height, n: places.length, values });
    draw(svg, "path", { class: "band", d: band(low, high, drawn.place) });
    draw(svg, "path", { class: "chance", d: path(chance, drawn.place) });
    const keys = [["value", extra.label]];
    if (low.some((end, i) => end !== null && high[i] !== null)) {
      keys.push(["band", this.view.nRuns > 1 ? "lowest to highest run" : "interval"]);
    }
    if (chance.some((one) => one !== null)) keys.push(["chance", "chance level"]);
    return { ...drawn, width, value, keys };
  }

  points(svg, { value, across, up }, now) {
    draw(svg, "path", { class: "value", d: path(value, (i, v) => `${across(i).toFixed(1)} ${up(v).toFixed(1)}`) });
    value.forEach((one, i) => {
      if (one !== null && (value.length <= 50 || i === now)) {
        draw(svg, "circle", { class: "value", cx: across(i).toFixed(1), cy: up(one).toFixed(1), r: i === now ? 4.5 : 2 });
      }
    });
  }

  paintCurve() {
    const { view, curve, step } = this, { wer, cer, epochs } = view.raw;
    const places = view.steps.map((_, i) => [i, this.shown]);
    const drawn = this.paintSeries(curve, places, { ...CURVE, label: "this pair" });
    draw(curve, "path", { class: "now", d: `M${drawn.across(step)} ${drawn.top}V${drawn.bottom}` });
    for (const [kind, rates, label] of [["wer", wer, "word error rate"], ["cer", cer, "character error rate"]]) {
      if (!rates.some((rate) => rate !== null)) continue;
      const clipped = rates.map((rate) => (rate === null ? null : Math.min(rate, 1)));
      draw(curve, "path", { class: kind, d: path(clipped, drawn.place) });
      drawn.keys.push([kind, rates.some((rate) => rate > 1) ? `${label}, cut at 100 %` : label]);
    }
    this.points(curve, drawn, step);
    const last = view.steps.length - 1, y = CURVE.height - 6;
    draw(curve, "text", { class: "soft", x: drawn.left, y }, `step ${view.steps[0]}`);
    if (last > 0) {
      const epoch = epochs[last] === null ? "" : `, epoch ${epochs[last].toFixed(1)}`;
      draw(curve, "text", { class: "soft", x: drawn.right, y, "text-anchor": "end" }, `step ${view.steps[last]}${epoch}`);
    }
    this.stepPlaces = view.steps.map((_, i) => drawn.across(i));
    curve.setAttribute("aria-label", "This pair's similarity, with error rates where they are known, over the checkpoints");
    legend(curve.nextElementSibling, "Over training.", drawn.keys);
  }

  paintProfile() {
    const { view, profile, step, depth } = this, names = view.x;
    const drawn = this.paintSeries(profile, depth.map((pair) => [step, pair]), { ...PROFILE, label: data.measures[this.measure] });
    const now = this.shown < 0 ? -1 : view.pairs[this.shown][0];
    if (now >= 0) draw(profile, "path", { class: "now", d: `M${drawn.across(now)} ${drawn.top}V${drawn.bottom}` });
    this.points(profile, drawn, depth[now] === this.shown ? now : -1);
    const room = (drawn.right - drawn.left) * 0.45, y = PROFILE.height - 6;
    draw(profile, "text", { class: "soft", x: drawn.left, y }, fitted(names[0], room));
    if (names.length > 1) {
      draw(profile, "text", { class: "soft", x: drawn.right, y, "text-anchor": "end" }, fitted(names[names.length - 1], room));
    }
    this.depthPlaces = names.map((_, i) => drawn.across(i));
    profile.setAttribute("aria-label", `Profile over depth: each layer with ${view.raw.matched}`);
    legend(profile.nextElementSibling, `Over depth: each layer with ${view.raw.matched}.`, drawn.keys);
  }
}
