// What can be taken away: the table as CSV, the map as PNG.

const FIELDS = ["value", "null", "low", "high", "rank_x", "rank_y", "n_frames", "n_utterances"];

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const fileName = (...parts) => parts.filter((part) => part !== "").join("_").replace(/[^A-Za-z0-9.-]+/g, "_").slice(0, 100);

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  // a spreadsheet computes what begins so, and names may come from strangers
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// a piece of text per measure, as one text of a large table may be too long
function csv(subjects) {
  const header = ["subject", "runs", "against", "step", "epoch", "wer", "cer", "measure", "layer_x", "layer_y", ...FIELDS, "note"];
  const pieces = [header.join(",") + "\r\n"];
  for (const subject of subjects) {
    const { name, n_runs: nRuns, views: all } = data.subjects[subject];
    for (const against of Object.keys(all)) {
      const view = viewOf(subject, against), { epochs, wer, cer } = view.raw;
      for (const measure of view.measures) {
        const columns = FIELDS.map((field) => view.column(measure, field)), lines = [];
        view.steps.forEach((number, step) => {
          const clock = view.timed ? [number, epochs[step], wer[step], cer[step]] : ["", "", "", ""];
          view.pairs.forEach(([i, j], pair) => {
            if (!view.isThere(measure, step, pair)) return;
            const values = columns.map((column) => column(step, pair));
            const named = [name, nRuns, against, ...clock, measure, view.x[i], view.y[j]];
            lines.push([...named, ...values, view.note(measure, step, pair)].map(cell).join(","));
          });
        });
        pieces.push(lines.map((line) => `${line}\r\n`).join(""));
      }
    }
  }
  return new Blob(pieces, { type: "text/csv;charset=utf-8" });
}

// The maps that are shown, with their names and the scale of colours, for paper: on white.
function picture(shown, { measure, limits }) {
  const RATIO = 2, PAD = 20, HEAD = 66, FOOT = 64;
  const maps = shown.filter(({ view }) => view.measures.includes(measure))
    .map((one) => ({ ...one, layout: layoutOf(one.view, 640) }));
  const width = PAD + maps.reduce((sum, { layout }) => sum + Math.max(layout.width, 320) + PAD, 0);
  const tallest = Math.max(...maps.map(({ layout }) => layout.height));
  const canvas = document.createElement("canvas");
  const ink = canvasOf(canvas, width, HEAD + tallest + FOOT, RATIO);
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, width, HEAD + tallest + FOOT);
  let left = PAD;
  for (const { layout, name, view, step } of maps) {
    const room = Math.max(layout.width, 320), [x, y] = view.raw.of;
    const lines = [[name, data.measures[measure]].filter(Boolean).join(": "), view.when(step), `rows: ${x}; columns: ${y || "targets"}${view.marks(measure).refused ? "; hatched: refused" : ""}`];
    ink.textAlign = "left";
    lines.filter(Boolean).forEach((line, i) => {
      ink.font = FONT;
      ink.fillStyle = i ? "#444" : "#000";
      ink.fillText(fitted(line, room), left, 20 + 16 * i);
    });
    ink.save();
    ink.translate(left, HEAD);
    paintCells(ink, view, layout, { measure, step, limits, ratio: RATIO });
    letter(ink, layout);
    ink.restore();
    left += room + PAD;
  }
  colourScale(ink, { x: PAD, y: HEAD + tallest + 20, limits, label: data.measures[measure] });
  return canvas;
}

function letter(ink, layout) {
  ink.font = FONT;
  ink.fillStyle = "#000";
  ink.textAlign = "right";
  for (const { text, x, y, along } of layout.labels) {
    ink.save();
    ink.translate(x, y);
    if (along === "x") ink.rotate(-Math.PI / 2);
    ink.fillText(text, 0, 0);
    ink.restore();
  }
}

function colourScale(ink, { x, y, limits, label }) {
  const width = 280, colours = ink.createLinearGradient(x, 0, x + width, 0);
  VIRIDIS.forEach((colour, i) => colours.addColorStop(i / (VIRIDIS.length - 1), `rgb(${colour})`));
  ink.fillStyle = colours;
  ink.fillRect(x, y, width, 12);
  ink.font = FONT;
  ink.fillStyle = "#000";
  const words = [["left", x, limits[0].toFixed(2)], ["center", x + width / 2, fitted(label, width - 80)], ["right", x + width, limits[1].toFixed(2)]];
  for (const [align, place, text] of words) {
    ink.textAlign = align;
    ink.fillText(text, place, y + 27);
  }
}
