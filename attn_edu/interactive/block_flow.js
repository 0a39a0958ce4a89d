// One Transformer block, step by step. Rows are tokens; head n owns the n-th block of columns of Q, K and V.

const plus = (a, b) => a.map((row, i) => row.map((x, c) => x + b[i][c]));

// What a norm takes of each row: its mean, and the root of its variance and a little more.
function spread(row) {
  const mean = sumOf(row) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  return [mean, Math.sqrt(variance + 1e-5)];
}
const normed = (x, gain, bias) =>
  x.map((row) => {
    const [mean, deviation] = spread(row);
    return row.map((one, c) => (gain[c] * (one - mean)) / deviation + bias[c]);
  });

// Every number on the way, by the names that Python uses.
function blockFlow(state, tokens) {
  const { words, vectors, positions, heads, norm_first, causal } = state;
  const width = vectors[0].length / heads;
  const s = { input: tokens.map((token, i) => vectors[words.indexOf(token)].map((x, c) => x + positions[i][c])) };
  let [x, y] = [s.input, s.input];
  if (norm_first) y = s.norm_1 = normed(x, state.gain_1, state.bias_1);
  s.queries = times(y, state.W_Q);
  s.keys = times(y, state.W_K);
  s.values = times(y, state.W_V);
  const blocks = Array.from({ length: heads }, (_, n) => [n * width, (n + 1) * width]);
  s.scores = blocks.map(([from, to]) =>
    s.queries.map((q) => s.keys.map((k) => dot(q.slice(from, to), k.slice(from, to)) / Math.sqrt(width))),
  );
  s.weights = s.scores.map((map) =>
    map.map((row, i) => {
      const seen = causal ? i + 1 : row.length;
      return [...softmax(row.slice(0, seen), 1), ...row.slice(seen).fill(0)];
    }),
  );
  s.context = x.map((_, i) => blocks.flatMap(([from, to], n) => times([s.weights[n][i]], s.values)[0].slice(from, to)));
  s.attended = times(s.context, state.W_O);
  x = y = s.sum_1 = plus(x, s.attended);
  if (norm_first) y = s.norm_2 = normed(x, state.gain_2, state.bias_2);
  else x = y = s.norm_1 = normed(x, state.gain_1, state.bias_1);
  s.hidden = times(y, state.W_1).map((row) => row.map((h, c) => h + state.b_1[c]));
  s.active = s.hidden.map((row) => row.map((h) => Math.max(0, h)));
  s.fed = times(s.active, state.W_2).map((row) => row.map((h, c) => h + state.b_2[c]));
  x = s.sum_2 = plus(x, s.fed);
  if (!norm_first) s.norm_2 = normed(x, state.gain_2, state.bias_2);
  return s;
}

// Each stage: what its tab says, what happens in it, and its matrices.
const STAGES = {
  input: ["Input", "Each row is a word’s vector plus the vector of its place.", ["input"]],
  queries: ["Q K V", "Three products with {W^Q}, {W^K} and {W^V}. Each row alone.", ["queries", "keys", "values"]],
  scores: ["Scores", "Every query meets every key, in each head. Here rows meet for the first time.", ["scores"]],
  weights: ["Weights", "Softmax of each row of scores: positive, and 1 in all.", ["weights"]],
  context: [
    "Mix",
    "Values, mixed by the weights; then {W^O}. Rows have mixed: this is the only way from one token to another.",
    ["context", "attended"],
  ],
  sum_1: ["Add", "What attention wrote is added to what was there. Each row alone.", ["sum_1"]],
  norm_1: ["Norm", "Each row is brought to mean 0 and variance 1, then stretched and moved.", ["norm_1"]],
  hidden: ["Hidden", "Each row, times {W_1}, plus {b_1}: more features, for a moment. Each row alone.", ["hidden"]],
  active: ["ReLU", "What is negative becomes 0. Without this the two products would be one.", ["active"]],
  fed: ["Write", "Back to the width of the tokens: times {W_2}, plus {b_2}. Each row alone.", ["fed"]],
  sum_2: ["Add", "What the network wrote is added to what was there. Each row alone.", ["sum_2"]],
  norm_2: ["Norm", "A second norm, with a gain and a bias of its own.", ["norm_2"]],
};
const LAYERS = [
  ["queries", "scores", "weights", "context"],
  ["hidden", "active", "fed"],
];
// The two rows of the diagram: attention, then the network; a norm before each, or after each sum.
const lanes = (first) =>
  LAYERS.map((layer, n) => {
    const [norm, sum] = [`norm_${n + 1}`, `sum_${n + 1}`];
    const lane = first ? [norm, ...layer, sum] : [...layer, sum, norm];
    return n ? lane : ["input", ...lane];
  });

const TITLES = {
  input: "X",
  queries: "Q",
  keys: "K",
  values: "V",
  scores: "scores",
  weights: "weights",
  context: "joined heads",
  attended: "joined heads times W^O",
  sum_1: "sum",
  sum_2: "sum",
  norm_1: "normalised",
  norm_2: "normalised",
  hidden: "hidden",
  active: "after the ReLU",
  fed: "written",
};
const ROLES = { queries: "query", keys: "key", values: "value", context: "value", scores: "weight", weights: "weight" };
const MOST = 8; // columns side by side; more go into a second slab

// "W^Q" with its letter raised, "b_1" with its number lowered.
function symbol(name) {
  const tags = { _: "sub", "^": "sup" };
  return make("b", "", {}, ...name.split(/([_^]\w)/).map((p) => (tags[p[0]] ? make(tags[p[0]], "", {}, p[1]) : p)));
}
const say = (text) => text.split(/\{(.*?)\}/).map((part, n) => (n % 2 ? symbol(part) : part));

function render({ model, el }) {
  const names = ["tokens", "words", "vectors", "positions", "W_Q", "W_K", "W_V", "W_O", "W_1", "b_1", "W_2", "b_2"];
  names.push("gain_1", "bias_1", "gain_2", "bias_2", "heads", "norm_first", "causal", "stage", "selected", "caption");
  let state, steps, before, rows;
  let order = []; // names of the stages as they follow one another
  let focus = [0, 0]; // the number in question: its matrix in the stage, and its column
  const first = model.get("tokens");

  const set = (name, value) => setter(model)({ [name]: value });
  const go = (by) => set("stage", order[clamp(order.indexOf(state.stage) + by, 0, order.length - 1)]);

  const group = `attn-${Math.random()}`;
  const tabs = Object.fromEntries(
    Object.entries(STAGES).map(([key, [name]]) => {
      const radio = make("input", "", { type: "radio", name: group });
      radio.addEventListener("change", () => set("stage", key));
      return [key, { radio, node: make("label", "attn-flow-tab", { "data-tab": key }, radio, make("span", "", {}, name)) }];
    }),
  );
  const map = make("div", "attn-flow-map", { role: "radiogroup", "aria-label": "Step" });
  const [back, next] = [-1, 1].map((by) => button(by < 0 ? "← Back" : "Next →", () => go(by)));
  const token = make("select");
  token.addEventListener("change", () => set("selected", token.selectedIndex));
  const swap = make("select");
  swap.addEventListener("change", () => put(state.words[swap.selectedIndex]));
  const undo = button("Undo", () => set("tokens", first));
  const norms = choice("Norms", ["norm after", "norm before"], (n) => set("norm_first", n === 1));
  const causal = make("input", "", { type: "checkbox" });
  causal.addEventListener("change", () => set("causal", causal.checked));
  const put = (name) => set("tokens", state.tokens.map((old, i) => (i === state.selected ? name : old)));

  const which = make("label", "", {}, "Row", token);
  const replace = make("label", "", {}, "Replace by", swap);
  const hide = make("label", "", {}, causal, "causal mask");
  const controls = make("div", "attn-controls", {}, which, replace, back, next, undo, norms.node, hide);
  const text = make("p", "attn-flow-text", { "aria-live": "polite" });
  const sentence = make("p", "attn-flow-sentence", { "aria-live": "polite" });
  const stage = make("div", "attn-flow-stage", { role: "group", tabindex: 0 });
  const moved = make("p", "attn-flow-moved", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "One Transformer block, step by step", "data-lm-suppress-shortcuts": true };
  const parts = [controls, map, text, sentence, stage, moved, caption];
  const figure = make("figure", "attn-figure attn-flow", attributes, ...parts);

  // The matrices of a stage: one for each name, or for each head.
  const matrices = (of, key) =>
    STAGES[key][2].flatMap((name) =>
      ROLES[name] === "weight" ? of[name].map((map, n) => [name, map, n]) : [[name, of[name], undefined]],
    );

  function ask(row, matrix, column) {
    const changed = focus[0] !== matrix || focus[1] !== column;
    focus = [matrix, column];
    if (row !== state.selected) set("selected", row);
    else if (changed) draw();
  }
  for (const event of ["pointermove", "pointerdown"])
    stage.addEventListener(event, ({ target }) => {
      const at = target.closest("[data-value]")?.dataset;
      if (at) ask(...[at.row, at.matrix, at.column].map(Number));
    });
  stage.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const places = matrices(steps, state.stage).flatMap(([, { 0: row }], m) => row.map((_, c) => [m, c]));
    const now = places.findIndex(([m, c]) => m === focus[0] && c === focus[1]);
    ask(clamp(state.selected + down, 0, rows.length - 1), ...places[clamp(now + right, 0, places.length - 1)]);
    stage.querySelector(".attn-flow-number").scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  function drawMap() {
    const arrow = (column, sign) =>
      make("span", "attn-flow-end", { "aria-hidden": true, style: `--row: 1; --column: ${column}` }, sign);
    const nodes = lanes(state.norm_first).flatMap((lane, n) => {
      const labels = lane.map((key, c) => {
        tabs[key].node.setAttribute("style", `--row: ${n}; --column: ${c + 1 + n}`);
        return tabs[key].node;
      });
      const end = lane.indexOf(`sum_${n + 1}`) + 1 + n;
      const arc = make("span", "attn-flow-arc", { "aria-hidden": true, style: `--row: ${n}; --span: ${end}` });
      return [arc, ...(n ? [arrow(1, "↳")] : []), ...labels, ...(n ? [arrow(lane.length + 2, "→")] : [])];
    });
    order = lanes(state.norm_first).flat();
    map.replaceChildren(...nodes);
  }

  function grid([name, numbers, head], m) {
    const labels = ROLES[name] === "weight" ? rows : undefined;
    const most = name === "weights" ? 1 : Math.max(...numbers.flat().map(Math.abs)) || 1;
    const old = matrices(before, state.stage)[m][1];
    const width = numbers[0].length;
    const block = ["queries", "keys", "values", "context"].includes(name) ? width / state.heads : width;
    const title = TITLES[name] + (head === undefined ? "" : `, head ${head + 1}`);
    const slabs = [];
    for (let from = 0; from < width; from += MOST) {
      const columns = numbers[0].slice(from, from + MOST).map((_, c) => from + c);
      const gap = (c) => (c % block === 0 && c > from ? " attn-flow-gap" : "");
      const top = columns.map((c) =>
        make("span", `attn-flow-over${gap(c)}`, { role: "columnheader", title: labels?.[c] ?? "" }, labels ? word(labels[c]) : c + 1),
      );
      const lines = numbers.map((line, i) => {
        const cells = columns.map((c) => {
          const x = line[c];
          const marks = [
            i === state.selected && m === focus[0] && c === focus[1] ? " attn-flow-number" : "",
            Math.abs(x - old[i][c]) > 1e-9 ? " attn-flow-new" : "",
            name === "active" && x === 0 ? " attn-flow-off" : "",
          ];
          const data = { "data-value": x, "data-row": i, "data-column": c, "data-matrix": m };
          const hidden = state.causal && ROLES[name] === "weight" && c > i;
          const shown = hidden && name === "weights" ? "–" : number(x);
          const style = `--size: ${hidden ? 0 : Math.abs(x) / most}`;
          return make("span", `attn-flow-cell${gap(c)}${marks.join("")}`, { role: "cell", style, ...data }, shown);
        });
        const label = make("span", "attn-flow-label", { role: "rowheader", title: rows[i] }, word(rows[i]));
        return make("div", `attn-flow-line${i === state.selected ? " attn-flow-on" : ""}`, { role: "row" }, label, ...cells);
      });
      const corner = make("span", "attn-flow-label", { role: "cell" });
      const aria = `${title.replace("^", " ")}${slabs.length || width > MOST ? `, features ${from + 1} to ${from + columns.length}` : ""}`;
      const head_ = make("div", "attn-flow-line", { role: "row" }, corner, ...top);
      slabs.push(make("div", "attn-flow-slab", { role: "table", "aria-label": aria, "data-name": name }, head_, ...lines));
    }
    const size = `${numbers.length} × ${width}`;
    const heading = make("p", "attn-flow-title", {}, ...say(title.replace("W^O", "{W^O}")), make("small", "", {}, ` ${size}`));
    return make("div", `attn-flow-matrix attn-flow-${ROLES[name] ?? "plain"}`, {}, heading, ...slabs);
  }

  // The arithmetic of one number of the chosen row.
  function how([name, numbers, head], c) {
    const [i, d] = [state.selected, state.vectors[0].length];
    const [x, width] = [number(numbers[i][c]), d / state.heads];
    const row = () => ["“", word(rows[i]), "”"];
    const feature = [...row(), `, number ${c + 1}: `];
    const sum = (a, b, what) => [...feature, `${number(a[i][c])}, plus ${number(b[i][c])} ${what}, is ${x}.`];
    if (name === "input") {
      const [own, place] = [state.vectors[state.words.indexOf(state.tokens[i])][c], state.positions[i][c]];
      return [...feature, `${number(own)} from the word, plus ${number(place)} from its place, is ${x}.`];
    }
    if (name === "sum_1") return sum(steps.input, steps.attended, "from attention");
    if (name === "sum_2") return sum(state.norm_first ? steps.sum_1 : steps.norm_1, steps.fed, "from the network");
    if (name.startsWith("norm")) {
      const n = name[5];
      const source = state.norm_first ? (n === "1" ? steps.input : steps.sum_1) : steps[`sum_${n}`];
      const [mean, deviation] = spread(source[i]);
      const [gain, bias] = [state[`gain_${n}`][c], state[`bias_${n}`][c]];
      const inner = `(${number(source[i][c])} − ${number(mean)}) ÷ ${number(deviation)}`.replace("− −", "+ ");
      const rest = ` · ${number(gain)} + ${number(bias)}`.replace("+ −", "− ");
      return [...row(), ` had mean ${number(mean)} and deviation ${number(deviation)}. Number ${c + 1}: ${inner}${rest} = ${x}.`];
    }
    if (name === "scores")
      return [`Head ${head + 1}: the query of `, ...row(), " and the key of “", word(rows[c]), `”, divided by √${width}: ${x}.`];
    if (name === "weights") {
      if (state.causal && c > i) return [...row(), " may not see “", word(rows[c]), "”, which comes later: weight 0."];
      const power = (s) => `exp ${number(s)}`;
      const line = steps.scores[head][i].slice(0, state.causal ? i + 1 : undefined);
      return [`Head ${head + 1}: `, ...row(), " gives “", word(rows[c]), `” ${power(line[c])} ÷ (${line.map(power).join(" + ")}) = ${x}.`];
    }
    if (name === "context") {
      const n = Math.floor(c / width);
      const terms = steps.weights[n][i].map((w, j) => `${number(w)} · ${number(steps.values[j][c])}`);
      return [...feature, `in head ${n + 1}, weights times values: ${terms.join(" + ")} = ${x}.`];
    }
    if (name === "hidden") return [...feature, `its row times column ${c + 1} of `, symbol("W_1"), `, plus ${number(state.b_1[c])}, is ${x}.`];
    if (name === "active") {
      const off = numbers[i].filter((h) => h === 0).length;
      return [...feature, `${number(steps.hidden[i][c])} becomes ${x}. Of its ${numbers[i].length} hidden numbers, ${off} are now 0.`];
    }
    if (name === "fed") {
      const on = steps.active[i].filter((h) => h > 0).length;
      return [...feature, `${on} hidden numbers times column ${c + 1} of `, symbol("W_2"), `, plus ${number(state.b_2[c])}, is ${x}.`];
    }
    const W = { queries: "W^Q", keys: "W^K", values: "W^V", attended: "W^O" }[name];
    return [...feature, `its row times column ${c + 1} of `, symbol(W), ` is ${x}.`];
  }

  function draw() {
    const { selected } = state;
    const all = matrices(steps, state.stage);
    if (!all[focus[0]]) focus = [0, focus[1]];
    if (focus[1] >= all[focus[0]][1][0].length) focus = [focus[0], 0];
    Object.assign(figure.dataset, { stage: state.stage, selected, order: order.join(" ") });
    tabs[state.stage].radio.checked = true;
    norms.show(state.norm_first ? 1 : 0);
    causal.checked = state.causal;
    const at = order.indexOf(state.stage);
    back.setAttribute("aria-disabled", at === 0);
    next.setAttribute("aria-disabled", at === order.length - 1);
    token.replaceChildren(...rows.map((name) => make("option", "", {}, name)));
    token.selectedIndex = selected;
    swap.selectedIndex = state.words.indexOf(state.tokens[selected]);
    stage.setAttribute("aria-label", `Numbers of step ${at + 1} of ${order.length}: arrow keys choose one`);
    text.replaceChildren(make("b", "", {}, `${at + 1} of ${order.length}. `), ...say(STAGES[state.stage][1]));
    if (at === order.length - 1) text.append(" This is what leaves the block.");
    sentence.replaceChildren(...how(all[focus[0]], focus[1]));
    stage.replaceChildren(...all.map(grid));
    const old = matrices(before, state.stage);
    const other = rows.filter((_, i) =>
      all.some(([, numbers], m) => numbers[i].some((x, c) => Math.abs(x - old[m][1][i][c]) > 1e-9)),
    );
    const same = state.tokens.every((name, i) => name === first[i]);
    undo.disabled = same;
    const list = other.flatMap((name, n) => [n ? ", " : "", word(name)]);
    moved.replaceChildren(
      ...(same
        ? ["Replace a word to see which rows change here."]
        : list.length
          ? [`Changed since the first sentence (dotted): `, ...list, "."]
          : ["Nothing has changed here since the first sentence."]),
    );
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const now = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    const [L, d] = [now.tokens.length, now.vectors[0].length];
    const square = ["W_Q", "W_K", "W_V", "W_O"].every((name) => now[name].length === d && now[name][0].length === d);
    const inner = now.W_1.length === d && now.W_2.length === now.W_1[0].length && now.W_2[0].length === d;
    const flat = ["b_2", "gain_1", "bias_1", "gain_2", "bias_2"].every((name) => now[name].length === d);
    if (!square || !inner || !flat || now.b_1.length !== now.W_2.length || d % now.heads) return;
    if (now.positions.length !== L || now.positions[0].length !== d || now.selected >= L || first.length !== L) return;
    if (now.words.length !== now.vectors.length || ![...now.tokens, ...first].every((t) => now.words.includes(t))) return;
    const turned = now.norm_first !== state?.norm_first;
    if (now.words !== state?.words) swap.replaceChildren(...now.words.map((name) => make("option", "", {}, name)));
    state = now;
    rows = distinct(state.tokens);
    steps = blockFlow(state, state.tokens);
    before = blockFlow(state, first);
    figure.style.setProperty("--label", `${clamp(Math.max(...rows.map(letters)), 3, 8) * 6.4 + 9}px`);
    if (turned) drawMap();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
