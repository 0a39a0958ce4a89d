// Rounds of hashing: the pairs that LSH attention keeps beside the full map.


// The softmax of each row over the keys allowed.
function weightsOf(scores, allowed) {
  return scores.map((row, i) => {
    const most = Math.max(...row.filter((_, j) => allowed[i][j]));
    const powers = row.map((s, j) => (allowed[i][j] ? Math.exp(s - most) : 0));
    const sum = sumOf(powers);
    return powers.map((p) => p / sum);
  });
}

function attendTo({ shared, rotations, chunk, causal }) {
  const keys = shared.map((x) => x.map((entry) => entry / Math.hypot(...x)));
  const scores = shared.map((q) => keys.map((k) => dot(q, k) / Math.sqrt(q.length)));
  const every = orItself(shared.map((_, i) => shared.map((_, j) => (causal ? j < i : j !== i))));
  const full = weightsOf(scores, every);
  const counts = shared.map(() => shared.map(() => 0));
  const rounds = rotations.map((rotation) => {
    const buckets = bucketsOf(shared, rotation);
    const met = metIn(buckets, sortedBy(buckets).place, chunk, causal);
    met.forEach((row, i) => row.forEach((m, j) => (counts[i][j] += m)));
    const sofar = counts.map((row, i) => (row.some(Boolean) ? [...row] : row.map((_, j) => Number(j === i))));
    const allowed = sofar.map((row) => row.map(Boolean));
    const kept = sumOf(full.map((row, i) => sumOf(row.filter((_, j) => allowed[i][j])))) / full.length;
    return { counts: sofar, weights: weightsOf(scores, allowed), kept };
  });
  return { full, rounds };
}

function render({ model, el }) {
  const moved = ["chunk", "rounds", "query", "causal"];
  const given = ["tokens", "shared", "rotations"];
  const names = [...given, ...moved, "caption"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, maps, columns, found;

  const set = setter(model);
  const slide = (text, name, attributes, say = (x) => x) => {
    const input = make("input", "", { type: "range", step: 1, "aria-label": text, ...attributes });
    const read = make("output", "attn-hr-read", { "aria-hidden": true });
    input.addEventListener("input", () => set({ [name]: Number(input.value) }));
    const show = (value) => {
      input.value = value;
      read.textContent = say(value);
    };
    return { input, show, node: make("label", "", {}, make("span", "", {}, text), input, read) };
  };
  const rounding = slide("rounds", "rounds", { min: 1 });
  const chunking = slide("chunk", "chunk", { min: 2 });
  const asking = slide("query", "query", { min: 0 }, (x) => x + 1);
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ causal: box.checked }));
  const reset = button("Reset", () => set(first));
  let counting = false;
  const form = choice("The right map shows", ["weights", "how often met"], (n) => {
    counting = n === 1;
    draw();
  });
  form.show(0);
  const controls = make("div", "attn-controls", {}, form.node, make("label", "", {}, box, "only places before it"), reset);
  const sliders = make("div", "attn-controls attn-hr-sliders", {}, rounding.node, chunking.node, asking.node);
  const boards = make("div", "attn-hr-maps");
  const chartTitle = make("p", "attn-hr-title", {}, "full attention’s weight on kept pairs, by rounds, in %");
  const bars = make("div", "attn-hr-bars", { role: "img" });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Rounds of hashing", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-hr", attributes, controls, sliders, boards, chartTitle, bars, sentence, caption);

  function board(title) {
    const count = state.tokens.length;
    const cells = state.tokens.map((_, i) =>
      state.tokens.map((_, j) => svg("rect", { x: j + 0.04, y: i + 0.04, width: 0.92, height: 0.92 })),
    );
    const row = svg("rect", { class: "attn-hr-row", x: 0, width: count, height: 1 });
    const canvas = svg("svg", { viewBox: `-0.1 -0.1 ${count + 0.2} ${count + 0.2}`, "aria-hidden": true }, ...cells.flat(), row);
    canvas.addEventListener("click", (event) => {
      const { top, height } = canvas.getBoundingClientRect();
      set({ query: clamp(Math.floor(((event.clientY - top) / height) * (count + 0.2) - 0.1), 0, count - 1) });
    });
    const names = (kind) => make("div", `attn-hr-names attn-hr-${kind}`, { "aria-hidden": true }, ...state.tokens.map((t) => make("span", "", {}, word(t))));
    const heading = make("p", "attn-hr-title", {}, title);
    const picture = make("div", "attn-hr-map", { role: "img" }, names("keys"), names("queries"), canvas);
    return { node: make("div", "attn-hr-board", {}, heading, picture), heading, picture, cells, row };
  }

  function build() {
    maps = [board("full"), board("LSH")];
    for (const { picture } of maps) picture.style.setProperty("--many", state.tokens.length);
    boards.replaceChildren(...maps.map(({ node }) => node));
    columns = state.rotations.map((_, r) => {
      const [fill, read] = [make("b"), make("em")];
      const node = make("i", "", {}, make("div", "attn-hr-bar", {}, read, fill), make("span", "", {}, String(r + 1)));
      node.addEventListener("click", () => set({ rounds: r + 1 }));
      return { node, fill, read };
    });
    bars.replaceChildren(...columns.map(({ node }) => node));
    rounding.input.max = state.rotations.length;
    chunking.input.max = state.tokens.length;
    asking.input.max = state.tokens.length - 1;
  }

  function draw() {
    const { tokens, chunk, rounds, query, causal } = state;
    const { full, rounds: all } = found;
    const { counts, weights, kept } = all[rounds - 1];
    const pairs = sumOf(counts.map((row, i) => row.filter((n, j) => n && i !== j).length));
    const most = (tokens.length * (tokens.length - 1)) / (causal ? 2 : 1);
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries({ full, counts, weights, kept: all.map((one) => one.kept), pairs, most }))
      figure.dataset[name] = JSON.stringify(value);
    rounding.show(rounds);
    chunking.show(chunk);
    asking.show(query);
    box.checked = causal;

    const rows = rounds === 1 ? "1 round" : `${rounds} rounds`;
    const paint = ({ cells, row, heading, picture }, title, part, open) => {
      cells.forEach((line, i) =>
        line.forEach((cell, j) => {
          cell.style.setProperty("--w", part(i, j));
          cell.setAttribute("class", open(i, j) ? "attn-hr-open" : "attn-hr-shut");
        }),
      );
      row.setAttribute("y", query);
      heading.textContent = title;
      picture.setAttribute("aria-label", title);
    };
    paint(maps[0], `full attention: ${grouped(most)} pairs`, (i, j) => full[i][j], (i, j) => full[i][j] > 0);
    const right = counting ? (i, j) => counts[i][j] / rounds : (i, j) => weights[i][j];
    paint(maps[1], `LSH, ${rows}: ${grouped(pairs)} pairs`, right, (i, j) => counts[i][j] > 0);
    columns.forEach(({ node, fill, read }, r) => {
      fill.style.setProperty("--part", all[r].kept);
      read.textContent = Math.round(100 * all[r].kept);
      node.className = r === rounds - 1 ? "attn-hr-now" : "";
    });
    bars.setAttribute("aria-label", `In per cent: ${all.map((one, r) => `${r + 1}: ${Math.round(100 * one.kept)}`).join(", ")}`);

    const names = distinct(tokens);
    const strongest = full[query].indexOf(Math.max(...full[query]));
    const times = counts[query][strongest];
    const per = (x) => `${Math.round(100 * x)} %`;
    const met = strongest === query ? "It has nobody to ask but itself" : `Its strongest key in the full map, ${names[strongest]}, has ${per(full[query][strongest])}. ${times ? `They have met in ${times} of ${rounds}, and LSH gives it ${per(weights[query][strongest])}` : `They have not met in ${rows}`}`;
    sentence.replaceChildren(`Place ${query + 1}, ${names[query]}: ${met}. All places together keep ${per(kept)} of the full map’s weight on ${per(pairs / most)} of its pairs.`);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    const { tokens, shared, rotations, chunk, rounds, query } = next;
    if (shared.length !== tokens.length || rotations[0].length !== shared[0].length) return;
    if (chunk > tokens.length || query >= tokens.length || rounds > rotations.length) return;
    const same = state && given.every((name) => next[name] === state[name]);
    const again = !same || next.chunk !== state.chunk || next.causal !== state.causal;
    state = next;
    if (!same) build();
    if (again) found = attendTo(state);
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
