// Where things stand, in pixels of the screen, and how they are drawn: cells on a canvas, as there
// may be thousands, all else as SVG, which follows the colours of the page.

const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]
  .map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
const GREY = "#8b93a1"; // to be seen on white and on black
const BOLD = 1.12; // how much wider the names of the pair that is looked at are
const FONT = "12px system-ui, sans-serif", LINE = 14;
const LARGEST = 72, TALLEST = 760, ROOM_FOR_A_VALUE = 30, ROOM_FOR_A_MARK = 9, ROOM_FOR_A_GAP = 20, ABOVE = 5, RIGHT = 6;

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
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  return svg;
}

function mix(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[i].map((from, c) => Math.round(from + (place - i) * (VIRIDIS[i + 1][c] - from)));
}

const pen = document.createElement("canvas").getContext("2d");

function widthOf(text) {
  pen.font = FONT;
  return pen.measureText(text).width;
}

// the text with its middle left out, so that it fits
function fitted(text, room) {
  if (widthOf(text) <= room) return text;
  const whole = Array.from(text);
  const letters = whole.length > 80 ? [...whole.slice(0, 40), ...whole.slice(-40)] : whole;
  for (let kept = Math.min(letters.length, whole.length - 1); kept > 1; kept--) {
    const head = Math.ceil(kept / 2), cut = [...letters.slice(0, head), "…", ...letters.slice(letters.length - kept + head)];
    if (widthOf(cut.join("")) <= room) return cut.join("");
  }
  return "…";
}

// The map of a view in a given width: the corners of its cells, and its labels.
function layoutOf(view, width) {
  const nX = view.x.length, nY = view.y.length;
  const longest = Math.min(130, Math.max(60, width * 0.24));
  const [rows, columns] = [view.x, view.y].map((names) => names.map((name) => fitted(name, longest)));
  const [left, below] = [rows, columns].map((names) => Math.ceil(BOLD * Math.max(...names.map(widthOf))) + 12);
  let across = Math.min(LARGEST, Math.max(width - left - RIGHT, 40) / nY), up = Math.min(LARGEST, TALLEST / nX);
  if (Math.min(across, up) >= 6) across = up = Math.min(across, up);
  const ratio = window.devicePixelRatio || 1;
  const edge = (k, size) => Math.round(k * size * ratio) / ratio;
  const height = ABOVE + edge(nX, up); // where the first layer's row ends
  const gap = Math.min(across, up) >= ROOM_FOR_A_GAP ? 1 : 0;
  const box = ([i, j]) => ({
    x: left + edge(j, across),
    y: height - edge(i + 1, up), // the first layer at the bottom, as in the figures
    width: edge(j + 1, across) - edge(j, across) - gap,
    height: edge(i + 1, up) - edge(i, up) - gap,
  });
  const skip = (size) => Math.ceil(LINE / size);
  const labels = [];
  rows.forEach((text, i) => {
    if (i % skip(up) === 0) labels.push({ text, x: left - 6, y: height - edge(i, up) - up / 2 + 4, along: "y" });
  });
  columns.forEach((text, j) => {
    if (j % skip(across) === 0) labels.push({ text, x: left + edge(j, across) + across / 2 + 4, y: height + 7, along: "x" });
  });
  const cellAt = (x, y) => view.pairAt(Math.floor((height - y) / up), Math.floor((x - left) / across));
  return { left, across, up, box, labels, cellAt, rows, columns, mapHeight: height,
    width: left + edge(nY, across) + RIGHT, height: height + below };
}

const hatchings = new Map();

function hatching(ratio) {
  if (!hatchings.has(ratio)) hatchings.set(ratio, makeHatching(ratio));
  return hatchings.get(ratio);
}

function makeHatching(ratio) {
  const tile = document.createElement("canvas"), size = 6 * ratio;
  tile.width = tile.height = size;
  const ink = tile.getContext("2d");
  ink.strokeStyle = GREY;
  ink.lineWidth = ratio;
  for (const shift of [-size, 0, size]) {
    ink.moveTo(shift, size);
    ink.lineTo(shift + size, 0);
  }
  ink.stroke();
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

// Colours and, where there is room, numbers; refused pairs are hatched, others left blank.
function paintCells(ink, view, layout, { measure, step, limits, ratio }) {
  const [low, high] = limits, value = view.column(measure, "value"), hatch = hatching(ratio);
  const numbered = layout.across >= ROOM_FOR_A_VALUE && layout.up >= 16;
  const marked = Math.min(layout.across, layout.up) >= ROOM_FOR_A_MARK;
  ink.font = "11px system-ui, sans-serif";
  ink.textAlign = "center";
  ink.textBaseline = "alphabetic";
  view.pairs.forEach((place, pair) => {
    const box = layout.box(place), found = value(step, pair);
    if (found === null) {
      if (!view.isThere(measure, step, pair)) return;
      ink.fillStyle = hatch;
      ink.fillRect(box.x, box.y, box.width, box.height);
      return;
    }
    const colour = mix((found - low) / (high - low));
    ink.fillStyle = `rgb(${colour})`;
    ink.fillRect(box.x, box.y, box.width, box.height);
    ink.fillStyle = colour[0] * 0.3 + colour[1] * 0.59 + colour[2] * 0.11 > 105 ? "#111" : "#fff";
    if (numbered) ink.fillText(found.toFixed(2), box.x + box.width / 2, box.y + box.height / 2 + 4);
    if (marked && view.note(measure, step, pair)) {
      const size = Math.min(5, box.width / 3), right = box.x + box.width;
      ink.beginPath();
      ink.moveTo(right - size, box.y);
      ink.lineTo(right, box.y);
      ink.lineTo(right, box.y + size);
      ink.fill();
    }
  });
}

function canvasOf(canvas, width, height, ratio) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ink = canvas.getContext("2d");
  ink.scale(ratio, ratio);
  return ink;
}

function paintLabels(svg, layout) {
  clear(svg, layout.width, layout.height);
  return layout.labels.map((label) => drawLabel(svg, label, ""));
}

function drawLabel(svg, { text, x, y, along }, kind) {
  const place = along === "x" ? { transform: `translate(${x} ${y}) rotate(-90)` } : { x, y };
  return draw(svg, "text", { ...place, class: kind, "text-anchor": "end" }, text);
}

function paintScale(svg, limits, label) {
  const width = 280;
  clear(svg, width, 34);
  const colours = draw(draw(svg, "defs", {}), "linearGradient", { id: "viridis" });
  VIRIDIS.forEach((colour, i) => draw(colours, "stop",
    { offset: i / (VIRIDIS.length - 1), "stop-color": `rgb(${colour})` }));
  draw(svg, "rect", { x: 0, y: 0, width, height: 14, fill: "url(#viridis)" });
  draw(svg, "text", { x: 0, y: 30 }, limits[0].toFixed(2));
  draw(svg, "text", { x: width / 2, y: 30, "text-anchor": "middle" }, fitted(label, width - 80));
  draw(svg, "text", { x: width, y: 30, "text-anchor": "end" }, limits[1].toFixed(2));
  svg.setAttribute("aria-label", `Colours run from ${limits[0].toFixed(2)} to ${limits[1].toFixed(2)}`);
}

// a line through what is known
function path(values, place) {
  let start = "M";
  return values.map((value, i) => {
    if (value === null) { start = "M"; return ""; }
    const drawn = start + place(i, value);
    start = "L";
    return drawn;
  }).join("");
}

// an area between two lines, in pieces where one is not known
function band(low, high, place) {
  const pieces = [];
  let piece = [];
  low.forEach((value, i) => {
    if (value !== null && high[i] !== null) piece.push(i);
    else if (piece.length) { pieces.push(piece); piece = []; }
  });
  if (piece.length) pieces.push(piece);
  return pieces.map((one) => {
    const there = one.map((i) => place(i, high[i])), back = one.map((i) => place(i, low[i])).reverse();
    return `M${[...there, ...back].join("L")}Z`;
  }).join("");
}

// Values along one axis: a frame from the lowest to the highest, then what `parts` are given.
// Returns the places of values, and of indices.
function axes(svg, { width, height, n, values }) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(0, ...known), high = Math.max(1, ...known);
  const left = 30, right = width - 10, top = 8, bottom = height - 22;
  const across = (i) => (n === 1 ? (left + right) / 2 : left + ((right - left) * i) / (n - 1));
  const up = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  clear(svg, width, height);
  for (const tick of new Set([low, 0, high < 2 ? 1 : high])) {
    draw(svg, "path", { class: "frame", d: `M${left} ${up(tick).toFixed(1)}H${right}` });
    const text = Number.isInteger(tick) ? String(tick) : tick.toFixed(1);
    if (tick === 0 || Math.abs(up(tick) - up(0)) > 10) {
      draw(svg, "text", { class: "soft", x: left - 6, y: up(tick) + 4, "text-anchor": "end" }, text);
    }
  }
  return { left, right, top, bottom, across, up, place: (i, value) => `${across(i).toFixed(1)} ${up(value).toFixed(1)}` };
}
