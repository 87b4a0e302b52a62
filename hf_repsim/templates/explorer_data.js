// What is explored: whole numbers in base64, turned into values when first asked for.

const at = (id) => document.getElementById(id);
const data = JSON.parse(at("data").textContent);
const ABSENT = -1; // where a note would be: no such pair was asked for
const KINDS = { 16: [Int16Array, -32768], 32: [Int32Array, -2147483648] };

// (checkpoint, pair) -> number or null
function unpacked(packed, nPairs) {
  if (packed === undefined) return () => null;
  if (packed === null || typeof packed === "number") return () => packed;
  const text = atob(packed.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const [Whole, none] = KINDS[packed.bits], whole = new Whole(bytes.buffer);
  const row = packed.rows === 1 ? 0 : nPairs;
  return (step, pair) => {
    const n = whole[step * row + pair];
    return n === none ? null : n / packed.per;
  };
}

// One subject and what it was compared with: layers x (rows) and y (columns), pairs of them.
class View {
  constructor(raw, nRuns) {
    this.raw = raw;
    this.nRuns = nRuns;
    this.x = raw.x;
    this.y = raw.y;
    this.timed = raw.steps !== null;
    this.steps = raw.steps || [0];
    this.measures = Object.keys(raw.measures);
    const nY = raw.y.length, all = { length: raw.x.length * nY };
    const flat = raw.pairs || Array.from(all, (_, place) => place);
    this.pairs = flat.map((place) => [Math.floor(place / nY), place % nY]);
    this.places = new Int32Array(all.length).fill(-1);
    flat.forEach((place, pair) => { this.places[place] = pair; });
    this.known = new Map();
  }

  pairAt(i, j) {
    const inside = i >= 0 && j >= 0 && i < this.x.length && j < this.y.length;
    return inside ? this.places[i * this.y.length + j] : -1;
  }

  spot(pair) {
    const [i, j] = this.pairs[pair];
    return { i, j, x: this.x[i], y: this.y[j] };
  }

  // the pair of the same names where there is one, else of the same place; -1 for none
  pairOf(spot) {
    const named = this.pairAt(this.x.indexOf(spot.x), this.y.indexOf(spot.y));
    return named >= 0 ? named : this.pairAt(spot.i, spot.j);
  }

  column(measure, name) {
    const key = JSON.stringify([measure, name]);
    if (!this.known.has(key)) {
      this.known.set(key, unpacked(this.raw.measures[measure][name], this.pairs.length));
    }
    return this.known.get(key);
  }

  has(measure, name) {
    return Object.hasOwn(this.raw.measures[measure], name);
  }

  note(measure, step, pair) {
    const code = this.column(measure, "note")(step, pair);
    return code > 0 ? this.raw.measures[measure].notes[code - 1] : "";
  }

  isThere(measure, step, pair) {
    return this.column(measure, "note")(step, pair) !== ABSENT;
  }

  // smallest and largest value of a measure over all checkpoints; null where there is none
  range(measure) {
    const key = JSON.stringify([measure]);
    if (!this.known.has(key)) {
      const value = this.column(measure, "value");
      let low = Infinity, high = -Infinity;
      this.steps.forEach((_, step) => this.pairs.forEach((_, pair) => {
        const found = value(step, pair);
        if (found !== null && found < low) low = found;
        if (found !== null && found > high) high = found;
      }));
      this.known.set(key, low <= high ? [low, high] : null);
    }
    return this.known.get(key);
  }

  // which marks some cell of a measure has at some checkpoint
  marks(measure) {
    const key = JSON.stringify([measure, 0]);
    if (!this.known.has(key)) {
      const value = this.column(measure, "value"), found = { refused: false, noted: false };
      this.steps.forEach((_, step) => this.pairs.forEach((_, pair) => {
        if (value(step, pair) !== null) found.noted ||= this.note(measure, step, pair) !== "";
        else found.refused ||= this.isThere(measure, step, pair);
      }));
      this.known.set(key, found);
    }
    return this.known.get(key);
  }

  // per layer of x the pair it has in a profile, -1 for none
  profile(measure, step) {
    if (this.raw.match) return this.raw.match.map((j, i) => this.pairAt(i, j));
    const value = this.column(measure, "value");
    return this.x.map((_, i) => {
      let best = -1;
      this.y.forEach((_, j) => {
        const pair = this.pairAt(i, j), found = pair < 0 ? null : value(step, pair);
        if (found !== null && (best < 0 || found > value(step, best))) best = pair;
      });
      return best;
    });
  }

  // where in training a checkpoint stands: its epoch, or its step where no epochs are known
  moment(step) {
    const { epochs } = this.raw;
    return this.timed && epochs.every((epoch) => epoch !== null) ? epochs[step] : this.steps[step];
  }

  // the checkpoint nearest to one of another view
  nearest(other, step) {
    if (!this.timed || !other.timed) return 0;
    const moment = other.moment(step);
    let best = 0;
    this.steps.forEach((_, i) => {
      if (Math.abs(this.moment(i) - moment) < Math.abs(this.moment(best) - moment)) best = i;
    });
    return best;
  }

  when(step) {
    if (!this.timed) return "";
    const { epochs, wer, cer } = this.raw, said = [`step ${this.steps[step]}`];
    if (epochs[step] !== null) said.unshift(`epoch ${epochs[step].toFixed(2)}`);
    for (const [label, rates] of [["WER", wer], ["CER", cer]]) {
      if (rates[step] !== null) said.push(`${label} ${(100 * rates[step]).toFixed(1)} %`);
    }
    return said.join(", ");
  }
}

const views = new Map();

function viewOf(subject, against) {
  const key = JSON.stringify([subject, against]);
  if (!views.has(key)) {
    const of = data.subjects[subject];
    views.set(key, new View(of.views[against], of.n_runs));
  }
  return views.get(key);
}
