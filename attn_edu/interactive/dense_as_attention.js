// A dense layer and attention on the same numbers. heads[n][i][j]: how much head n of query i takes of token j.

function mix({ x, W, sharpness, one_place }) {
  const dense = W.map((row) => dot(row, x));
  const heads = one_place
    ? x.map((_, n) => x.map(() => x.map((_, j) => Number(j === n))))
    : [x.map((q) => softmax(x.map((k) => sharpness * q * k), 1))];
  const seen = x.map((_, i) => heads.map((head) => dot(head[i], x)));
  const received = one_place ? seen.map((joined) => W.map((row) => dot(row, joined))) : seen;
  const output = received.map((row, i) => row[one_place ? i : 0]);
  return { dense, weights: heads, received, output, difference: output.map((y, i) => y - dense[i]) };
}

function shape(tag, place, attributes) {
  const node = svg(tag, attributes);
  place.append(node);
  return node;
}

// A square of numbers under a title.
function square(names) {
  const title = make("p", "attn-title");
  const span = (kind, role, ...text) => make("span", `attn-${kind}`, { role }, ...text);
  const row = (...parts) => make("div", "attn-line", { role: "row" }, ...parts);
  const cells = names.map(() => names.map(() => span("cell", "cell")));
  const lines = cells.map((line, i) => row(span("row", "rowheader", word(names[i])), ...line));
  const over = names.map((name) => span("over", "columnheader", word(name)));
  const head = row(span("row", "cell"), ...over);
  const table = make("div", "", { role: "table" }, head, ...lines);
  const draw = (text, numbers, most, selected) => {
    title.textContent = text;
    table.setAttribute("aria-label", text);
    numbers.forEach((row, i) => {
      lines[i].classList.toggle("attn-on", i === selected);
      row.forEach((x, j) => {
        cells[i][j].textContent = number(x);
        cells[i][j].style.setProperty("--size", Math.abs(x) / most);
        cells[i][j].classList.toggle("attn-minus", x < 0);
      });
    });
  };
  return { node: make("div", "attn-half", {}, title, table), cells, over, draw };
}

function render({ model, el }) {
  const names = ["x", "W", "tokens", "sharpness", "one_place", "selected", "caption"];
  const first = Object.fromEntries(["x", "sharpness", "one_place", "selected"].map((name) => [name, model.get(name)]));
  let state, places, rows, over, fixed, moving;

  const set = setter(model);

  const mode = choice("What mixes on the right", ["attention", "a head for each place"], (n) => set({ one_place: n === 1 }));
  const slider = make("input", "", { type: "range", min: 0, max: 8, step: 0.25 });
  slider.addEventListener("input", () => set({ sharpness: Number(slider.value) }));
  const reading = make("span", "attn-reading", { "aria-hidden": true });
  const reset = button("Reset", () => first.x.length === state.x.length && set(first));
  const controls = make("div", "attn-controls", {}, mode.node, make("label", "", {}, "sharpness", slider, reading), reset);

  const stage = make("div", "attn-stage");
  const halves = make("div", "attn-halves");
  const sums = ["dense", "attention"].map((name) => {
    const text = make("span");
    return { node: make("p", "attn-sum", {}, make("b", "", {}, name), text), text };
  });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Dense layer and attention", "data-lm-suppress-shortcuts": true };
  const parts = [controls, stage, halves, ...sums.map(({ node }) => node), sentence, caption];
  const figure = make("figure", "attn-figure attn-dense", attributes, ...parts);

  function addRow(i) {
    const name = places[i];
    const range = make("input", "", { type: "range", min: -2, max: 2, step: 0.1, "aria-label": `Input ${name}` });
    range.addEventListener("input", () => set({ x: state.x.map((x, j) => (j === i ? Number(range.value) : x)) }));
    const read = make("span", "", { "aria-hidden": true });
    const input = make("div", "attn-input", {}, make("span", "attn-name", { title: name }, word(name)), read, range);
    const ends = ["dense layer", "attention"].map((kind) => {
      const [value, beside] = [make("b"), make("small")];
      const node = make("button", "attn-end", { type: "button" }, value, beside);
      node.addEventListener("click", () => set({ selected: i }));
      return { kind, node, value, beside };
    });
    const head = make("div", "attn-head", {}, ...places.map(() => make("i")));
    return { range, read, input, ends, head };
  }

  function build() {
    const N = state.x.length;
    places = distinct(state.tokens ?? state.x.map((_, i) => `x${String.fromCodePoint(0x2081 + i)}`));
    rows = state.x.map((_, i) => addRow(i));
    const boxes = ["left", "right"].map((side) => make("div", `attn-lines attn-${side}`));
    const view = { viewBox: `0 0 100 ${N}`, preserveAspectRatio: "none", "aria-hidden": true };
    const [left, right] = boxes.map((box) => shape("svg", box, view));
    const path = (place) => shape("path", place, { "vector-effect": "non-scaling-stroke" });
    // On each side, a group of lines for each output; its j-th comes from token j.
    rows.forEach((row, i) => {
      row.look = path(right);
      row.groups = [left, right].map((side) => shape("g", side, { "data-output": i }));
      row.lines = row.groups.map((group) => state.x.map(() => path(group)));
    });
    boxes[1].append(...rows.map(({ head }) => head));
    const titles = ["dense layer", "W, fixed", "input", "", "attention"].map((text) => make("span", "attn-top", {}, text));
    const cells = rows.flatMap(({ ends, input }) => [ends[0].node, input, ends[1].node]);
    stage.replaceChildren(...titles, ...boxes, ...cells);
    figure.style.setProperty("--rows", N);
    over = titles[3];
    fixed = square(places);
    moving = square(places);
    halves.replaceChildren(fixed.node, moving.node);
  }

  const bend = (from, to, a, b) => `M${from},${a + 0.5} C${(from + to) / 2},${a + 0.5} ${(from + to) / 2},${b + 0.5} ${to},${b + 0.5}`;

  function draw() {
    const { x, W, one_place, selected } = state;
    const all = mix(state);
    figure.dataset.state = JSON.stringify({ x, sharpness: state.sharpness, one_place, selected });
    for (const [name, value] of Object.entries(all)) figure.dataset[name] = JSON.stringify(value);
    figure.classList.toggle("attn-places", one_place);

    mode.show(Number(one_place));
    slider.value = state.sharpness;
    slider.disabled = one_place;
    reading.textContent = one_place ? "–" : String(Number(state.sharpness.toPrecision(3)));
    const heads = ["heads, W", make("sup", "", {}, "O"), " = W", make("sup", "", {}, "⊤")];
    over.replaceChildren(...(one_place ? heads : ["A, by the input"]));
    const most = Math.max(1, ...W.flat().map(Math.abs));
    const stroke = (node, weight, d) => {
      node.setAttribute("d", d);
      node.style.setProperty("--size", Math.abs(weight) / most);
      node.classList.toggle("attn-minus", weight < 0);
    };
    const [near, far] = [26, 60]; // where the heads begin and end, in hundredths of the way
    rows.forEach((row, i) => {
      row.range.value = x[i];
      row.read.textContent = number(x[i]);
      row.range.setAttribute("aria-valuetext", number(x[i]));
      row.ends.forEach(({ kind, node, value, beside }, right) => {
        const y = (right ? all.output : all.dense)[i];
        value.textContent = number(y);
        beside.textContent = right ? `Δ ${number(all.difference[i])}` : "";
        node.setAttribute("aria-pressed", i === selected);
        const apart = right ? `, ${number(all.difference[i])} from the dense layer` : "";
        node.setAttribute("aria-label", `${kind}, output ${places[i]}: ${number(y)}${apart}`);
      });
      W[i].forEach((w, j) => {
        stroke(row.lines[0][j], w, bend(100, 0, j, i));
        if (one_place) stroke(row.lines[1][j], w, bend(far, 100, j, i));
        else stroke(row.lines[1][j], all.weights[0][i][j], bend(0, 100, j, i));
      });
      row.groups.forEach((group) => group.classList.toggle("attn-pale", i !== selected));
      stroke(row.look, Number(one_place), bend(0, near, i, i));
      if (one_place) [...row.head.children].forEach((mark, j) => mark.classList.toggle("attn-one", all.weights[i][selected][j] === 1));
      row.head.style.top = `${(100 * (i + 0.5)) / rows.length}%`;
    });

    rows[selected].groups.forEach((group) => group.parentNode.append(group)); // above the others
    fixed.draw("W, the dense layer’s weights: fixed", W, most, selected);
    if (one_place) moving.draw("What each query receives, and keeps (framed)", all.received, Infinity, selected);
    else moving.draw("A, attention’s weights: made from the input", all.weights[0], 1, selected);
    // What is received is numbered; it does not come from one token each.
    moving.over.forEach((node, j) => node.replaceChildren(one_place ? `no. ${j + 1}` : word(places[j])));
    moving.cells.forEach((line, i) => line.forEach((cell, j) => cell.classList.toggle("attn-kept", one_place && i === j)));

    const name = () => word(places[selected]);
    const term = (w, j) => {
      const factor = x[j] < 0 ? `(${number(x[j])})` : number(x[j]);
      const text = j ? `${w < 0 ? "−" : "+"} ${number(Math.abs(w))}` : number(w);
      return `${text} · ${factor}`.replaceAll(" ", "\u00a0");
    };
    const sum = (weights, y) => ["at ", name(), `: ${weights.map(term).join(" ")} = `, make("b", "", {}, number(y))];
    sums[0].text.replaceChildren(...sum(W[selected], all.dense[selected]));
    sums[1].text.replaceChildren(...sum(one_place ? W[selected] : all.weights[0][selected], all.output[selected]));
    sentence.replaceChildren(...say(all, name));
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function say({ difference }, name) {
    const N = state.x.length;
    const most = number(Math.max(...difference.map(Math.abs)));
    const end = `Largest difference Δ from the dense layer: ${most}.`;
    if (state.one_place)
      return [
        `Head n looks at place n alone, whatever stands there and whoever asks. Every query receives the same ${N} numbers; `,
        name(),
        ` keeps number ${state.selected + 1}. Largest difference Δ: ${most}.`,
      ];
    if (!state.sharpness) return [`At sharpness 0 every weight is 1/${N}, whatever the input. ${end}`];
    return [`Move an input: the lines on the left stay, those on the right follow. ${end}`];
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const N = next.x.length;
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.W.length !== N || (next.tokens ?? next.x).length !== N || next.selected >= N) return;
    const same = state?.x.length === N && next.tokens === state.tokens;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
