// Multi-head attention in seven steps. Rows are tokens; head n owns the n-th block of columns.

const turned = (a) => a[0].map((_, c) => a.map((row) => row[c]));

// All matrices by name: "W^Q", "Q", and for head 1 "Q_1", "K_1^T" and so on.
function multiHead({ x, W_Q, W_K, W_V, W_O, heads }) {
  const width = x[0].length / heads;
  const all = { X: x, "W^Q": W_Q, "W^K": W_K, "W^V": W_V, "W^O": W_O };
  const ns = Array.from({ length: heads }, (_, n) => n + 1);
  for (const name of "QKV") {
    all[name] = times(x, all[`W^${name}`]);
    for (const n of ns) all[`${name}_${n}`] = all[name].map((row) => row.slice((n - 1) * width, n * width));
  }
  for (const n of ns) {
    all[`K_${n}^T`] = turned(all[`K_${n}`]);
    all[`S_${n}`] = times(all[`Q_${n}`], all[`K_${n}^T`]).map((row) => row.map((s) => s / Math.sqrt(width)));
    all[`A_${n}`] = all[`S_${n}`].map((row) => softmax(row, 1));
    all[`H_${n}`] = times(all[`A_${n}`], all[`V_${n}`]);
  }
  all.H = x.map((_, i) => ns.flatMap((n) => all[`H_${n}`][i]));
  all.Y = times(all.H, W_O);
  return { all, ns, width };
}

// Each step: its name, what it does, what becomes of a row, and its equations, with n once for each head, * for all.
const STEPS = [
  ["Input", "A row for each token.", "is all that goes in for this token.", "X"],
  [
    "Project",
    "{K} and {V} likewise. Each head has its block of columns.",
    "of {X} meets every column of {W^Q}, {W^K} and {W^V}.",
    "X",
    "· W^Q = Q",
    "· W^K = K",
    "· W^V = V",
  ],
  ["Cut", "{K} and {V} likewise. Nothing is computed.", "gives a piece to each head.", "Q → Q_*", "K → K_*", "V → V_*"],
  [
    "Score",
    "In each head. Softmax makes weights of each row of scores.",
    "of {Q_n} meets every key, a column of {K_n^T}. Its weights sum to 1 in each head.",
    "Q_n · K_n^T ÷ S_n ~ A_n",
  ],
  [
    "Mix",
    "In each head: the values, mixed by the weights.",
    "of {A_n} weighs the rows of {V_n}. Their sum is this row of {H_n}.",
    "A_n · V_n = H_n",
  ],
  ["Join", "Side by side. Nothing is computed.", "gets a piece from each head.", "H_* → H"],
  [
    "Output",
    "Each head’s columns of {H} meet its own rows of {W^O}.",
    "of {H}, all heads in it, meets every column of {W^O}.",
    "H · W^O = Y",
  ],
];
const ROLES = { Q: "query", K: "key", V: "value", H: "value", S: "weight", A: "weight" };
const role = (name) => `attn-${ROLES[name.replace("W^", "")[0]] ?? "plain"}`;
const mute = { "aria-hidden": true };

// "K_1^T" with its index lowered and its T raised.
function symbol(name) {
  const tags = { _: "sub", "^": "sup" };
  const parts = name.split(/([_^]\w+)/).map((p) => (tags[p[0]] ? make(tags[p[0]], "", {}, p.slice(1)) : p));
  return make("b", role(name), {}, ...parts);
}

// Names in braces become symbols.
const say = (text) => text.split(/\{(.*?)\}/).map((part, n) => (n % 2 ? symbol(part) : part));

// A matrix as a grid of cells. rows: its rows are tokens, for the reader to choose from. labels, columns: names to
// print. block, band: width of a head's block of columns or rows, the first being head `head`. meet: which number of
// its shape has to agree with a neighbour's.
function matrix(name, numbers, most, { rows, labels, columns, block, band, head, meet, shape }) {
  const span = (classes, attributes, ...text) => make("span", `attn-${classes}`, attributes, ...text);
  const gap = (k, size) => (k && k % size === 0 ? " attn-gap" : "");
  const bracket = (classes, n, size, attributes = {}) =>
    span(`bracket attn-head-${n % 4}${classes}`, { style: `--span: ${size}`, ...attributes }, size > 1 ? `head ${n}` : n);
  const cells = numbers.map((line) =>
    line.map((x, c) => {
      const style = `--size: ${Math.abs(x) / most}`;
      return span(`cell${gap(c, block)}`, { role: "cell", "data-value": x, "data-column": c, style }, number(x));
    }),
  );
  const lines = cells.map((line, i) => {
    const node = make("div", `attn-line${gap(i, band)}`, { role: "row", ...(rows && { "data-row": i }) }, ...line);
    if (labels) node.prepend(span("label", { role: "rowheader", title: labels[i] }, word(labels[i])));
    if (band) node.prepend(bracket(i % band ? " attn-blank" : "", head + Math.floor(i / band), band, { role: "rowheader" }));
    return node;
  });
  const top = make("div", "attn-line attn-top", columns ? { role: "row" } : mute);
  if (labels) top.append(span("label", columns && { role: "cell" }));
  for (const text of columns ?? []) top.append(span("over", { role: "columnheader", title: text }, word(text)));
  for (let c = 0; block && c < numbers[0].length; c += block) top.append(bracket(gap(c, block), head + c / block, block));
  const sizes = shape.split(/( × )/).map((size, n) => (2 * meet === n ? make("u", "", {}, size) : size));
  const under = make("div", "attn-under", mute, symbol(name), make("span", "", {}, ...sizes));
  const label = `${name.replace("^T", " transposed").replace(/[_^]/g, " ")}, ${shape}`;
  const attributes = { role: "table", "aria-label": label, "data-matrix": name };
  const node = make("div", `attn-matrix ${role(name)}`, attributes, top, ...lines, under);
  // Mark a row, a column or "all", and a cell of the row.
  const mark = (row, column, cell) => {
    node.classList.toggle("attn-all", column === "all");
    lines.forEach((line, i) => line.classList.toggle("attn-on", Boolean(rows) && i === row));
    cells.forEach((line, i) =>
      line.forEach((one, c) => {
        one.classList.toggle("attn-used", c === column);
        one.classList.toggle("attn-number", i === row && c === cell);
      }),
    );
  };
  return { node, name, numbers, columns, cells, mark };
}

// The panels of the steps. A link says what its result `to` is made of: `used`, the matrix whose column c gives its
// column c, or `from(c)`, a matrix and a column of it; `how(i, c)`, the arithmetic.
function buildPanels(state, names) {
  const { all, ns, width } = multiHead(state);
  const signs = { "÷": `÷ √${width} =`, "~": "softmax →" };
  const largest = (letter) =>
    Math.max(...Object.keys(all).flatMap((name) => (name[0] === letter ? all[name].flat().map(Math.abs) : 0))) || 1;
  const shapeOf = (name) => `${all[name].length} × ${all[name][0].length}`;

  return STEPS.map(([, text, row, ...rules]) => {
    const [matrices, links] = [[], []];
    const equation = (rule) => {
      const words = rule.replace(/(.)_\*/, (_, letter) => ns.map((n) => `${letter}_${n}`).join(" ")).split(" ");
      const node = make("div", "attn-equation");
      const line = all[words[0]] ? [] : [matrices[0]];
      const joins = rule.endsWith("→ H");
      let [place, sign] = [node];
      for (const name of words) {
        if (!all[name]) {
          sign = name;
          const parts = (signs[name] ?? name).split(/ (?=\S+$)/).map((part) => make("span", "", {}, part));
          place = make("div", "attn-pair", {}, make("span", "attn-sign", mute, ...parts));
          node.append(place);
          continue;
        }
        const [factor, first] = [sign === "·", !line.length];
        const one = matrix(name, all[name], name[0] === "A" ? 1 : largest(name[0]), {
          rows: factor ? undefined : names,
          labels: first || (factor && name[0] === "V") ? names : undefined,
          columns: /^[AS]|T$/.test(name) ? names : undefined,
          block: /^(W.[QKV]|[QKVH])$/.test(name) || rule.includes("→") ? width : undefined,
          band: name === "W^O" ? width : undefined,
          head: Number(name[2]) || 1,
          meet: factor ? 0 : first && rules.join().includes("·") ? 1 : undefined,
          shape: joins && sign ? `${names.length} × ${ns.length}·${width}` : shapeOf(name),
        });
        place.append(one.node);
        line.push(one);
        matrices.push(one);
      }
      const [a, b, to, shares] = line;
      if (joins) links.push({ to: line.at(-1), from: (c) => [line[Math.floor(c / width)], c % width] });
      else if (sign === "→") line.slice(1).forEach((to, n) => links.push({ to, from: (c) => [a, n * width + c] }));
      else if (to) {
        const sum = (i, c) => a.numbers[i].map((x, k) => `${number(x)} · ${number(b.numbers[k][c])}`).join(" + ");
        links.push({ to, used: b, how: (i, c) => (shares ? `(${sum(i, c)}) ÷ √${width}` : sum(i, c)) });
      }
      if (shares) {
        const powers = (i) => to.numbers[i].map((score) => `exp ${number(score)}`);
        links.push({ to: shares, from: (c) => [to, c], how: (i, c) => `${powers(i)[c]} ÷ (${powers(i).join(" + ")})` });
      }
      return node;
    };
    const part = (rule, n) => {
      const title = make("span", `attn-bracket attn-head-${n % 4}`, {}, `head ${n}`);
      return make("div", "attn-part", {}, title, equation(rule.replaceAll("_n", `_${n}`)));
    };
    const nodes = rules.flatMap((rule) => (rule.includes("_n") ? ns.map((n) => part(rule, n)) : [equation(rule)]));
    const shown = rules.slice(0, rules[0] === "X" ? 2 : 1).flatMap((rule) => rule.replace("*", "n").split(" "));
    const spelled = shown.map((name) => {
      const found = name.replace("_n", "_1");
      return all[found] ? `{${name}} (${shapeOf(found)})` : (signs[name] ?? name).replace("softmax", "→ softmax");
    });
    const result = shapeOf(matrices.at(-1).name);
    return { result, text: `${spelled.join(" ")}. ${text}`, row, matrices, links, node: make("div", "attn-panel", {}, ...nodes) };
  });
}

function render({ model, el }) {
  const names = ["x", "W_Q", "W_K", "W_V", "W_O", "heads", "tokens", "step", "selected", "caption"];
  let state, rows, panels, panel;
  let focus = {}; // the number in question: its link in the step, and its column

  const set = (name, value) => setter(model)({ [name]: value });
  const go = (step) => set("step", clamp(step, 1, STEPS.length));

  const tabs = STEPS.map(([name], n) => {
    const radio = make("input", "", { type: "radio", name: "step" });
    radio.addEventListener("change", () => go(n + 1));
    const shape = make("small");
    const title = make("span", "", {}, make("i", "", {}, n + 1), ` ${name} `);
    return { node: make("label", "", {}, radio, title, shape), radio, shape };
  });
  // Radio buttons of one name belong together within a form, so two figures do not disturb each other.
  const group = make("div", "attn-tabs", { role: "radiogroup", "aria-label": "Step" }, ...tabs.map((tab) => tab.node));
  const [back, next] = [-1, 1].map((by) => button(by < 0 ? "← Back" : "Next →", () => go(state.step + by)));
  const select = make("select");
  select.addEventListener("change", () => point(select.selectedIndex));
  const controls = make("div", "attn-controls", {}, back, next, make("label", "", {}, "Row", select));
  const text = make("p", "attn-text", { "aria-live": "polite" });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const stage = make("div", "attn-stage", { role: "group", tabindex: 0 });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Steps of multi-head attention", "data-lm-suppress-shortcuts": true };
  const parts = [make("form", "", {}, group), controls, text, sentence, stage, caption];
  const figure = make("figure", "attn-figure attn-steps", attributes, ...parts);

  // Ask about a row, or about one number in it.
  function point(row, link, column) {
    const moved = focus.link !== link || focus.column !== column;
    focus = { link, column };
    if (row !== state.selected) set("selected", row);
    else if (moved) draw();
  }
  for (const event of ["pointermove", "pointerdown"])
    stage.addEventListener(event, ({ target }) => {
      const row = target.closest("[data-row]")?.dataset.row;
      const column = target.closest("[data-column]")?.dataset.column;
      const link = column && panel.links.find(({ to }) => to.node.contains(target));
      if (row) point(Number(row), ...(link ? [link, Number(column)] : []));
    });
  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const [down, right] = moves[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const places = panel.links.flatMap((link) => link.to.numbers[0].map((_, column) => [link, column]));
    const now = places.findIndex(([link, column]) => link === focus.link && column === focus.column);
    const [link, column] = places[clamp(now + right, -1, places.length - 1)] ?? [];
    point(clamp(state.selected + down, 0, rows.length - 1), link, column);
    link?.to.cells[state.selected][column].scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  function build() {
    rows = distinct(state.tokens ?? state.x.map((_, i) => `x${String.fromCodePoint(0x2081 + i)}`));
    panels = buildPanels(state, rows);
    select.replaceChildren(...rows.map((name) => make("option", "", {}, name)));
    stage.replaceChildren(...panels.map(({ node }) => node));
    tabs.forEach(({ shape }, n) => (shape.textContent = panels[n].result));
    figure.style.setProperty("--label", `${clamp(Math.max(...rows.map(letters)), 2, 8) * 6.4 + 9}px`);
    figure.classList.toggle("attn-long", state.x[0].length > 4 || rows.length > 4);
    focus = {};
  }

  const place = ({ name, columns }, i, c) => [symbol(name), "[", word(rows[i]), ", ", columns ? word(columns[c]) : c + 1, "]"];

  function draw() {
    const { step, selected } = state;
    const { link, column } = focus;
    panel = panels[step - 1];
    Object.assign(figure.dataset, { step, selected });
    tabs[step - 1].radio.checked = true;
    back.setAttribute("aria-disabled", step === 1);
    next.setAttribute("aria-disabled", step === STEPS.length);
    select.selectedIndex = selected;
    panels.forEach(({ node }) => node.classList.toggle("attn-away", node !== panel.node));
    stage.setAttribute("aria-label", `Matrices of step ${step}: arrow keys choose a row and a number in it`);
    text.replaceChildren(...say(panel.text));

    const [source, at] = link?.from?.(column) ?? [];
    for (const one of panel.matrices) {
      const whole = !link && panel.links.some(({ used }) => used === one) ? "all" : undefined;
      const cell = link?.to === one ? column : source === one ? at : undefined;
      one.mark(selected, link?.used === one ? column : whole, cell);
    }
    if (link) {
      const how = link.how ? [link.how(selected, column)] : place(source, selected, at);
      const value = make("b", "", {}, number(link.to.numbers[selected][column]));
      sentence.replaceChildren(...place(link.to, selected, column), " = ", ...how, " =\u00a0", value);
    } else sentence.replaceChildren("The row “", word(rows[selected]), "” ", ...say(panel.row));
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const [{ x, heads, tokens, selected }, d] = [next, next.x[0].length];
    // Python sets several names at once; until the last has come, they may not fit.
    if (names.slice(1, 5).some((name) => next[name].length !== d || next[name][0].length !== d)) return;
    if (d % heads || (tokens ?? x).length !== x.length || selected >= x.length) return;
    const same = names.slice(0, 7).every((name) => next[name] === state?.[name]);
    if (next.step !== state?.step) {
      focus = {};
      stage.scrollTo(0, 0);
    }
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
